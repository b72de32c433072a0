"""The watch folder and the command line's magnets, with a queue that a test speaks for."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.daemon import watched
from functorrent.daemon.health import Health
from functorrent.daemon.intake import GivenMagnets
from functorrent.daemon.interfaces import IIntake, IQueue
from functorrent.daemon.watch import WatchFolder
from functorrent.errors import QueueClosed, StoreFull
from functorrent.interfaces import IWallClock
from functorrent.limits import Limits
from functorrent.store.jobs import Job, NewJob, Submitted, key_of
from tests.commands_bed import FolderTestCase, infohash, magnet

NOW = 1_700_000_000.0


@implementer(IQueue)
class Queue:
    """Takes what comes; `error` is what it fails with, `held` what waits for the commit."""

    def __init__(self) -> None:
        self.jobs: list[NewJob] = []
        self.sizes: list[int] = []
        self.error: Exception | None = None
        self.held: list[Deferred[list[Submitted]]] | None = None

    def submit(self, jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        if self.error is not None:
            return fail(self.error)
        self.jobs.extend(jobs)
        self.sizes.append(len(jobs))
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1]
        return succeed([Submitted(key_of(job.magnet), "queued", True, True) for job in jobs])

    def cancel(self, key: bytes) -> Deferred[Job | None]:
        raise NotImplementedError

    def retry(self, key: bytes) -> Deferred[Job | None]:
        raise NotImplementedError

    def keys(self) -> list[bytes]:
        """Keys of what came since it was asked last."""
        keys = [key_of(job.magnet) for job in self.jobs]
        self.jobs.clear()
        return keys


@implementer(IWallClock)
class WatchTests(FolderTestCase):
    limits = Limits(max_magnet=1000, lines_at_once=10)

    def setUp(self) -> None:
        self.path = self.folder()
        self.clock = Clock()
        self.begin()
        self.addCleanup(lambda: self.watch.stop())

    def now(self) -> float:
        return NOW + self.clock.seconds()

    def begin(self) -> None:
        self.queue = Queue()
        self.health = Health()
        self.held: list[Callable[[], None]] | None = None
        self.watch = WatchFolder(
            self.clock, self, self.health, self.path, self.run_in_thread, self.limits
        )  # fmt: skip
        self.watch.start(self.queue)
        self.clock.advance(0)

    def run_in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self.held is None:
            return maybeDeferred(function, *arguments)
        done: Deferred[Any] = Deferred()
        self.held.append(lambda: maybeDeferred(function, *arguments).chainDeferred(done))
        return done

    def put(self, name: str, text: str, age: float = 0.0) -> str:
        path = os.path.join(self.path, name)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.utime(path, (self.now() - age,) * 2)
        return path

    def wait(self, seconds: float = 1.0) -> None:
        self.clock.pump([0.5] * int(seconds * 2))

    def read(self, name: str) -> str:
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read()

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    # -- files ---------------------------------------------------------------------------------

    def test_interface(self) -> None:
        verifyObject(IIntake, self.watch)

    def test_a_file_is_taken_when_it_has_not_changed_for_two_seconds(self) -> None:
        self.put("a.txt", magnet(1) + "\n")
        for n in range(2, 6):
            self.wait(1)
            self.assertEqual(self.queue.keys(), [])
            self.put("a.txt", magnet(n) + "\n")
        self.wait(4)
        self.assertEqual(self.queue.keys(), [infohash(n) for n in range(1, 6)])

    def test_a_file_renamed_in_is_taken_at_once(self) -> None:
        self.put("a.part", magnet(1), age=3)
        self.wait(5)
        self.assertEqual(self.queue.keys(), [])
        os.rename(os.path.join(self.path, "a.part"), os.path.join(self.path, "a.magnet"))
        self.wait(1)
        self.assertEqual(self.queue.keys(), [infohash(1)])

    def test_a_clock_that_is_wrong_only_delays(self) -> None:
        self.put("a.txt", magnet(1), age=-5000)
        for _ in range(2):
            self.wait(1)
            self.assertEqual(self.queue.keys(), [])
        self.wait(2)
        self.assertEqual(self.queue.keys(), [infohash(1)])

    def test_where_it_was_read(self) -> None:
        self.put("a.txt", f"# mine\n\n{magnet(1)}\n", age=5)
        self.wait()
        [job] = self.queue.jobs
        self.assertEqual((job.source, job.line, job.priority), ("a.txt", 3, 0))

    def test_done_only_when_every_line_is_durable(self) -> None:
        self.put("a.txt", "".join(f"{magnet(n)}\n" for n in range(15)), age=5)
        self.queue.held = []
        self.wait()
        self.assertEqual((self.queue.sizes, self.names()), ([10], ["a.txt"]))
        self.queue.held[0].callback([])
        self.assertEqual((self.queue.sizes, self.names()), ([10, 5], ["a.txt"]))
        self.queue.held[1].callback([])
        self.assertEqual(self.names(), ["a.txt.done"])
        self.wait(5)
        self.assertEqual(len(self.queue.keys()), 15)

    def test_lines_that_are_no_magnets_stand_beside_it(self) -> None:
        self.put("a.txt", f"# mine\nnonsense\x1b\n{magnet(1)}\n{'x' * 2000}\n", age=5)
        self.wait()
        self.assertEqual(self.queue.keys(), [infohash(1)])
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])
        errors = self.read("a.txt.errors").splitlines()
        self.assertTrue(errors[0].startswith("# line 2: not a magnet"))
        self.assertEqual(errors[1], "nonsense\\x1b")
        self.assertTrue(errors[2].startswith("# line 4: a line of more than"))
        self.assertTrue(errors[3].startswith("# xxx"))

    def test_names_that_are_taken(self) -> None:
        self.put("a.txt.done", "old")
        self.put("a.txt.2.errors", "old")
        self.put("a.txt", "nonsense\n", age=5)
        self.wait()
        self.assertEqual(self.names(), ["a.txt.2.errors", "a.txt.3.done", "a.txt.3.errors", "a.txt.done"])
        self.assertEqual(self.read("a.txt.done"), "old")

    def test_a_crash_at_any_time_means_that_it_is_taken_again(self) -> None:
        self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        self.queue.held = []
        self.wait()
        self.assertEqual(self.queue.keys(), [infohash(1)])
        self.assertEqual(self.names(), [".a.txt.errors.part", "a.txt"])
        # Killed: nothing is closed, and the next process finds both.
        dead, self.watch = self.watch, None  # type: ignore[assignment]
        dead._timer.cancel()
        dead._timer = None
        self.begin()
        self.assertEqual(self.queue.keys(), [infohash(1)])
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])
        self.assertEqual(self.read("a.txt.errors").count("line 1"), 1)

    def test_what_a_crash_left_is_not_added_to(self) -> None:
        self.put(".a.txt.errors.part", "# line 1: of an earlier life\n")
        self.put("a.txt", "nonsense\n", age=5)
        self.wait()
        self.assertNotIn("earlier", self.read("a.txt.errors"))

    def test_a_stop_leaves_it_as_it_was(self) -> None:
        self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        self.queue.held = []
        self.wait()
        self.successResultOf(self.watch.stop())
        self.assertEqual((self.names(), self.clock.getDelayedCalls()), (["a.txt"], []))
        self.begin()
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])

    def test_a_stop_waits_for_the_thread(self) -> None:
        self.put("a.txt", magnet(1), age=5)
        self.held = []
        self.wait()
        self.held.pop(0)()
        self.held.pop(0)()
        stopped = self.watch.stop()
        self.assertNoResult(stopped)
        while self.held:
            self.held.pop(0)()
        self.successResultOf(stopped)
        self.assertEqual((self.queue.jobs, self.names()), ([], ["a.txt"]))

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
        self.assertEqual(self.queue.keys(), [])
        self.assertEqual(self.names(), before)

    def test_a_file_that_changed_is_taken_again(self) -> None:
        self.put("a.txt", magnet(1) + "\n", age=5)
        self.queue.held = []
        self.wait()
        self.put("a.txt", magnet(2) + "\n")
        self.queue.held.pop().callback([])
        self.queue.held = None
        self.assertEqual((self.names(), self.queue.keys()), (["a.txt"], [infohash(1)]))
        self.wait(5)
        self.assertEqual((self.names(), self.queue.keys()), (["a.txt.done"], [infohash(1), infohash(2)]))

    def test_a_file_that_was_taken_away(self) -> None:
        path = self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        self.queue.held = []
        self.wait()
        os.unlink(path)
        self.queue.held.pop().callback([])
        self.assertEqual(self.names(), [])

    def test_a_short_file_does_not_wait_for_a_long_one(self) -> None:
        self.put("a.txt", "".join(f"{magnet(n)}\n" for n in range(50)), age=5)
        self.put("b.txt", magnet(99), age=5)
        self.queue.held = []
        self.wait()
        self.assertEqual(sorted(self.queue.sizes), [1, 10])

    def test_a_few_at_a_time_and_all_in_the_end(self) -> None:
        for number in range(30):
            self.put(f"{number}.txt", magnet(number), age=5)
        self.queue.held = []
        self.wait()
        self.assertEqual(len(self.queue.held), 4)
        while self.queue.held:
            self.queue.held.pop().callback([])
        self.assertEqual(len(self.names()), 30)
        self.assertTrue(all(name.endswith(".done") for name in self.names()))

    # -- trouble -------------------------------------------------------------------------------

    def test_the_store_is_full(self) -> None:
        self.queue.error = StoreFull("no space is left for the store")
        self.put("a.txt", magnet(1), age=5)
        self.wait(20)
        self.assertEqual(
            self.health.sentences(),
            ["magnets of the watch folder wait to be accepted: no space is left for the store"],
        )
        self.assertEqual(self.names(), ["a.txt"])
        self.queue.error = None
        self.wait(20)
        self.assertEqual((self.queue.keys(), self.names()), ([infohash(1)], ["a.txt.done"]))
        self.assertEqual(self.health.sentences(), [])

    def test_the_queue_is_closed(self) -> None:
        self.queue.error = QueueClosed("stopping")
        self.put("a.txt", f"nonsense\n{magnet(1)}", age=5)
        self.wait()
        self.assertEqual(self.names(), ["a.txt"])
        self.queue.error = None
        self.wait(3)
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])

    def test_the_folder_is_gone_and_comes_back(self) -> None:
        os.rename(self.path, self.path + ".away")
        self.wait(3)
        [words] = self.health.sentences()
        self.assertIn("cannot be read: No such file or directory; looking again every second", words)
        os.rename(self.path + ".away", self.path)
        self.put("a.txt", magnet(1), age=5)
        self.wait(2)
        self.assertEqual((self.queue.keys(), self.health.sentences()), ([infohash(1)], []))

    def break_call(self, name: str, number: int) -> Any:
        """Let a call of os fail until it is restored."""

        def failing(*args: Any, **kwargs: Any) -> Any:
            raise OSError(number, os.strerror(number))

        return self.patch(watched.os, name, failing)

    def test_what_cannot_be_read_or_renamed_is_left_until_it_changes(self) -> None:
        for call, taken in (("open", 0), ("rename", 1)):
            self.put(f"{call}.txt", f"{magnet(1)}\n", age=5)
            broken = self.break_call(call, errno.EACCES)
            self.wait(3)
            self.assertEqual(len(self.queue.keys()), taken)
            self.assertIn(f"{call}.txt", self.names())
            broken.restore()
            self.wait(3)
            self.assertEqual(self.queue.keys(), [])
            self.watch.stop()
            self.begin()
            self.assertNotIn(f"{call}.txt", self.names())
            self.queue.keys()

    def test_errors_that_cannot_be_written_keep_the_file_in_its_place(self) -> None:
        self.put("a.txt", f"nonsense\n{magnet(1)}\n", age=5)
        os.mkdir(os.path.join(self.path, ".a.txt.errors.part"))
        self.wait(3)
        self.assertIn("a.txt", self.names())
        os.rmdir(os.path.join(self.path, ".a.txt.errors.part"))
        self.put("a.txt", "", age=4)
        self.wait(2)
        self.assertEqual(self.names(), ["a.txt.done", "a.txt.errors"])


class GivenTests(FolderTestCase):
    """Magnets on the command line."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = Queue()
        self.health = Health()
        self.given = GivenMagnets(self.clock, self.health, [magnet(1), infohash(2).hex()])

    def test_submitted_once(self) -> None:
        verifyObject(IIntake, self.given)
        self.given.start(self.queue)
        self.assertEqual(
            [(job.source, job.line) for job in self.queue.jobs], [("command line", 1), ("command line", 2)]
        )
        self.assertEqual(self.queue.keys(), [infohash(1), infohash(2)])
        self.given.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again_until_accepted(self) -> None:
        self.queue.error = StoreFull("full")
        self.given.start(self.queue)
        self.clock.advance(1)
        self.assertEqual(len(self.health.sentences()), 1)
        self.queue.error = None
        self.clock.advance(2)
        self.assertEqual((self.health.sentences(), len(self.queue.jobs)), ([], 2))

    def test_stopped_meanwhile(self) -> None:
        self.queue.error = StoreFull("full")
        self.given.start(self.queue)
        self.given.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_given(self) -> None:
        given = GivenMagnets(self.clock, self.health, [])
        given.start(self.queue)
        given.stop()
        self.assertEqual(self.queue.sizes, [])
