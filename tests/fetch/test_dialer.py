"""The dialer: its budget, turns, hosts that do not answer, machines short of sockets, the rate."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.fetch.dialer import Dialer
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits

REFUSED = Failure(error.ConnectionRefusedError())
TIMED_OUT = Failure(error.TimeoutError())


def system_error(number: int) -> Failure:
    """A dial that failed with an errno."""
    return Failure(error.getConnectError((number, "x")))


def peers(count: int, host: str = "192.0.2.{}", port: int = 6881) -> list[PeerAddress]:
    """So many peers; each at a host of its own where `host` has a ``{}``."""
    if "{}" in host:
        return [PeerAddress(host.format(number), port) for number in range(count)]
    return [PeerAddress(host, port + number) for number in range(count)]


class FakeRace:
    """Wants its candidates dialed, `most` at a time, and notes the dials."""

    def __init__(self, dialer: Dialer, candidates: Iterable[PeerAddress] = (), most: int = 1000) -> None:
        self.dialer = dialer
        self.candidates = list(candidates)
        self.most = most
        self.open: list[PeerAddress] = []
        self.dialed: list[PeerAddress] = []
        self.timeouts: list[float] = []
        self.over = False

    def wants_dial(self) -> bool:
        return bool(self.candidates) and not self.over and len(self.open) < self.most

    def next_dial(self, allowed: Any) -> PeerAddress | None:
        if not self.wants_dial():
            return None
        for address in self.candidates:
            if allowed(address.host, self):
                self.candidates.remove(address)
                return address
        return None

    def dial(self, address: PeerAddress, timeout: float) -> None:
        self.open.append(address)
        self.dialed.append(address)
        self.timeouts.append(timeout)

    # What becomes of a dial.

    def fail(self, address: PeerAddress, reason: Failure = REFUSED) -> str | None:
        self.open.remove(address)
        outcome = self.dialer.failed(address, reason)
        if outcome is None:
            self.candidates.append(address)
        self.dialer.want(self)
        return outcome

    def close(self) -> None:
        self.over = True
        self.dialer.forget(self)
        for address in self.open:
            self.dialer.given_up(address)
        self.open.clear()


class Case(SynchronousTestCase):
    limits = DEFAULT_LIMITS
    rate: float | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialer = Dialer(self.clock, self.limits, rate=self.rate)

    def race(self, candidates: Iterable[PeerAddress] = (), most: int = 1000) -> FakeRace:
        race = FakeRace(self.dialer, candidates, most)
        self.dialer.want(race)
        return race

    def small(self, **limits: Any) -> None:
        self.dialer = Dialer(self.clock, replace(DEFAULT_LIMITS, **limits))


class BudgetTests(Case):
    limits = replace(DEFAULT_LIMITS, max_connections=4)

    def test_no_more_sockets_than_there_may_be(self) -> None:
        race = self.race(peers(10))
        self.assertEqual((len(race.dialed), self.dialer.sockets, self.dialer.dialed), (4, 4, 4))

    def test_one_that_fails_makes_room(self) -> None:
        race = self.race(peers(10))
        race.fail(race.open[0])
        self.assertEqual(len(race.dialed), 5)
        self.assertEqual(self.dialer.sockets, 4)

    def test_one_that_is_given_up_makes_room(self) -> None:
        race, other = self.race(peers(4)), self.race(peers(4, "198.51.100.{}"))
        self.assertEqual(other.dialed, [])
        race.close()
        self.clock.advance(0)
        self.assertEqual(len(other.dialed), 4)

    def test_a_connection_that_ends_makes_room(self) -> None:
        race, other = self.race(peers(4)), self.race(peers(4, "198.51.100.{}"))
        self.dialer.answered(race.open[0])
        self.clock.advance(0)
        self.assertEqual((self.dialer.sockets, other.dialed), (4, []))
        self.dialer.closed()
        self.clock.advance(0)
        self.assertEqual(len(other.dialed), 1)

    def test_in_turns(self) -> None:
        """One with a thousand dead peers holds nobody up."""
        first, second = self.race(peers(100)), self.race(peers(3, "198.51.100.{}"))
        for _ in range(7):
            for race in (first, second):
                for address in list(race.open):
                    race.fail(address)
        self.assertEqual(len(second.dialed), 3)

    def test_a_race_that_is_over_is_passed_by(self) -> None:
        first, second, third = self.race(peers(4)), self.race(peers(4)), self.race(peers(4))
        second.close()
        first.close()
        self.clock.advance(0)
        self.assertEqual((len(second.dialed), len(third.dialed)), (0, 4))

    def test_its_own_limit(self) -> None:
        race = self.race(peers(10), most=2)
        self.assertEqual(len(race.dialed), 2)
        race.fail(race.open[0])
        self.assertEqual(len(race.dialed), 3)

    def test_stopped(self) -> None:
        race, other = self.race(peers(4)), self.race(peers(4))
        self.dialer.given_up(race.open[0])
        self.dialer.stop()
        self.dialer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(other.dialed, [])

    def test_wanted_twice_it_stands_in_the_ring_once(self) -> None:
        first, second = self.race(peers(8)), self.race(peers(8, "198.51.100.{}"))
        for _ in range(10):
            self.dialer.want(second)
        first.close()
        third = self.race(peers(8, "203.0.113.{}"))
        self.clock.advance(0)
        self.assertEqual((len(second.dialed), len(third.dialed)), (2, 2))

    def test_nothing_to_wait_for(self) -> None:
        race = self.race(peers(2))
        self.dialer.answered(race.open[0])
        self.dialer.closed()
        race.fail(race.open[1])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ShareTests(Case):
    limits = replace(DEFAULT_LIMITS, max_connections=100, max_peers_per_magnet=40)

    def test_all_where_sockets_are_free(self) -> None:
        self.dialer.sockets = 25
        self.assertEqual(self.dialer.share, 40)

    def test_less_the_fewer_are_free(self) -> None:
        shares = []
        for self.dialer.sockets in range(26, 100):
            shares.append(self.dialer.share)
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertLess(shares[0], 40)
        self.assertEqual(shares[-1], 1)

    def test_never_none(self) -> None:
        self.dialer.sockets = 100
        self.assertEqual(self.dialer.share, 1)

    def test_more_in_use_than_there_may_be(self) -> None:
        """The system has just said that it has no more."""
        self.dialer.sockets, self.dialer.most_sockets = 100, 20
        self.assertEqual(self.dialer.share, 1)


class PatienceTests(Case):
    limits = replace(DEFAULT_LIMITS, max_connections=10)

    def test_all_of_it_while_there_are_sockets(self) -> None:
        race = self.race(peers(5))
        self.assertEqual(race.timeouts, [DEFAULT_LIMITS.connect_timeout] * 5)

    def test_all_of_it_where_nobody_waits(self) -> None:
        race = self.race(peers(10))
        self.assertEqual(race.timeouts[-1], DEFAULT_LIMITS.connect_timeout)

    def test_less_where_candidates_wait(self) -> None:
        race = self.race(peers(50))
        self.assertEqual(race.timeouts[:5], [DEFAULT_LIMITS.connect_timeout] * 5)
        self.assertEqual(race.timeouts, sorted(race.timeouts, reverse=True))
        self.assertEqual(race.timeouts[-1], DEFAULT_LIMITS.connect_timeout_min)


class HostTests(Case):
    """A host that does not answer is not dialed on and on; one that does is."""

    limits = replace(DEFAULT_LIMITS, max_unanswered_per_host=3)

    def test_so_many_unanswered(self) -> None:
        race = self.race([*peers(10, "192.0.2.1"), PeerAddress("192.0.2.2", 1)])
        self.assertEqual(len(race.dialed), 4)
        race.fail(race.open[0])
        self.clock.advance(0)
        self.assertEqual(len(race.dialed), 5)

    def test_lifted_once_it_answers(self) -> None:
        race, other = self.race(peers(10, "192.0.2.1")), self.race(peers(10, "192.0.2.1", 100))
        self.assertEqual((len(race.dialed), len(other.dialed)), (3, 0))
        self.dialer.answered(race.open[0])
        self.clock.advance(0)
        self.assertEqual((len(race.dialed), len(other.dialed)), (10, 10))

    def test_back_once_a_dial_times_out(self) -> None:
        race = self.race(peers(1, "192.0.2.1"))
        self.dialer.answered(race.open[0])
        race.candidates = peers(10, "192.0.2.1", 100)
        self.dialer.want(race)
        self.assertEqual(len(race.dialed), 11)
        race.candidates = peers(10, "192.0.2.1", 200)
        race.most = 0
        race.fail(race.open[1], TIMED_OUT)
        race.most = 1000
        self.dialer.want(race)
        self.assertEqual(len(race.dialed), 11)

    def test_a_race_that_is_over_frees_the_next(self) -> None:
        race = self.race(peers(3, "192.0.2.1"))
        dead = [self.race(peers(3, "192.0.2.1", 100)) for _ in range(5)]
        live = self.race(peers(3, "192.0.2.1", 200))
        for each in dead:
            each.close()
        race.fail(race.open[0])
        self.clock.advance(0)
        self.assertEqual(len(live.dialed), 1)

    def test_one_that_ends_frees_one(self) -> None:
        race = self.race(peers(3, "192.0.2.1"))
        held = [self.race(peers(3, "192.0.2.1", 100 * number)) for number in (1, 2, 3)]
        race.most = 0
        race.fail(race.open[0])
        self.clock.advance(0)
        # It has further ports there, and waits behind the others.
        self.assertEqual(list(self.dialer._held["192.0.2.1"]), [*held[1:], held[0]])
        self.assertEqual([len(each.dialed) for each in held], [1, 0, 0])
        self.dialer.answered(race.open[0])
        self.assertEqual(self.dialer._held, {})
        self.clock.advance(0)
        self.assertEqual([len(each.dialed) for each in held], [3, 3, 3])

    def test_nobody_is_held_when_none_is_left_to_end(self) -> None:
        race = self.race(peers(3, "192.0.2.1"))
        held = [self.race(peers(1, "192.0.2.1", 100 + number)) for number in range(10)]
        for each in held[:5]:
            # When their turn comes they have found something else to do.
            each.candidates = peers(1, f"198.51.100.{held.index(each)}")
        for address in list(race.open):
            race.fail(address)
        self.clock.advance(0)
        for each in held:
            for address in list(each.open):
                each.fail(address)
        self.clock.advance(0)
        for each in held:
            for address in list(each.open):
                each.fail(address)
        self.clock.advance(0)
        self.assertEqual([each.candidates for each in held], [[]] * 10)

    def test_what_is_held_does_not_grow(self) -> None:
        self.race(peers(3, "192.0.2.1"))
        first, second = self.race(peers(3, "192.0.2.1", 100)), self.race(peers(3, "192.0.2.1", 200))
        for _ in range(100):
            self.dialer.want(first)
            self.dialer.want(second)
        self.assertEqual(len(self.dialer._held["192.0.2.1"]), 2)

    def test_hosts_that_answered_are_remembered_up_to_a_number(self) -> None:
        self.patch(__import__("functorrent.fetch.dialer").fetch.dialer, "_REMEMBERED", 5)
        race = self.race(peers(20))
        for address in list(race.open):
            self.dialer.answered(address)
        self.assertEqual(len(self.dialer._answering), 5)

    def test_nothing_is_kept_of_dials_that_ended(self) -> None:
        race = self.race([*peers(10, "192.0.2.1"), *peers(10)])
        while race.open:
            race.fail(race.open[0])
            self.clock.advance(0)
        self.assertEqual((self.dialer._unanswered, self.dialer._held, self.dialer.sockets), ({}, {}, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OutcomeTests(Case):
    def test_words(self) -> None:
        for reason, outcome in (
            (REFUSED, "refused"),
            (TIMED_OUT, "timed_out"),
            (system_error(errno.ETIMEDOUT), "timed_out"),
            (system_error(errno.ECONNREFUSED), "refused"),
            (system_error(errno.ENETUNREACH), "unreachable"),
            (system_error(errno.EHOSTUNREACH), "unreachable"),
            (Failure(OSError(errno.EACCES, "x")), "unreachable"),
            (Failure(ValueError("x")), "unreachable"),
            (Failure(error.UserError()), "cancelled"),
            (Failure(OSError(errno.EMFILE, "x")), None),
            (system_error(errno.EADDRNOTAVAIL), None),
            (system_error(errno.ENOBUFS), None),
        ):
            race = self.race(peers(1))
            self.assertEqual(race.fail(race.open[0], reason), outcome, reason)
            race.close()
            self.clock.advance(1)


class ShortageTests(Case):
    """This machine has no more sockets: fewer at once, a breath, and again."""

    def test_fewer_at_once(self) -> None:
        race = self.race(peers(100))
        race.fail(race.open[-1], system_error(errno.EMFILE))
        self.assertEqual(self.dialer.most_sockets, 99 * 7 // 8)
        race.fail(race.open[-1], system_error(errno.EMFILE))
        self.assertEqual(self.dialer.most_sockets, 86 * 7 // 8)

    def test_no_fewer_than_a_few(self) -> None:
        race = self.race(peers(3))
        for _ in range(10):
            race.fail(race.open[0], system_error(errno.EMFILE))
            self.clock.advance(1)
        self.assertEqual(self.dialer.most_sockets, 8)

    def test_no_more_than_the_user_wants(self) -> None:
        self.small(max_connections=2)
        race = self.race(peers(3))
        race.fail(race.open[0], system_error(errno.EMFILE))
        self.assertEqual(self.dialer.most_sockets, 2)

    def test_again_after_a_breath(self) -> None:
        race = self.race(peers(1))
        race.fail(race.open[0], system_error(errno.EMFILE))
        self.dialer.want(race)
        other = self.race(peers(1))
        self.assertEqual((len(race.dialed), len(other.dialed)), (1, 0))
        self.clock.advance(0.04)
        self.assertEqual(len(race.dialed), 1)
        self.clock.advance(0.02)
        self.assertEqual((len(race.dialed), len(other.dialed)), (2, 1))

    def test_no_busy_loop(self) -> None:
        """Nothing but a breath lies between tries, whatever else happens meanwhile."""
        race = self.race(peers(5))
        tries = 0
        for _ in range(100):
            for address in list(race.open):
                race.fail(address, system_error(errno.EMFILE))
                tries += 1
            self.dialer.closed()
            self.dialer.sockets += 1
            self.clock.advance(0.01)
        self.assertLessEqual(tries, 5 * 21)

    def test_a_breath_comes_before_what_was_about_to_be_dialed(self) -> None:
        self.small(max_connections=2)
        race = self.race(peers(5))
        self.dialer.given_up(race.open.pop())
        race.fail(race.open[0], system_error(errno.EMFILE))
        self.clock.advance(0.01)
        self.assertEqual(len(race.dialed), 2)
        self.clock.advance(0.05)
        self.assertEqual(len(race.dialed), 4)

    def test_more_again_as_connections_end(self) -> None:
        self.small(max_connections=20)
        race = self.race(peers(20))
        race.fail(race.open[-1], system_error(errno.EMFILE))
        self.assertEqual(self.dialer.most_sockets, 16)
        for _ in range(10):
            self.dialer.closed()
        self.assertEqual(self.dialer.most_sockets, 20)

    def test_a_machine_without_ipv6(self) -> None:
        race = self.race([PeerAddress("2001:db8::1", 1), PeerAddress("192.0.2.1", 1)])
        self.assertEqual(race.fail(race.open[0], system_error(errno.EADDRNOTAVAIL)), "unreachable")
        self.assertEqual(self.dialer.most_sockets, self.limits.max_connections)

    def test_a_machine_with_ipv6(self) -> None:
        race = self.race([PeerAddress("2001:db8::1", 1), PeerAddress("2001:db8::2", 1)])
        self.dialer.answered(race.open[0])
        self.assertIsNone(race.fail(race.open[1], system_error(errno.EADDRNOTAVAIL)))

    def test_another_want_over_ipv6(self) -> None:
        race = self.race([PeerAddress("2001:db8::1", 1)])
        self.assertIsNone(race.fail(race.open[0], system_error(errno.EMFILE)))

    def test_stopped_while_it_breathes(self) -> None:
        race = self.race(peers(1))
        race.fail(race.open[0], system_error(errno.EMFILE))
        self.dialer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RateTests(Case):
    rate = 2.0

    def test_so_many_a_second(self) -> None:
        race = self.race(peers(10))
        self.assertEqual(len(race.dialed), 2)
        for second in range(1, 4):
            self.clock.pump([0.125] * 8)
            self.assertEqual(len(race.dialed), 2 + 2 * second)

    def test_what_is_not_used_is_not_saved_up(self) -> None:
        self.clock.advance(1000)
        race = self.race(peers(10))
        self.assertEqual(len(race.dialed), 2)

    def test_who_wants_nothing_costs_nothing(self) -> None:
        over = [self.race() for _ in range(5)]
        for each in over:
            self.dialer.want(each)
            each.close()
        first = self.race(peers(1, "192.0.2.1"))
        gone = self.race(peers(1))
        self.assertEqual((len(first.dialed), len(gone.dialed)), (1, 1))

    def test_over_in_the_ring_costs_nothing(self) -> None:
        race = self.race(peers(4))
        gone = self.race(peers(4))
        gone.close()
        self.clock.advance(1)
        self.assertEqual((len(race.dialed), len(gone.dialed)), (4, 0))

    def test_less_than_one_a_second(self) -> None:
        self.dialer = Dialer(self.clock, rate=0.5)
        race = self.race(peers(5))
        self.assertEqual(len(race.dialed), 1)
        self.clock.pump([0.25] * 16)
        self.assertEqual(len(race.dialed), 3)


#: (which race, which of its open dials, what becomes of it)
steps = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 100),
        st.sampled_from(("refused", "timed_out", "answered", "short", "closed", "given_up", "want", "wait")),
    ),
    max_size=120,
)


class InvariantTests(SynchronousTestCase):
    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(steps)
    def test_every_peer_is_dialed_and_every_socket_given_back(
        self, script: list[tuple[int, int, str]]
    ) -> None:
        clock = Clock()
        limits: Limits = replace(DEFAULT_LIMITS, max_connections=12, max_unanswered_per_host=2)
        dialer = Dialer(clock, limits)
        races = [
            FakeRace(dialer, [*peers(4, "192.0.2.1", 100 * n), *peers(3, f"198.51.100.{n}")], most=5)
            for n in range(1, 6)
        ]
        connected: list[FakeRace] = []
        for race in races:
            dialer.want(race)

        def step(race: FakeRace, place: int, what: str) -> None:
            if what == "wait":
                clock.advance(0.06)
            elif what == "closed" and connected:
                dialer.closed()
                other = connected.pop()
                dialer.want(other)
            elif what == "want":
                dialer.want(race)
            elif race.open:
                address = race.open[place % len(race.open)]
                if what == "answered":
                    race.open.remove(address)
                    dialer.answered(address)
                    connected.append(race)
                elif what == "given_up":
                    race.open.remove(address)
                    dialer.given_up(address)
                    race.candidates.append(address)
                    dialer.want(race)
                elif what == "short":
                    race.fail(address, system_error(errno.EMFILE))
                else:
                    race.fail(address, REFUSED if what == "refused" else TIMED_OUT)
            self.assertLessEqual(dialer.sockets, limits.max_connections)
            self.assertEqual(dialer.sockets, sum(len(each.open) for each in races) + len(connected))

        for number, place, what in script:
            step(races[number], place, what)
        # From here all goes on to its end.
        while connected:
            step(races[0], 0, "closed")
        for _ in range(60):
            step(races[0], 0, "wait")
            for race in races:
                while race.open:
                    step(race, 0, "refused")
        self.assertEqual([race.candidates for race in races], [[]] * 5)
        self.assertEqual((dialer.sockets, dialer._held, dialer._unanswered), (0, {}, {}))
        clock.advance(1)
        self.assertEqual(clock.getDelayedCalls(), [])
