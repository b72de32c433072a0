"""Helper processes: each in a session of its own, bounded in time, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def environment() -> dict[str, str]:
    """Ours, with this checkout on Python's path and no proxy between us and loopback."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    # As installed: pip compiles what it installs.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}


class Helper:
    """A process that serves while clients run; a context manager that kills its whole group."""

    def __init__(self, args: Sequence[str], *, log: Path, seconds: float = 1800.0) -> None:
        """Starts `args`; its stderr goes to `log`; it is killed after `seconds` whatever happens."""
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                ["timeout", "--kill-after=1", str(seconds), *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(),
                start_new_session=True,
            )

    def line(self) -> str:
        """The next line it prints; empty when it died."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def cpu_seconds(self) -> float:
        """User and system time its group has used so far."""
        return sum(_cpu_seconds(pid) for pid in _group(self.process.pid))

    def stop(self) -> None:
        """Ends it and waits for it."""
        # Asked first, so that `timeout` reaps its child before it goes.
        kill_group(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            kill_group(self.process.pid)
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Helper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def kill_group(group: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Sends a signal to a process group that may be gone already."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _stat(pid: int) -> list[str]:
    # The command's name in brackets may hold blanks: fields are counted from behind it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _group(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(int(entry.name))[2]) == group:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
