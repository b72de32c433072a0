"""What a failed try learned of trackers helps the next one, in another process too."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from functorrent.interfaces import IRecallingSource, PeerAddress
from functorrent.limits import Limits
from functorrent.sources.tracker.announce import Answer
from functorrent.sources.tracker.memory import Memory
from functorrent.wire.udp_tracker import STARTED
from tests.sources.fakes import UdpTracker
from tests.sources.test_tracker_source import PEER, UDP, Sink, _Trackers, infohash

WALL = 1_700_000_000.0
DEAD = "udp://t.example:1"
quick = settings(deadline=None, derandomize=True, max_examples=200)


class Learning(_Trackers):
    """A source, and another one after a restart."""

    def restart(self, later: float = 60.0, number: int = 1) -> None:
        """Another process, so many seconds later, that is told what this one has learned."""
        learned = self.source.learned(infohash(number), WALL)
        assert learned is not None
        self.learned = json.loads(json.dumps(learned))
        self.network.advance(1000)
        self.source = self.make()
        self.sink = Sink()
        self.source.recall(infohash(number), self.learned, WALL + later)

    def test_interface(self) -> None:
        verifyObject(IRecallingSource, self.source)
        self.assertIsNone(self.source.learned(infohash(1), WALL))

    def test_the_interval_is_honoured_and_the_peers_are_tried_again(self) -> None:
        tracker = UdpTracker(self.network)
        self.find(UDP)
        self.restart(later=1700)
        report = self.successResultOf(self.find(UDP))
        self.assertEqual(self.sink.found, [PEER])
        self.assertEqual((report.trackers[0].status, report.announced), ("ok", False))
        self.assertEqual(tracker.events(), [STARTED])
        # It began 1700 s after the answer, by the time of day: 100 are left of 1800.
        self.wait(99)
        self.find(UDP)
        self.assertEqual(len(tracker.announces), 1)
        self.wait(2)
        self.find(UDP)
        self.assertEqual(len(tracker.announces), 2)

    def test_only_for_this_torrent(self) -> None:
        tracker = UdpTracker(self.network)
        self.find(UDP)
        self.restart()
        self.find(UDP, number=2)
        self.assertEqual([request.infohash for request in tracker.announces], [infohash(1), infohash(2)])

    def test_a_clock_that_was_set_back_does_not_silence_a_tracker_for_long(self) -> None:
        tracker = UdpTracker(self.network)
        self.find(UDP)
        self.restart(later=-10 * 365 * 86_400.0)
        self.wait(10)
        self.find(UDP)
        self.assertEqual(len(tracker.announces), 1)
        self.network.advance(Limits().max_interval)
        self.find(UDP)
        self.assertEqual(len(tracker.announces), 2)

    def test_what_a_dead_tracker_had_named_is_tried(self) -> None:
        UdpTracker(self.network)
        self.find(UDP)
        del self.network.trackers["93.184.216.34", 6969]
        self.restart(later=7200)
        d = self.find(UDP)
        self.wait(31)
        report = self.successResultOf(d)
        self.assertEqual(self.sink.found, [PEER])
        self.assertEqual((report.peers, report.trackers[0].status), (1, "timed_out"))

    def test_also_where_its_name_is_gone(self) -> None:
        UdpTracker(self.network)
        self.find(UDP)
        self.restart(later=7200)
        self.names.table.clear()
        report = self.successResultOf(self.find(UDP))
        self.assertEqual((self.sink.found, report.trackers[0].status), ([PEER], "failed"))

    def test_but_not_what_is_older_than_a_day(self) -> None:
        UdpTracker(self.network)
        self.find(UDP)
        del self.network.trackers["93.184.216.34", 6969]
        self.restart(later=90_000)
        d = self.find(UDP)
        self.wait(31)
        self.assertEqual((self.successResultOf(d).peers, self.sink.found), (0, []))

    def test_who_failed_is_asked_last(self) -> None:
        dead = [f"udp://t.example:{port}" for port in range(1, 31)]
        UdpTracker(self.network)
        self.find(*dead)
        self.wait(40)
        self.restart()
        self.find(*dead, UDP)
        self.assertEqual(self.sink.found, [PEER])

    def test_and_no_longer_once_it_has_answered(self) -> None:
        self.find(DEAD)
        self.wait(31)
        self.assertEqual(self.source.learned(infohash(1), WALL), {"answers": [], "failed": [DEAD]})
        UdpTracker(self.network, port=1)
        self.wait(61)
        self.find(DEAD)
        learned = self.source.learned(infohash(1), WALL)
        assert learned is not None
        self.assertEqual((learned["failed"], len(learned["answers"])), ([], 1))

    def test_a_tracker_id_goes_along(self) -> None:
        memory = Memory(self.limits)
        memory.keep("u", b"h", Answer(interval=60, tracker_id=b"\xff\0id"), 0)
        other = Memory(self.limits)
        other.take(b"h", memory.learned(b"h", 0, WALL) or {}, 500, WALL)
        self.assertEqual(other.tracker_id("u", b"h"), b"\xff\0id")


class Bounds(_Trackers):
    """What goes out is small; what comes in may be anything."""

    limits = Limits(learned_peers=2, learned_trackers=3, remembered_announces=4)

    def setUp(self) -> None:
        super().setUp()
        self.memory = Memory(self.limits)

    def test_peers_and_trackers(self) -> None:
        v4, v6 = b"\x08\x08\x08\x08\x1a\xe1" * 9, b"\x20\x01" + b"\x08" * 16
        for number in range(4):
            self.memory.keep(f"u{number}", b"h", Answer(v4, v6 * 9, interval=60), 0)
        learned = self.memory.learned(b"h", 0, WALL)
        assert learned is not None
        self.assertEqual(len(learned["answers"]), 3)
        other = Memory(self.limits)
        other.take(b"h", learned, 0, WALL)
        answer = other.recall("u0", b"h", 0)
        assert answer is not None
        self.assertEqual((answer.peers4, answer.peers6), (v4[:12], v6 * 2))

    def test_long_urls(self) -> None:
        memory = Memory(Limits())
        for number in range(40):
            memory.keep(f"{number}" + "x" * 2000, b"h", Answer(interval=60), 0)
            memory.failed(f"{number}" + "y" * 2000, b"h")
        self.assertLess(len(json.dumps(memory.learned(b"h", 0, WALL))), 26_000)

    def test_our_own_is_newer(self) -> None:
        self.memory.keep("u", b"h", Answer(b"\x08" * 6, interval=60), 0)
        self.memory.take(
            b"h", {"answers": [{"url": "u", "until": WALL + 9, "peers": ""}], "failed": ["u"]}, 0, WALL
        )
        answer = self.memory.recall("u", b"h", 30)
        assert answer is not None
        self.assertEqual((answer.peers4, self.memory.useless(b"h")), (b"\x08" * 6, None))

    def test_torrents_give_way(self) -> None:
        for number in range(9):
            self.memory.failed("u", infohash(number))
            self.memory.failed("v", infohash(number))
        kept = [number for number in range(9) if self.memory.useless(infohash(number))]
        self.assertEqual(kept, [7, 8])

    def test_nonsense_is_passed_over(self) -> None:
        good = {"url": "u", "until": WALL + 50, "peers": "CAgICBrh"}
        bad: list[Any] = [
            None,
            "u",
            {},
            {**good, "url": 7},
            {**good, "url": ""},
            {**good, "url": "x" * 3000},
            {**good, "until": "soon"},
            {**good, "until": float("nan")},
            {**good, "until": 10**400},
            {**good, "until": float("inf")},
        ]
        for each in bad:
            self.memory.take(b"h", {"answers": [each], "failed": [each, 7, None]}, 0, WALL)
        self.assertEqual(self.memory._kept.get(b"h") and self.memory._kept[b"h"].answers, {})
        for wrong in ("?", "é", 7, None, "A" * 9000, "CAgI"):
            memory = Memory(self.limits)
            memory.take(b"h", {"answers": [{**good, "peers": wrong, "id": wrong}]}, 0, WALL)
            answer = memory.recall("u", b"h", 0)
            assert answer is not None
            self.assertEqual((answer.peers4, answer.peers()), (b"", []))
        self.memory.take(b"h", {"answers": [good]}, 0, WALL)
        answer = self.memory.recall("u", b"h", 0)
        assert answer is not None
        self.assertEqual(answer.peers(), [PeerAddress("8.8.8.8", 6881)])

    json_values = st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["url", "until", "peers", "peers6", "id", "x"]), inner, max_size=5
            )
        ),
        max_leaves=20,
    )

    @given(st.dictionaries(st.sampled_from(["answers", "failed", "x"]), json_values, max_size=3))
    @quick
    def test_anything(self, learned: dict[str, Any]) -> None:
        memory = Memory(self.limits)
        memory.take(b"h", learned, 0, WALL)
        json.dumps(memory.learned(b"h", 0, WALL))
        self.assertLessEqual(memory._count, 8)
