"""transmission-daemon fetching a magnet's metadata from us: a program, for `unshare --net`.

Transmission dials nobody in 127.0.0.0/8, and keeps one peer for each address: so we have 10.9.9.1, it has
10.9.9.2, in a network of our own. `python -m ... FOLDER SIZE` writes a line of JSON: whether the metadata is
there, and our counters.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from hashlib import sha1
from pathlib import Path
from typing import Any

from bench.announce import inject
from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.programs import Program, wait_until
from tests.integration.harness.serving import ServedStore

WE, IT = "10.9.9.1", "10.9.9.2"
TRACKER, PEER, RPC = 7777, 7778, 7779
SETTINGS = {
    "bind-address-ipv4": IT,
    "dht-enabled": False,
    "lpd-enabled": False,
    "peer-port": PEER,
    "pex-enabled": False,
    "port-forwarding-enabled": False,
    "rpc-bind-address": IT,
    "rpc-port": RPC,
    "rpc-whitelist-enabled": False,
    "utp-enabled": False,
}


class Remote:
    """Transmission's RPC."""

    def __init__(self) -> None:
        self._session = ""

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One call; the first one learns the session's id from its refusal."""
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        headers = {"X-Transmission-Session-Id": self._session}
        request = urllib.request.Request(f"http://{IT}:{RPC}/transmission/rpc", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                told: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            assert error.code == 409, error
            self._session = error.headers["X-Transmission-Session-Id"]
            return self.call(method, **arguments)
        return told

    def answers(self) -> bool:
        """Whether it runs."""
        try:
            return bool(self.call("session-get"))
        except OSError:
            return False


def fetch(folder: Path, size: int, programs: list[Program]) -> dict[str, Any]:
    """Fetch an info dictionary of `size` bytes."""
    info = sample_info(size, "transmission")
    infohash = sha1(info).digest()
    store = ServedStore(folder / "store", [info], f'host="{WE}"')
    programs.append(store)
    tracker = folder / "tracker"
    tracker.mkdir(mode=0o755)
    (tracker / "whitelist").write_text(f"{infohash.hex()}\n")
    port = str(TRACKER)
    arguments = [
        "opentracker",
        "-i",
        WE,
        "-p",
        port,
        "-P",
        port,
        "-d",
        ".",
        "-w",
        "whitelist",
        "-u",
        "nobody",
    ]
    programs.append(Program(arguments, tracker / "log", cwd=tracker))
    inject((WE, TRACKER), [(WE, store.port, infohash)])
    config = folder / "config"
    config.mkdir()
    (config / "settings.json").write_text(json.dumps({**SETTINGS, "download-dir": str(folder / "data")}))
    programs.append(Program(["transmission-daemon", "-f", "-g", str(config)], folder / "log"))
    remote = Remote()
    wait_until("transmission", remote.answers, 20)
    magnet = sample_magnet(info, trackers=[f"http://{WE}:{TRACKER}/announce"])
    remote.call("torrent-add", filename=magnet)
    end = time.monotonic() + 60
    torrent: dict[str, Any] = {}
    while torrent.get("metadataPercentComplete") != 1 and time.monotonic() < end:
        time.sleep(0.2)
        answer = remote.call("torrent-get", fields=["metadataPercentComplete"])
        (torrent,) = answer["arguments"]["torrents"]
    (path,) = (config / "torrents").glob("*.torrent")
    return {"there": info in path.read_bytes(), "stats": store.stats()["serving"]}


def main(folder: str, size: str) -> None:
    """The program."""
    for command in ("link set lo up", f"addr add {WE}/24 dev lo", f"addr add {IT}/24 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    programs: list[Program] = []
    try:
        print(json.dumps(fetch(Path(folder), int(size), programs)))
    finally:
        for program in programs:
            program.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
