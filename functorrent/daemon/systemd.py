"""What systemd asks of a service: to be told when it is ready, what it does, and that it is alive.

The protocol is a datagram of ``NAME=value`` lines to the socket that NOTIFY_SOCKET names
(sd_notify(3)). Without that variable nothing is sent and no timer runs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.text import printable

#: Seconds between two STATUS lines.
STATUS_EVERY = 10.0
#: While it starts, systemd is asked every so often for so much more time: a large store may take minutes to
#: migrate, and one that is killed in the middle begins again.
_EXTEND_EVERY = 10.0
_EXTEND_BY = 60.0


class Systemd(Service):
    """Tells systemd. Call `ready` when the store is open, the queue runs and HTTP listens.

    `clock`: IReactorTime, monotonic. `status()` gives the words of a STATUS line. `alive()` gives a
    Deferred that fires when the store has answered: the watchdog hears of us only then, and only from
    the reactor's timer, so neither may hang. Stopped first of all services, it says STOPPING.
    """

    name = "systemd"
    log = Logger()

    def __init__(
        self,
        clock: Any,
        environ: Mapping[str, str],
        pid: int,
        status: Callable[[], str] = lambda: "",
        alive: Callable[[], Deferred[Any]] | None = None,
    ) -> None:
        self._clock = clock
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ, pid)
        self._status = status
        self._alive = alive
        self._socket: socket.socket | None = None
        self._ready = False
        self._complained = False
        self._timers: dict[str, Any] = {}
        self._asking: Deferred[Any] | None = None

    # -- life ----------------------------------------------------------------------------------

    def startService(self) -> None:
        """From here on systemd waits for us."""
        Service.startService(self)
        if self._address is not None:
            self._extend()

    def ready(self) -> None:
        """The store is open, the queue runs, HTTP listens."""
        if self._address is None or not self.running or self._ready:
            return
        self._ready = True
        self._cancel("extend")
        self._send("READY=1", *self._status_lines())
        self._every("status", STATUS_EVERY, lambda: self._send(*self._status_lines()))
        if self._watchdog is not None:
            self._beat()
            self._every("watchdog", self._watchdog / 2, self._beat)

    def stopService(self) -> None:
        """Say that we stop."""
        if not self.running:
            return
        Service.stopService(self)
        for name in list(self._timers):
            self._cancel(name)
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
        self._send("STOPPING=1", "STATUS=stopping")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def reload(self, work: Callable[[], object]) -> None:
        """Do `work`, which systemd should take for a reload."""
        if self._ready and self.running:
            self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.seconds() * 1e6)}")
        try:
            work()
        finally:
            if self._ready and self.running:
                self._send("READY=1")

    # -- timers --------------------------------------------------------------------------------

    def _every(self, name: str, seconds: float, act: Callable[[], object]) -> None:
        def again() -> None:
            self._timers[name] = self._clock.callLater(seconds, again)
            act()

        self._timers[name] = self._clock.callLater(seconds, again)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _extend(self) -> None:
        self._send(f"EXTEND_TIMEOUT_USEC={int(_EXTEND_BY * 1e6)}", "STATUS=starting")
        self._timers["extend"] = self._clock.callLater(_EXTEND_EVERY, self._extend)

    def _beat(self) -> None:
        """Tell the watchdog, once the store has answered. While it has not, one question is enough."""
        if self._alive is None:
            self._send("WATCHDOG=1")
        elif self._asking is None:
            asking = self._asking = self._alive()
            asking.addCallbacks(self._answered, self._not_answered)

    def _answered(self, _: object) -> None:
        self._asking = None
        if self.running:
            self._send("WATCHDOG=1")

    def _not_answered(self, failure: Failure) -> None:
        self._asking = None
        if self.running:
            self.log.warn(
                "the store does not answer, so the watchdog is not told: {error}",
                error=printable(str(failure.value)),
            )

    # -- the socket ----------------------------------------------------------------------------

    def _status_lines(self) -> list[str]:
        words = printable(self._status())
        return [f"STATUS={words}"] if words else []

    def _send(self, *lines: str) -> None:
        if self._address is None or not lines:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                # A reader that does not read must not stall the reactor.
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                self.log.warn("systemd cannot be told ({error}): {lines}", error=error.strerror, lines=lines)


def _address(name: str) -> bytes | None:
    """The socket of NOTIFY_SOCKET: a path, or a name in the abstract namespace (``@``)."""
    if name.startswith("/"):
        return name.encode("utf-8", "surrogateescape")
    if name.startswith("@"):
        return b"\0" + name[1:].encode("utf-8", "surrogateescape")
    return None


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds after which systemd gives us up, None where it does not watch us."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        seconds = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
