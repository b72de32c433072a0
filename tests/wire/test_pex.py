"""Tests of functorrent.wire.pex."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, MalformedMessage
from functorrent.interfaces import PeerAddress
from functorrent.wire.bencode import decode, encode
from functorrent.wire.pex import MOST, REACHABLE, SEED, UTP, PexMessage, PexPeer, decode_pex
from tests.wire.helpers import quick

ports = st.integers(0, 65535)
v4 = st.builds(PeerAddress, st.ip_addresses(v=4).map(str), ports)
v6 = st.builds(PeerAddress, st.ip_addresses(v=6).map(lambda each: inet6(each)), ports)
flags = st.integers(0, 255)


def inet6(address: Any) -> str:
    """As inet_ntop writes it, which differs from Python's for mapped addresses."""
    from socket import AF_INET6, inet_ntop

    return inet_ntop(AF_INET6, IPv6Address(address).packed)


def several(peers: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(peers, max_size=5).map(tuple)


messages = st.builds(
    lambda a, b, c, d: PexMessage(a + b, c + d),
    several(st.builds(PexPeer, v4, flags)),
    several(st.builds(PexPeer, v6, flags)),
    several(v4),
    several(v6),
)
#: Values under the keys of a message, of every kind.
values = st.one_of(
    st.binary(max_size=40), st.integers(), st.lists(st.binary(max_size=6), max_size=3), st.just({})
)
KEYS = (b"added", b"added.f", b"added6", b"added6.f", b"dropped", b"dropped6", b"dropped.f", b"x")


class PexMessageTests(SynchronousTestCase):
    """decode_pex and PexMessage.encode."""

    def test_bytes(self) -> None:
        """A message as libtorrent 2.1.1 sends it, and one as aria2 1.36 does."""
        payload = (
            b"d5:added12:\x7f\x00\x00\x02\x9aE\x7f\x00\x00\x01\x1ea7:added.f2:\t\x006:added60:8:added6.f0:"
            b"7:dropped0:8:dropped60:e"
        )
        message = PexMessage(
            (PexPeer(PeerAddress("127.0.0.2", 0x9A45), 9), PexPeer(PeerAddress("127.0.0.1", 0x1E61), 0))
        )
        self.assertEqual(decode_pex(payload), message)
        self.assertEqual(message.encode(), payload)
        self.assertEqual(
            decode_pex(b"d5:added6:\x7f\x00\x00\x03\x80Y7:added.f1:\x00e"),
            PexMessage((PexPeer(PeerAddress("127.0.0.3", 0x8059)),)),
        )

    def test_bytes_of_ut_pex(self) -> None:
        """As ut_pex 3.0.2 (webtorrent's) says it, its keys in no order."""
        payload = bytes.fromhex(
            "64353a616464656431323a5db8d8221ae15db8d823c8d5373a61646465642e66323a1200363a61646465643631383a260628"
            "000220000100000000000000071ae2383a6164646564362e66313a04373a64726f70706564363a5db8d8240001383a64726f"
            "7070656436303a65"
        )
        message = decode_pex(payload)
        self.assertEqual(
            message,
            PexMessage(
                (
                    PexPeer(PeerAddress("93.184.216.34", 6881), SEED | REACHABLE),
                    PexPeer(PeerAddress("93.184.216.35", 51413)),
                    PexPeer(PeerAddress("2606:2800:220:1::7", 6882), UTP),
                ),
                (PeerAddress("93.184.216.36", 1),),
            ),
        )
        self.assertEqual([peer.seed for peer in message.added], [True, False, False])

    @given(messages)
    @quick
    def test_round_trip(self, message: PexMessage) -> None:
        """What is encoded is decoded."""
        self.assertEqual(decode_pex(message.encode()), message)

    def test_flags(self) -> None:
        self.assertTrue(PexPeer(PeerAddress("192.0.2.1", 1), SEED | UTP).seed)
        self.assertFalse(PexPeer(PeerAddress("192.0.2.1", 1), 0xFF & ~SEED).seed)

    def test_every_part_may_be_missing(self) -> None:
        self.assertEqual(decode_pex(b"de"), PexMessage())
        message = decode_pex(b"d8:dropped618:" + bytes(15) + b"\x01\x00\x05e")
        self.assertEqual(message, PexMessage(dropped=(PeerAddress("::1", 5),)))

    def test_flags_that_are_not_one_for_each(self) -> None:
        """They say nothing about anybody; the peers are peers all the same."""
        for odd in (
            b"",
            b"7:added.f1:\x02",
            b"7:added.f3:\x02\x02\x02",
            b"7:added.fi2e",
            b"7:added.fl1:\x02e",
        ):
            message = decode_pex(b"d5:added12:" + b"\xc0\x00\x02\x01\x00\x07" * 2 + odd + b"e")
            self.assertEqual(message.added, (PexPeer(PeerAddress("192.0.2.1", 7)),) * 2)

    def test_no_more_than_so_many(self) -> None:
        """Those over the cap are not even looked at; flags stay with their peers."""
        hosts = [PeerAddress(str(IPv4Address(0xC0000200 + n)), n) for n in range(300)]
        six = [PeerAddress(f"2001:db8::{n + 1:x}", n) for n in range(300)]
        all_of_them = PexMessage(
            tuple(PexPeer(each, n % 200) for n, each in enumerate([*hosts, *six])), (*hosts, *six)
        )
        payload = all_of_them.encode()
        message = decode_pex(payload)
        self.assertEqual([each.address for each in message.added], [*hosts[:MOST], *six[:MOST]])
        self.assertEqual(message.added[1].flags, 1)
        self.assertEqual(message.added[MOST].flags, 100)
        self.assertEqual(list(message.dropped), [*hosts[:MOST], *six[:MOST]])
        self.assertEqual(len(decode_pex(payload, most=7).added), 14)

    def test_malformed(self) -> None:
        for payload in (
            b"",
            b"d",
            b"dexx",
            b"le",
            b"i5e",
            b"5:added",
            b"d5:addedi6ee",
            b"d5:addedle6:added60:e",
            b"d5:added5:\x7f\x00\x00\x03\x80e",
            b"d6:added617:" + bytes(17) + b"e",
            b"d7:dropped7:" + bytes(7) + b"e",
            b"d8:dropped6i0ee",
            b"d5:added0:5:added0:e",
            b"d1:a1:b-6:",
            b"d1:x" + b"l" * 30_000 + b"e" * 30_000 + b"e",
            b"d1:xl" + b"i1e" * 100 + b"ee",
        ):
            with self.assertRaises(MalformedMessage, msg=payload[:40]):
                decode_pex(payload)

    def test_what_cannot_be_said(self) -> None:
        for message in (
            PexMessage((PexPeer(PeerAddress("192.0.2.1", 70_000)),)),
            PexMessage((PexPeer(PeerAddress("192.0.2.1", 7), 256),)),
            PexMessage(dropped=(PeerAddress("peer.example", 7),)),
        ):
            with self.assertRaises(LocalProtocolError):
                message.encode()

    @given(st.binary(max_size=200))
    @quick
    def test_any_bytes(self, payload: bytes) -> None:
        """The one thing that may come of bytes is MalformedMessage."""
        self._decodes_or_is_malformed(payload)

    @given(st.dictionaries(st.sampled_from(KEYS), values))
    @quick
    def test_any_dictionary(self, items: dict[bytes, Any]) -> None:
        payload = b"d" + b"".join(encode(key) + encode(items[key]) for key in sorted(items)) + b"e"
        self.assertEqual(set(decode(payload)), set(items))  # type: ignore[arg-type]
        self._decodes_or_is_malformed(payload)

    @given(messages, st.data())
    @quick
    def test_a_byte_changed(self, message: PexMessage, data: st.DataObject) -> None:
        payload = bytearray(message.encode())
        where = data.draw(st.integers(0, len(payload) - 1))
        payload[where] = data.draw(st.integers(0, 255))
        self._decodes_or_is_malformed(bytes(payload))

    def _decodes_or_is_malformed(self, payload: bytes) -> None:
        try:
            message = decode_pex(payload, most=2)
        except MalformedMessage:
            return
        self.assertLessEqual(len(message.added), 4)
        self.assertLessEqual(len(message.dropped), 4)
