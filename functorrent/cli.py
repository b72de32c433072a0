"""The `functorrent` command: fetch, show, peers, dht, demo.

The contract (exit status, what goes to stdout and stderr) is DESIGN section 5. Whatever a run needs is
imported when it is known to be needed: `--version` must not pay for a reactor.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from functorrent.errors import FunctorrentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    LoadReactor = Callable[[], Any]

#: Exit status: every magnet fetched, some not, nothing could be done; Ctrl-C, SIGTERM.
OK, SOME_FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_USAGE = """\
usage: functorrent fetch [OPTIONS] [MAGNET]...   magnet links or infohashes to .torrent files
       functorrent show [--json] FILE.torrent|MAGNET   what it holds
       functorrent peers [OPTIONS] MAGNET        the peers that each source names for it
       functorrent dht get-peers|ping|nodes ...  ask the DHT
       functorrent demo                          fetch one magnet from a swarm of its own
       functorrent --version
`functorrent fetch --help` lists the options; peers and dht have --help, too.
"""


class WallClock:
    """The time of day, for what outlives the process."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. `arguments`: without the program's name."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def load_reactor() -> Any:
        from functorrent.commands.startup import light_imports

        with light_imports():
            from twisted.internet import reactor

        chosen: Any = reactor
        # The epoll reactor's seconds() is time.time: a step of the system clock would fire every
        # deadline at once.
        chosen.seconds = time.monotonic
        return chosen

    try:
        status = _run(given, load_reactor)
        sys.stdout.flush()
        if arguments is None:
            _leave(status)
        return status
    except FunctorrentError as error:
        return _complain(str(error), WRONG_USAGE)
    except BrokenPipeError:
        # Nobody reads on, as in `functorrent ... | head`: not worth a word. Python would complain again
        # when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SOME_FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("FUNCTORRENT_DEBUG"):
            raise
        return _complain(internal_error(error), SOME_FAILED)


def _leave(status: int) -> None:
    """End the process at once: taking all its modules apart costs 20 ms, an eighth of fetching one magnet,
    and a thread that waits for a dead name server's answer would hold it for minutes."""
    if sys.getprofile() is not None or sys.gettrace() is not None:
        # A profiler or a debugger has its say when we have returned.
        return
    # As Python does at its end, for whoever registered something.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def internal_error(error: BaseException) -> str:
    """One line about a bug of ours."""
    words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    words = "".join(c if c.isprintable() else "?" for c in words)
    return f"internal error ({words}); please report it (FUNCTORRENT_DEBUG=1 shows where)"


def _complain(words: str, status: int) -> int:
    sys.stderr.write(f"functorrent: {words}\n")
    return status


def _run(arguments: list[str], load_reactor: LoadReactor) -> int:
    if not arguments:
        sys.stderr.write(_USAGE)
        return WRONG_USAGE
    command, rest = arguments[0], arguments[1:]
    if command in ("--version", "-V"):
        from functorrent import __version__

        print(f"functorrent {__version__}")
        return OK
    if command in ("--help", "-h", "help"):
        print(_USAGE, end="")
        return OK
    runner = _COMMANDS.get(command)
    if runner is None:
        raise UsageError(_unknown(command))
    return runner(rest, load_reactor)


def _unknown(word: str) -> str:
    if word.startswith("magnet:"):
        return "say what to do with the magnet: functorrent fetch 'magnet:...' (in quotes)"
    shown = "".join(c if c.isprintable() else "?" for c in word[:60])
    if word.startswith("-"):
        return f"options come after the command, as in functorrent fetch {shown}"
    return f"there is no command {shown!r}: use fetch, show, peers, dht or demo (functorrent --help)"


def _fetch(arguments: list[str], load_reactor: LoadReactor) -> int:
    from functorrent.commands.startup import no_collector

    with no_collector():
        from functorrent.commands.fetch import fetch

    return fetch(arguments, load_reactor, time.monotonic)


def _show(arguments: list[str], load_reactor: LoadReactor) -> int:
    from functorrent.commands.show import show

    return show(arguments)


def _peers(arguments: list[str], load_reactor: LoadReactor) -> int:
    from functorrent.commands.peers import peers

    return peers(arguments, load_reactor)


def _dht(arguments: list[str], load_reactor: LoadReactor) -> int:
    from functorrent.commands.dht import dht

    return dht(arguments, load_reactor)


def _demo(arguments: list[str], load_reactor: LoadReactor) -> int:
    from functorrent.commands.demo import demo

    return demo(arguments, load_reactor)


_COMMANDS: dict[str, Callable[[list[str], LoadReactor], int]] = {
    "fetch": _fetch,
    "show": _show,
    "peers": _peers,
    "dht": _dht,
    "demo": _demo,
}
