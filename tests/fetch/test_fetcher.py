"""Fetcher: put together, taken apart, nothing left; listening, plugins, duplicates."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from functorrent.errors import FetchFailed, FunctorrentError, UnsupportedMagnet, UsageError
from functorrent.fetch import fetcher as module
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IMetadataProvider, IPeerSourceMaker, IRecallingSource, PeerAddress
from functorrent.magnet import Magnet
from functorrent.testing import ScriptedSeeder, behaviours, sample_info, sample_magnet
from functorrent.wire.bencode import encode
from tests.fetch.bed import BIG, INFO, Source, peer
from tests.fetch.reactor import NOTHING, Reactor, use_memory
from tests.peer.bed import Extension

MAGNET = Magnet.parse(sample_magnet(INFO))


@implementer(IPeerSourceMaker)
class Maker:
    """Makes one source, and keeps what it was made with."""

    def __init__(self, source: Any = None, name: str = "tests") -> None:
        self.name = name
        self.source = source or Source(name)
        self.contexts: list[Any] = []

    def make(self, context: Any) -> Any:
        self.contexts.append(context)
        return self.source


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        use_memory(self, self.reactor)
        self.network = self.reactor.network
        self.maker = Maker()
        self.source: Source = self.maker.source

    def make(self, *, plugins: bool = False, **settings: Any) -> Fetcher:
        settings.setdefault("listen", ("off",))
        self.fetcher = Fetcher(self.reactor, FetchSettings(**settings), sources=[self.maker], plugins=plugins)
        return self.fetcher

    def start(self, **settings: Any) -> Fetcher:
        fetcher = self.make(**settings)
        self.successResultOf(fetcher.start())
        return fetcher

    def stop(self) -> None:
        """Stop it; nothing is left."""
        stopped = self.fetcher.stop()
        self.network.run(3, lambda: stopped.called)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.left(), NOTHING)


class LifeTests(Case):
    def test_started_and_stopped(self) -> None:
        fetcher = self.start(listen=())
        self.assertEqual(fetcher.port, 50_001)
        self.assertEqual(len(self.reactor.listening), 1)
        self.stop()
        self.assertEqual(self.source.stopped, 1)

    def test_nothing_is_open_before_it_starts(self) -> None:
        fetcher = self.make(listen=())
        self.assertEqual(self.reactor.left(), NOTHING)
        self.assertIsNone(fetcher.port)
        self.stop()

    def test_stopped_twice(self) -> None:
        self.start()
        self.stop()
        self.successResultOf(self.fetcher.stop())
        self.assertEqual(self.source.stopped, 1)

    def test_a_fetch(self) -> None:
        fetcher = self.start()
        self.network.seeder(peer(1), INFO)
        result = fetcher.fetch(MAGNET)
        self.source.say(peer(1))
        self.network.run(1)
        self.assertEqual(self.successResultOf(result).info_bytes, INFO)
        self.assertEqual((fetcher.stats.fetches, fetcher.stats.fetched), (1, 1))
        self.stop()

    def test_stopped_with_fetches_on(self) -> None:
        fetcher = self.start(listen=())
        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        results = [
            fetcher.fetch(Magnet.parse(sample_magnet(sample_info(2000, name)))) for name in ("a", "b", "c")
        ]
        self.source.say(peer(1), peer(2))
        self.network.run(1)
        caller = ScriptedSeeder(INFO, behaviours.NeverSpeaks())
        self.network.call(self.reactor.listener, caller)
        self.network.run(1)
        self.stop()
        for result in results:
            self.assertIn("interrupted", str(self.failureResultOf(result, FetchFailed).value))
        self.assertEqual(fetcher.stats.failed, 3)

    def test_stopped_while_it_waits_for_sockets(self) -> None:
        fetcher = self.start()
        self.network.answers[peer(1)] = errno.EMFILE
        result = fetcher.fetch(MAGNET, lambda: None)
        self.source.say(peer(1))
        self.network.run(2 * self.network.latency)
        self.assertTrue(fetcher.core.dialer._breathing)
        self.stop()
        self.failureResultOf(result, FetchFailed)

    def test_what_else_is_closed(self) -> None:
        fetcher = self.start()
        stopped: list[str] = []

        def stop() -> Deferred[None]:
            stopped.append("http")
            return succeed(None)

        self.patch(fetcher._agent(), "stop", stop)
        self.patch(fetcher.core.pollset, "close", lambda: stopped.append("pollset"))
        self.stop()
        # The client's connections are in the pollset.
        self.assertEqual(stopped, ["http", "pollset"])

    def test_stopped_while_an_info_dictionary_is_read(self) -> None:
        info = encode(
            {"files": [{"length": 1, "path": [str(number)]} for number in range(20_000)], "name": "many"}
        )
        fetcher = self.start()
        result = fetcher.fetch(Magnet.parse(sample_magnet(info)))
        self.network.seeder(peer(1), info)
        self.source.say(peer(1))
        factory = next(iter(fetcher.core.fetches.values()))
        self.network.run(20, lambda: factory._reading is not None)
        self.assertFalse(result.called)
        self.stop()
        self.failureResultOf(result, FetchFailed)

    def test_stopped_by_who_hears_of_the_time_limit(self) -> None:
        """Inside the very timer that stopping ends."""
        fetcher = self.start(timeout=1.0)
        result = fetcher.fetch(MAGNET)
        stopped: list[Any] = []

        def stop(failure: Any) -> None:
            failure.trap(FetchFailed)
            fetcher.stop().addBoth(stopped.append)

        result.addErrback(stop)
        self.network.run(5)
        self.assertEqual(stopped, [None])
        self.assertEqual(self.reactor.left(), NOTHING)

    def test_not_running(self) -> None:
        fetcher = self.make()
        self.failureResultOf(fetcher.fetch(MAGNET), FunctorrentError)
        self.successResultOf(fetcher.start())
        self.stop()
        self.failureResultOf(fetcher.fetch(MAGNET), FunctorrentError)

    def test_the_same_torrent_twice(self) -> None:
        fetcher = self.start()
        first = fetcher.fetch(MAGNET)
        self.failureResultOf(fetcher.fetch(MAGNET), UsageError)
        self.network.seeder(peer(1), INFO)
        self.source.say(peer(1))
        self.network.run(1)
        self.successResultOf(first)
        again = fetcher.fetch(MAGNET)
        self.source.finish()
        self.failureResultOf(again, FetchFailed)
        self.stop()

    def test_v2_alone(self) -> None:
        fetcher = self.start()
        magnet = Magnet.parse("magnet:?xt=urn:btmh:1220" + "ab" * 32)
        self.failureResultOf(fetcher.fetch(magnet), UnsupportedMagnet)
        self.assertFalse(fetcher.join(magnet))
        self.stop()

    def test_joined(self) -> None:
        fetcher = self.start()
        self.assertFalse(fetcher.join(MAGNET))
        result = fetcher.fetch(MAGNET)
        self.assertTrue(fetcher.join(Magnet.parse(sample_magnet(INFO, trackers=["udp://t.example:1"]))))
        self.assertEqual(len(self.source.finds), 2)
        result.cancel()
        self.failureResultOf(result, FetchFailed)
        self.stop()

    def test_slots(self) -> None:
        released: list[int] = []
        fetcher = self.start()
        result = fetcher.fetch(MAGNET, lambda: released.append(1))
        self.source.say(peer(1))
        self.network.run(2)
        self.assertEqual(released, [1])
        result.cancel()
        self.failureResultOf(result, FetchFailed)
        self.stop()

    def test_without_settings(self) -> None:
        self.fetcher = Fetcher(self.reactor, plugins=False)
        self.assertEqual(self.fetcher.settings, FetchSettings())
        self.stop()

    def test_a_reactor_without_epoll(self) -> None:
        """It drives connections itself."""
        self.patch(module, "make_pollset", lambda reactor: reactor)
        self.assertIs(self.start().core.pollset, self.reactor)
        self.stop()


class ListenTests(Case):
    def test_over_both_families(self) -> None:
        self.start(listen=())
        self.assertEqual([each[3] for each in self.reactor.tcpServers], ["::"])
        self.stop()

    def test_over_one_where_there_is_but_one(self) -> None:
        self.reactor.taken = {"::"}
        fetcher = self.start(listen=())
        self.assertEqual([each[3] for each in self.reactor.tcpServers], [""])
        self.assertIsNotNone(fetcher.port)
        self.stop()

    def test_nowhere(self) -> None:
        self.reactor.taken = {0}
        fetcher = self.make(listen=())
        error = self.failureResultOf(fetcher.start(), UsageError).value
        self.assertIn("cannot listen for peers", str(error))
        self.assertIn("--listen off", str(error))
        self.stop()

    def test_where_the_user_says(self) -> None:
        fetcher = self.start(listen=("tcp:6881", "tcp:6882:interface=127.0.0.1"))
        self.assertEqual(fetcher.port, 6881)
        self.assertEqual([each[0] for each in self.reactor.tcpServers], [6881, 6882])
        self.assertEqual(fetcher.core.table.port, 6881)
        guard = fetcher.core.guard
        for port in (6881, 6882):
            self.assertRaises(FunctorrentError, guard.check, "127.0.0.1", port, trusted=True)
        guard.check("127.0.0.1", 6883, trusted=True)
        self.stop()

    def test_a_port_that_is_taken(self) -> None:
        self.reactor.taken = {6881}
        error = self.failureResultOf(self.make(listen=("tcp:6881",)).start(), UsageError).value
        self.assertIn("--listen tcp:6881", str(error))
        self.assertIn("in use", str(error))
        self.stop()

    def test_the_second_of_two_is_taken(self) -> None:
        self.reactor.taken = {6882}
        fetcher = self.make(listen=("tcp:6881", "tcp:6882"))
        self.failureResultOf(fetcher.start(), UsageError)
        self.assertEqual(len(self.reactor.listening), 1)
        self.stop()

    def test_what_is_no_endpoint(self) -> None:
        for description in ("", "6881", "nonsense:1", "tcp:x", "tcp", "tcp:1:what=is this", "tcp:99999"):
            fetcher = self.make(listen=(description,))
            error = self.failureResultOf(fetcher.start(), UsageError).value
            self.assertIn(f"--listen {description}: not an endpoint", str(error))
            self.stop()

    def test_a_port_without_a_number(self) -> None:
        """As a UNIX socket has it: peers may call, but there is nothing to announce."""
        fetcher = self.start(listen=("unix:/tmp/functorrent-test",))
        self.assertIsNone(fetcher.port)
        stopped = fetcher.stop()
        self.successResultOf(stopped)

    def test_given_up_while_it_starts(self) -> None:
        class Endpoint:
            def listen(self, factory: Any) -> Deferred[Any]:
                return Deferred()

        self.patch(
            __import__("twisted.internet.endpoints").internet.endpoints,
            "serverFromString",
            lambda reactor, description: Endpoint(),
        )
        fetcher = self.make(listen=("tcp:1",))
        started = fetcher.start()
        self.assertNoResult(started)
        self.stop()
        self.failureResultOf(started, CancelledError)

    def test_callers(self) -> None:
        fetcher = self.start(listen=())
        result = fetcher.fetch(MAGNET)
        self.network.call(self.reactor.listener, ScriptedSeeder(INFO))
        self.network.run(1)
        self.successResultOf(result)
        self.stop()

    def test_what_is_served(self) -> None:
        @implementer(IMetadataProvider)
        class Provider:
            def info_bytes(self, infohash: bytes) -> bytes | None:
                return INFO if infohash == MAGNET.infohash else None

        self.fetcher = Fetcher(
            self.reactor, FetchSettings(), sources=[self.maker], provider=Provider(), plugins=False
        )
        self.successResultOf(self.fetcher.start())
        seeder = ScriptedSeeder(INFO)
        self.network.call(self.reactor.listener, seeder)
        self.network.run(1)
        remote = seeder.connections[0].session
        self.assertEqual(remote.remote.infohash, MAGNET.infohash)  # type: ignore[union-attr]
        self.stop()

    def test_too_late_a_caller(self) -> None:
        """One that calls while its torrent's info dictionary is read finds no fetch."""
        fetcher = self.start(listen=())
        self.network.seeder(peer(1), BIG)
        result = fetcher.fetch(Magnet.parse(sample_magnet(BIG)))
        fetch = next(iter(fetcher.core.fetches.values()))
        self.assertIs(fetcher._wanted(fetch.infohash), fetch.race)
        fetch.race.close()
        self.assertIsNone(fetcher._sink(fetch.infohash))
        result.cancel()
        self.failureResultOf(result, FetchFailed)
        self.stop()


