"""What our node answers to whom."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.settings import DhtSettings
from functorrent.wire.bencode import decode
from functorrent.wire.krpc import (
    Error,
    NodeInfo,
    Query,
    Response,
    decode_krpc,
    encode_announce_peer,
    encode_find_node,
    encode_get_peers,
    encode_ping,
    encode_response,
)
from tests.sources.dht.network import PORT, Literals, SimClock

ID = b"abcdefghij0123456789"
INFOHASH = b"mnopqrstuvwxyz123456"
ASKER = ("21.1.1.1", 4000)


class AnswersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SimClock()
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.asked: list[tuple[bytes, tuple[str, int]]] = []
        self.node = self.make()

    def make(self, *, read_only: bool = False, **limits: float) -> DhtNode:
        node = DhtNode(
            self.clock,
            self.send,
            DhtSettings(bootstrap=(), read_only=read_only),
            Literals(),
            limits=replace(DEFAULT_LIMITS, **limits),  # type: ignore[arg-type]
            families=(False, True),
        )
        self.addCleanup(node.stop)
        return node

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        queries = isinstance(decode_krpc(data), Query)
        (self.asked if queries else self.sent).append((data, address))

    def ask(self, query: bytes, source: tuple[str, int] = ASKER) -> Response | Error:
        """What it answers, in one datagram to who asked."""
        self.sent.clear()
        self.node.received(query, source)
        [(data, target)] = self.sent
        self.assertEqual(target, source)
        decode(data)
        message = decode_krpc(data)
        assert not isinstance(message, Query)
        return message

    def response(self, query: bytes, source: tuple[str, int] = ASKER) -> Response:
        answer = self.ask(query, source)
        assert isinstance(answer, Response), answer
        return answer

    def fill(self, *, count: int = 30) -> None:
        for number in range(count):
            for v6, table in enumerate(self.node.tables):
                host = f"2600:{number:x}::1" if v6 else f"20.{number}.1.1"
                assert table is not None
                table.answered(NodeInfo(bytes([number * 8]) * 20, PeerAddress(host, PORT)), 0.0)

    def test_ping(self) -> None:
        answer = self.response(encode_ping(b"aa", ID))
        self.assertEqual((answer.transaction, answer.sender), (b"aa", self.node.ids[0]))
        # It says where it sees the asker (BEP 42).
        self.assertEqual(answer.external, PeerAddress(*ASKER))

    def test_each_family_has_its_id(self) -> None:
        answer = self.response(encode_ping(b"aa", ID), ("2600::1", 5))
        self.assertEqual(answer.sender, self.node.ids[1])
        self.assertEqual(answer.external, PeerAddress("2600::1", 5))

    def test_find_node(self) -> None:
        self.fill()
        answer = self.response(encode_find_node(b"aa", ID, bytes([8]) * 20))
        self.assertEqual(len(answer.nodes), 8)
        self.assertEqual(answer.nodes[0].id, bytes([8]) * 20)
        self.assertEqual((answer.nodes6, answer.values, answer.token), ((), (), None))

    def test_want_decides_the_families(self) -> None:
        self.fill()
        for want, four, six in ((("n4",), 8, 0), (("n6",), 0, 8), (("n4", "n6"), 8, 8)):
            for source in (ASKER, ("2600::1", 5)):
                answer = self.response(encode_get_peers(b"aa", ID, INFOHASH, want=want), source)
                self.assertEqual((len(answer.nodes), len(answer.nodes6)), (four, six))
        self.assertEqual(len(self.response(encode_find_node(b"a", ID, ID), ("2600::1", 5)).nodes6), 8)

    def test_announce_and_get(self) -> None:
        answer = self.response(encode_get_peers(b"aa", ID, INFOHASH))
        assert answer.token is not None
        self.assertEqual(answer.values, ())
        self.response(encode_announce_peer(b"ab", ID, INFOHASH, 7777, answer.token))
        answer = self.response(encode_get_peers(b"ac", ID, INFOHASH), ("22.2.2.2", 1))
        self.assertEqual(answer.values, (PeerAddress("21.1.1.1", 7777),))

    def test_implied_port_is_that_of_the_datagram(self) -> None:
        token = self.response(encode_get_peers(b"aa", ID, INFOHASH)).token
        assert token is not None
        self.response(encode_announce_peer(b"ab", ID, INFOHASH, 1, token, implied_port=True))
        answer = self.response(encode_get_peers(b"ac", ID, INFOHASH))
        self.assertEqual(answer.values, (PeerAddress(*ASKER),))

    def test_a_token_of_another_address_or_time_is_refused(self) -> None:
        token = self.response(encode_get_peers(b"aa", ID, INFOHASH)).token
        assert token is not None
        for bad, source in ((token, ("21.1.1.2", 4000)), (b"x" * 8, ASKER), (b"", ASKER)):
            answer = self.ask(encode_announce_peer(b"ab", ID, INFOHASH, 7777, bad), source)
            self.assertEqual(answer, Error(b"ab", 203, b"Bad token"))
        self.clock.run(700)
        answer = self.ask(encode_announce_peer(b"ab", ID, INFOHASH, 7777, token))
        self.assertEqual(answer, Error(b"ab", 203, b"Bad token"))
        self.assertEqual(len(self.node.storage), 0)

    def test_methods_that_we_do_not_know(self) -> None:
        query = b"d1:ad2:id20:%be1:q4:vote1:t2:aa1:y1:qe" % ID
        self.assertEqual(self.ask(query), Error(b"aa", 204, b"Method Unknown"))
        # One with a target is answered with nodes, for clients of times to come.
        self.fill()
        query = b"d1:ad2:id20:%b6:target20:%be1:q3:get1:t2:aa1:y1:qe" % (ID, INFOHASH)
        self.assertEqual(len(self.response(query).nodes), 8)

    def test_a_query_that_is_broken_is_told_so(self) -> None:
        answer = self.ask(b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe")
        self.assertEqual(answer, Error(b"aa", 203, b"Protocol Error"))

    def test_who_asks_is_a_candidate_that_must_answer_itself(self) -> None:
        self.ask(encode_ping(b"aa", ID))
        table = self.node.tables[0]
        assert table is not None
        self.assertEqual(len(table), 0)
        # In a young table it is pinged at once.
        [(data, target)] = self.asked
        self.assertEqual(target, ASKER)
        self.node.received(encode_response(decode_krpc(data).transaction, ID), ASKER)
        self.assertEqual(list(table), [NodeInfo(ID, PeerAddress(*ASKER))])

    def test_in_a_full_table_it_waits_for_its_ping(self) -> None:
        table, own = self.node.tables[0], self.node.ids[0]
        assert table is not None and own is not None
        for depth in range(8):
            for number in range(8):
                near = int.from_bytes(own, "big") ^ (1 << 159 - depth) ^ number
                host = f"23.{depth}.{number}.1"
                table.answered(NodeInfo(near.to_bytes(20, "big"), PeerAddress(host, PORT)), 0.0)
        self.assertEqual(len(table), 64)
        newcomer = (int.from_bytes(own, "big") ^ 1 << 100).to_bytes(20, "big")
        self.ask(encode_ping(b"aa", newcomer))
        self.assertEqual(self.asked, [])
        self.assertEqual(table.candidates(), [NodeInfo(newcomer, PeerAddress(*ASKER))])

    def test_read_only_nodes_are_answered_but_not_kept(self) -> None:
        self.ask(encode_ping(b"aa", ID, read_only=True))
        table = self.node.tables[0]
        assert table is not None
        self.assertEqual((table.candidates(), self.asked), ([], []))

    def test_read_only_we_answer_nobody(self) -> None:
        node = self.make(read_only=True)
        for query in (encode_ping(b"aa", ID), encode_get_peers(b"aa", ID, INFOHASH), b"d1:q1:x1:t1:a1:y1:qe"):
            node.received(query, ASKER)
        self.assertEqual(self.sent, [])
        # ... and say so when we ask (BEP 43).
        node.ping(PeerAddress("20.0.0.1", 1)).addErrback(lambda _: None)
        query = decode_krpc(self.asked[0][0])
        assert isinstance(query, Query)
        self.assertTrue(query.read_only)

    def test_an_address_has_a_rate(self) -> None:
        burst = int(DEFAULT_LIMITS.dht_answers_burst)
        for _ in range(burst + 50):
            self.node.received(encode_ping(b"aa", ID), ASKER)
        self.assertEqual(len(self.sent), burst)
        self.assertEqual(self.node.stats.over_rate, 50)
        # It is the host that counts, not its ports; others are not held up.
        self.node.received(encode_ping(b"aa", ID), (ASKER[0], 9))
        self.assertEqual(len(self.sent), burst)
        self.node.received(encode_ping(b"aa", ID), ("21.1.1.2", 9))
        self.assertEqual(len(self.sent), burst + 1)
        self.clock.run(1.05)
        self.sent.clear()
        for _ in range(50):
            self.node.received(encode_ping(b"aa", ID), ASKER)
        self.assertEqual(len(self.sent), int(DEFAULT_LIMITS.dht_answers_rate))

    def test_a_network_has_a_rate(self) -> None:
        # Somebody writes the addresses of one victim's network into queries.
        burst, rate = int(DEFAULT_LIMITS.dht_answers_burst_near), int(DEFAULT_LIMITS.dht_answers_rate_near)
        for number in range(3 * burst):
            self.node.received(encode_ping(b"aa", ID), (f"21.1.1.{number % 256}", 53))
        self.assertEqual(len(self.sent), burst)
        # Others are answered all the same.
        self.node.received(encode_ping(b"aa", ID), ("21.1.2.1", 4000))
        self.assertEqual(len(self.sent), burst + 1)
        self.sent.clear()
        self.clock.run(1.0)
        for number in range(3 * burst):
            self.node.received(encode_ping(b"aa", ID), (f"21.1.1.{number % 256}", 53))
        self.assertEqual(len(self.sent), rate)

    def test_all_together_have_a_rate(self) -> None:
        self.node = self.make(dht_answers_burst_all=100.0, dht_answers_rate_all=50.0)
        for number in range(300):
            self.node.received(encode_ping(b"aa", ID), (f"30.{number >> 8}.{number & 255}.1", 1))
        self.assertEqual(len(self.sent), 100)

    def test_remembered_addresses_are_bounded(self) -> None:
        self.node = self.make(dht_answers_burst_all=1e6)
        for number in range(20_000):
            self.node.received(encode_ping(b"aa", ID), (f"30.{number >> 8}.{number & 255}.1", 1))
        answers = self.node._answers
        self.assertLessEqual(len(answers._each) + len(answers._near), 8192)

    def test_an_asker_from_port_0_is_dropped(self) -> None:
        self.node.received(encode_ping(b"aa", ID), ("21.1.1.1", 0))
        table = self.node.tables[0]
        assert table is not None
        self.assertEqual(table.candidates(), [])

    def test_no_answer_is_longer_than_1024_bytes(self) -> None:
        self.fill()
        token = b""
        for number in range(100):
            source = (f"21.{number}.1.1", 4000)
            token = self.response(encode_get_peers(b"a", ID, INFOHASH), source).token or b""
            self.response(encode_announce_peer(b"a", ID, INFOHASH, 7777, token), source)
        answer = self.response(encode_get_peers(b"t" * 32, ID, INFOHASH, want=("n4", "n6")))
        self.assertEqual((len(answer.nodes), len(answer.nodes6)), (8, 8))
        self.assertGreaterEqual(len(answer.values), 30)
        self.assertLessEqual(len(self.sent[0][0]), 1024)

    @given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda b: b"d1:ad2:id20:" + ID + b)))
    def test_any_datagram_from_anybody(self, data: bytes) -> None:
        for source in (ASKER, ("2600::1", 5), ("127.0.0.1", 0)):
            self.node.received(data, source)

    @given(st.data())
    def test_any_damage_to_a_message(self, data: st.DataObject) -> None:
        whole = data.draw(
            st.sampled_from(
                (
                    encode_ping(b"aa", ID),
                    encode_find_node(b"aa", ID, INFOHASH, want=("n4", "n6")),
                    encode_get_peers(b"aa", ID, INFOHASH),
                    encode_announce_peer(b"aa", ID, INFOHASH, 7777, b"token"),
                    b"d1:rd2:id20:%b5:nodes26:%be1:t2:aa1:y1:re" % (ID, bytes(26)),
                    b"d1:eli203e3:bade1:t2:aa1:y1:ee",
                )
            )
        )
        at = data.draw(st.integers(0, len(whole)))
        put = data.draw(st.binary(max_size=6))
        cut = data.draw(st.integers(0, 6))
        self.node.received(whole[:at] + put + whole[at + cut :], ASKER)
