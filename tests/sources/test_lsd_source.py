"""Local service discovery as a source: who is believed, who is told, and what it costs a fetch."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.interfaces import (
    IPeerSource,
    IPeerSourceMaker,
    IStartingSource,
    PeerAddress,
    SourceReport,
)
from functorrent.sources.lsd import LsdSourceMaker
from functorrent.wire.lsd import HOST4, HOST6, decode_announce
from tests.sources.lsd_bed import DOCKER, ETH, LINK, LINKS, NEIGHBOUR, Bed, announce, infohash, magnet

PEER = PeerAddress(NEIGHBOUR, 6881)
NOTHING = SourceReport("lsd")
NOBODY = SourceReport("lsd", detail="nobody on the local network answered")


class Case(SynchronousTestCase):
    def bed(self, **more: object) -> Bed:
        bed = Bed(**more)
        bed.source.start()
        self.addCleanup(bed.source.stop)
        return bed


class Hearing(Case):
    def test_what_it_is(self) -> None:
        bed = self.bed()
        for interface in (IPeerSource, IStartingSource):
            verifyObject(interface, bed.source)
        verifyObject(IPeerSourceMaker, LsdSourceMaker())

    def test_a_neighbour_that_has_it(self) -> None:
        """It goes to the sink at once, as one who spoke to us."""
        bed = self.bed()
        sink, reports = bed.find(1)
        bed.hear(announce(1))
        self.assertEqual(sink.found, [PEER])
        self.assertEqual(sink.kinds, {(False, True)})
        self.assertEqual(reports, [])
        bed.pass_time(11.5)
        self.assertEqual(reports, [SourceReport("lsd", 1, detail="1 peer on the local network")])

    def test_one_of_many_infohashes(self) -> None:
        bed = self.bed()
        sinks = [bed.find(number)[0] for number in range(1, 4)]
        bed.hear(announce(9, 3, 1))
        self.assertEqual([sink.found for sink in sinks], [[PEER], [], [PEER]])

    def test_the_same_peer_is_given_once(self) -> None:
        bed = self.bed()
        sink, _ = bed.find(1)
        for _ in range(3):
            bed.hear(announce(1))
        self.assertEqual(sink.found, [PEER])

    def test_until_the_fetch_has_ended(self) -> None:
        """Also after the source is finished."""
        bed = self.bed()
        sink, reports = bed.find(1)
        bed.pass_time(30)
        self.assertEqual(reports, [NOBODY])
        bed.hear(announce(1))
        self.assertEqual(sink.found, [PEER])
        bed.source.ended(infohash(1))
        bed.hear(announce(1, port=7000))
        self.assertEqual(sink.found, [PEER])

    def test_who_was_heard_before_is_there_at_once(self) -> None:
        bed = self.bed()
        bed.hear(announce(1))
        bed.hear(announce(1), "192.168.1.78")
        bed.pass_time(599)
        sink, _ = bed.find(1)
        self.assertEqual(sink.found, [PeerAddress("192.168.1.78", 6881), PEER])
        bed.pass_time(2)
        self.assertEqual(bed.find(2)[0].found, [])

    def test_long_ago_is_too_long(self) -> None:
        bed = self.bed()
        bed.hear(announce(1))
        bed.pass_time(601)
        self.assertEqual(bed.find(1)[0].found, [])

    def test_over_ipv6(self) -> None:
        """A link-local address goes with its interface: without it nobody can dial it."""
        bed = self.bed()
        sink, _ = bed.find(1)
        bed.hear(announce(1), "fd00::77")
        bed.hear(announce(1), "fe80::77")
        self.assertEqual(sink.found, [PeerAddress("fd00::77", 6881), PeerAddress("fe80::77%eth0", 6881)])
        for peer in sink.found:
            bed.guard.check(peer.host, peer.port, trusted=True)

    def test_strangers(self) -> None:
        """A source that is on no subnet of ours, or on one of another interface, is nobody's neighbour."""
        bed = self.bed()
        sink, _ = bed.find(1)
        for host, index in (
            ("8.8.8.8", ETH.number),
            ("192.168.2.77", ETH.number),
            ("10.0.0.1", 0),
            ("127.0.0.1", ETH.number),
            ("0.0.0.0", ETH.number),
            ("172.17.0.9", ETH.number),  # a container's address, from the other side
            (NEIGHBOUR, DOCKER.number),
            (NEIGHBOUR, 99),
            ("fe80::77", DOCKER.number),
            ("fe80::77", 0),
            ("fd01::77", ETH.number),
            ("2606:4700::1", ETH.number),
            ("::1", ETH.number),
            ("::ffff:192.168.1.77", ETH.number),
            ("not an address", ETH.number),
        ):
            bed.hear(announce(1), host, index)
        self.assertEqual(sink.found, [])
        self.assertEqual(bed.source.stats.strangers, 15)
        self.assertEqual(len(bed.source._neighbours), 0)

    def test_a_system_that_does_not_tell_the_interface(self) -> None:
        bed = self.bed()
        sink, _ = bed.find(1)
        bed.hear(announce(1), NEIGHBOUR, 0)
        self.assertEqual(sink.found, [PEER])

    def test_ourselves(self) -> None:
        """Known by the cookie, from whichever interface it comes back; or by our own port."""
        bed = self.bed()
        bed.find(1)
        bed.pass_time(1)
        (sent,) = bed.multicast.sent
        sink, _ = bed.find(2)
        bed.hear(sent[False], ETH.address)
        bed.hear(sent[True], "fe80::5")
        bed.hear(announce(2, port=50000), ETH.address)
        # Our port was another one a moment ago; or a router sends what we sent, as its own.
        mine = decode_announce(sent[False]).cookie
        assert mine is not None
        bed.hear(announce(2, port=50002, cookie=mine.decode()))
        self.assertEqual(bed.source.stats.heard, 0)
        self.assertEqual(sink.found, [])
        # Another program of this machine is a peer.
        bed.hear(announce(2, port=50001), ETH.address)
        self.assertEqual(sink.found, [PeerAddress(ETH.address, 50001)])

    def test_junk(self) -> None:
        bed = self.bed()
        sink, _ = bed.find(1)
        good = announce(1)
        for data in (
            b"",
            b"\0" * 1500,
            b"BT-SEARCH * HTTP/1.1\r\n",
            good.replace(b"6881", b"0"),
            good[:60],
            good * 20,
        ):
            bed.hear(data)
        self.assertEqual(sink.found, [])
        bed.hear(good)
        self.assertEqual(sink.found, [PEER])

    def test_nobodys_every_port_is_knocked_at(self) -> None:
        """Who writes a neighbour's address must not make us scan it; nor fill a magnet with peers."""
        bed = self.bed(lsd_rate_each=1000.0, lsd_rate=10_000.0, lsd_burst_in=10_000)
        sink, _ = bed.find(1)
        for port in range(1, 100):
            bed.hear(announce(1, port=port))
        self.assertEqual(len(sink.found), bed.limits.lsd_ports)
        for last in range(1, 200):
            bed.hear(announce(1), f"192.168.1.{last}")
        self.assertEqual(len(sink.found), bed.limits.lsd_peers)

    def test_a_flood_of_one_neighbour(self) -> None:
        """It is looked into at a rate, and takes nothing from the others."""
        bed = self.bed()
        sink, _ = bed.find(1)
        for port in range(1000, 6000):
            bed.hear(announce(2, port=port))
        self.assertEqual(bed.source.stats.heard, bed.limits.lsd_burst_each)
        bed.hear(announce(1), "192.168.1.78")
        self.assertEqual(len(sink.found), 1)
        bed.pass_time(1)
        for port in range(1000, 6000):
            bed.hear(announce(2, port=port))
        self.assertEqual(bed.source.stats.heard, bed.limits.lsd_burst_each + 6)

    def test_a_flood_of_all_addresses(self) -> None:
        """Source addresses cost an attacker nothing: all together have a rate, and memory stays bounded."""
        bed = self.bed()
        for number in range(20_000):
            bed.hear(announce(number % 100 + 1), f"fd00::{number:x}")
        self.assertEqual(bed.source.stats.heard, bed.limits.lsd_burst_in)
        self.assertLessEqual(len(bed.source._neighbours), bed.limits.lsd_neighbours)
        self.assertLessEqual(len(bed.source._rates._each), 1000)
        self.assertLessEqual(len(bed.source._around._known), 4096)