class ExtraPeerTests(Case):
    def test_peers_that_the_user_typed(self) -> None:
        """They are trusted, and there for every magnet."""
        fetcher = self.start(peers=(("127.0.0.1", 7), ("::1", 8)))
        self.assertEqual(fetcher.core.extra_peers, (PeerAddress("127.0.0.1", 7), PeerAddress("::1", 8)))
        self.network.seeder(PeerAddress("127.0.0.1", 7), INFO)
        result = fetcher.fetch(MAGNET)
        self.network.run(1)
        self.successResultOf(result)
        self.stop()

    def test_one_that_has_no_address(self) -> None:
        fetcher = self.make(peers=(("", 7),))
        error = self.failureResultOf(fetcher.start(), UsageError).value
        self.assertIn("--peer :7", str(error))
        self.stop()

    def test_one_that_nobody_may_reach(self) -> None:
        error = self.failureResultOf(self.make(peers=(("224.0.0.1", 7),)).start(), UsageError).value
        self.assertIn("multicast", str(error))
        self.stop()

    def test_stopped_while_a_name_is_looked_up(self) -> None:
        fetcher = self.make(peers=(("slow.example", 7),))
        waiting: Deferred[list[str]] = Deferred()
        self.patch(fetcher._resolver, "resolve", lambda host, trusted: waiting)
        started = fetcher.start()
        self.stop()
        self.failureResultOf(started, CancelledError)


