"""A quicker start: what Twisted's reactor imports and a fetch rarely needs is left until it is needed.

TLS (OpenSSL, cryptography) costs 40 ms and http.cookiejar 20; together a quarter of what a command
that fetches one magnet takes from start to file. An HTTPS tracker or a proxy loads them when it comes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util

#: Left out while the reactor is imported: it then has no `connectSSL` and `startTLS` of its own.
#: Connections that wrap TLS around a transport, as treq's and the endpoints' do, need neither.
_WITHOUT = ("OpenSSL",)
#: Loaded at their first use: twisted.python.compat has the name, and seldom anybody asks for more.
_LAZY = ("http.cookiejar",)


@contextmanager
def light_imports() -> Iterator[None]:
    """While this lasts, modules in `_WITHOUT` cannot be imported; those in `_LAZY` are from now on
    loaded at their first use."""
    left_out = [name for name in _WITHOUT if name not in sys.modules]
    for name in left_out:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in _LAZY:
        _be_lazy(name)
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


def _be_lazy(name: str) -> None:
    """See importlib.util.LazyLoader."""
    spec = util.find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    loader = util.LazyLoader(spec.loader)
    spec.loader = loader
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
