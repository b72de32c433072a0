"""Local service discovery between two hosts: a program, for `unshare --net`.

Here is functorrent; there (network namespaces of their own, joined to ours by veth pairs) is libtorrent,
which seeds a torrent over IPv4, one over IPv6, and on a third host one over link-local IPv6 alone. `python -m
... FOLDER` writes a line of JSON with what each scene gave.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha1
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react

from functorrent.errors import FetchFailed
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress, SourceContext
from functorrent.magnet import Magnet
from functorrent.sources.lsd import LsdSource, LsdSourceMaker
from functorrent.sources.lsd.multicast import Multicast
from functorrent.testing import sample_info, sample_magnet
from functorrent.wire.lsd import GROUP4, HOST4, PORT, decode_announce, encode_announce
from tests.integration.harness.programs import Program

WE4, THEY4, STRANGER4 = "10.77.0.1", "10.77.0.2", "10.88.0.2"
WE6, THEY6 = "fd77::1", "fd77::2"
KINDS = ("v4", "v6", "link")
#: Torrents of which nobody's announce is heard: who has them must call us. libtorrent 2.1 hears us over
#: link-local addresses, too ("lsd add_peer"), and dials none.
CALLED = ("called v4", "called v6")
#: A neighbour that announces while the flood is on.
GOOD4 = "10.77.0.3"
SEEDER = "tests.integration.harness.lsd_seeder"


def info_of(kind: str) -> bytes:
    return sample_info(3000, f"lsd {kind}")


class There:
    """Another host, on an interface of its own; `addresses`: ours and theirs, beside the link-local ones."""

    def __init__(self, folder: Path, name: str, *addresses: tuple[str, str]) -> None:
        self.name = name
        self.programs: list[Program] = []
        holder = self._start(["unshare", "--net", "sleep", "120"], folder / "holder.log")
        self._enter = ["nsenter", "-t", str(holder.process.pid), "-n"]
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.process.pid}/ns/net") == ours:
            time.sleep(0.01)
        _run("ip", "link", "set", "lo", "up")
        # Duplicate addresses are looked for a second or two.
        for run in (_run, self.run):
            run(
                "sh",
                "-c",
                "for each in all default; do echo 0 >/proc/sys/net/ipv6/conf/$each/accept_dad; done",
            )
        _run(*f"ip link add here-{name} type veth peer name there netns {holder.process.pid}".split())
        for us, them in addresses:
            _run(*f"ip addr add {us} dev here-{name}".split())
            self.run(*f"ip addr add {them} dev there".split())
        _run(*f"ip link set here-{name} up".split())
        self.run("ip", "link", "set", "there", "up")
        end = time.monotonic() + 5
        while not (_link_local(_run, f"here-{name}") and _link_local(self.run, "there")):
            assert time.monotonic() < end, "no link-local address"
            time.sleep(0.02)
        self.link = _link_local(self.run, "there")

    def run(self, *arguments: str) -> str:
        return _run(*self._enter, *arguments)

    def start(self, module: str, *arguments: str, log: Path) -> Program:
        return self._start([*self._enter, sys.executable, "-m", module, *arguments], log)

    def _start(self, arguments: list[str], log: Path) -> Program:
        program = Program(arguments, log, cwd=Path(__file__).parents[3])
        self.programs.append(program)
        return program

    def kill(self) -> None:
        for program in self.programs:
            program.kill()


def _link_local(run: Callable[..., str], name: str) -> str:
    """An interface's link-local address, empty until it may be used."""
    told = run("ip", "-6", "-o", "addr", "show", "dev", name, "scope", "link", "-tentative")
    return told.split("inet6 ")[1].partition("/")[0] if "inet6 " in told else ""


def _run(*arguments: str) -> str:
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


class Here:
    """functorrent with local service discovery, and no other source that finds anything."""

    def __init__(self, reactor: Any, maker: Any, **settings: Any) -> None:
        self.reactor = reactor
        self.fetcher = Fetcher(reactor, FetchSettings(timeout=15, **settings), sources=[maker], plugins=False)

    @property
    def lsd(self) -> LsdSource:
        source = self.fetcher.core.sources[-1]
        assert isinstance(source, LsdSource)
        return source

    async def fetch(self, kind: str) -> dict[str, Any]:
        """What came of one magnet that names nobody."""
        began = self.reactor.seconds()
        try:
            got = await self.fetcher.fetch(Magnet.parse(sample_magnet(info_of(kind))))
        except FetchFailed as error:
            return {"fetched": False, "reason": str(error)}
        (report,) = [each for each in got.report.sources if each.source == "lsd"]
        return {
            "fetched": got.info_bytes == info_of(kind),
            "detail": report.detail,
            "given": report.peers,
            "seconds": self.reactor.seconds() - began,
        }

    async def until(self, what: str, ready: Callable[[], bool], seconds: float = 10.0) -> None:
        end = self.reactor.seconds() + seconds
        while not ready():
            assert self.reactor.seconds() < end, f"{what}: not within {seconds:g} s"
            await deferLater(self.reactor, 0.02)