class PluginTests(Case):
    def plugins(self, *found: Any) -> None:
        for each in found:
            if not isinstance(each, Exception):
                directlyProvides(each, IPlugin, *list(each.__provides__))

        def get(interface: Any, package: Any) -> Any:
            for each in found:
                if isinstance(each, Exception):
                    raise each
            return [each for each in found if interface.providedBy(each)]

        self.patch(__import__("twisted.plugin").plugin, "getPlugins", get)

    def test_found(self) -> None:
        maker, extension = Maker(name="found"), Extension("x_found")
        self.plugins(maker, extension)
        fetcher = self.start(plugins=True)
        self.assertIn("x_found", fetcher.core.table.extensions)
        self.assertIn(maker.source, fetcher.core.sources)
        self.stop()
        self.assertEqual(maker.source.stopped, 1)

    def test_not_wanted(self) -> None:
        self.plugins(Extension("x_found"))
        self.assertNotIn("x_found", self.start(plugins=False).core.table.extensions)
        self.stop()

    def test_discovery_is_broken(self) -> None:
        self.plugins(ZeroDivisionError())
        fetcher = self.start(plugins=True)
        self.assertEqual(len(fetcher.core.sources), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.stop()

    def test_an_extension_without_a_name(self) -> None:
        extension = Extension()
        extension.__dict__["name"] = None
        self.plugins(extension)
        self.assertEqual(list(self.start(plugins=True).core.table.extensions), ["ut_metadata", "ut_pex"])
        self.stop()

    def test_given(self) -> None:
        self.fetcher = Fetcher(
            self.reactor,
            FetchSettings(listen=("off",)),
            sources=[self.maker],
            extensions=[Extension("x_given")],
            plugins=False,
        )
        self.successResultOf(self.fetcher.start())
        self.assertEqual(list(self.fetcher.core.table.extensions), ["ut_metadata", "ut_pex", "x_given"])
        (context,) = self.maker.contexts
        self.assertIs(context.resolver, self.fetcher.core.resolver)
        self.assertIs(context.agent(), context.agent())
        self.assertIsNotNone(context.agent())
        self.stop()

    def test_a_source_that_cannot_be_made(self) -> None:
        class Broken:
            def make(self, context: Any) -> Any:
                raise ZeroDivisionError

        fetcher = Fetcher(
            self.reactor,
            FetchSettings(listen=("off",)),
            sources=[Broken(), self.maker],  # type: ignore[list-item]
            plugins=False,
        )
        self.fetcher = fetcher
        self.successResultOf(fetcher.start())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn(self.source, fetcher.core.sources)
        self.stop()

    def test_http_dials(self) -> None:
        fetcher = self.start()
        endpoint = fetcher._endpoint("93.184.0.1", 80, 5.0)
        self.assertIsNotNone(endpoint)
        self.stop()


class StopTests(Case):
    """A source that will not stop keeps nothing else from it."""

    def check(self, stop: Any) -> None:
        self.maker.source = broken = Source("broken")
        broken.stop = stop  # type: ignore[method-assign]
        sound = Maker()
        self.fetcher = Fetcher(
            self.reactor, FetchSettings(listen=()), sources=[self.maker, sound], plugins=False
        )
        self.successResultOf(self.fetcher.start())
        self.stop()
        self.assertEqual(sound.source.stopped, 1)

    def test_one_that_raises(self) -> None:
        def broken() -> Any:
            raise ZeroDivisionError

        self.check(broken)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_fails(self) -> None:
        self.check(lambda: fail(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_never_ends(self) -> None:
        self.check(Deferred)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_one_that_has_no_such_thing(self) -> None:
        self.check(lambda: None)

    def test_who_does_not_wait_for_it(self) -> None:
        """All is stopped the same, and nothing is logged."""
        self.maker.source = slow = Source()
        slow.stop = Deferred  # type: ignore[method-assign]
        fetcher = self.start(listen=())
        stopped = fetcher.stop()
        self.assertNoResult(stopped)
        stopped.cancel()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.left(), NOTHING)

    def test_a_fetch_begun_by_who_hears_of_the_stop(self) -> None:
        fetcher = self.start()
        begun: list[Any] = []
        fetcher.fetch(MAGNET).addErrback(lambda _: begun.append(fetcher.fetch(MAGNET)))
        self.stop()
        self.failureResultOf(begun[0], FunctorrentError)


class SettingsTests(SynchronousTestCase):
    def test_limits(self) -> None:
        limits = FetchSettings(
            jobs=7, timeout=8.0, linger=9.0, max_metadata=500 * 1024 * 1024, max_connections=11
        ).limits()
        self.assertEqual((limits.jobs, limits.timeout, limits.linger), (7, 8.0, 9.0))
        self.assertEqual(limits.max_connections, 11)
        # Room for two of the largest.
        self.assertEqual(limits.max_assembling, 1000 * 1024 * 1024)

    def test_sockets(self) -> None:
        import resource

        from functorrent.fetch.settings import sockets_for_peers

        for soft, expected in (
            (resource.RLIM_INFINITY, 1_000_000),
            (1024, 896),
            (256, 192),
            (20, 16),
        ):
            self.patch(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
            self.assertEqual(sockets_for_peers(), expected)
        self.patch(resource, "getrlimit", lambda which: (256, 256))
        # Callers have their part of them, where there are any.
        limits = FetchSettings().limits()
        self.assertEqual((limits.max_connections, limits.max_inbound), (144, 48))
        self.assertEqual(FetchSettings(listen=("off",)).limits().max_connections, 192)
        self.patch(resource, "getrlimit", lambda which: (100_000, 100_000))
        limits = FetchSettings().limits()
        self.assertEqual((limits.max_connections, limits.max_inbound), (2000, 1000))

    def test_listens(self) -> None:
        self.assertFalse(FetchSettings(listen=("off",)).listens)
        self.assertTrue(FetchSettings().listens)
        self.assertTrue(FetchSettings(listen=("tcp:1",)).listens)


@implementer(IRecallingSource)
class Scholar(Source):
    """A source that learns."""

    def __init__(self, name: str, knows: Any) -> None:
        super().__init__(name)
        self.knows = knows
        self.recalled: list[tuple[bytes, Any, float]] = []

    def learned(self, infohash: bytes, now: float) -> Any:
        if isinstance(self.knows, Exception):
            raise self.knows
        return self.knows

    def recall(self, infohash: bytes, known: Any, now: float) -> None:
        self.recalled.append((infohash, known, now))
        if isinstance(self.knows, Exception):
            raise self.knows


class LearningTests(Case):
    """What a failed try learned, from the sources to whoever keeps it, and back."""

    def sources(self, *knows: Any) -> list[Scholar]:
        scholars = [Scholar(f"s{number}", each) for number, each in enumerate(knows)]
        self.start()
        self.fetcher.core.sources = [self.source, *scholars]
        return scholars

    def test_by_the_sources_name(self) -> None:
        first, second, third = self.sources({"a": 1}, None, {"b": 2})
        learned = self.fetcher.learned(b"h" * 20, 5.0)
        self.assertEqual(learned, {"s0": {"a": 1}, "s2": {"b": 2}})
        self.fetcher.recall(b"h" * 20, {"s0": {"a": 1}, "s2": {"b": 2}, "tests": {}, "gone": {}}, 9.0)
        self.assertEqual(first.recalled, [(b"h" * 20, {"a": 1}, 9.0)])
        self.assertEqual(second.recalled, [])
        self.assertEqual(third.recalled, [(b"h" * 20, {"b": 2}, 9.0)])
        self.stop()

    def test_nothing(self) -> None:
        self.sources(None)
        self.assertIsNone(self.fetcher.learned(b"h" * 20, 5.0))
        self.fetcher.recall(b"h" * 20, {"s0": 7, "s1": ["x"]}, 9.0)
        self.stop()

    def test_a_source_that_breaks_costs_only_itself(self) -> None:
        _, good = self.sources(ValueError("mine"), {"b": 2})
        self.assertEqual(self.fetcher.learned(b"h" * 20, 5.0), {"s1": {"b": 2}})
        self.fetcher.recall(b"h" * 20, {"s0": {"a": 1}, "s1": {"b": 2}}, 9.0)
        self.assertEqual(len(good.recalled), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.stop()
