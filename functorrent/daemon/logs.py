"""The daemon's log: text or JSON, into a file that may be moved away under it, and a line per magnet.

twistd makes a log file that turns itself over at each megabyte, keeps every old one, and does not come
back when logrotate has renamed it. So the application is given an observer of our own, where there is a
file or where JSON is wanted; plain text on standard output stays twistd's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    Logger,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.components import Componentized

from functorrent.errors import UsageError
from functorrent.store.jobs import iso
from functorrent.text import printable, redact_url

if TYPE_CHECKING:
    from functorrent.fetch.report import FetchReport
    from functorrent.store.jobs import Claim

#: What twisted puts into events for itself and for its old log.
_INTERNAL = frozenset(("message", "time", "system", "format", "isError", "failure", "why", "printed"))
#: Fields of an event that a line of JSON has.
_MOST_FIELDS = 30
_URL = re.compile(r"\b(?:https?|udp|wss?)://\S+")
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
#: How an end is called in the log.
_WORDS = {
    "fetched": "fetched",
    "failed": "failed",
    "gave_up": "given up",
    "interrupted": "put back",
    "cancelled": "cancelled",
}


class LogFile:
    """A file that is appended to, and opened again when it was moved away. Raises OSError when made."""

    def __init__(self, path: str) -> None:
        # Whole: twistd goes to another folder later.
        self.path = os.path.abspath(path)
        self._file = os.open(self.path, _APPEND | os.O_CREAT, 0o666)

    def _opened_again(self, mode: int) -> int:
        try:
            descriptor = os.open(self.path, _APPEND | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            # logrotate has made it, with what mode it was told to.
            return os.open(self.path, _APPEND)
        # A daemonized twistd's umask is 077; who could read the old file is to read the new one.
        os.fchmod(descriptor, mode)
        return descriptor

    def write(self, text: str) -> None:
        """Append. What cannot be written (a full disk) is lost: a log must not end the daemon."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            pass

    def flush(self) -> None:
        """Nothing waits to be written."""

    def reopen(self) -> None:
        """Write to what has the name now; it is made where nothing has. Raises OSError, and goes on with
        the old file."""
        old = self._file
        self._file = self._opened_again(os.fstat(old).st_mode & 0o777)
        os.close(old)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


class Writes(Protocol):
    """What log lines go to."""

    def write(self, text: str) -> object:
        """Takes text."""

    def flush(self) -> object:
        """Sends it off."""


def observer(format: str, out: Writes) -> Any:
    """An ILogObserver that writes events to `out`: `format` is "text" (as twistd's) or "json"."""
    file: Any = out
    return FileLogObserver(file, event_as_json if format == "json" else formatEventAsClassicLogText)


def event_as_json(event: Mapping[str, Any]) -> str:
    """One line: ``time``, ``level``, ``namespace``, ``message``, a failure's ``traceback``, then the
    event's own fields where they are plain (strings, numbers, true, false, null).

    ASCII: no control character and no turn of the direction of writing is in it raw.
    """
    log: Any = event
    line: dict[str, Any] = {
        "time": iso(event.get("log_time", 0.0)),
        "level": getattr(event.get("log_level"), "name", "info"),
        "namespace": str(event.get("log_namespace", "")),
        "message": formatEvent(log),
    }
    if event.get("log_failure") is not None:
        line["traceback"] = eventAsText(log, includeTimestamp=False, includeSystem=False)
    for name, value in list(event.items())[: 3 * _MOST_FIELDS]:
        if name.startswith("log_") or name in _INTERNAL or name in line or len(line) > _MOST_FIELDS:
            continue
        if value is None or isinstance(value, str | int | float):
            line[name] = value
    # allow_nan would write what no other parser reads.
    return json.dumps({key: _finite(value) for key, value in line.items()}, ensure_ascii=True) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


# -- one line for each magnet that ends -------------------------------------------------------

_ended = Logger(namespace="metafetch.magnet")


def log_ended(
    claim: Claim, outcome: str, seconds: float, report: FetchReport | None, name: str | None
) -> None:
    """A line about a try that has ended. For `JobQueue`, beside `Telemetry.ended`."""
    reason = _without_secrets(report.reason) if report is not None and report.reason else None
    name = name or claim.magnet.name
    shown = printable(name) if name else None
    tail = ", and is tried again later" if outcome == "failed" else ""
    tail += f": {reason}" if reason else ""
    _ended.info(
        "{infohash} {log_words} after {seconds} s{log_called}{log_tail}",
        infohash=claim.key.hex(),
        outcome=outcome,
        seconds=round(seconds, 3),
        name=shown,
        reason=reason,
        attempts=claim.attempts + 1,
        log_words=_WORDS.get(outcome, outcome),
        log_called=f" ({shown})" if shown else "",
        log_tail=tail,
    )


def _without_secrets(text: str) -> str:
    """A reason, printable, the passkeys in its URLs hidden."""
    return _URL.sub(lambda match: redact_url(match.group()), printable(text, 1000))


# -- how twistd comes to use it ---------------------------------------------------------------


@dataclass(frozen=True)
class LogPlan:
    """Where the log goes: `observer`, an ILogObserver, or None where twistd's own does; `file`, where it
    is one of ours. `terminal`: it goes to a terminal, whose end is ours, too."""

    observer: Any = None
    file: LogFile | None = None
    terminal: bool = False


def plan(format: str, server: Mapping[str, Any] | None, stdout: IO[str]) -> LogPlan:
    """How to log in `format` ("text" or "json"), given the options of twistd (`server`; those of twist,
    or None, where it is not twistd that runs us). Opens the log file. Raises UsageError."""
    if server is None or "nodaemon" not in server:
        if format == "json":
            raise UsageError("--log-format json: only under twistd (twist has a --log-format of its own)")
        return LogPlan()
    if server.get("syslog") or server.get("logger"):
        if format == "json":
            raise UsageError("--log-format json: goes with neither --syslog nor --logger of twistd")
        return LogPlan()
    path = server.get("logfile") or ("" if server["nodaemon"] else "twistd.log")
    if path in ("", "-"):
        # twistd puts a stand-in into sys.stdout later. It ends by itself where a daemon has no terminal.
        ours = format == "json" and server["nodaemon"]
        return LogPlan(observer("json", stdout) if ours else None, None, stdout.isatty())
    try:
        file = LogFile(path)
    except OSError as error:
        raise UsageError(f"--logfile {path}: cannot be written: {error.strerror}") from None
    return LogPlan(observer(format, file), file)


class LoggedService(MultiService):
    """The daemon's services. The application that takes them in logs as `plan` says."""

    def __init__(self, plan: LogPlan) -> None:
        MultiService.__init__(self)
        self._plan = plan

    def setServiceParent(self, parent: Any) -> None:
        """twistd hands its application over, and begins its log after that."""
        if self._plan.observer is not None and isinstance(parent, Componentized):
            if parent.getComponent(ILogObserver, None) is None:
                parent.setComponent(ILogObserver, self._plan.observer)
        MultiService.setServiceParent(self, parent)