class Announcing(Case):
    def test_both_families(self) -> None:
        bed = self.bed()
        bed.find(1)
        self.assertEqual(bed.multicast.sent, [])
        bed.pass_time(0.2)
        (sent,) = bed.multicast.sent
        for v6, host in ((False, HOST4), (True, HOST6)):
            said = decode_announce(sent[v6])
            self.assertEqual((said.port, said.infohashes), (50000, (infohash(1),)))
            self.assertEqual(said.host, host.encode())
            self.assertTrue(said.cookie)
        self.assertEqual(bed.source.stats.sent, len(LINKS))

    def test_the_answer_to_a_neighbour(self) -> None:
        """Who announces what we look for hears of us with the next datagram."""
        bed = self.bed()
        for number in range(1, 101):
            bed.find(number)
        bed.hear(announce(99))
        bed.pass_time(0.2)
        (said,) = bed.multicast.announces()
        self.assertEqual(said.infohashes[0], infohash(99))

    def test_nothing_after_the_end(self) -> None:
        """From then on a torrent may be known to be private (BEP 27)."""
        bed = self.bed()
        bed.find(1)
        bed.source.ended(infohash(1))
        bed.pass_time(1000)
        self.assertEqual(bed.multicast.sent, [])

    def test_nor_again_after_the_end(self) -> None:
        bed = self.bed()
        bed.find(1)
        bed.pass_time(1)
        bed.source.ended(infohash(1))
        bed.hear(announce(1))
        bed.pass_time(1000)
        self.assertEqual(len(bed.multicast.sent), 1)

    def test_again_while_it_is_looked_for(self) -> None:
        bed = self.bed()
        bed.find(1)
        bed.pass_time(299)
        self.assertEqual(len(bed.multicast.sent), 1)
        bed.pass_time(3)
        self.assertEqual(len(bed.multicast.sent), 2)

    def test_where_nobody_can_call_us(self) -> None:
        """Nothing is announced and nobody waited for; but what is heard is used."""
        bed = self.bed()
        bed.identity.port = None
        sink, reports = bed.find(1)
        self.assertEqual(reports, [NOTHING])
        bed.pass_time(100)
        self.assertEqual(bed.multicast.sent, [])
        bed.hear(announce(1))
        self.assertEqual(sink.found, [PEER])

    def test_on_the_interface_that_we_listen_on(self) -> None:
        bed = Bed()
        bed.identity.interface = ETH.address
        bed.source.start()
        self.addCleanup(bed.source.stop)
        self.assertEqual(bed.multicast.links, (ETH,))
        bed.hear(announce(1), "172.17.0.9", DOCKER.number)
        self.assertEqual(bed.source.stats.strangers, 1)

    def test_not_where_we_listen_on_loopback(self) -> None:
        bed = Bed()
        bed.identity.interface = "127.0.0.1"
        bed.source.start()
        self.addCleanup(bed.source.stop)
        self.assertEqual(bed.find(1)[1], [NOTHING])
        bed.pass_time(100)
        self.assertEqual(bed.multicast.sent, [])


