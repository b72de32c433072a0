"""Announces on the local network: what real clients send, both directions, and anything else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, MalformedLsd
from functorrent.wire.lsd import (
    HOST4,
    HOST6,
    MAX_DATAGRAM,
    MAX_INFOHASHES,
    MAX_RECEIVED,
    LsdAnnounce,
    decode_announce,
    encode_announce,
    is_announce,
)

quick = settings(deadline=None, derandomize=True, max_examples=200)
infohash = st.binary(min_size=20, max_size=20).filter(any)
ports = st.integers(1, 65535)
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
A, B = b"\xaa" * 20, b"\xbb" * 20
PLAIN = (
    b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
    b"Infohash: " + b"aa" * 20 + b"\r\ncookie: 1a2b3c4d\r\n\r\n\r\n"
)


class Encoding(SynchronousTestCase):
    def test_it_is_the_bytes_of_the_bep(self) -> None:
        self.assertEqual(encode_announce(HOST4, 6881, [A], "1a2b3c4d"), PLAIN)

    def test_the_largest_is_no_longer_than_the_bep_lets_it_be(self) -> None:
        largest = encode_announce(HOST6, 65535, [bytes([n]) * 20 for n in range(MAX_INFOHASHES)], "c" * 20)
        self.assertLessEqual(len(largest), MAX_DATAGRAM)
        self.assertGreater(len(largest) + 52, MAX_DATAGRAM)

    def test_one_infohash_is_read_by_clients_that_take_200_bytes(self) -> None:
        """aria2 and Transmission up to 3.00."""
        self.assertLessEqual(len(encode_announce(HOST6, 65535, [A], "c" * 20)), 200)

    def test_what_cannot_go_out(self) -> None:
        for port, infohashes, cookie in (
            (0, [A], "c"),
            (65536, [A], "c"),
            (1, [], "c"),
            (1, [A[:19]], "c"),
            (1, [A] * (MAX_INFOHASHES + 1), "c"),
            (1, [A], ""),
            (1, [A], "c" * 21),
            (1, [A], "c\r\nPort: 2"),
            (1, [A], "ü"),
        ):
            with self.assertRaises(LocalProtocolError):
                encode_announce(HOST4, port, infohashes, cookie)

    @quick
    @given(
        ports,
        st.lists(infohash, min_size=1, max_size=MAX_INFOHASHES, unique=True),
        printable,
        st.sampled_from([HOST4, HOST6]),
    )
    def test_what_goes_out_is_read(self, port: int, many: list[bytes], cookie: str, host: str) -> None:
        data = encode_announce(host, port, many, cookie)
        self.assertTrue(is_announce(data))
        self.assertEqual(
            decode_announce(data), LsdAnnounce(port, tuple(many), cookie.encode(), host.encode())
        )


class RealClients(SynchronousTestCase):
    def test_libtorrent(self) -> None:
        data = (
            b"BT-SEARCH * HTTP/1.1\r\nHost: [ff15::efc0:988f]:6771\r\nPort: 51413\r\n"
            b"Infohash: " + b"bb" * 20 + b"\r\ncookie: 7f00ab\r\n\r\n\r\n"
        )
        self.assertEqual(
            decode_announce(data), LsdAnnounce(51413, (B,), b"7f00ab", b"[ff15::efc0:988f]:6771")
        )

    def test_aria2_has_no_cookie(self) -> None:
        data = PLAIN.replace(b"cookie: 1a2b3c4d\r\n", b"")
        self.assertEqual(decode_announce(data), LsdAnnounce(6881, (A,), None, HOST4.encode()))

    def test_transmission_writes_capitals_and_several(self) -> None:
        data = PLAIN.replace(b"aa" * 20, b"AA" * 20 + b"\r\nInfohash: " + b"BB" * 20)
        self.assertEqual(decode_announce(data).infohashes, (A, B))

    def test_bittorrent_lsd_has_a_long_cookie(self) -> None:
        cookie = b"bittorrent-lsd-" + b"2d" * 20
        self.assertEqual(decode_announce(PLAIN.replace(b"1a2b3c4d", cookie)).cookie, cookie)

    def test_odd_line_ends_cases_and_spaces(self) -> None:
        for data in (
            PLAIN.replace(b"\r\n", b"\n"),
            PLAIN.replace(b"\r\n", b"\r"),
            PLAIN.rstrip(),
            PLAIN.upper(),
            PLAIN.replace(b"BT-SEARCH", b"bt-search").replace(b"Infohash", b"INFOHASH"),
            PLAIN.replace(b": ", b":"),
            PLAIN.replace(b": ", b"  :\t "),
            PLAIN.replace(b"\r\n", b"  \r\n"),
            PLAIN.replace(b"\r\n\r\n\r\n", b"\r\n\0\0\0"),
            PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            with self.subTest(data=data):
                found = decode_announce(data)
                self.assertEqual((found.port, found.infohashes), (6881, (A,)))

    def test_unknown_lines_are_passed_over(self) -> None:
        data = PLAIN.replace(b"Port:", b"X-Port: 9\r\nno colon\r\n: 5\r\nReport: 7\r\nPort:")
        self.assertEqual(decode_announce(data), decode_announce(PLAIN))

    def test_the_first_of_two_counts(self) -> None:
        data = PLAIN.replace(b"\r\n\r\n", b"\r\nPort: 1\r\nHost: x\r\ncookie: y\r\n\r\n")
        self.assertEqual(decode_announce(data), decode_announce(PLAIN))

    def test_bad_infohashes_beside_good_ones(self) -> None:
        bad = b"\r\nInfohash: ".join(
            [b"", b"ab", b"a" * 41, b"g" * 40, b"00" * 20, b"aa" * 32, b"aa" * 20, b"\xc3\xa4" * 20]
        )
        data = PLAIN.replace(b"\r\ncookie", bad + b"\r\ncookie")
        self.assertEqual(decode_announce(data).infohashes, (A,))


class Strangers(SynchronousTestCase):
    def refused(self, data: bytes) -> str:
        return str(self.assertRaises(MalformedLsd, decode_announce, data))

    def test_no_announce(self) -> None:
        for data in (
            b"",
            b"\0" * 1000,
            b"BT-SEARCH",
            b"BT-SEARCH * HTTP/1.1",
            PLAIN.replace(b"BT-SEARCH", b"M-SEARCH"),
            PLAIN.replace(b"HTTP/1.1", b"HTTP/2.0"),
            PLAIN.replace(b"HTTP/1.1", b"HTTP/1.9999"),
            PLAIN.replace(b"*", b"/"),
            b"x" + PLAIN,
        ):
            with self.subTest(data=data):
                self.assertIn("not a BT-SEARCH", self.refused(data))

    def test_ports(self) -> None:
        for port in (
            b"0",
            b"00000",
            b"65536",
            b"99999",
            b"123456",
            b"-1",
            b"+1",
            b"1 2",
            b"0x1",
            b"1_0",
            b"",
        ):
            with self.subTest(port=port):
                self.assertIn("port", self.refused(PLAIN.replace(b"6881", port)))
        self.assertIn("without a port", self.refused(PLAIN.replace(b"Port: 6881\r\n", b"")))

    def test_no_infohash(self) -> None:
        self.assertIn("infohash", self.refused(PLAIN.replace(b"aa" * 20, b"aa" * 19)))
        self.assertIn("infohash", self.refused(PLAIN.replace(b"aa" * 20, b"00" * 20)))

    def test_giants(self) -> None:
        self.assertIn("over the limit", self.refused(PLAIN.ljust(MAX_RECEIVED + 1, b"\n")))
        self.assertEqual(decode_announce(PLAIN.ljust(MAX_RECEIVED, b"\n")).infohashes, (A,))

    @quick
    @given(st.binary(max_size=1600))
    def test_any_bytes(self, data: bytes) -> None:
        self.read(data)

    @quick
    @given(st.data())
    def test_a_good_one_bent(self, data: st.DataObject) -> None:
        bent = bytearray(PLAIN)
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(bent)))
            bent[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        self.read(bytes(bent))

    @quick
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([b"Port", b"infohash", b"Cookie", b"HOST", b"", b"x"]),
                st.sampled_from([b":", b" :", b"", b"::"]),
                st.one_of(st.binary(max_size=50), st.just(b"aa" * 20), st.just(b"6881")),
                st.sampled_from([b"\r\n", b"\n", b"\r", b"\n\n", b" "]),
            ),
            max_size=40,
        )
    )
    def test_lines_in_any_order(self, lines: list[tuple[bytes, ...]]) -> None:
        self.read(b"BT-SEARCH * HTTP/1.1\r\n" + b"".join(b"".join(line) for line in lines))

    def read(self, data: bytes) -> None:
        """A documented error or an announce with every promise kept."""
        try:
            found = decode_announce(data)
        except MalformedLsd:
            return
        self.assertTrue(is_announce(data))
        self.assertTrue(0 < found.port < 65536)
        self.assertTrue(found.infohashes)
        self.assertEqual(len(set(found.infohashes)), len(found.infohashes))
        self.assertEqual({len(each) for each in found.infohashes}, {20})
        self.assertNotIn(bytes(20), found.infohashes)
        self.assertLessEqual(len(found.cookie or b"") + len(found.host or b""), len(data))
