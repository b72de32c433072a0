"""A quicker start: what Twisted's reactor imports and a fetch rarely needs is left until it is needed.

TLS (OpenSSL, cryptography) costs 40 ms, http.cookiejar, with urllib.request and email, 15, and asyncio,
with ssl and logging, 20: a third of what a command that fetches one magnet takes from start to file. An
HTTPS tracker loads them when it comes.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import CoroutineType, GeneratorType, ModuleType
from typing import Any

#: Left out while the reactor is imported: it then has no `connectSSL` and `startTLS` of its own.
#: Connections that wrap TLS around a transport, as treq's and the endpoints' do, need neither.
_WITHOUT = ("OpenSSL",)
#: Loaded when somebody asks for something in them: twisted.python.compat has the names alone.
#: (importlib.util.LazyLoader is of no use: an import statement that finds the module loads it.)
_LATER = ("http.cookiejar", "asyncio")
#: twisted.internet.defer takes these names out of asyncio: two for annotations, and one function.
_COROUTINES = (CoroutineType, GeneratorType, Coroutine)
_GIVEN: dict[str, dict[str, Any]] = {
    "asyncio": {
        "AbstractEventLoop": Any,
        "Future": Any,
        "iscoroutine": lambda what: isinstance(what, _COROUTINES),
    }
}


@contextmanager
def no_collector() -> Iterator[None]:
    """While this lasts, Python's garbage collector does not come.

    What is imported stays, and the collector would come for it some seventy times: a tenth of
    the time that the imports take.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@contextmanager
def light_imports() -> Iterator[None]:
    """While this lasts, modules in `_WITHOUT` cannot be imported, and those in `_LATER` are stand-ins
    that load the real ones when they are used."""
    put: list[str] = []
    for name in (*_WITHOUT, *_LATER):
        if name not in sys.modules:
            put.append(name)
            sys.modules[name] = _stand_in(name) if name in _LATER else None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


def _stand_in(name: str) -> ModuleType:
    module = _StandIn(name)
    vars(module).update(_GIVEN.get(name, {}))
    return module


class _StandIn(ModuleType):
    """Stands in for a module until somebody asks for something in it."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            # The import system looks at these.
            raise AttributeError(attribute)
        from importlib import import_module

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)
