"""Many sockets behind one descriptor of the reactor: an epoll of our own, in the reactor's (Linux).

The reactor calls a descriptor through some ten frames of logging context, and changes what it waits
for through as many; with three events for each magnet of a bulk fetch that adds up. Here it sees one
descriptor, readable while any of ours is, and they are called one after the other.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: Descriptors called before the time is looked at. The kernel puts those it has named behind the others,
#: so all get their turn.
_AT_ONCE = 8
#: Seconds of one turn of the reactor. With 200 magnets in flight all that is ready would take 50 to 200 ms,
#: and whoever waits for an answer over HTTP, or for a timer, would wait for several of those. Shorter turns
#: cost the daemon throughput: 0.01 a third of it, 0.025 little.
_TURN = 0.025
_READ = getattr(select, "EPOLLIN", 1)
_WRITE = getattr(select, "EPOLLOUT", 4)
_GONE = getattr(select, "EPOLLHUP", 16) | getattr(select, "EPOLLERR", 8)


def make_pollset(reactor: Any) -> Any:
    """Something with IReactorFDSet's methods, and `callLater`, for `PeerConnection`s.

    A `PollSet` on Linux under a reactor that takes descriptors, else the reactor itself.
    """
    if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor):
        return PollSet(reactor)
    return reactor


@implementer(IReadDescriptor)
class PollSet:
    """A set of descriptors, watched by an epoll of its own. Call `close` when done with it."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll: Any = None
        #: Descriptor number to who is called, and to what for.
        self._selectables: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        self.callLater = reactor.callLater

    # -- what connections call: IReactorFDSet ------------------------------------------------

    def addReader(self, reader: Any) -> None:
        """Call `reader.doRead` when there is something to read."""
        self._watch(reader, _READ)

    def addWriter(self, writer: Any) -> None:
        """Call `writer.doWrite` when there is room to write."""
        self._watch(writer, _WRITE)

    def removeReader(self, reader: Any) -> None:
        """Not any more. To be called before the descriptor is closed."""
        self._unwatch(reader, _READ)

    def removeWriter(self, writer: Any) -> None:
        """Not any more. To be called before the descriptor is closed."""
        self._unwatch(writer, _WRITE)

    def turn_to_reading(self, selectable: Any) -> None:
        """From writing, which it did so far, to reading: one call of the kernel for two."""
        number = selectable.fileno()
        self._epoll.modify(number, _READ)
        self._masks[number] = _READ

    def forget(self, selectable: Any) -> None:
        """Neither any more, for it is closed next, and with that the kernel forgets it by itself.

        Only where no other process has it, too: ours are closed on exec.
        """
        number = selectable.fileno()
        self._masks.pop(number, None)
        self._selectables.pop(number, None)

    def _watch(self, selectable: Any, mask: int) -> None:
        number = selectable.fileno()
        before = self._masks.get(number, 0)
        if before:
            self._epoll.modify(number, before | mask)
            self._masks[number] = before | mask
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        self._epoll.register(number, mask)
        self._masks[number] = mask
        self._selectables[number] = selectable

    def _unwatch(self, selectable: Any, mask: int) -> None:
        number = selectable.fileno()
        before = self._masks.get(number, 0)
        left = before & ~mask
        if left == before:
            return
        if left:
            self._masks[number] = left
            self._epoll.modify(number, left)
        else:
            del self._masks[number], self._selectables[number]
            self._epoll.unregister(number)

    def close(self) -> None:
        """Forget every descriptor."""
        self._selectables.clear()
        self._masks.clear()
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    # -- what the reactor calls: IReadDescriptor ---------------------------------------------

    def fileno(self) -> int:
        """The epoll's descriptor; -1 when there is none."""
        return self._epoll.fileno() if self._epoll is not None else -1

    def logPrefix(self) -> str:
        """For log lines written meanwhile."""
        return "peers"

    def doRead(self) -> None:
        """Some descriptors are ready: call them, for as long as one turn may take."""
        seconds = self._reactor.seconds
        end = seconds() + _TURN
        while self._call_some() == _AT_ONCE and self._epoll is not None and seconds() < end:
            pass

    def _call_some(self) -> int:
        """Call the next few that are ready. Returns how many the kernel named."""
        selectables = self._selectables
        ready: list[tuple[int, int, Any]] = [
            (n, events, selectables.get(n)) for n, events in self._epoll.poll(0, _AT_ONCE)
        ]
        for number, events, selectable in ready:
            # One called before may have closed it, and another taken its number: that one waits.
            if selectable is None or not self._is_watched(number, selectable):
                continue
            try:
                if events & _READ:
                    why = selectable.doRead()
                elif events & _GONE:
                    why = CONNECTION_LOST
                else:
                    why = None
                if why is None and events & _WRITE and self._is_watched(number, selectable):
                    why = selectable.doWrite()
            except Exception as error:
                self.log.failure("a connection failed")
                why = error
            if why is not None:
                self._lost(selectable, number, why)
        return len(ready)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is going down."""

    def _is_watched(self, number: int, selectable: Any) -> bool:
        return self._selectables.get(number) is selectable

    def _lost(self, selectable: Any, number: int, why: Exception) -> None:
        if selectable.fileno() != number:
            return
        self._unwatch(selectable, _READ | _WRITE)
        try:
            selectable.connectionLost(_FAILURES.get(type(why)) or Failure(why))
        except Exception:
            self.log.failure("a connection failed to close")


_FAILURES: dict[type[Exception], Failure] = {
    type(why): Failure(why) for why in (CONNECTION_DONE, CONNECTION_LOST)
}
