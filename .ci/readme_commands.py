"""Prints the commands of README's blocks marked ``<!-- ci -->``, one a line, for .ci/run to run.

A block is a fence of ``sh`` right after the mark. Exits 1 where there are not exactly two such
commands: one installs and runs the main job, one installs and passes the tests.
"""

from __future__ import annotations

import re
import sys

_BLOCK = re.compile(r"<!-- ci -->\n+```sh\n(.*?)```", re.DOTALL)


def commands(text: str) -> list[str]:
    return [line for block in _BLOCK.findall(text) for line in block.splitlines() if line.strip()]


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as readme:
        found = commands(readme.read())
    print("\n".join(found))
    return 0 if len(found) == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
