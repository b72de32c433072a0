"""Exits 1 unless each named folder has the branch coverage asked of it, in coverage.py's JSON report.

``check_coverage.py coverage.json functorrent/wire=95 functorrent/fetch=95``

Two figures must hold: branches taken of branches, and lines and branches together, as coverage.py
counts them. A folder without a file in the report fails.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def judge(files: dict[str, Any], folder: str, wanted: float) -> tuple[bool, str]:
    """Whether `folder` has `wanted` percent, and the figures as words."""
    totals: dict[str, int] = {}
    inside = {name: file for name, file in files.items() if name.startswith(folder + "/")}
    for file in inside.values():
        for key, value in file["summary"].items():
            if isinstance(value, int):
                totals[key] = totals.get(key, 0) + value
    if not totals.get("num_branches"):
        return False, f"{folder}: nothing in the report"
    branches = percent(totals["covered_branches"], totals["num_branches"])
    both = percent(
        totals["covered_lines"] + totals["covered_branches"],
        totals["num_statements"] + totals["num_branches"],
    )
    words = f"{folder}: branches {branches:.1f} %, lines and branches {both:.1f} % (asked: {wanted:g} %)"
    lines = [words]
    for name, file in sorted(inside.items()):
        missing = file.get("missing_lines", [])
        arcs = [f"{a}->{b}" for a, b in file.get("missing_branches", [])]
        if missing or arcs:
            lines.append(f"    {name}: lines {missing}, branches {', '.join(arcs)}")
    good = branches >= wanted and both >= wanted
    return good, words if good else "\n".join(lines)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as report:
        files = json.load(report)["files"]
    good = True
    for asked in sys.argv[2:]:
        folder, _, wanted = asked.partition("=")
        passed, words = judge(files, folder, float(wanted))
        print(words)
        good = good and passed
    return 0 if good and len(sys.argv) > 2 else 1


if __name__ == "__main__":
    sys.exit(main())
