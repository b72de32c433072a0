"""Runs one client and writes down what it cost: `python -ISE launch.py RESULT.json COMMAND...`.

A small process stands between bench and client because Linux counts the parent's memory into the
peak of a child until it executes; and because wait4 counts the whole tree of the client.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main(result: str, command: list[str]) -> None:
    """Runs `command`; the result has status, start (epoch), wall, cpu (s) and peak (KiB)."""
    # The group is asked to stop; this process stays to count.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    start, started = time.time(), time.monotonic()
    pid = os.fork()
    if pid == 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - started
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w") as file:
        file.write(
            f'{{"status": {code}, "start": {start!r}, "wall": {wall!r}, '
            f'"cpu": {usage.ru_utime + usage.ru_stime!r}, "peak": {usage.ru_maxrss}}}'
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
