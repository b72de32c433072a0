"""The nodes that are asked first: names to addresses, as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.interfaces import IResolver, PeerAddress

#: Addresses taken of one name.
_OF_A_NAME = 4


class Bootstrap:
    """Resolves `hosts`, (host, port) each, all at once. `found(addresses)` is called for each name that
    has any that may be used, `over()` once, when every name has come to something.

    `trusted`: the user typed them, so they may be local.
    """

    log = Logger()

    def __init__(
        self,
        resolver: IResolver,
        hosts: Iterable[tuple[str, int]],
        trusted: bool,
        found: Callable[[list[PeerAddress]], None],
        over: Callable[[], None],
    ) -> None:
        self._resolver = resolver
        self._hosts = list(hosts)
        self._trusted = trusted
        self._found = found
        self._over = over
        self._waiting: set[Deferred[list[str]]] = set()
        self._starting = False
        self._stopped = False
        #: What became of the first name that has no address of use, in words.
        self.why: str | None = None
        #: Those found so far.
        self.addresses: list[PeerAddress] = []

    def start(self) -> None:
        """Begin; both may be called before this returns."""
        self._starting = True
        for host, port in self._hosts:
            waiting = self._resolver.resolve(host, trusted=self._trusted)
            self._waiting.add(waiting)
            waiting.addCallbacks(
                self._resolved, self._failed, callbackArgs=(port, waiting), errbackArgs=(waiting,)
            )
        self._starting = False
        self._look()

    def stop(self) -> None:
        """Call nobody any more."""
        self._stopped = True
        for waiting in list(self._waiting):
            waiting.cancel()

    def _resolved(self, hosts: list[str], port: int, waiting: Deferred[list[str]]) -> None:
        self._waiting.discard(waiting)
        if self._stopped:
            return
        found = [PeerAddress(host, port) for host in hosts[:_OF_A_NAME]]
        self.addresses += found
        self._found(found)
        self._look()

    def _failed(self, failure: Failure, waiting: Deferred[list[str]]) -> None:
        self._waiting.discard(waiting)
        if self._stopped:
            if not failure.check(NameNotResolved, AddressNotAllowed, CancelledError):
                self.log.failure("a node's name could not be resolved", failure)
            return
        if not failure.check(NameNotResolved, AddressNotAllowed):
            self.log.failure("a node's name could not be resolved", failure)
        elif self.why is None:
            self.why = str(failure.value)
        self._look()

    def _look(self) -> None:
        if not self._starting and not self._waiting and not self._stopped:
            self._stopped = True
            self._over()
