"""Clients from PyPI in environments of their own, made when first needed and kept.

They live in $FUNCTORRENT_BENCH_CACHE, else in ~/.cache/functorrent-bench.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = {"demagnetize": "demagnetize==0.3.0", "magnet2torrent": "magnet2torrent==1.2.1"}


def _cache() -> Path:
    named = os.environ.get("FUNCTORRENT_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "functorrent-bench"


def python(name: str) -> Path:
    """The interpreter of the environment of package `name`, installed if it is not there."""
    folder = _cache() / name
    interpreter = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        print(f"installing {PACKAGES[name]} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", PACKAGES[name]], check=True)
        done.touch()
    return interpreter


def version(name: str) -> str:
    """The version of package `name` in its environment."""
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    found = subprocess.run([str(python(name)), "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.strip()
