"""How the outcome of each magnet is told: a path, a line of JSON, words on stderr, a line in --failed."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

from functorrent.errors import OutputError, UsageError
from functorrent.fetch.report import FetchReport
from functorrent.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from functorrent.commands.console import Console
    from functorrent.magnet import Magnet
    from functorrent.metainfo import InfoSummary

FETCHED, FAILED, INVALID = "fetched", "failed", "invalid"
#: The path that stands for stdout.
STDOUT = "-"

#: Source (None: an argument) and line number (None: the same) of a magnet.
Place = tuple[str | None, int | None]


def json_line(
    status: str,
    text: str,
    place: Place,
    *,
    magnet: Magnet | None = None,
    file: str | None = None,
    cached: bool = False,
    summary: InfoSummary | None = None,
    seconds: float | None = None,
    report: FetchReport,
) -> str:
    """One object of the ``--json`` contract (DESIGN section 5): every key is there, else null.

    ASCII only: whatever strangers named something, it is safe on a terminal and in any locale.
    """
    infohash = magnet.infohash if magnet is not None else None
    infohash_v2 = magnet.infohash_v2 if magnet is not None else None
    name = summary.name if summary is not None else magnet.name if magnet is not None else None
    return json.dumps(
        {
            "magnet": text,
            "source": place[0],
            "line": place[1],
            "infohash": infohash.hex() if infohash is not None else None,
            "infohash_v2": infohash_v2.hex() if infohash_v2 is not None else None,
            "status": status,
            "file": None if file is None else _clean(file),
            "cached": cached,
            "name": None if name is None else _clean(name),
            "size": summary.size if summary is not None else None,
            "files": summary.files if summary is not None else None,
            "private": summary.private if summary is not None else None,
            "seconds": None if seconds is None else round(seconds, 3),
            "report": report.to_json(),
        }
    )


def _clean(text: str) -> str:
    """Without lone surrogates, which are no UTF-8 (a path that is none has them)."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class FailedFile:
    """--failed: the magnets that failed, as they were given, a line each.

    Written beside its place and renamed at the end, so that FILE may be the very file that is read.
    What is no regular file (/dev/fd/3) is written at once.
    """

    def __init__(self, path: str) -> None:
        """Raises UsageError where it cannot be written."""
        self._path = path
        try:
            direct = os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)
            self._part = None if direct else f"{path}.{os.getpid()}.part"
            self._file: TextIO = open(self._part or path, "w", encoding="utf-8")  # noqa: SIM115
            if self._part is not None and os.path.exists(path) and not os.access(path, os.W_OK):
                self.discard()
                raise PermissionError(0, "permission denied")
        except OSError as error:
            raise UsageError(f"--failed {path}: cannot be written: {error.strerror}") from None

    def add(self, text: str) -> None:
        """One magnet. Raises OSError."""
        self._file.write(text.replace("\n", "") + "\n")

    def finish(self) -> None:
        """Put it in its place. Raises OutputError."""
        try:
            self._file.close()
            if self._part is not None:
                os.replace(self._part, self._path)
        except OSError as error:
            self.discard()
            raise OutputError(f"--failed {self._path}: cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Leave nothing half-written."""
        try:
            self._file.close()
            if self._part is not None:
                os.unlink(self._part)
        except OSError:
            pass


class Results:
    """Tells the outcome of each magnet, and counts them.

    `summarize` makes the InfoSummary of an info dictionary; it is called for --json alone.
    """

    def __init__(
        self,
        console: Console,
        *,
        as_json: bool,
        failed_file: FailedFile | None = None,
        hint: Callable[[str], str] = lambda text: "",
    ) -> None:
        self.fetched = self.cached = self.failed = self.invalid = self.unfinished = 0
        #: The user has pressed Ctrl-C: what fails now was not finished, and stderr is not filled with it.
        self.interrupted = False
        self.as_json = as_json
        self._console = console
        self._failed_file = failed_file
        self._hint = hint

    def was_fetched(
        self, magnet: Magnet, place: Place, path: str, report: FetchReport, summary: InfoSummary | None
    ) -> None:
        """A magnet's file is written."""
        self.fetched += 1
        self._tell_file(magnet, place, path, report, summary, cached=False)

    def was_cached(self, magnet: Magnet, place: Place, path: str, summary: InfoSummary | None) -> None:
        """A magnet's file was there before."""
        self.fetched += 1
        self.cached += 1
        self._tell_file(magnet, place, path, FetchReport(), summary, cached=True)

    def _tell_file(
        self,
        magnet: Magnet,
        place: Place,
        path: str,
        report: FetchReport,
        summary: InfoSummary | None,
        *,
        cached: bool,
    ) -> None:
        if self.as_json:
            self._console.result(
                json_line(
                    FETCHED,
                    magnet.text,
                    place,
                    magnet=magnet,
                    file=path,
                    cached=cached,
                    summary=summary,
                    seconds=report.seconds,
                    report=report,
                )
            )
        elif path != STDOUT:
            self._console.result(path)

    def has_failed(self, magnet: Magnet, place: Place, report: FetchReport) -> None:
        """A magnet could not be fetched; `report.reason` says why."""
        if self.interrupted:
            self.unfinished += 1
        else:
            self.failed += 1
        if self.as_json:
            self._console.result(
                json_line(FAILED, magnet.text, place, magnet=magnet, seconds=report.seconds, report=report)
            )
        if not self.interrupted:
            self._console.say(f"{label(magnet)}: {printable(report.reason or 'failed', 500)}")
        if self._failed_file is not None:
            try:
                self._failed_file.add(magnet.text)
            except OSError as error:
                self._console.say(f"functorrent: --failed: cannot be written: {error.strerror}")
                self._failed_file.discard()
                self._failed_file = None

    def is_invalid(self, text: str, place: Place, words: str) -> None:
        """A line or an argument is no magnet."""
        self.invalid += 1
        source, line = place
        if self.as_json:
            self._console.result(json_line(INVALID, text, place, report=FetchReport(reason=words)))
        if source is not None:
            where = f"{'stdin' if source == '-' else printable(source)}:{line}"
        else:
            # Some of the words quote it already.
            where = "functorrent" if text in words else printable(text, 60)
        self._console.say(f"{where}: {printable(words, 300)}{self._hint(text) if source is None else ''}")

    def summary(self, seconds: float) -> str:
        """What was done, in one line."""
        parts = [f"{self.fetched:,} fetched"]
        if self.cached:
            parts[0] += f" ({self.cached:,} of them there before)"
        parts.append(f"{self.failed:,} failed")
        if self.unfinished:
            parts.append(f"{self.unfinished:,} not finished")
        if self.invalid:
            parts.append(f"{self.invalid:,} not valid")
        rate = (self.fetched - self.cached) / seconds if seconds > 0 else 0.0
        return f"{', '.join(parts)} in {seconds:.1f} s" + (f" ({rate:.0f} a second)" if rate >= 1 else "")


def label(magnet: Magnet) -> str:
    """What a magnet is called in a line for people: its infohash, and its name where it has one."""
    infohash: Any = magnet.infohash or magnet.infohash_v2
    return f"{infohash.hex()} ({printable(magnet.name, 60)})" if magnet.name else infohash.hex()
