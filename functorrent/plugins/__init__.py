"""The namespace for plugins: peer extensions and peer sources of third parties (docs/extending.md).

A distribution puts a module into ``functorrent/plugins/`` of its own, *without* an ``__init__.py``
there, and ``twisted.plugin.getPlugins(IPeerExtension, functorrent.plugins)`` finds what it holds:
`twisted.plugin.pluginPackagePaths` makes every such folder on ``sys.path`` a part of this package.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