class Waiting(Case):
    def test_two_seconds_beside_trackers(self) -> None:
        bed = self.bed()
        _, reports = bed.find(1, "udp://t.example:1")
        bed.pass_time(2.0)
        self.assertEqual(reports, [])
        bed.pass_time(0.5)
        self.assertEqual(reports, [NOTHING])

    def test_longer_without(self) -> None:
        """Transmission and aria2 call on a pulse of 5 and of 10 seconds."""
        bed = self.bed()
        _, reports = bed.find(1)
        bed.pass_time(11.0)
        self.assertEqual(reports, [])
        bed.pass_time(0.5)
        self.assertEqual(reports, [NOBODY])

    def test_not_where_nothing_goes_out_in_time(self) -> None:
        """In a bulk fetch the rate is used up at once, and the rest waits for nobody."""
        bed = self.bed()
        waiting = [bed.find(number)[1] for number in range(1, 1001)]
        self.assertEqual(sum(not reports for reports in waiting), 25)
        bed.pass_time(12)
        self.assertEqual(sum(not reports for reports in waiting), 0)
        self.assertEqual(len(bed.multicast.sent), 5)

    def test_not_when_it_was_announced_lately(self) -> None:
        bed = self.bed()
        bed.find(1)
        bed.pass_time(20)
        bed.source.ended(infohash(1))
        bed.pass_time(20)
        self.assertEqual(bed.find(1)[1], [NOTHING])

    def test_a_duplicate(self) -> None:
        """It joins a fetch that is on: there is nothing more to be done for it."""
        bed = self.bed()
        sink, reports = bed.find(1)
        other, others = bed.find(1, "udp://t.example:1")
        self.assertEqual(others, [NOTHING])
        bed.hear(announce(1))
        self.assertEqual((sink.found, other.found), ([PEER], []))
        self.assertEqual(reports, [])

    def test_cancelled(self) -> None:
        """It fires at once with what was found, and nothing is left: no timer, no announce, no sink."""
        bed = self.bed()
        sink, _ = bed.find(2)
        deferred = bed.source.find(magnet(1), sink)
        bed.hear(announce(1))
        deferred.cancel()
        self.assertEqual(self.successResultOf(deferred).peers, 1)
        bed.hear(announce(1, port=7000))
        self.assertEqual(sink.found, [PEER])
        bed.source.ended(infohash(1))
        bed.source.ended(infohash(2))
        bed.pass_time(100)
        self.assertEqual(bed.multicast.sent, [])

    def test_no_more_magnets_than_are_bounded(self) -> None:
        bed = self.bed(lsd_magnets=10)
        for number in range(1, 100):
            bed.find(number)
        self.assertEqual(len(bed.source._seeking), 10)


