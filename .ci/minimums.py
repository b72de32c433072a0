"""Prints setup.cfg's lower bounds as exact versions, one constraint a line: the oldest we claim to run on."""

from __future__ import annotations

import configparser
import re
import sys

_BOUND = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?\s*>=\s*([0-9.]+)$")


def minimums(requirements: str) -> list[str]:
    """``Twisted[tls]>=22.10.0`` becomes ``Twisted==22.10.0``. Raises ValueError for one without a bound."""
    pinned = []
    for line in requirements.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _BOUND.match(line)
        if match is None:
            raise ValueError(f"no lower bound that can be tried: {line}")
        pinned.append(f"{match[1]}=={match[3]}")
    return pinned


def main() -> int:
    config = configparser.ConfigParser()
    config.read(sys.argv[1], encoding="utf-8")
    pinned = minimums(config["options"]["install_requires"])
    print("\n".join(pinned))
    return 0 if pinned else 1


if __name__ == "__main__":
    sys.exit(main())
