"""Files that stand in pages of the manual, written where Python and Twisted's plugins find them."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from twisted.plugin import pluginPackagePaths
from twisted.trial.unittest import SynchronousTestCase

import functorrent.plugins

_FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


class PageFilesTestCase(SynchronousTestCase):
    """`files`: those of a page, path to code; `plugins`: the folder of its plugins."""

    def put(self, page: str, names: tuple[str, ...] = ()) -> None:
        """Write the page's files (those of `names`, where there are any) to a folder on the path."""
        folder = Path(self.mktemp()).absolute()
        self.files = dict(_FILE.findall(page))
        for name in names or self.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.files[name], encoding="utf-8")
        self.plugins = folder / "functorrent" / "plugins"
        before = set(sys.modules)
        self.patch(sys, "path", [str(folder), *sys.path])
        self.patch(functorrent.plugins, "__path__", [*functorrent.plugins.__path__])
        functorrent.plugins.__path__.extend(pluginPackagePaths("functorrent.plugins"))
        importlib.invalidate_caches()
        self.addCleanup(self._forget, before)

    def _forget(self, before: set[str]) -> None:
        ours = {name.removesuffix(".py") for name in self.files if "/" not in name}
        for name in set(sys.modules) - before:
            if name in ours or name.startswith("functorrent.plugins."):
                del sys.modules[name]
                if hasattr(functorrent.plugins, name.rpartition(".")[2]):
                    delattr(functorrent.plugins, name.rpartition(".")[2])
