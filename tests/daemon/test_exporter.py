"""Exporter: files of what the store has, on the real store in memory and real folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from functorrent.daemon import exporter
from functorrent.daemon.exporter import Exporter
from functorrent.daemon.health import Health
from functorrent.errors import OutputError
from functorrent.metainfo import holds
from functorrent.store.files import TorrentFolder
from functorrent.store.jobs import Result
from functorrent.testing.store import memory_store
from tests.commands_bed import FolderTestCase
from tests.daemon.bed import Flaky, Wall, info, job, key

DAY = 86_400.0


class ExporterTests(FolderTestCase):
    template = "{infohash}.torrent"

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = Wall(self.clock)
        self.memory = memory_store(self.wall)
        self.path = os.path.join(self.folder(), "out")
        self.begin()
        self.addCleanup(self.exporter.stopService)

    def begin(self, **how: Any) -> None:
        """A process begins."""
        self.store = Flaky(self.memory)
        self.health = Health()
        self.output = TorrentFolder(self.path, self.template, owner="mine", **how)
        self.output.prepare()
        self.exporter = Exporter(self.clock, self.store, self.output, self.health, self.run_in_thread)
        self.held: list[Callable[[], None]] | None = None
        self.at_once = 0
        self.most = 0

    def run_in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if self.held is None:
            done = maybeDeferred(function, *arguments)
        else:
            done = Deferred()
            self.held.append(lambda: maybeDeferred(function, *arguments).chainDeferred(done))

        def ended(result: Any) -> Any:
            self.at_once -= 1
            return result

        return done.addBoth(ended)

    def fetched(self, *numbers: int) -> None:
        """The store has these."""
        self.successResultOf(self.memory.submit([job(number) for number in numbers]))
        self.successResultOf(self.memory.claim("w", len(numbers), 60.0))
        for number in numbers:
            result = Result(key(number), info(number), f"name {number}", 1, 1, False, 1.0, {})
            self.assertTrue(self.successResultOf(self.memory.fetched("w", result)))

    def files(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def names(self, *numbers: int) -> list[str]:
        return sorted(f"{key(number).hex()}.torrent" for number in numbers)

    def start(self) -> None:
        self.exporter.startService()

    def recorded(self, number: int) -> str | None:
        found = self.successResultOf(self.memory.job(key(number)))
        assert found is not None
        return found.file

    def test_what_was_saved_is_written_and_marked(self) -> None:
        self.start()
        self.assertEqual(self.files(), [])
        self.fetched(1, 2)
        self.exporter.wake()
        self.assertEqual(self.files(), self.names(1, 2))
        path = self.recorded(1)
        assert path is not None
        with open(path, "rb") as file:
            self.assertTrue(holds(file.read(), key(1)))
        self.assertEqual(self.successResultOf(self.memory.unexported(10)), [])

    def test_what_an_earlier_process_did_not_come_to_is_written_at_start(self) -> None:
        self.fetched(*range(30))
        self.start()
        self.assertEqual(self.files(), self.names(*range(30)))
        self.assertEqual(self.store.calls.count("exported"), 1)

    def test_a_few_at_a_time(self) -> None:
        self.fetched(*range(30))
        self.held = []
        self.start()
        while self.held:
            held, self.held = self.held, []
            for each in held:
                each()
        self.assertEqual(self.files(), self.names(*range(30)))
        # ... and a look at the files beside them.
        self.assertLessEqual(self.most, 5)

    def test_what_a_killed_process_left_is_removed(self) -> None:
        for name in (".functorrent-mine-123-1.part", ".functorrent-other-123-1.part", "x.torrent"):
            with open(os.path.join(self.path, name), "wb"):
                pass
        self.start()
        self.assertEqual(self.files(), [".functorrent-other-123-1.part", "x.torrent"])

    def test_names(self) -> None:
        self.template = "{name}.torrent"
        self.begin()
        self.fetched(1)
        self.start()
        self.assertEqual(self.files(), ["name 1.torrent"])

    def test_shards(self) -> None:
        self.begin(shard=True)
        self.fetched(1)
        self.start()
        digits = key(1).hex()
        self.assertEqual(
            self.recorded(1), os.path.join(self.path, digits[:2], digits[2:4], f"{digits}.torrent")
        )

    # -- trouble -------------------------------------------------------------------------------

    def fail_writes(self, which: Callable[[bytes], bool] = lambda key: True) -> list[bytes]:
        """The disk is full, for these; keys that were tried."""
        tried: list[bytes] = []
        write = TorrentFolder.write

        def full(folder: TorrentFolder, infohash: bytes, name: str, torrent: bytes) -> str:
            tried.append(infohash)
            if which(infohash):
                raise OutputError("cannot write: no space is left on the disk")
            return write(folder, infohash, name, torrent)

        self.patch(TorrentFolder, "write", full)
        return tried

    def test_a_full_disk(self) -> None:
        tried = self.fail_writes()
        self.fetched(*range(30))
        self.start()
        self.assertEqual(
            self.health.sentences(),
            [".torrent files wait to be written: cannot write: no space is left on the disk"],
        )
        self.clock.pump([1.0] * 300)
        self.assertLess(len(tried), 60)
        self.assertEqual((self.files(), len(self.successResultOf(self.memory.unexported(99)))), ([], 30))
        self.doCleanups()
        self.begin()
        self.fail_writes(lambda key: False)
        self.start()
        self.assertEqual((self.files(), self.health.sentences()), (self.names(*range(30)), []))

    def test_it_goes_on_when_there_is_room(self) -> None:
        full = True
        self.fail_writes(lambda key: full)
        self.fetched(*range(30))
        self.start()
        self.clock.pump([1.0] * 30)
        full = False
        self.clock.pump([1.0] * 130)
        self.assertEqual((self.files(), self.health.sentences()), (self.names(*range(30)), []))
        self.assertEqual(self.successResultOf(self.memory.unexported(10)), [])

    def test_and_its_pauses_begin_anew(self) -> None:
        full = True
        tried = self.fail_writes(lambda key: full)
        self.fetched(1)
        self.start()
        self.clock.pump([1.0] * 30)
        full = False
        self.clock.pump([1.0] * 130)
        full = True
        self.fetched(*range(2, 30))
        del tried[:]
        self.exporter.wake()
        self.clock.pump([1.0] * 8)
        # At once, and after 1, 3 and 7 seconds.
        self.assertEqual(len(tried), 4)

    def test_what_is_saved_while_the_store_is_asked_is_written_next(self) -> None:
        self.start()
        answers: list[tuple[Deferred[Any], Any]] = []
        unexported = self.memory.unexported

        def late(limit: int) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            answers.append((answer, self.successResultOf(unexported(limit))))
            return answer

        self.patch(self.memory, "unexported", late)
        self.exporter.wake()
        self.fetched(1)
        self.exporter.wake()
        while answers:
            waiting, answer = answers.pop()
            waiting.callback(answer)
            if not answer and self.files():
                break
        self.assertEqual(self.files(), self.names(1))

    def test_one_file_that_cannot_be_written_does_not_hold_up_others(self) -> None:
        bad = [key(0)]
        self.fail_writes(lambda key: key in bad)
        self.fetched(*range(5))
        self.start()
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.files(), self.names(1, 2, 3, 4))
        self.fetched(5)
        self.exporter.wake()
        self.assertEqual(self.files(), self.names(1, 2, 3, 4, 5))
        self.assertEqual(len(self.health.sentences()), 1)
        bad.clear()
        self.clock.pump([1.0] * 65)
        self.assertEqual((self.files(), self.health.sentences()), (self.names(*range(6)), []))

    def test_the_folder_is_gone_and_comes_back(self) -> None:
        self.start()
        os.rmdir(self.path)
        self.fetched(1)
        self.exporter.wake()
        self.assertIn("the folder is not there", self.health.sentences()[0])
        self.assertFalse(os.path.exists(self.path))
        os.mkdir(self.path)
        self.clock.pump([1.0] * 65)
        self.assertEqual((self.files(), self.health.sentences()), (self.names(1), []))

    def test_the_store_fails(self) -> None:
        self.fetched(1)
        self.store.broken.update(("unexported", "exports"))
        self.start()
        self.assertEqual(len(self.health.sentences()), 2)
        self.store.broken = {"exported"}
        self.clock.advance(1)
        self.assertEqual((self.files(), self.recorded(1)), (self.names(1), None))
        self.store.broken.clear()
        self.clock.pump([1.0] * 61)
        self.assertIsNotNone(self.recorded(1))
        self.assertEqual(self.health.sentences(), [])

    def test_stopped_in_the_middle(self) -> None:
        self.fetched(1, 2)
        self.start()
        self.fetched(3, 4)
        self.held = []
        self.exporter.wake()
        self.held.pop(0)()
        self.exporter.stopService()
        for each in self.held:
            each()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.begin()
        self.start()
        self.assertEqual(self.files(), self.names(1, 2, 3, 4))

    # -- missing files -------------------------------------------------------------------------

    def test_missing_and_empty_files_are_written_again(self) -> None:
        self.fetched(*range(5))
        self.start()
        self.exporter.stopService()
        os.unlink(os.path.join(self.path, self.names(1)[0]))
        with open(os.path.join(self.path, self.names(2)[0]), "wb"):
            pass
        self.begin()
        self.start()
        self.assertEqual(self.files(), self.names(*range(5)))
        self.assertTrue(all(os.path.getsize(os.path.join(self.path, name)) for name in self.files()))
        self.assertEqual(self.store.calls.count("torrent"), 2)

    def test_once_a_day(self) -> None:
        self.fetched(1)
        self.start()
        os.unlink(os.path.join(self.path, self.names(1)[0]))
        self.clock.advance(DAY - 1)
        self.assertEqual(self.files(), [])
        self.clock.advance(1)
        self.assertEqual(self.files(), self.names(1))

    def test_page_by_page(self) -> None:
        self.patch(exporter, "_PAGE", 20)
        self.fetched(*range(45))
        self.start()
        self.exporter.stopService()
        shutil.rmtree(self.path)
        self.begin()
        self.start()
        self.assertEqual(len(self.files()), 20)
        self.clock.advance(0.5)
        self.assertEqual(len(self.files()), 40)
        self.clock.advance(0.5)
        self.assertEqual(len(self.files()), 45)
        self.assertEqual(self.store.calls.count("exports"), 3)

    def test_a_full_disk_in_the_walk(self) -> None:
        self.fetched(*range(5))
        self.start()
        self.exporter.stopService()
        shutil.rmtree(self.path)
        self.begin()
        full = True
        self.fail_writes(lambda key: full)
        self.start()
        self.assertEqual((len(self.health.sentences()), self.files()), (1, []))
        full = False
        self.clock.advance(60)
        self.assertEqual((self.health.sentences(), self.files()), ([], self.names(*range(5))))

    def test_another_output_folder(self) -> None:
        """What is where it was stays there; what is missing there comes into the new folder."""
        self.fetched(1, 2)
        self.start()
        self.exporter.stopService()
        old = self.path
        os.unlink(os.path.join(old, self.names(1)[0]))
        self.path = os.path.join(self.folder(), "new")
        self.begin()
        self.start()
        self.assertEqual(self.files(), self.names(1))
        self.assertEqual((self.recorded(1) or "")[: len(self.path)], self.path)
        self.assertEqual((self.recorded(2) or "")[: len(old)], old)