class Life(Case):
    def test_nothing_before_it_starts(self) -> None:
        bed = Bed()
        _, reports = bed.find(1)
        self.assertEqual(reports, [NOTHING])
        self.assertEqual((bed.multicast.joins, bed.clock.getDelayedCalls()), (0, []))
        self.successResultOf(bed.source.stop())

    def test_stopped(self) -> None:
        """Nothing is left, and who waited is told."""
        bed = self.bed()
        _, reports = bed.find(1)
        bed.hear(announce(1))
        self.successResultOf(bed.source.stop())
        self.assertEqual(len(reports), 1)
        self.assertTrue(bed.multicast.closed)
        self.assertEqual(bed.clock.getDelayedCalls(), [])
        self.assertEqual(bed.find(2)[1], [NOTHING])
        self.successResultOf(bed.source.stop())

    def test_stopped_with_announces_due(self) -> None:
        bed = self.bed()
        for number in range(1, 300):
            bed.find(number)
        bed.pass_time(10)
        self.successResultOf(bed.source.stop())
        self.assertEqual(bed.clock.getDelayedCalls(), [])

    def test_no_multicast_here(self) -> None:
        """Quietly off: one line, and no fetch waits for it."""
        lines: list[str] = []
        bed = Bed()
        bed.multicast.works = False
        self.patch(bed.source, "log", _Log(lines))
        bed.source.start()
        self.addCleanup(bed.source.stop)
        self.assertEqual(bed.find(1)[1], [NOTHING])
        bed.pass_time(1000)
        self.assertEqual(lines, ["there is no local network here to look for peers on"])
        self.assertEqual(bed.multicast.sent, [])

    def test_no_interface(self) -> None:
        bed = self.bed(links=())
        self.assertEqual(bed.find(1)[1], [NOTHING])
        # The network comes up.
        bed.links = (ETH,)
        bed.pass_time(61)
        sink, _ = bed.find(2)
        bed.hear(announce(2))
        self.assertEqual(sink.found, [PEER])

    def test_interfaces_that_cannot_be_read(self) -> None:
        """What is known of them stays good."""
        bed = self.bed()
        bed.links = AssertionError("sockaddr_to_ip returned None")
        bed.pass_time(200)
        sink, _ = bed.find(1)
        bed.hear(announce(1))
        self.assertEqual(sink.found, [PEER])

    def test_they_cannot_be_read_at_all(self) -> None:
        bed = self.bed(links=OSError(1, "no"))
        self.assertEqual(bed.find(1)[1], [NOTHING])

    def test_another_network(self) -> None:
        """Who was a neighbour is none there, and an address of then may be anybody's now."""
        bed = self.bed()
        bed.hear(announce(1))
        bed.links = (LINK, DOCKER)
        bed.pass_time(61)
        self.assertEqual(bed.find(1)[0].found, [])
        bed.hear(announce(1))
        self.assertEqual(bed.source.stats.heard, 1)


class _Log:
    """Takes notes of lines at the level of info."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def info(self, line: str, **values: object) -> None:
        self.lines.append(line.format(**values))
