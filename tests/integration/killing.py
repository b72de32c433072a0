"""The proof that a kill -9 loses nothing: the daemon is killed at random moments while it works.

    python -m tests.integration.killing                    # 50 kills, 2,000 magnets
    python -m tests.integration.killing --kills 5 --magnets 200

Magnets are posted over HTTP and put into the watch folder while the daemon lives, dies and is started
again. In the end every accepted magnet must be fetched, every file be whole, no temporary file be left, and
nothing that was once reported as fetched have been fetched again. Exit status 0 when all of it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from functorrent.metainfo import holds
from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.programs import free_port

ROOT = Path(__file__).parents[2]
_chance = secrets.SystemRandom()
#: A life lasts up to so many seconds; of one in `_STILLBORN`, from the start of the process, so that most
#: of these die while they start, else from when HTTP listens.
LONGEST = 4.0
_STILLBORN = 6
#: A temporary file of `functorrent fetch` in the same folder.
_FOREIGN = ".functorrent-0123456789abcdef-1.part"
_FETCHED = re.compile(r"\b([0-9a-f]{40}) fetched after")


@dataclass
class Verdict:
    """What a run came to. `wrong`: sentences; empty when all is as it must be."""

    magnets: int
    kills: int
    seconds: float = 0.0
    #: Lives that were ended before HTTP listened.
    killed_while_starting: int = 0
    posts: int = 0
    posts_cut_off: int = 0
    watched_files: int = 0
    duplicates_submitted: int = 0
    fetched_before_the_last_life: int = 0
    #: Made as a kill in the middle of writing a file leaves them: a matter of less than a millisecond.
    temporary_files_planted: int = 0
    slowest_start: float = 0.0
    seconds_to_stop: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Killing:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, magnets: int, kills: int, *options: str) -> None:
        self.folder = folder
        self.verdict = Verdict(magnets, kills)
        self.options = options
        self.output = folder / "out"
        self.incoming = folder / "in"
        self.log = folder / "log"
        self.port = free_port()
        # Some are large, so that there is a time in which they are half-written.
        sizes = [400_000 if n % 20 == 7 else 2_000 + 16_000 * (n % 3) for n in range(magnets)]
        self.infos = [sample_info(size, f"kill {n}") for n, size in enumerate(sizes)]
        self.hashes: list[str] = []
        self.magnets: list[str] = []
        self.accepted: set[str] = set()
        #: By infohash, as it was first reported: tries and seconds.
        self.reported: dict[str, tuple[int, float]] = {}
        self.process: subprocess.Popen[bytes] | None = None

    # -- the run -------------------------------------------------------------------------------

    def run(self) -> Verdict:
        """All of it. Blocks."""
        began = time.monotonic()
        self.incoming.mkdir(parents=True)
        seeder = LibtorrentSeeder(self.folder / "seeder")
        try:
            for info in self.infos:
                self.hashes.append(seeder.add(info).hex())
                self.magnets.append(sample_magnet(info, peers=[("127.0.0.1", seeder.port)]))
            self._lives()
            self._last_life()
            self._look()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            seeder.kill()
        self.verdict.seconds = round(time.monotonic() - began, 1)
        return self.verdict

    def _lives(self) -> None:
        waiting = iter(range(len(self.magnets)))
        for life in range(self.verdict.kills):
            self._start()
            assert self.process is not None
            end = threading.Timer(_chance.uniform(0, LONGEST), self.process.kill)
            stillborn = not _chance.randrange(_STILLBORN)
            if stillborn:
                end.start()
            up = self._wait_for_http()
            if not stillborn:
                end.start()
            if not up:
                self.verdict.killed_while_starting += 1
            lives_left = self.verdict.kills - life
            share = -(-(len(self.magnets) - len(self.accepted)) // lives_left)
            while up and self.process.poll() is None:
                self._note_reported()
                if share > 0:
                    share -= self._submit_some(waiting, share)
                time.sleep(_chance.uniform(0, 0.3))
            end.join()
            status = self.process.wait()
            if status != -signal.SIGKILL:
                self.verdict.wrong.append(f"life {life + 1} ended by itself, with status {status}")
            self._plant(life)

    def _submit_some(self, waiting: Iterator[int], most: int) -> int:
        """Submit a few more, in one of the two ways. How many are accepted."""
        numbers = [n for n, _ in zip(waiting, range(min(most, _chance.randint(1, 10))), strict=False)]
        if not numbers:
            return most
        again = [_chance.randrange(numbers[0] + 1) for _ in range(len(numbers) // 8)]
        self.verdict.duplicates_submitted += len(again)
        lines = [self.magnets[n] for n in (*numbers, *again)]
        _chance.shuffle(lines)
        if _chance.random() < 0.3:
            self._put(lines)
        else:
            while not self._post(lines):
                # Whoever posts does so again until there is an answer; here, in the last life.
                if self.process is None or self.process.poll() is not None:
                    return 0
        self.accepted.update(self.hashes[n] for n in numbers)
        return len(numbers)

    def _plant(self, life: int) -> None:
        """Leave a temporary file of the daemon's own, and once one that is somebody else's."""
        owner = self.folder / "data" / "output-owner"
        if owner.exists() and self.output.exists():
            self.verdict.temporary_files_planted += 1
            (self.output / f".functorrent-{owner.read_text().strip()}-{life}-1.part").write_bytes(b"d4:in")
            (self.output / _FOREIGN).touch()

    def _put(self, lines: list[str]) -> None:
        self.verdict.watched_files += 1
        part = self.incoming / f"{self.verdict.watched_files}.part"
        part.write_text("\n".join(lines) + "\n")
        part.rename(part.with_suffix(".txt"))

    def _post(self, lines: list[str]) -> bool:
        self.verdict.posts += 1
        answer = self._ask("/api/v1/magnets", "\n".join(lines).encode(), timeout=10)
        if answer is None:
            self.verdict.posts_cut_off += 1
            return False
        if len(answer["accepted"]) < len(set(lines)) or answer["invalid"]:
            self.verdict.wrong.append(f"a post of {len(lines)} lines: {json.dumps(answer)[:300]}")
        return True

    def _last_life(self) -> None:
        """All that was not answered is posted again, and the rest; then all has time to end."""
        self._start()
        if not self._wait_for_http():
            self.verdict.wrong.append("the last life did not start")
            return
        counts = self._counts()
        self.verdict.fetched_before_the_last_life = counts.get("fetched", 0)
        left = [n for n, infohash in enumerate(self.hashes) if infohash not in self.accepted]
        if left:
            self._post([self.magnets[n] for n in left])
            self.accepted.update(self.hashes[n] for n in left)
        end = time.monotonic() + 120 + len(self.magnets) / 10
        while time.monotonic() < end:
            self._note_reported()
            counts = self._counts()
            written = sum(1 for _ in self.output.rglob("*.torrent"))
            if counts.get("fetched", 0) >= len(self.accepted) and written >= len(self.accepted):
                break
            time.sleep(0.2)
        else:
            self.verdict.wrong.append(f"not all was fetched in time: {counts}, {written} files")
        # A first look at missing files, and the store's last words.
        time.sleep(1)
        self._compare_reported()
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.verdict.wrong.append("SIGTERM did not end it within 15 s")
            self.process.kill()
        self.verdict.seconds_to_stop = round(time.monotonic() - began, 2)
        if self.verdict.seconds_to_stop > 10:
            self.verdict.wrong.append(f"SIGTERM took {self.verdict.seconds_to_stop} s")

    # -- what must hold ------------------------------------------------------------------------

    def _look(self) -> None:
        wrong = self.verdict.wrong
        if self.accepted != set(self.hashes):
            wrong.append(f"{len(set(self.hashes) - self.accepted)} magnets were never accepted")
        found: Counter[str] = Counter()
        for path in self.output.rglob("*.torrent"):
            found[path.stem] += 1
            if not holds(path.read_bytes(), bytes.fromhex(path.stem)):
                wrong.append(f"{path} is not whole")
        if missing := self.accepted - set(found):
            wrong.append(f"{len(missing)} files are missing, as {min(missing)}")
        if further := set(found) - self.accepted:
            wrong.append(f"{len(further)} files that nobody asked for, as {min(further)}")
        if self.verdict.temporary_files_planted and not (self.output / _FOREIGN).exists():
            wrong.append("a temporary file of another program was removed")
        if left := [path.name for path in self.output.rglob("*.part") if path.name != _FOREIGN]:
            wrong.append(f"temporary files are left: {left[:5]}")
        if others := [p.name for p in self.incoming.iterdir() if not p.name.endswith(".txt.done")]:
            wrong.append(f"in the watch folder: {others[:5]}")
        lines = Counter(_FETCHED.findall(self.log.read_text(errors="replace")))
        if twice := [infohash for infohash, count in lines.items() if count > 1]:
            wrong.append(f"{len(twice)} were told as fetched twice, as {min(twice)}")
        if "Traceback" in (log := self.log.read_text(errors="replace")):
            wrong.append("a traceback in the log: " + log[log.index("Traceback") :][:1500])
        with sqlite3.connect(self.folder / "data" / "metafetch.sqlite") as database:
            (check,) = database.execute("PRAGMA integrity_check").fetchone()
        if check != "ok":
            wrong.append(f"the store is damaged: {check}")

    def _compare_reported(self) -> None:
        """Whether what was reported as fetched is the same fetch still."""
        for infohash, before in self.reported.items():
            job = self._ask(f"/api/v1/magnets/{infohash}")
            now = job and (job["status"], job["attempts"], job["seconds"])
            if now != ("fetched", *before):
                self.verdict.wrong.append(f"{infohash} was fetched ({before}), and is {now} now")

    def _note_reported(self) -> None:
        answer = self._ask("/api/v1/magnets?status=fetched&limit=200")
        for job in answer["magnets"] if answer is not None else ():
            self.reported.setdefault(job["infohash"], (job["attempts"], job["seconds"]))

    # -- the daemon ----------------------------------------------------------------------------

    def _start(self) -> None:
        arguments = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        arguments += ["-n", "--pidfile=", "metafetch", "--data", str(self.folder / "data")]
        arguments += ["--output", str(self.output), "--watch", str(self.incoming), "--allow-local"]
        arguments += ["--listen", "off", "--http", f"tcp:{self.port}:interface=127.0.0.1", *self.options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, env=environment
            )

    def _wait_for_http(self) -> bool:
        """Whether it listened before it ended."""
        assert self.process is not None
        began = time.monotonic()
        while self.process.poll() is None and time.monotonic() < began + 60:
            if self._ask("/healthz") is not None:
                self.verdict.slowest_start = max(
                    self.verdict.slowest_start, round(time.monotonic() - began, 2)
                )
                return True
            time.sleep(0.05)
        return False

    def _counts(self) -> dict[str, int]:
        answer = self._ask("/api/v1/stats")
        counts: dict[str, int] = {} if answer is None else answer["jobs"]
        return counts

    def _ask(self, path: str, body: bytes | None = None, timeout: float = 5) -> Any:
        """A JSON answer; None where there is none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        if body is not None:
            request.add_header("Content-Type", "text/plain")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            # 429 and 503 are answers, too: try again.
            if error.code not in (429, 503):
                self.verdict.wrong.append(f"{path}: {error.code} {error.read()[:300]!r}")
            return None
        except (OSError, ValueError, ConnectionError):
            return None
        except Exception as error:
            # http.client's, of an answer that was cut off.
            if type(error).__module__ != "http.client":
                raise
            return None


def main() -> int:
    """Run it as told, print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--magnets", type=int, default=2000)
    parser.add_argument("--keep", action="store_true", help="leave the folder where it is")
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="functorrent-killing-"))
    verdict = Killing(folder, told.magnets, told.kills, "--shard").run()
    print(json.dumps(asdict(verdict), indent=2))
    if told.keep or verdict.wrong:
        print(f"kept: {folder}")
    else:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
