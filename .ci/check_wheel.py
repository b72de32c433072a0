"""Exits 1 unless a wheel has what it must have, and nothing that belongs to others."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

_ROOT = Path(__file__).parent.parent
#: The page's script and style are no Python: without package_data they would be left out in silence.
_PAGE = _ROOT / "functorrent" / "web" / "page" / "static"

WANTED = {
    *(path.relative_to(_ROOT).as_posix() for path in _PAGE.iterdir()),
    "functorrent/__init__.py",
    "functorrent/cli.py",
    "functorrent/tap.py",
    "functorrent/py.typed",
    "functorrent/plugins/__init__.py",
    "functorrent/web/page/shell.html",
    "functorrent/wire/session.py",
    "functorrent/store/migrations/env.py",
    "functorrent/store/migrations/script.py.mako",
    "functorrent/store/migrations/versions/v0001_jobs.py",
    "twisted/plugins/functorrent_metafetch.py",
}
FORBIDDEN = {"twisted/__init__.py", "twisted/plugins/__init__.py"}
#: The folders at the top of the wheel, but for its metadata.
TOPS = {"functorrent", "twisted"}


def complaints(names: set[str]) -> list[str]:
    """What is wrong with a wheel of these files."""
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    return [
        *(f"lacks {name}" for name in sorted(WANTED - names)),
        *(f"has {name}, which hides Twisted's own" for name in sorted(FORBIDDEN & names)),
        *(f"has {top}, which is not ours to install" for top in sorted(tops - TOPS)),
    ]


def main() -> int:
    found = 0
    for path in sys.argv[1:]:
        with zipfile.ZipFile(path) as wheel:
            names = set(wheel.namelist())
        for complaint in complaints(names):
            print(f"{path}: {complaint}", file=sys.stderr)
            found += 1
        print(f"{path.rpartition('/')[2]}: {len(names)} files, {found or 'no'} complaints")
    return 1 if found or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
