"""`python -m functorrent` is the `functorrent` command."""

from __future__ import annotations

import sys

from functorrent.cli import main

if __name__ == "__main__":
    sys.exit(main())