class EarlessMaker:
    """Makes a source that announces, and hears nothing."""

    name = "lsd"

    def make(self, context: SourceContext) -> LsdSource:
        def multicast(received: object) -> Multicast:
            return Multicast(context.reactor, context.clock, context.limits, lambda *_: None)

        return LsdSource(context, multicast)


async def scenes(reactor: Any, there: There, third: There, folder: Path) -> dict[str, Any]:
    """One after the other; what each gave."""
    told: dict[str, Any] = {}
    other = _other_program()
    silent = Here(reactor, LsdSourceMaker(), listen=("off",))
    await silent.fetcher.start()
    torrents = [(kind, f"{THEY4}:0" if "4" in kind else f"[{THEY6}]:0") for kind in ("v4", "v6", *CALLED)]
    seeders = [
        there.start(SEEDER, str(folder), *chain(*torrents), log=folder / "seeders"),
        third.start(SEEDER, str(folder), "link", f"[{third.link}%there]:0", log=folder / "third"),
    ]
    try:
        # They announce; we hear it, though nobody can call us.
        kept = silent.lsd._neighbours
        for kind in KINDS:
            infohash = sha1(info_of(kind)).digest()
            await silent.until(kind, partial(_kept, silent, infohash))
        told["heard"] = sorted({peer.host for peer in kept._heard})
        told["link"] = f"{third.link}%here-{third.name}"
        told["found"] = {kind: await silent.fetch(kind) for kind in KINDS}
        told["sent"] = silent.lsd.stats.sent
        await silent.fetcher.stop()

        # We announce; they call us.
        earless = Here(reactor, EarlessMaker())
        await earless.fetcher.start()
        _drain(other)
        told["called"] = {kind: await earless.fetch(kind) for kind in CALLED}
        told["port"] = earless.fetcher.port
        # Other programs of this host listen on the same port, and hear us; and we hear them.
        told["other_heard"] = [decode_announce(data).port for data in _drain(other)]
        await earless.fetcher.stop()
        here = Here(reactor, LsdSourceMaker())
        await here.fetcher.start()
        other.sendto(encode_announce(HOST4, 7000, [bytes([7]) * 20], "other"), (GROUP4, PORT))
        found = here.lsd._neighbours._heard
        await here.until("the other program", lambda: PeerAddress(WE4, 7000) in found)
        # The last one: libtorrent has its part of the flood, too.
        told["hostile"] = await _hostile(here, there, folder)
        await here.fetcher.stop()
        for seeder in seeders:
            seeder.check()
    finally:
        other.close()
    return told


def _kept(here: Here, infohash: bytes) -> bool:
    return bool(here.lsd._neighbours.peers(infohash, here.reactor.seconds()))


async def _hostile(here: Here, there: There, folder: Path) -> dict[str, Any]:
    """Strangers, giants and a flood; who announces meanwhile must be heard."""
    module = "tests.integration.harness.lsd_flood"
    stats = here.lsd.stats
    there.start(module, "stranger", log=folder / "stranger")
    await here.until("the stranger", lambda: stats.strangers > 0)
    strangers, heard = stats.strangers, stats.heard
    began, read, used = here.reactor.seconds(), stats.read, time.process_time()
    there.start(module, "flood", log=folder / "flood")
    good = there.start(module, "good", log=folder / "good")
    neighbours = here.lsd._neighbours._heard
    await here.until("a neighbour's announce", lambda: any(peer.host == GOOD4 for peer in neighbours), 15)
    until_heard = here.reactor.seconds() - began
    await here.until("the flood's end", lambda: (folder / "flood").stat().st_size > 0, 15)
    seconds = here.reactor.seconds() - began
    good.kill()
    return {
        "strangers": strangers,
        "sent": int((folder / "flood").read_text()),
        "read": stats.read - read,
        "heard": stats.heard - heard,
        "seconds": seconds,
        "until_heard": until_heard,
        "cpu": time.process_time() - used,
    }


def _other_program() -> socket.socket:
    """A client that listens as most do: on the port of any address, sharing it by SO_REUSEADDR alone."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", PORT))
    us = socket.inet_aton(WE4)
    sock.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4s", socket.inet_aton(GROUP4), us)
    )
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, us)
    sock.setblocking(False)
    return sock


def _drain(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(2000))
        except BlockingIOError:
            return found


def main(folder: str) -> None:
    """The program."""
    path = Path(folder)
    there = There(
        path,
        "0",
        (f"{WE4}/24", f"{THEY4}/24"),
        (f"{WE6}/64 nodad", f"{THEY6}/64 nodad"),
    )
    third = There(path, "1")
    # A neighbour more, and an address of another network on the same wire.
    for address in (GOOD4, STRANGER4):
        there.run(*f"ip addr add {address}/24 dev there".split())
    told: dict[str, Any] = {}

    async def run(reactor: Any) -> None:
        told.update(await scenes(reactor, there, third, path))

    try:
        react(lambda reactor: ensureDeferred(run(reactor)))
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        there.kill()
        third.kill()
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
