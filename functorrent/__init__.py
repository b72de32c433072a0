"""functorrent: magnet links in, verified .torrent files out; a library of Twisted protocols.

Public names are exported lazily (PEP 562), so that importing the package costs nothing and installs
no reactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "AddressGuard": "functorrent.addresses",
    "FetchFailed": "functorrent.errors",
    "FetchReport": "functorrent.fetch.report",
    "FunctorrentError": "functorrent.errors",
    "InvalidMagnet": "functorrent.errors",
    "Limits": "functorrent.limits",
    "Magnet": "functorrent.magnet",
    "Metadata": "functorrent.fetch.result",
    "Metainfo": "functorrent.metainfo",
    "MetadataClientFactory": "functorrent.fetch.factory",
    "PeerProtocol": "functorrent.peer.protocol",
    "fetch_metadata": "functorrent.fetch.api",
}

__all__ = [*sorted(_EXPORTS), "__version__"]

if TYPE_CHECKING:
    from functorrent.addresses import AddressGuard as AddressGuard
    from functorrent.errors import FetchFailed as FetchFailed
    from functorrent.errors import FunctorrentError as FunctorrentError
    from functorrent.errors import InvalidMagnet as InvalidMagnet
    from functorrent.fetch.api import fetch_metadata as fetch_metadata
    from functorrent.fetch.factory import MetadataClientFactory as MetadataClientFactory
    from functorrent.fetch.report import FetchReport as FetchReport
    from functorrent.fetch.result import Metadata as Metadata
    from functorrent.limits import Limits as Limits
    from functorrent.magnet import Magnet as Magnet
    from functorrent.metainfo import Metainfo as Metainfo
    from functorrent.peer.protocol import PeerProtocol as PeerProtocol


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
