"""magnet2torrent over a file of magnets, a hundred at a time; run by its own environment's Python."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from magnet2torrent import (  # type: ignore[import-not-found]  # of its own environment
    FailedToFetchException,
    Magnet2Torrent,
)

WINDOW = 100


async def _worker(lines: Iterator[str], folder: str) -> None:
    for line in lines:
        job = Magnet2Torrent(line)
        try:
            _, data = await asyncio.wait_for(job.retrieve_torrent(), 60)
        except (FailedToFetchException, TimeoutError):
            continue
        with open(f"{folder}/{job.infohash.hex()}.torrent", "wb") as file:
            file.write(data)


async def main(magnets: str, folder: str) -> None:
    """Fetches every magnet of the file `magnets` into `folder`."""
    with open(magnets) as file:
        lines = iter(file.read().split())
    await asyncio.gather(*(_worker(lines, folder) for _ in range(WINDOW)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)
