"""Transactions, time limits and rates of our queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.calls import Call, Calls, RoundTrips
from functorrent.sources.dht.stats import DhtStats
from functorrent.wire.krpc import Error, Response

ID = b"n" * 20
ADDRESS = PeerAddress("20.0.0.1", 6881)


class Caller:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def answered(self, call: Call, response: Response) -> None:
        self.told.append("answered")

    def stalled(self, call: Call) -> None:
        self.told.append("stalled")

    def lost(self, call: Call) -> None:
        self.told.append("lost")


class CallsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stats = DhtStats()
        self.sent: list[tuple[bytes, PeerAddress]] = []
        self.heard: list[bytes] = []
        self.silent: list[PeerAddress] = []
        self.why: str | None = None
        self.calls = self.make()
        self.caller = Caller()

    def make(self, rate: float = 250.0, **limits: Any) -> Calls:
        def send(data: bytes, address: Any) -> str | None:
            self.sent.append((data, address))
            return self.why

        return Calls(
            self.clock,
            send,
            replace(DEFAULT_LIMITS, **limits),
            rate,
            self.stats,
            lambda call, response: self.heard.append(response.sender),
            lambda call: self.silent.append(call.address),
        )

    def ask(self, address: PeerAddress = ADDRESS, method: str = "ping") -> Call:
        call = Call(address, ID, method, self.caller, None)
        self.calls.ask(call, lambda transaction: b"q" + transaction)
        return call

    def answer(self, call: Call, address: tuple[str, int] | None = None) -> None:
        self.calls.received(Response(call.transaction, ID), address or call.address)

    def go(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    def test_an_answer(self) -> None:
        call = self.ask()
        self.assertEqual(self.sent, [(b"q" + call.transaction, ADDRESS)])
        self.answer(call)
        self.assertEqual(self.caller.told, ["answered"])
        self.assertEqual(self.heard, [ID])
        self.go(10)
        self.assertEqual(self.caller.told, ["answered"])
        self.assertEqual(len(self.calls), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_counts_once(self) -> None:
        call = self.ask()
        self.answer(call)
        self.answer(call)
        self.assertEqual(self.caller.told, ["answered"])
        self.assertEqual(self.stats.unknown, 1)

    def test_from_another_address_it_is_dropped(self) -> None:
        call = self.ask()
        self.answer(call, ("20.0.0.2", 6881))
        self.answer(call, ("20.0.0.1", 6882))
        self.assertEqual((self.caller.told, self.heard), ([], []))
        self.assertEqual(self.stats.unknown, 2)
        # ... and does not end the call.
        self.answer(call, ("20.0.0.1", 6881))
        self.assertEqual(self.caller.told, ["answered"])

    def test_with_a_transaction_nobody_began_it_is_dropped(self) -> None:
        call = self.ask()
        for transaction in (b"", b"aa", call.transaction[:2], call.transaction + b"\0"):
            self.calls.received(Response(transaction, ID), ADDRESS)
            self.calls.received(Error(transaction, 201), ADDRESS)
        self.assertEqual(self.stats.unknown, 8)
        self.assertEqual(self.caller.told, [])

    def test_transaction_ids_differ_and_show_no_order(self) -> None:
        calls = self.calls
        ids = []
        for number in range(1000):
            ids.append(self.ask(PeerAddress("20.0.0.1", number + 1)).transaction)
        self.assertEqual(len(set(ids)), 1000)
        self.assertEqual({len(each) for each in ids}, {4})
        # Each bit is set in about half of them.
        for bit in range(32):
            ones = sum(int.from_bytes(each, "big") >> bit & 1 for each in ids)
            self.assertTrue(350 < ones < 650, ones)
        calls.stop()

    def test_nothing_comes_back(self) -> None:
        self.ask()
        self.go(DEFAULT_LIMITS.dht_first_stall + 0.05)
        self.assertEqual(self.caller.told, ["stalled"])
        self.go(DEFAULT_LIMITS.dht_first_timeout)
        self.assertEqual(self.caller.told, ["stalled", "lost"])
        self.assertEqual(self.silent, [ADDRESS])
        self.assertEqual(self.stats.timeouts, 1)

    def test_a_late_answer_counts_all_the_same(self) -> None:
        call = self.ask()
        self.go(2.5)
        self.answer(call)
        self.assertEqual(self.caller.told, ["stalled", "lost", "answered"])
        self.assertEqual(self.heard, [ID])

    def test_a_very_late_one_does_not(self) -> None:
        call = self.ask()
        self.go(DEFAULT_LIMITS.dht_forget + 0.1)
        self.answer(call)
        self.assertEqual(self.caller.told, ["stalled", "lost"])
        self.assertEqual(len(self.calls), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_error_is_no_answer(self) -> None:
        call = self.ask()
        self.calls.received(Error(call.transaction, 203), ADDRESS)
        self.assertEqual((self.caller.told, self.heard), (["lost"], []))
        self.assertEqual(self.stats.errors, 1)
        # Who answers nothing else is no node.
        self.assertEqual(self.silent, [ADDRESS])

    def test_an_announce_that_is_refused_is_no_fault(self) -> None:
        """Its token may have been too old."""
        call = self.ask(method="announce_peer")
        self.calls.received(Error(call.transaction, 203), ADDRESS)
        self.assertEqual((self.caller.told, self.silent), (["lost"], []))

    def test_who_does_not_care_any_more_is_not_called(self) -> None:
        call, other = self.ask(), self.ask()
        self.calls.forget(call)
        self.calls.forget(other)
        self.answer(call)
        self.go(5)
        self.assertEqual(self.caller.told, [])
        # The routing table learns of both.
        self.assertEqual((self.heard, self.silent), ([ID], [ADDRESS]))

    def test_what_cannot_be_sent_is_lost_at_once_but_not_before_ask_returns(self) -> None:
        self.why = "no route"
        self.ask()
        self.assertEqual(self.caller.told, [])
        self.go(0.05)
        self.assertEqual(self.caller.told, ["lost"])
        self.assertEqual(len(self.calls), 0)

    def test_stopped_by_one_that_could_not_be_sent_the_others_are_forgotten(self) -> None:
        # The last lookup fails for want of a way out, the fetch ends, and with it the node.
        self.why = "it cannot be reached from here"
        calls, told = self.calls, self.caller.told

        class Last(Caller):
            def lost(self, call: Call) -> None:
                calls.stop()

        self.calls.ask(Call(ADDRESS, ID, "ping", Last(), None), lambda transaction: transaction)
        self.ask()
        self.go(1)
        self.assertEqual(told, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_quick_network_is_given_up_on_quickly(self) -> None:
        for number in range(20):
            call = self.ask(PeerAddress("20.0.0.1", number + 1))
            self.clock.advance(0.02)
            self.answer(call)
        self.ask(PeerAddress("20.0.0.2", 1))
        self.caller.told.clear()
        self.go(DEFAULT_LIMITS.dht_min_timeout + 0.05)
        self.assertEqual(self.caller.told, ["stalled", "lost"])

    def test_a_slow_network_corrects_the_limit(self) -> None:
        for number in range(20):
            call = self.ask(PeerAddress("20.0.0.1", number + 1))
            self.go(2.2)
            self.answer(call)
        # At first they were lost; now they are waited for.
        self.assertIn("lost", self.caller.told)
        self.assertGreater(self.calls.round_trips.limit, 2.2)
        self.caller.told.clear()
        call = self.ask(PeerAddress("20.0.0.2", 1))
        self.go(2.1)
        self.answer(call)
        self.assertEqual(self.caller.told[-1], "answered")
        self.assertNotIn("lost", self.caller.told)

    def test_bounds_of_what_is_measured(self) -> None:
        trips = RoundTrips(DEFAULT_LIMITS)
        for _ in range(50):
            trips.measured(0.0001)
        self.assertEqual(trips.stall, DEFAULT_LIMITS.dht_min_stall)
        self.assertEqual(trips.limit, DEFAULT_LIMITS.dht_min_timeout)
        for _ in range(50):
            trips.measured(60.0)
        self.assertLessEqual(trips.stall, DEFAULT_LIMITS.dht_max_timeout)
        self.assertEqual(trips.limit, DEFAULT_LIMITS.dht_max_timeout)

    def test_an_address_has_a_rate(self) -> None:
        burst = round(DEFAULT_LIMITS.dht_address_burst)
        for number in range(burst):
            # Whichever the port: it is one host that would block us.
            self.assertEqual(self.calls.pause(PeerAddress("20.0.0.1", number + 1)), 0.0)
            self.ask(PeerAddress("20.0.0.1", number + 1))
        pause = self.calls.pause(ADDRESS)
        self.assertAlmostEqual(pause, 1 / DEFAULT_LIMITS.dht_address_rate)
        self.assertEqual(self.calls.pause(PeerAddress("20.0.0.2", 1)), 0.0)
        self.clock.advance(pause)
        self.assertAlmostEqual(self.calls.pause(ADDRESS), 0.0)

    def test_local_nodes_are_counted_by_port(self) -> None:
        for _ in range(30):
            self.ask(PeerAddress("127.0.0.1", 1))
        self.assertGreater(self.calls.pause(PeerAddress("127.0.0.1", 1)), 0.0)
        self.assertEqual(self.calls.pause(PeerAddress("127.0.0.1", 2)), 0.0)

    def test_remembered_addresses_are_bounded(self) -> None:
        for number in range(10_000):
            self.ask(PeerAddress(f"20.{number >> 8}.{number & 255}.1", 1))
        self.assertLessEqual(len(self.calls._rates), 4096)
        self.calls.stop()

    def test_stopped_it_calls_nobody(self) -> None:
        call = self.ask()
        self.calls.stop()
        self.answer(call)
        self.go(5)
        self.assertEqual((self.caller.told, self.heard, self.silent), ([], [], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])
