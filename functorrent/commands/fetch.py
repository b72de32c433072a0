"""`functorrent fetch`: options to parts, and the reactor for as long as it is needed."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from functorrent.cli import OK, SOME_FAILED, WRONG_USAGE, WallClock
from functorrent.commands.console import Console, Interrupted, LogKeeper, Signals, raise_file_limit
from functorrent.commands.inputs import Inputs
from functorrent.commands.parser import Parser
from functorrent.commands.startup import no_collector
from functorrent.errors import FunctorrentError, InvalidTorrent, UsageError
from functorrent.limits import DEFAULT_LIMITS
from functorrent.options import add_arguments, fetch_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.commands.intake import Intake
    from functorrent.commands.results import Place, Results
    from functorrent.commands.run import Run
    from functorrent.fetch.settings import FetchSettings
    from functorrent.magnet import Magnet
    from functorrent.metainfo import InfoSummary

    Held = tuple[Magnet, Place] | None

#: See gc.set_threshold. Magnets leave nothing to the collector, but those that are on, some 60 objects
#: each, would make it come.
_COLLECT = (10_000, 10, 10)


def parse(arguments: list[str]) -> dict[str, Any]:
    """The options by name, and ``magnets``. Raises UsageError."""
    parser = Parser("fetch", "Fetch the metadata of magnets and write it as .torrent files.")
    parser.add_argument("magnets", metavar="MAGNET", nargs="*", help="magnet link (in quotes) or infohash")
    add_arguments(parser)
    # Intermixed: magnets may stand before, between and behind options.
    values = vars(parser.parse_intermixed_args(arguments))
    return {name.replace("_", "-"): value for name, value in values.items()}


def fetch(arguments: list[str], load_reactor: Callable[[], Any], now: Callable[[], float]) -> int:
    """Run the command and return its exit status.

    `load_reactor` gives the global reactor, `now` monotonic seconds. Raises FunctorrentError for what
    keeps it from beginning.
    """
    values = parse(arguments)
    settings = fetch_settings(values)
    to_stdout = values["output"] == "-"
    if to_stdout and values["json"]:
        raise UsageError("-o - writes the torrent to stdout, where --json would write, too: give one of them")
    inputs = Inputs(values["magnets"], values["input"], DEFAULT_LIMITS.max_magnet)
    console = Console.standard()
    folder = _folder(values, console)
    from functorrent.commands.intake import Intake
    from functorrent.commands.results import FailedFile, Results

    failed_file = FailedFile(values["failed"]) if values["failed"] is not None else None
    results = Results(console, as_json=values["json"], failed_file=failed_file, hint=_hint)
    intake = Intake(inputs, results, folder, _summary_of_file, DEFAULT_LIMITS.max_magnet)
    command = _Fetch(values, settings, inputs, intake, folder, results, console, now)
    with Signals() as signals:
        try:
            status = command.run(signals, load_reactor)
        except Interrupted as interrupted:
            results.interrupted = True
            status = interrupted.status
        except BaseException:
            console.flush()
            if failed_file is not None:
                failed_file.discard()
            raise
        signals.interrupt = lambda status: None
        return command.finish(status, failed_file)


def _folder(values: dict[str, Any], console: Console) -> Any:
    if values["output"] == "-":
        return _Stdout(console)
    from functorrent.store.files import TorrentFolder

    folder = TorrentFolder(values["output"], values["name"])
    folder.prepare()
    return folder


class _Stdout:
    """Stands in for a TorrentFolder where the one torrent goes to stdout."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def existing(self, infohash: bytes, name: str | None = None) -> None:
        return None

    def write(self, infohash: bytes, name: str, torrent_bytes: bytes) -> str:
        self._console.raw(torrent_bytes)
        return "-"


