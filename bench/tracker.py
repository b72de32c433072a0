"""The tracker: opentracker (Debian), HTTP and UDP on one ephemeral port, fresh for each run."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from bench.announce import Entry, inject
from bench.process import Helper

ADDRESS = "127.0.0.1"


def free_port() -> int:
    """A port that is free on loopback for both TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((ADDRESS, 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind((ADDRESS, port))
            except OSError:
                continue
            return port


class Tracker:
    """One opentracker that knows the given peers. A context manager."""

    def __init__(self, folder: Path, infohashes: Iterable[bytes], entries: Iterable[Entry]) -> None:
        """Starts it in `folder` and announces `entries` to it. Raises AnnounceError."""
        program = shutil.which("opentracker")
        if program is None:
            raise SystemExit("opentracker is not installed: apt-get install opentracker")
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        whitelist = folder / "whitelist"  # Debian's build serves only torrents that are listed
        whitelist.write_text("".join(f"{infohash.hex()}\n" for infohash in infohashes))
        whitelist.chmod(0o644)
        self.port = free_port()
        args = [program, "-i", ADDRESS, "-p", str(self.port), "-P", str(self.port), "-w", str(whitelist)]
        if os.getuid() == 0:
            args += ["-u", "nobody"]
        self.helper = Helper(args, log=folder / "log")
        try:
            inject((ADDRESS, self.port), entries)
        except BaseException:
            self.helper.stop()
            raise

    def url(self, kind: str) -> str:
        """Its announce URL by `kind`: udp or http."""
        return f"{kind}://{ADDRESS}:{self.port}/announce"

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.helper.stop()
