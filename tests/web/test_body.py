"""Bodies: bounded memory, and a socket that is paused while nobody reads."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from functorrent.web.body import Body
from functorrent.web.problems import Problem


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.flow: list[bool] = []
        self.body = Body(None, 100, self.flow.append)

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.read())

    def test_what_came_and_what_comes(self) -> None:
        self.body.feed(b"one")
        self.assertEqual(self.successResultOf(self.read()), b"one")
        waiting = self.read()
        self.assertNoResult(waiting)
        self.body.feed(b"")
        self.body.feed(b"two")
        self.assertEqual(self.successResultOf(waiting), b"two")
        self.body.feed(b"three")
        self.body.end()
        self.assertEqual(self.successResultOf(self.read()), b"three")
        self.assertEqual(self.successResultOf(self.read()), b"")
        self.assertTrue(self.body.complete)

    def test_the_socket_is_paused_and_let_go(self) -> None:
        for _ in range(4):
            self.body.feed(b"x" * 40)
        self.assertEqual(self.flow, [False])
        self.successResultOf(self.read())
        self.successResultOf(self.read())
        self.assertEqual(self.flow, [False])
        self.successResultOf(self.read())
        self.assertEqual(self.flow, [False, True])

    def test_too_large_as_declared_and_as_it_comes(self) -> None:
        declared = Body(11, 100, self.flow.append)
        self.assertEqual(self.assertRaises(Problem, declared.open, 10).status, 413)
        declared.open(11)
        self.body.feed(b"x" * 8)
        self.body.open(10)
        self.body.feed(b"x" * 3)
        # What was within the cap counts.
        self.assertEqual(self.successResultOf(self.read()), b"x" * 8)
        self.assertEqual(self.failureResultOf(self.read(), Problem).value.status, 413)
        self.body.feed(b"more")
        self.failureResultOf(self.read(), Problem)
        self.assertEqual(self.assertRaises(Problem, self.body.open, 7).status, 413)

    def test_read_all(self) -> None:
        whole = Deferred.fromCoroutine(self.body.read_all(6))
        self.body.feed(b"one")
        self.body.feed(b"two")
        self.assertNoResult(whole)
        self.body.end()
        self.assertEqual(self.successResultOf(whole), b"onetwo")

    def test_an_error_reaches_the_reader(self) -> None:
        waiting = self.read()
        self.body.fail(Problem(408, "late"))
        self.assertEqual(self.failureResultOf(waiting, Problem).value.status, 408)
        self.body.fail(Problem(400, "another"))
        self.assertEqual(self.failureResultOf(self.read(), Problem).value.status, 408)

    def test_a_reader_that_is_cancelled(self) -> None:
        waiting = self.read()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.body.feed(b"one")
        self.assertEqual(self.successResultOf(self.read()), b"one")

    def test_dropped(self) -> None:
        self.body.feed(b"x" * 200)
        self.body.drop()
        self.failureResultOf(self.read(), Problem)
