"""SIGHUP: log files are opened again, since logrotate has moved them away. SIGUSR1 does the same.

Without a handler either signal would end the daemon at once. twistd has one for SIGUSR1 alone, and
only for log files that it has opened itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

SIGNALS = (signal.SIGHUP, signal.SIGUSR1)


class Reload(Service):
    """Calls `act` in the reactor for each SIGHUP and SIGUSR1 while it runs.

    `reactor`: IReactorFromThreads. `hang_up`: called for SIGHUP instead, where we belong to a terminal that
    is gone then.
    """

    name = "reload"
    log = Logger()

    def __init__(
        self, reactor: Any, act: Callable[[], object], hang_up: Callable[[], object] | None = None
    ) -> None:
        self._reactor = reactor
        self._act = act
        self._hang_up = hang_up
        self._before: dict[int, Any] = {}

    def startService(self) -> None:
        """From here on."""
        Service.startService(self)
        for number in SIGNALS:
            # twistd's own, which turns its file over, is left in its place.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._caught)

    def stopService(self) -> None:
        """Catch them no more."""
        if not self.running:
            return
        Service.stopService(self)
        for number, before in self._before.items():
            # Not the default: a signal that comes while we stop must not end us in the middle.
            signal.signal(number, signal.SIG_IGN if before in (signal.SIG_DFL, None) else before)
        self._before.clear()

    def _caught(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._do, number)

    def _do(self, number: int) -> None:
        if not self.running:
            return
        act = self._act
        if number == signal.SIGHUP and self._hang_up is not None:
            act = self._hang_up
        try:
            act()
        except OSError as error:
            self.log.warn("the log cannot be opened again, and goes on as before: {error}", error=str(error))
        except Exception:
            self.log.failure("signal {number} could not be obeyed", number=number)
