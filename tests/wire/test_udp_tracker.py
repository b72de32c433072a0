"""UDP tracker packets: known bytes, both directions, and answers cut or broken anywhere."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, TrackerProtocolError
from functorrent.wire.udp_tracker import (
    STARTED,
    STOPPED,
    AnnounceAnswer,
    AnnounceRequest,
    ConnectAnswer,
    ConnectRequest,
    ErrorAnswer,
    decode_answer,
    decode_head,
    decode_options,
    decode_request,
    encode_answer,
    encode_options,
)

quick = settings(deadline=None, derandomize=True, max_examples=100)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
twenty = st.binary(min_size=20, max_size=20)
ANSWERS = st.one_of(
    st.builds(ConnectAnswer, u32, u64),
    st.builds(AnnounceAnswer, u32, u32, u32, u32, st.binary(max_size=60)),
    st.builds(ErrorAnswer, u32, st.binary(max_size=40)),
)


class Requests(SynchronousTestCase):
    def test_connect_is_the_bytes_of_the_bep(self) -> None:
        self.assertEqual(
            ConnectRequest(0x01020304).encode(), bytes.fromhex("0000041727101980 00000000 01020304")
        )

    def test_announce_is_the_bytes_of_the_bep(self) -> None:
        request = AnnounceRequest(
            0x1122334455667788, 0xAABBCCDD, b"h" * 20, b"p" * 20, 6881, STARTED, 1, 2, 3, 0xCAFE, 200
        )
        self.assertEqual(
            request.encode(),
            bytes.fromhex("1122334455667788 00000001 aabbccdd")
            + b"h" * 20
            + b"p" * 20
            + bytes.fromhex("0000000000000001 0000000000000002 0000000000000003")
            + bytes.fromhex("00000002 00000000 0000cafe 000000c8 1ae1"),
        )
        self.assertEqual(len(request.encode()), 98)

    def test_left_to_the_tracker_is_minus_one(self) -> None:
        data = AnnounceRequest(0, 0, bytes(20), bytes(20), 1, STOPPED).encode()
        self.assertEqual(data[92:96], b"\xff\xff\xff\xff")
        self.assertEqual(data[80:84], b"\x00\x00\x00\x03")

    @quick
    @given(
        u64, u32, twenty, twenty, st.integers(0, 65535), st.integers(0, 3), u64, u32, st.binary(max_size=30)
    )
    def test_both_directions(
        self,
        cid: int,
        tid: int,
        ih: bytes,
        pid: bytes,
        port: int,
        event: int,
        left: int,
        key: int,
        opt: bytes,
    ) -> None:
        request = AnnounceRequest(cid, tid, ih, pid, port, event, 0, left, 0, key, 200, opt)
        self.assertEqual(decode_request(request.encode()), request)
        self.assertEqual(decode_request(ConnectRequest(tid).encode()), ConnectRequest(tid))

    @quick
    @given(st.binary(max_size=120))
    def test_nothing_but_its_error(self, data: bytes) -> None:
        try:
            decode_request(data)
        except TrackerProtocolError:
            pass


class Options(SynchronousTestCase):
    def test_path_and_query(self) -> None:
        self.assertEqual(encode_options("/announce?a=b"), b"\x02\x0d/announce?a=b")
        self.assertEqual(encode_options(""), b"")

    def test_long_ones_are_split(self) -> None:
        data = encode_options("x" * 300)
        self.assertEqual((data[:2], data[257:259], len(data)), (b"\x02\xff", b"\x02\x2d", 304))

    def test_only_ascii(self) -> None:
        self.assertRaises(LocalProtocolError, encode_options, "/é")

    def test_others_are_skipped(self) -> None:
        self.assertEqual(decode_options(b"\x01\x02\x01a\x07\x02zz\x02\x01b\x00\x02\x01c"), b"ab")

    def test_cut_short(self) -> None:
        for data in (b"\x02", b"\x02\x05abc"):
            self.assertRaises(TrackerProtocolError, decode_options, data)

    @quick
    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=600))
    def test_both_directions(self, text: str) -> None:
        self.assertEqual(decode_options(encode_options(text)), text.encode())


class Answers(SynchronousTestCase):
    def test_known_bytes(self) -> None:
        self.assertEqual(
            decode_answer(bytes.fromhex("00000000 00000007 0102030405060708")),
            ConnectAnswer(7, 0x0102030405060708),
        )
        self.assertEqual(
            decode_answer(bytes.fromhex("00000001 00000007 00000708 00000002 00000003 7f000001 1ae1")),
            AnnounceAnswer(7, 1800, 2, 3, bytes.fromhex("7f0000011ae1")),
        )
        self.assertEqual(decode_answer(bytes.fromhex("00000003 00000007") + b"no"), ErrorAnswer(7, b"no"))

    def test_opentracker_refuses_with_eight_bytes(self) -> None:
        self.assertEqual(decode_answer(bytes.fromhex("00000001 00000007")), ErrorAnswer(7, b""))

    def test_too_short_is_an_error_with_the_numbers(self) -> None:
        for head, length, need in (("00000000", 15, "16"), ("00000001", 19, "20"), ("00000003", 7, "8")):
            data = bytes.fromhex(head).ljust(length, b"\0")
            error = self.assertRaises(TrackerProtocolError, decode_answer, data)
            self.assertIn(f"{length} bytes", str(error))
            self.assertIn(need, str(error))

    def test_unknown_action(self) -> None:
        for action in (2, 4, 0xFFFFFFFF):
            error = self.assertRaises(
                TrackerProtocolError, decode_answer, action.to_bytes(4, "big") + bytes(20)
            )
            self.assertIn(str(action), str(error))

    def test_the_head(self) -> None:
        self.assertEqual(decode_head(bytes.fromhex("00000001 00000007 ff")), (1, 7))
        self.assertRaises(TrackerProtocolError, decode_head, bytes(7))

    @quick
    @given(ANSWERS)
    def test_both_directions(self, answer: ConnectAnswer | AnnounceAnswer | ErrorAnswer) -> None:
        self.assertEqual(decode_answer(encode_answer(answer)), answer)

    @quick
    @given(ANSWERS, st.integers(0, 40))
    def test_cut_anywhere(self, answer: ConnectAnswer | AnnounceAnswer | ErrorAnswer, keep: int) -> None:
        try:
            decode_answer(encode_answer(answer)[:keep])
        except TrackerProtocolError:
            pass

    @quick
    @given(st.binary(max_size=60))
    def test_nothing_but_its_error(self, data: bytes) -> None:
        try:
            decode_answer(data)
        except TrackerProtocolError:
            pass
