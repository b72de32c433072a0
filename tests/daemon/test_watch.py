"""The watch folder, on a real folder with a clock of our own."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from functorrent.daemon.feed import Feed
from functorrent.daemon.watch import WatchFolder
from functorrent.magnet import Magnet
from tests.commands_bed import FakeFolder, FolderTestCase, failed, infohash, magnet, metadata

NOW = 1_700_000_000.0


class WatchTests(FolderTestCase):
    def setUp(self) -> None:
        self.path = self.folder()
        self.clock = Clock()
        self.output = FakeFolder()
        self.begin()

    def now(self) -> float:
        return NOW + self.clock.seconds()

    def begin(self) -> None:
        self.feed = Feed(self.clock, self.output, 1000)
        self.watch = WatchFolder(self.clock, self, self.path, self.feed.submit, 1000)
        self.watch.start()
        self.clock.advance(0)

    def put(self, name: str, text: str, age: float = 0.0) -> str:
        path = os.path.join(self.path, name)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.utime(path, (self.now() - age,) * 2)
        return path

    def pull(self) -> list[bytes]:
        keys = []
        while (found := self.feed.pull()) is not None:
            keys.append(found[1])
        return keys

    def end(self, number: int, reason: str | None = None) -> None:
        result = Failure(failed(reason)) if reason is not None else metadata(number)
        self.feed.finished(infohash(number), Magnet.parse(magnet(number)), result)

    def wait(self, seconds: float = 1.0) -> None:
        self.clock.pump([0.5] * int(seconds * 2))

    def read(self, name: str) -> str:
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read()

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def test_a_file_is_taken_when_it_has_not_changed_for_two_seconds(self) -> None:
        self.put("a.txt", magnet(1) + "\n")
        for n in range(2, 6):
            self.wait(1)
            self.assertEqual(self.pull(), [])
            self.put("a.txt", magnet(n) + "\n")
        self.wait(4)
        self.assertEqual(self.pull(), [infohash(n) for n in range(1, 6)])

    def test_a_file_renamed_in_is_taken_at_once(self) -> None:
        self.put("a.part", magnet(1), age=3)
        self.wait(5)
        self.assertEqual(self.pull(), [])
        os.rename(os.path.join(self.path, "a.part"), os.path.join(self.path, "a.magnet"))
        self.wait(1)
        self.assertEqual(self.pull(), [infohash(1)])

    def test_a_clock_that_is_wrong_only_delays(self) -> None:
        self.put("a.txt", magnet(1), age=-5000)
        for _ in range(2):
            self.wait(1)
            self.assertEqual(self.pull(), [])
        self.wait(2)
        self.assertEqual(self.pull(), [infohash(1)])

    def test_done_only_when_every_line_has_ended(self) -> None:
        self.put("a.txt", f"{magnet(1)}\n{magnet(2)}\n", age=5)
        self.wait()
        self.pull()
        self.end(1)
        self.assertEqual(self.names(), ["a.txt"])
        self.end(2)
        self.assertEqual(self.names(), ["a.txt.done"])
        self.wait(5)
        self.assertEqual(self.pull(), [])

    def test_errors_stand_beside_it_and_can_be_put_in_again(self) -> None:
        self.put("a.txt", f"# mine\nnonsense\x1b\n{magnet(1)}\n{magnet(2)}\n{'x' * 2000}\n", age=5)
        self.wait()
        self.pull()
        self.end(1, "nobody\x1b has it")
        self.end(2)
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])
        errors = self.read("a.txt.errors").splitlines()
        self.assertEqual([line for line in errors if not line.startswith("#")], [magnet(1)])
        self.assertTrue(errors[0].startswith("# line 2: not a magnet"))
        self.assertEqual(errors[1], "# nonsense\\x1b")
        self.assertIn("# line 3: nobody\\x1b has it", errors)
        self.assertTrue(any(line.startswith("# line 5: a line of more than") for line in errors))

    def test_names_that_are_taken(self) -> None:
        self.put("a.txt.done", "old")
        self.put("a.txt.2.errors", "old")
        self.put("a.txt", "nonsense\n", age=5)
        self.wait()
        self.pull()
        self.assertEqual(self.names(), ["a.txt.2.errors", "a.txt.3.done", "a.txt.3.errors", "a.txt.done"])
        self.assertEqual(self.read("a.txt.done"), "old")

    def test_a_restart_takes_it_again(self) -> None:
        self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        self.wait()
        self.pull()
        self.watch.stop()
        self.feed.close()
        self.end(1, "cancelled")
        self.assertEqual(self.names(), ["a.txt"])
        self.begin()
        self.assertEqual(self.pull(), [infohash(1)])
        self.end(1)
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])
        self.assertNotIn(magnet(1), self.read("a.txt.errors"))

    def test_what_a_crash_left_is_not_added_to(self) -> None:
        self.put(".a.txt.errors.part", "# line 1: of an earlier life\n")
        self.put("a.txt", "nonsense\n", age=5)
        self.wait()
        self.pull()
        self.assertNotIn("earlier", self.read("a.txt.errors"))

    def test_other_things_in_the_folder_are_left_alone(self) -> None:
        self.put("real", magnet(1), age=5)
        os.symlink(os.path.join(self.path, "real"), os.path.join(self.path, "link.txt"))
        os.mkdir(os.path.join(self.path, "folder.txt"))
        os.mkfifo(os.path.join(self.path, "pipe.txt"))
        self.put("a.torrent", magnet(1), age=5)
        self.put(".hidden.txt", magnet(1), age=5)
        self.put("empty.txt", "", age=5)
        before = self.names()
        self.wait(5)
        self.assertEqual(self.pull(), [])
        self.assertEqual(self.names(), before)

    def test_a_file_that_changed_is_taken_again(self) -> None:
        self.put("a.txt", magnet(1) + "\n", age=5)
        self.wait()
        self.pull()
        self.put("a.txt", magnet(2) + "\n", age=5)
        self.end(1)
        self.output.there.add(infohash(1))
        self.assertEqual(self.names(), ["a.txt"])
        self.wait(4)
        self.assertEqual(self.pull(), [infohash(2)])
        self.end(2)
        self.assertEqual(self.names(), ["a.txt.done"])

    def test_a_file_that_was_taken_away(self) -> None:
        self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        self.wait()
        self.pull()
        os.unlink(os.path.join(self.path, "a.txt"))
        self.end(1)
        self.assertEqual(self.names(), [])

    def test_an_unreadable_file_is_told_once_and_taken_when_it_changes(self) -> None:
        real, refusing = os.open, [True]

        def refuse(path: str, flags: int) -> int:
            if refusing[0] and str(path).endswith("a.txt"):
                raise PermissionError(13, "Permission denied")
            return real(path, flags)

        self.patch(os, "open", refuse)
        self.put("a.txt", magnet(1), age=5)
        self.wait(5)
        self.assertEqual(self.pull(), [])
        self.assertEqual(len(self.watch._left), 1)
        refusing[0] = False
        self.wait(5)
        self.assertEqual(self.pull(), [])
        self.put("a.txt", "\n", age=4)
        self.wait(3)
        self.assertEqual(self.pull(), [infohash(1)])

    def test_a_folder_where_nothing_can_be_renamed(self) -> None:
        def refuse(before: str, after: str) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "rename", refuse)
        self.put("a.txt", magnet(1), age=5)
        self.wait()
        self.pull()
        self.end(1)
        self.wait(5)
        self.assertEqual(self.pull(), [], "it would be taken for ever")

    def test_a_folder_that_vanishes_and_comes_back(self) -> None:
        os.rename(self.path, self.path + ".away")
        self.wait(5)
        os.rename(self.path + ".away", self.path)
        self.put("a.txt", magnet(1), age=5)
        self.wait()
        self.assertEqual(self.pull(), [infohash(1)])

    def test_huge_files_are_read_a_slice_at_a_time(self) -> None:
        self.put("a.txt", "".join(magnet(n) + "\n" for n in range(3000)), age=5)
        self.wait()
        self.feed.pull()
        [file] = self.watch._taken.values()
        self.assertEqual(file._reader.consumed, 64 * 1024)

    def test_stopping_leaves_no_timer(self) -> None:
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
