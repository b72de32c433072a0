"""`twistd metafetch`: its options, and the one place where the daemon is put together.

Importing this module costs what `twistd metafetch --help` costs: no reactor, no treq, no OpenSSL.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python import usage
from zope.interface import implementer

from functorrent.errors import OutputError, UsageError
from functorrent.interfaces import IWallClock
from functorrent.options import check_daemon, fetch_settings, twisted_options

if TYPE_CHECKING:
    from twisted.application.service import MultiService

_Table: type[usage.Options] = twisted_options()


class Options(_Table):  # type: ignore[misc, valid-type]
    """The daemon's options: the table's, and magnets as arguments."""

    synopsis = "[options] [MAGNET]..."
    longdesc = (
        "Fetches the metadata of magnet links from trackers and peers, and writes verified .torrent files. "
        "Magnets come as arguments and from files in the --watch folder; the daemon runs until it is "
        "stopped (SIGTERM, Ctrl-C)."
    )

    def opt_version(self) -> NoReturn:
        """Display functorrent's version and exit."""
        from functorrent import __version__

        sys.stdout.write(f"functorrent {__version__}\n")
        raise SystemExit(0)

    def parseArgs(self, *magnets: str) -> None:
        """The magnets to begin with."""
        self["magnets"] = [os.fsencode(magnet).decode("utf-8", "replace") for magnet in magnets]

    def postOptions(self) -> None:
        """Check what can be checked before anything is begun."""
        from functorrent.config import blamed, fill_in
        from functorrent.errors import InvalidMagnet
        from functorrent.magnet import Magnet

        origins: dict[str, str] = {}
        try:
            origins = fill_in(self, os.environ)
            check_daemon(self)
            self["settings"] = fetch_settings(self)
            for magnet in self["magnets"]:
                Magnet.parse(magnet)
        except UsageError as error:
            raise usage.UsageError(str(blamed(error, origins))) from None
        except InvalidMagnet as error:
            raise usage.UsageError(f"not a magnet: {error}") from None
        if self["watch"] is not None and not os.path.isdir(self["watch"]):
            missing = UsageError(f"--watch {self['watch']}: there is no such folder")
            raise usage.UsageError(str(blamed(missing, origins)))


@implementer(IWallClock)
class _WallClock:
    """The time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def makeService(options: Options) -> MultiService:
    """The daemon, ready to be started. Ends the process with words where its folders cannot be used."""
    from twisted.internet import reactor
    from twisted.logger import Logger

    from functorrent.commands.metafetch import Composition

    clock: Any = reactor
    # The epoll reactor's seconds() is time.time: a step of the system clock would fire every deadline.
    clock.seconds = time.monotonic
    clock.stop = _stop_once(clock.stop)

    def gave_up(words: str) -> None:
        Logger().critical("metafetch cannot start: {words}", words=words)
        # twistd would end with 0, and systemd take it for a daemon that was told to stop.
        atexit.register(_leave_as_failed)
        # Services are started before the reactor is.
        clock.callWhenRunning(clock.stop)

    server = getattr(options, "parent", None)
    try:
        return Composition(clock, _WallClock(), options, gave_up, os.environ, server).service()
    except (OutputError, UsageError) as error:
        _refuse(str(error))


def _stop_once(stop: Callable[[], None]) -> Callable[[], None]:
    """`stop` of a reactor, which leaves one that stops already alone.

    Twisted calls it for each signal, and would log a traceback for the second: an impatient Ctrl-C.
    """
    from twisted.internet.error import ReactorNotRunning

    def stop_once() -> None:
        try:
            stop()
        except ReactorNotRunning:
            pass

    return stop_once


def _leave_as_failed() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _refuse(words: str) -> NoReturn:
    """End with one line: twistd would show a traceback for any other exception here."""
    raise SystemExit(f"metafetch: {words}")
