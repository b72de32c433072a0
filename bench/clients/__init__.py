"""The clients that are raced: how each is started, and which version it is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as package_version

from bench.bed import Run
from bench.clients import venvs
from bench.process import ROOT, environment
from bench.scenarios import Scenario


def _any(scenario: Scenario) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Client:
    """A program that turns a file of magnets into a folder of .torrent files."""

    name: str
    version: Callable[[], str]
    command: Callable[[Run], list[str]]
    #: Whether it can do the scenario at all (within the time there is).
    supports: Callable[[Scenario], bool] = _any
    #: For programs that write no files: how many infohashes they say were right.
    count: Callable[[Run], int] | None = None
    #: The command without arguments.
    base: tuple[str, ...] = ()


def _printed_version(command: list[str]) -> str:
    """The last word of the first line that `command` prints."""
    found = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False, timeout=60
    )
    lines = (found.stdout or found.stderr).strip().splitlines()
    return lines[0].split()[-1] if lines and found.returncode == 0 else "not installed"


def _help(command: list[str]) -> str:
    """What a program says of itself."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False, timeout=60
    )
    return done.stdout


def _script(name: str) -> str:
    return str(ROOT / "bench" / "clients" / name)


def functorrent(program: str | None = None) -> Client:
    """functorrent as a user runs it; `program` is the command if it is not this checkout."""
    base = shlex.split(program) if program else [sys.executable, "-m", "functorrent"]

    def command(run: Run) -> list[str]:
        fetch = ["fetch", "-i", str(run.magnets), "-o", str(run.output), "--allow-local", "--quiet"]
        # A DHT of nobody: as it is by default, but for the Internet.
        return [*base, *fetch, *(["--dht-bootstrap=127.0.0.1:9"] if has_dht else [])]

    has_dht = "--dht-bootstrap" in _help([*base, "fetch", "--help"])

    return Client("functorrent", lambda: _printed_version([*base, "--version"]), command, base=tuple(base))


def _libtorrent(mode: str) -> Callable[[Run], list[str]]:
    def command(run: Run) -> list[str]:
        # It counts a magnet whose peers are all dead as one of its hundred: there it gets them all at once.
        window = run.scenario.count + run.scenario.dead_magnets if run.scenario.dead_magnets else 100
        script = _script("run_libtorrent.py")
        return [sys.executable, script, mode, str(run.magnets), str(run.output), str(window)]

    return command


def _aria2(run: Run) -> list[str]:
    # It asks UDP trackers only with DHT on; without an entry point the DHT knows nobody.
    udp_only = run.scenario.trackers == ("udp",)
    dht = (
        ["--enable-dht=true", f"--dht-file-path={run.folder / 'dht.dat'}"]
        if udp_only
        else ["--enable-dht=false"]
    )
    return [
        "aria2c", "--no-conf", "--quiet", "--bt-metadata-only=true", "--bt-save-metadata=true", "-j1000",
        "--seed-time=0", "--bt-enable-lpd=false", "--enable-dht6=false", "--disable-ipv6=true",
        "--bt-stop-timeout=60", "--interface=127.0.0.1", *dht, "-i", str(run.magnets), "-d", str(run.output),
    ]  # fmt: skip


def _demagnetize(run: Run) -> list[str]:
    program = str(venvs.python("demagnetize").with_name("demagnetize"))
    return [program, "-l", "ERROR", "batch", "-o", f"{run.output}/{{hash}}.torrent", str(run.magnets)]


def _magnet2torrent(run: Run) -> list[str]:
    python = str(venvs.python("magnet2torrent"))
    return [python, _script("run_magnet2torrent.py"), str(run.magnets), str(run.output)]


def _floor(script: str) -> Callable[[Run], list[str]]:
    return lambda run: [sys.executable, _script(script), str(run.magnets)]


def _counted(run: Run) -> int:
    """The last word a floor loop printed."""
    words = (run.folder / "stdout").read_text().split()
    return int(words[-1]) if words else 0


def clients(program: str | None = None) -> dict[str, Client]:
    """Every client by name."""
    libtorrent = package_version("libtorrent")
    aria2 = shutil.which("aria2c") or "aria2c"
    known = [
        functorrent(program),
        Client("libtorrent", lambda: libtorrent, _libtorrent("tuned")),
        Client("libtorrent-defaults", lambda: libtorrent, _libtorrent("defaults"), lambda s: s.count <= 100),
        Client(
            "aria2",
            lambda: _printed_version([aria2, "--version"]),
            _aria2,
            lambda s: bool(s.trackers) and s.count <= 1000,
        ),
        Client(
            "demagnetize",
            lambda: venvs.version("demagnetize"),
            _demagnetize,
            lambda s: bool(s.trackers) and s.count <= 1000,
        ),
        Client(
            "magnet2torrent",
            lambda: venvs.version("magnet2torrent"),
            _magnet2torrent,
            lambda s: bool(s.trackers),
        ),
    ]
    return {client.name: client for client in known}


def floors() -> dict[str, Client]:
    """The bare loops of bench.floor."""
    python = f"Python {sys.version.split()[0]}"
    twisted = f"Twisted {package_version('twisted')}"
    return {
        "sockets": Client("sockets", lambda: python, _floor("floor_sockets.py"), count=_counted),
        "twisted": Client("twisted", lambda: twisted, _floor("floor_twisted.py"), count=_counted),
    }
