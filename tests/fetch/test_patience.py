"""How long a magnet that nobody answers for keeps its slot; and the small parts of a core."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.fetch.identity import Identity
from functorrent.fetch.patience import Patience


class PatienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.patience = Patience(self.clock, 0.5)
        self.called: list[str] = []

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.005] * round(seconds / 0.005))

    def one(self) -> None:
        self.called.append("one")

    def two(self) -> None:
        self.called.append("two")

    def test_called_when_it_is_over(self) -> None:
        self.patience.wait(self.one)
        self.run_for(0.3)
        self.patience.wait(self.two)
        self.run_for(0.19)
        self.assertEqual(self.called, [])
        self.run_for(0.03)
        self.assertEqual(self.called, ["one"])
        self.run_for(0.31)
        self.assertEqual(self.called, ["one", "two"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cleared(self) -> None:
        self.patience.wait(self.one)
        self.patience.clear(self.one)
        self.patience.clear(self.one)
        self.run_for(1)
        self.assertEqual(self.called, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        self.patience.wait(self.one)
        self.patience.stop()
        self.patience.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_clears_another(self) -> None:
        self.patience.wait(lambda: self.patience.clear(self.one))
        self.patience.wait(self.one)
        self.run_for(1)
        self.assertEqual(self.called, [])

    def test_one_that_stops_all(self) -> None:
        self.patience.wait(self.patience.stop)
        self.patience.wait(self.one)
        self.run_for(1)
        self.assertEqual((self.called, self.clock.getDelayedCalls()), ([], []))

    def test_one_that_waits_again(self) -> None:
        def again() -> None:
            self.called.append("again")
            if len(self.called) < 3:
                self.patience.wait(again)

        self.patience.wait(again)
        self.run_for(3)
        self.assertEqual(self.called, ["again"] * 3)

    def test_one_that_raises(self) -> None:
        def broken() -> None:
            raise ZeroDivisionError

        self.patience.wait(broken)
        self.patience.wait(self.one)
        self.run_for(0.6)
        self.assertEqual(self.called, ["one"])
        self.patience.wait(self.two)
        self.run_for(0.6)
        self.assertEqual(self.called, ["one", "two"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_less_where_peers_answer_at_once(self) -> None:
        self.assertEqual(self.patience.seconds, 0.5)
        self.patience.answered(0.01)
        self.assertAlmostEqual(self.patience.seconds, 0.08)
        self.patience.answered(0.0)
        self.assertLess(self.patience.seconds, 0.08)

    def test_never_none_and_never_more(self) -> None:
        self.patience.answered(0.0)
        self.assertEqual(self.patience.seconds, 0.02)
        self.patience.answered(100.0)
        self.assertEqual(self.patience.seconds, 0.5)

    def test_one_slow_peer_changes_it_little(self) -> None:
        for _ in range(50):
            self.patience.answered(0.001)
        self.patience.answered(0.05)
        self.assertLess(self.patience.seconds, 0.1)


class IdentityTests(SynchronousTestCase):
    def test_peer_ids(self) -> None:
        identity = Identity("1.2.3")
        first, again, other = (identity.peer_id(infohash) for infohash in (b"a" * 20, b"a" * 20, b"b" * 20))
        self.assertEqual(first, again)
        self.assertNotEqual(first[8:], other[8:])
        self.assertEqual((len(first), first[:8]), (20, b"-FT1230-"))
        self.assertNotEqual(Identity("1.2.3").peer_id(b"a" * 20), first)

    def test_versions(self) -> None:
        for version, digits in (("0.1.0", b"0100"), ("1", b"1000"), ("10.2.3.4.5", b"1234")):
            self.assertEqual(Identity(version).peer_id(bytes(20))[:8], b"-FT" + digits + b"-")

    def test_key(self) -> None:
        self.assertLess(Identity("1").key, 2**32)
        self.assertIsNone(Identity("1").port)