class _Fetch:
    """One run of the command, put together."""

    def __init__(
        self,
        values: dict[str, Any],
        settings: FetchSettings,
        inputs: Inputs,
        intake: Intake,
        folder: Any,
        results: Results,
        console: Console,
        now: Callable[[], float],
    ) -> None:
        self._values = values
        self._settings = settings
        self._inputs = inputs
        self._intake = intake
        self._folder = folder
        self._results = results
        self._console = console
        self._now = now
        self._began = now()
        self._status = OK
        #: Nobody reads the results any more, so nothing needs to be said.
        self._left_alone = False
        self._run: Run | None = None
        self._log = LogKeeper(console.say, bool(os.environ.get("FUNCTORRENT_DEBUG")))
        console.failed = self._results_lost

    def run(self, signals: Signals, load_reactor: Callable[[], Any]) -> int:
        """Everything until the last magnet has ended. Returns an exit status, OK for "count"."""
        held = self._only() if self._values["output"] == "-" else self._first()
        if (held is None and self._inputs.ended) or self._status != OK:
            return self._status
        with no_collector():
            reactor = load_reactor()
            from functorrent.commands.run import Run

        self._log.begin()
        raise_file_limit()
        self._run = run = Run(
            reactor,
            self._intake,
            self._folder,
            self._results,
            lambda: self._fetcher(reactor),
            self._settings.jobs,
        )
        self._console.clock = reactor
        progress = self._progress(reactor, run)
        signals.interrupt = lambda status: reactor.callFromThread(self._interrupt, status)

        def start() -> None:
            run.start(held).addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(start)
        # What is imported by now stays: the collector need not walk it again and again, nor come for
        # every few magnets.
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        # Without Twisted's own handlers, which end the reactor and with it the report of what was done.
        reactor.run(installSignalHandlers=False)
        if progress is not None:
            progress.stop()
            self._console.clear = None
        self._console.clock = None
        if run.fatal is not None:
            raise FunctorrentError(run.fatal)
        return self._status

    def _first(self) -> Held:
        """The first magnet that needs a network. Where there is none, no reactor is loaded."""
        held = self._intake.next()
        while held is None and self._intake.busy and self._status == OK:
            held = self._intake.next()
        return held

    def _only(self) -> Held:
        """The one magnet for `-o -`; all inputs are read before anything is written to stdout."""
        for stream in self._inputs.streams:
            stream.blocking = True
        held = self._first()
        if held is not None and self._first() is not None:
            raise UsageError("-o - writes one torrent to stdout, but there are several magnets: give -o DIR")
        return held

    def _fetcher(self, reactor: Any) -> Any:
        from functorrent.commands.sources import cache_folder, source_makers
        from functorrent.fetch.fetcher import Fetcher

        values = self._values
        makers = source_makers(values, cache_folder(os.environ), WallClock(), lsd=values["lsd"])
        return Fetcher(reactor, self._settings, sources=makers)

    def _interrupt(self, status: int) -> None:
        self._status = status
        if self._run is not None:
            self._run.interrupt()

    def _results_lost(self, error: OSError) -> None:
        """stdout takes no more: nobody reads (`| head`), or its disk is full."""
        if isinstance(error, BrokenPipeError):
            self._left_alone = True
        else:
            self._console.say(f"functorrent: cannot write to stdout: {error.strerror}")
        self._interrupt(SOME_FAILED)

    def _progress(self, reactor: Any, run: Run) -> Any:
        from functorrent.progress import Progress, is_wanted, terminal_width

        if self._values["quiet"] or not is_wanted(2, os.environ):
            return None
        from functorrent.commands.display import Display

        display = Display(self._inputs, self._results, run, self._now)
        progress = Progress(reactor, lambda data: os.write(2, data), display.line, lambda: terminal_width(2))
        self._console.clear = progress.clear
        reactor.callWhenRunning(progress.start)
        return progress

    def finish(self, status: int, failed_file: Any) -> int:
        """The last words, and the exit status."""
        results, console = self._results, self._console
        console.flush()
        for problem in self._inputs.problems:
            console.say(f"functorrent: {problem}")
        if failed_file is not None:
            try:
                failed_file.finish()
            except FunctorrentError as error:
                console.say(f"functorrent: {error}")
                status = status or SOME_FAILED
        if self._log.errors:
            console.say(f"functorrent: {self._log.errors[0]}")
        ended = results.fetched + results.failed + results.unfinished
        if status == OK and not ended:
            if not results.invalid and not self._inputs.problems:
                console.say("functorrent: nothing to do: there is no magnet in the input")
            return WRONG_USAGE
        is_batch = bool(self._values["input"]) or ended + results.invalid > 1
        wanted = results.interrupted or (is_batch and not self._values["quiet"])
        if wanted and not self._left_alone:
            console.say(f"functorrent: {results.summary(self._now() - self._began)}")
        if status == OK and (results.failed or results.invalid or self._inputs.problems):
            return SOME_FAILED
        return status


def _hint(text: str) -> str:
    """What an argument that is no magnet may have been meant for."""
    if os.path.isfile(text):
        use = "functorrent show" if text.endswith(".torrent") else "-i"
        return f" (it is a file: did you mean {use} {text}?)" if text.isprintable() else ""
    return ""


def _summary_of_file(path: str) -> InfoSummary | None:
    from functorrent.metainfo import Metainfo

    try:
        with open(path, "rb") as file:
            return Metainfo.parse(file.read()).summary
    except (OSError, InvalidTorrent):
        # Valid a moment ago: somebody else is at work there.
        return None
