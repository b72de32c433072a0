"""How long a peer is waited for: silent, stalled, trickling, slow and alone, kept by an extension."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import PeerSilent, PeerStalled
from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire.framing import KEEP_ALIVE, encode_frame
from functorrent.wire.handshake import Handshake
from tests.peer.bed import GRAIN, INFOHASH, THEIR_ID, Bed, Extension, Remote, frame

#: Seconds; the tests below rest on their being the same.
WAIT = DEFAULT_LIMITS.progress_timeout
#: Time enough for a deadline to be seen.
LATE = 2 * GRAIN


class PatienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.extension = Extension()
        self.bed = Bed(self.extension)
        self.owner = self.bed.owner

    def assert_stands(self) -> None:
        self.assertEqual(self.owner.outcome, "")

    def say_each_second(self, remote: Remote, data: bytes, seconds: float) -> float:
        """Say `data` each second until hung up on, or for so long; returns for how long."""
        for second in range(round(seconds)):
            if remote.dropped:
                return second
            remote.say(data)
            self.bed.wait(1)
        return seconds

    def test_silent(self) -> None:
        for call in (self.bed.call, self.bed.called):
            remote = call()
            self.owner.ended.clear()
            self.bed.wait(DEFAULT_LIMITS.handshake_timeout - GRAIN)
            self.assert_stands()
            self.bed.wait(LATE)
            self.assertIsInstance(self.owner.ended[0], PeerSilent)
            self.assertEqual(self.owner.outcome, "timed_out")
            self.assertTrue(remote.dropped)

    def test_a_handshake_trickled(self) -> None:
        remote = self.bed.call()
        self.owner.lone = True
        for byte in Handshake(INFOHASH, THEIR_ID).encode():
            if not remote.dropped:
                remote.say(bytes((byte,)))
                self.bed.wait(0.5)
        self.assertEqual(self.owner.outcome, "timed_out")

    def test_nothing_after_the_handshake(self) -> None:
        remote = self.bed.call()
        self.bed.wait(3)
        remote.greet()
        self.bed.wait(WAIT - GRAIN)
        self.assert_stands()
        self.bed.wait(LATE)
        self.assertIsInstance(self.owner.ended[0], PeerStalled)

    def test_an_offer_starts_it_again(self) -> None:
        remote = self.bed.call()
        remote.greet()
        self.bed.wait(3)
        remote.offer()
        self.bed.wait(WAIT - GRAIN)
        self.assert_stands()
        self.bed.wait(LATE)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_progress_starts_it_again(self) -> None:
        self.bed.open()
        for _ in range(20):
            self.bed.wait(WAIT - 1)
            self.extension.sessions[0].peer.progress()
        self.assert_stands()
        self.bed.wait(WAIT + LATE)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_what_is_no_progress(self) -> None:
        useless = {
            "keep-alives": KEEP_ALIVE,
            "bitfields": encode_frame(5, b"\xff" * 5000),
            "unknown": encode_frame(99, b"?" * 5000),
            "to nobody": frame(7, b"?" * 5000),
            "messages": frame(1, b"?" * 5000),
            "handshakes": frame(0, b"d1:md11:ut_metadatai2eee"),
        }
        for name, data in useless.items():
            self.owner.ended.clear()
            self.owner.lone = True
            remote = self.bed.open()
            self.assertLessEqual(self.say_each_second(remote, data, 60), WAIT + 1, name)
            self.assertEqual(self.owner.outcome, "stalled", name)

    def test_part_of_a_frame_at_a_fair_rate(self) -> None:
        remote = self.bed.open()
        remote.say(frame(1, bytes(60_000))[:6])
        self.assertEqual(self.say_each_second(remote, bytes(300), 60), 60)
        self.assert_stands()

    def test_part_of_a_frame_trickled(self) -> None:
        remote = self.bed.open()
        remote.say(frame(1, bytes(60_000))[:6])
        self.assertLessEqual(self.say_each_second(remote, bytes(200), 60), WAIT + 1)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_what_came_before_does_not_excuse_a_trickle(self) -> None:
        remote = self.bed.open()
        remote.say(frame(1, bytes(60_000)))
        self.extension.sessions[0].peer.progress()
        remote.say(frame(1, bytes(60_000))[:6])
        self.assertLessEqual(self.say_each_second(remote, b"\0", 60), WAIT + 1)

    def test_part_of_a_frame_and_then_nothing(self) -> None:
        remote = self.bed.open()
        self.owner.lone = True
        remote.say(frame(1, bytes(60_000))[:5000])
        self.bed.wait(3 * WAIT)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_slow_and_alone(self) -> None:
        self.owner.lone = True
        remote = self.bed.open()
        remote.say(frame(1, bytes(60_000))[:6])
        lasted = self.say_each_second(remote, b"\0", 60)
        self.assertGreaterEqual(lasted, DEFAULT_LIMITS.lone_progress_timeout)
        self.assertLessEqual(lasted, DEFAULT_LIMITS.lone_progress_timeout + WAIT)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_slow_and_alone_after_it_was_of_use(self) -> None:
        self.owner.lone = True
        remote = self.bed.open()
        for _ in range(6):
            self.bed.wait(WAIT - 1)
            self.extension.sessions[0].peer.progress()
        remote.say(frame(1, bytes(60_000))[:6])
        lasted = self.say_each_second(remote, b"\0", 60)
        self.assertGreaterEqual(lasted, DEFAULT_LIMITS.lone_progress_timeout)

    def test_a_message_that_is_skipped_is_of_no_use(self) -> None:
        remote = self.bed.open()
        remote.say(encode_frame(5, bytes(1_000_000))[:5])
        self.assertLessEqual(self.say_each_second(remote, bytes(2000), 60), WAIT + 1)

    def test_kept_by_one_and_taken_back(self) -> None:
        self.bed.open()
        handle = self.extension.sessions[0].peer
        handle.keep_open(30)
        self.bed.wait(20)
        self.assert_stands()
        handle.keep_open(0)
        handle.progress()
        self.bed.wait(WAIT - GRAIN)
        self.assert_stands()
        self.bed.wait(LATE)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_kept_by_another(self) -> None:
        other = Extension("x_other")
        bed = Bed(self.extension, other)
        bed.open()
        other.sessions[0].peer.keep_open(12)
        self.extension.sessions[0].peer.keep_open(6)
        self.extension.sessions[0].peer.keep_open(0)
        bed.wait(11)
        self.assertEqual(bed.owner.outcome, "")
        bed.wait(2)
        self.assertEqual(bed.owner.outcome, "stalled")

    def test_one_timer_for_a_thousand_peers(self) -> None:
        remotes: list[Any] = [self.bed.open() for _ in range(1000)]
        self.assertEqual(len(self.bed.clock.getDelayedCalls()), 1)
        for remote in remotes:
            remote.peer.abort(None)
        self.bed.wait(GRAIN)
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])
