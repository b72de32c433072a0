"""Whatever peers do, and whenever the fetch ends: each peer found has exactly one outcome."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from functorrent.errors import FetchFailed, MalformedMessage, NoMetadata
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.listener import PeerListener
from functorrent.testing import behaviours, sample_info
from tests.fetch.bed import FetchCase, Source, peer, tracker_report
from tests.peer.bed import Extension

INFO = sample_info(50_000)  # four blocks
LIMITS = replace(
    DEFAULT_LIMITS, max_connections=6, max_peers_per_magnet=4, max_candidates=12, max_unanswered_per_host=2
)


class HangsUp(behaviours.Behaviour):
    """Hangs up at once."""

    def connected(self, peer: Any) -> bool:
        peer.drop()
        return True


KINDS: dict[str, Any] = {
    "refused": "refused",
    "silent": "silent",
    "no route": errno.ENETUNREACH,
    "no sockets": errno.EMFILE,
    "honest": (),
    "hangs up": (HangsUp,),
    "mute": (behaviours.NeverSpeaks,),
    "garbage": (behaviours.SpeaksGarbage,),
    "other torrent": (behaviours.WrongInfohash,),
    "ourselves": (behaviours.SelfPeerId,),
    "no bit": (behaviours.NoExtensionBit,),
    "no metadata": (behaviours.NoMetadata,),
    "wrong size": (lambda: behaviours.ClaimsSize(49_000),),
    "wild size": (lambda: behaviours.ClaimsSize(2**40),),
    "corrupt": (lambda: behaviours.CorruptBlock(1),),
    "short": (behaviours.WrongBlockLength,),
    "unrequested": (behaviours.UnrequestedBlock,),
    "rejects": (behaviours.RejectsEverything,),
    "rejects some": (lambda: behaviours.RejectsFirst(2),),
    "closes": (lambda: behaviours.ClosesAfter(1),),
    "mutes": (lambda: behaviours.ClosesAfter(0),),
    "slow": (lambda: behaviours.OneBlockEvery(2.0),),
    "trickle": (lambda: behaviours.Trickle(400.0, after=200),),
    "reassigns": (behaviours.ReassignsId,),
}

#: (seconds before, kind of peer, whether it calls us, at a host of its own)
peers = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.0, 0.25, 2.0, 6.0)),
        st.sampled_from(sorted(KINDS)),
        st.booleans(),
        st.booleans(),
    ),
    max_size=16,
)
#: When the fetch is cancelled, or None; and when a plugin hangs up on whoever is there.
ends = st.one_of(st.none(), st.sampled_from((0.1, 1.0, 4.0, 9.0)))


class CountTests(FetchCase):
    limits = LIMITS

    def begin(self) -> None:
        super().setUp()

    def setUp(self) -> None:
        """Each example begins anew."""

    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(peers, ends, ends, st.sampled_from((3.0, 30.0)))
    def test_found_is_the_sum_of_the_outcomes(
        self, script: list[tuple[float, str, bool, bool]], cancel: Any, plugin: Any, timeout: float
    ) -> None:
        self.begin()
        self.source = Source()
        extension = Extension("x_plugin")
        self.core = self.make_core(FetchSettings(timeout=timeout), LIMITS, [self.source], extension)
        listener = self.listener()
        fetch = self.factory(INFO)
        result = fetch.fetch()
        clock = self.network.clock
        if cancel is not None:
            clock.callLater(cancel, result.cancel)
        if plugin is not None:
            clock.callLater(plugin, self.hang_up, extension)
        named = called = 0
        for number, (pause, kind, calls, own_host) in enumerate(script):
            self.run_for(pause)
            address = peer(number) if own_host else PeerAddress("93.184.9.9", 1000 + number)
            how = KINDS[kind]
            if not isinstance(how, tuple):
                self.network.answers[address] = how
            elif calls:
                seeder = self.network.seeder(address, INFO, *[make() for make in how])
                called += 1
                self.network.call(listener, seeder)
                continue
            else:
                self.network.seeder(address, INFO, *[make() for make in how])
            named += 1
            if not result.called:
                self.source.say(address, address)
        if not result.called:
            self.source.finish(tracker_report(named))
        self.run_until_told(result)
        counts = self.counts(result)
        self.check_counts(counts)
        self.assertLessEqual(counts["found"], named + called)
        self.assertLessEqual(counts["fetched"], 1)
        self.run_for(1)
        for connection in list(self.network.open):
            # Callers that came when all was over.
            connection.abortConnection()
        self.run_for(6)
        self.assert_nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def listener(self) -> PeerListener:
        core = self.core

        def wanted(infohash: bytes) -> Any:
            fetch = core.fetches.get(infohash)
            return fetch.race if fetch is not None and not fetch.race.over else None

        return PeerListener(
            self.clock, core.deadlines, core.table, wanted, core.identity.peer_id, limits=core.limits
        )

    def hang_up(self, extension: Extension) -> None:
        """A plugin hangs up on everybody there is."""
        for number, session in enumerate(extension.sessions):
            session.peer.abort(MalformedMessage("x") if number % 2 else NoMetadata("y"))

    def counts(self, result: Deferred[Metadata]) -> Any:
        outcome: list[Any] = []
        result.addBoth(outcome.append)
        (value,) = outcome
        if isinstance(value, Metadata):
            self.assertEqual(value.report.peers["fetched"], 1)
            return value.report.peers
        self.assertEqual(value.check(FetchFailed), FetchFailed, value)
        self.assertEqual(value.value.report.peers["fetched"], 0)
        return value.value.report.peers
