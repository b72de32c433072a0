"""Tests of functorrent.wire.extended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, MalformedMessage
from functorrent.limits import DEFAULT_LIMITS, KIB
from functorrent.wire.bencode import decode, encode
from functorrent.wire.extended import (
    MAX_NAME,
    ExtendedHandshake,
    LocalExtensions,
    RemoteExtensions,
    encode_handshake,
)
from tests.wire.helpers import SMALL, quick

plain_names = st.text("abcdefghij_", min_size=1, max_size=12)
tables = st.dictionaries(plain_names, st.integers(0, 255), max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(10**19), 10**19) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=8), inner, max_size=3),
    max_leaves=8,
)
#: Handshakes whose well-known keys hold anything.
odd = st.dictionaries(
    st.sampled_from([b"m", b"metadata_size", b"v", b"p", b"reqq", b"yourip", b"ipv4"]),
    values
    | st.dictionaries(st.sampled_from([b"ut_metadata", b"ut_pex"]), values, max_size=2)
    | st.binary(min_size=4, max_size=4),
    max_size=7,
)


class ExtendedHandshakeTests(SynchronousTestCase):
    """ExtendedHandshake.decode and encode_handshake."""

    def test_bytes(self) -> None:
        """A libtorrent seeder's handshake."""
        payload = (
            b"d12:complete_agoi1e1:md11:lt_donthavei7e11:ut_metadatai2e6:ut_pexi1ee"
            b"13:metadata_sizei1234e1:pi6881e4:reqqi500e1:v18:libtorrent/2.1.1.06:yourip4:\x7f\x00\x00\x01e"
        )
        shaken = ExtendedHandshake.decode(payload)
        self.assertEqual(dict(shaken.extensions), {b"lt_donthave": 7, b"ut_metadata": 2, b"ut_pex": 1})
        self.assertEqual(shaken.metadata_size, 1234)
        self.assertEqual((shaken.port, shaken.reqq), (6881, 500))
        self.assertEqual((shaken.client, shaken.yourip), (b"libtorrent/2.1.1.0", b"\x7f\x00\x00\x01"))
        self.assertEqual(shaken.items[b"complete_ago"], 1)

    def test_empty(self) -> None:
        """Every key is optional."""
        self.assertEqual(ExtendedHandshake.decode(b"de"), ExtendedHandshake())

    def test_bytes_after_it(self) -> None:
        """What follows the dictionary is ignored."""
        self.assertEqual(ExtendedHandshake.decode(b"d4:reqqi1eegarbage").reqq, 1)

    def test_odd_values(self) -> None:
        """Keys of a wrong type, and values that can't be meant, count as absent."""
        for wrong in (
            {"m": 5, "metadata_size": b"1234", "v": 1, "p": b"\x1a\xe1", "reqq": b"1", "yourip": 1},
            {"m": [b"ut_metadata"], "p": 0, "reqq": -1, "yourip": b"12345", "v": [], "metadata_size": []},
            {"p": 65536, "yourip": bytes(15)},
            {"p": -1, "yourip": b""},
            {"m": {b"a": -1, b"b": 256, b"c": b"1", b"d": []}},
            {"m": {b"a": 2**64}, "p": 10**19},
        ):
            shaken = replace(ExtendedHandshake.decode(encode(wrong)), items={})
            self.assertEqual(shaken, ExtendedHandshake(), wrong)

    def test_sizes_are_not_judged(self) -> None:
        """Any int is a claim about the size; who uses it judges it."""
        for size in (0, -1, 1, 2**31, 2**63, 10**19):
            self.assertEqual(ExtendedHandshake.decode(b"d13:metadata_sizei%dee" % size).metadata_size, size)

    def test_edges(self) -> None:
        """The least and the largest that are taken."""
        shaken = ExtendedHandshake.decode(encode({"m": {b"a": 0, b"b": 255}, "p": 65535, "reqq": 0}))
        self.assertEqual(dict(shaken.extensions), {b"a": 0, b"b": 255})
        self.assertEqual((shaken.port, shaken.reqq), (65535, 0))
        self.assertEqual(ExtendedHandshake.decode(encode({"p": 1, "yourip": bytes(16)})).yourip, bytes(16))

    def test_client_is_cut(self) -> None:
        """A client's name of any length is kept up to the limit."""
        self.assertEqual(ExtendedHandshake.decode(encode({"v": b"x" * 60_000})).client, b"x" * 128)

    def test_too_many_extensions(self) -> None:
        """So many names are taken in one handshake, and no more."""
        most = DEFAULT_LIMITS.max_extensions
        self.assertEqual(most, 128)
        names = {b"x%d" % n: n % 256 for n in range(most)}
        self.assertEqual(len(ExtendedHandshake.decode(encode({"m": names})).extensions), most)
        with self.assertRaises(MalformedMessage):
            ExtendedHandshake.decode(encode({"m": {**names, b"one more": 1}}))

    def test_long_names(self) -> None:
        """A name that no extension has is not kept: 128 of 64 KiB each would be 8 MiB a peer."""
        names = {b"a" * MAX_NAME: 1, b"b" * (MAX_NAME + 1): 2, b"c" * 30_000: 3}
        self.assertEqual(
            dict(ExtendedHandshake.decode(encode({"m": names})).extensions), {b"a" * MAX_NAME: 1}
        )

    def test_malformed(self) -> None:
        """Whatever is no dictionary is malformed, and so is more than the budgets allow."""
        bombs = [
            b"l" * 60_000,
            b"d1:a" * 15_000,
            b"d1:al" + b"i0e" * 20_001 + b"ee",
            b"d1:m" + b"d0:" * 40,
        ]
        for wrong in (b"", b"i1e", b"le", b"4:spam", b"d", b"e", b"d1:a1:b-6:", b"d2222222222:l", *bombs):
            with self.assertRaises(MalformedMessage):
                self.fail(repr(ExtendedHandshake.decode(wrong)))

    def test_errors_are_short(self) -> None:
        """What a stranger sent is not told at length."""
        for wrong in (b"d" + b"30000:" + b"a" * 30_000 + b"i1e" + b"30000:" + b"a" * 30_000, b"9" * 60_000):
            error = self.assertRaises(MalformedMessage, ExtendedHandshake.decode, wrong)
            self.assertLess(len(str(error)), 300)

    @given(tables, st.integers(0, 2**40), st.binary(max_size=8), st.integers(0, 1000))
    @quick
    def test_round_trip(self, table: dict[str, int], size: int, client: bytes, reqq: int) -> None:
        """What is encoded is decoded; two names never share an id."""
        items = {"metadata_size": size, "v": client, "reqq": reqq}
        ids = [number for number in table.values() if number]
        if len(ids) != len(set(ids)):
            with self.assertRaises(LocalProtocolError):
                encode_handshake(table, items)
            return
        payload = encode_handshake(table, items)
        shaken = ExtendedHandshake.decode(payload)
        self.assertEqual(shaken.extensions, {name.encode(): number for name, number in table.items()})
        self.assertEqual((shaken.metadata_size, shaken.client, shaken.reqq), (size, client, reqq))
        self.assertEqual(shaken.items, decode(payload))

    def test_local_faults(self) -> None:
        """``m`` is not for the items to replace; ids are bytes; 0 may stand twice."""
        with self.assertRaises(LocalProtocolError):
            encode_handshake({"a": 1}, {"m": {}})
        for number in (-1, 256):
            with self.assertRaises(LocalProtocolError):
                encode_handshake({"a": number}, {})
        self.assertEqual(encode_handshake({"a": 0, "b": 0}, {}), b"d1:md1:ai0e1:bi0eee")

    @given(odd)
    @quick
    def test_odd_dictionaries(self, items: dict[bytes, Any]) -> None:
        """Any dictionary is a handshake, its parts of the right types; or malformed."""
        try:
            shaken = ExtendedHandshake.decode(encode(items), SMALL)
        except MalformedMessage:
            return
        self.assertTrue(all(0 <= number <= 255 for number in shaken.extensions.values()))
        self.assertTrue(shaken.metadata_size is None or type(shaken.metadata_size) is int)
        self.assertTrue(shaken.client is None or len(shaken.client) <= SMALL.max_client_name)
        self.assertTrue(shaken.port is None or 0 < shaken.port < 65536)
        self.assertTrue(shaken.reqq is None or shaken.reqq >= 0)
        self.assertTrue(shaken.yourip is None or len(shaken.yourip) in (4, 16))

    @given(st.binary(max_size=200) | st.lists(st.sampled_from(b"dle0123:i-amv"), max_size=60).map(bytes))
    @quick
    def test_fuzz(self, payload: bytes) -> None:
        """Any bytes are a handshake, or MalformedMessage."""
        try:
            ExtendedHandshake.decode(payload)
        except MalformedMessage:
            pass


class TableTests(SynchronousTestCase):
    """LocalExtensions and RemoteExtensions."""

    def test_local(self) -> None:
        """Ids from 1, in order; ids we never gave mean nothing."""
        local = LocalExtensions(["ut_metadata", "ut_pex"])
        self.assertEqual(local.ids, {"ut_metadata": 1, "ut_pex": 2})
        self.assertEqual(
            [local.name(n) for n in (0, 1, 2, 3, 255)], [None, "ut_metadata", "ut_pex", None, None]
        )

    def test_local_twice(self) -> None:
        """A name that comes again keeps its first id."""
        local = LocalExtensions(["a", "b", "a", "c"])
        self.assertEqual(local.ids, {"a": 1, "b": 2, "c": 3})
        self.assertEqual([local.name(n) for n in (1, 2, 3, 4)], ["a", "b", "c", None])

    def test_local_full(self) -> None:
        """An id is a byte, so there are 255 at most."""
        self.assertEqual(LocalExtensions(map(str, range(255))).name(255), "254")
        with self.assertRaises(LocalProtocolError):
            LocalExtensions(map(str, range(256)))

    def test_remote(self) -> None:
        """Later handshakes add, change and turn off; what they do not mention stays."""
        remote = RemoteExtensions()
        self.assertIsNone(remote.id("ut_metadata"))
        remote.update({b"ut_metadata": 3, b"ut_pex": 1})
        self.assertEqual((remote.id("ut_metadata"), remote.id("ut_pex")), (3, 1))
        remote.update({b"ut_metadata": 9})
        self.assertEqual((remote.id("ut_metadata"), remote.id("ut_pex")), (9, 1))
        remote.update({b"ut_pex": 0})
        self.assertEqual((remote.id("ut_metadata"), remote.id("ut_pex")), (9, None))

    def test_remote_is_bounded(self) -> None:
        """A peer that keeps adding names is a liar, and one that changes them is not."""
        remote = RemoteExtensions()
        for number in range(SMALL.max_extensions):
            remote.update({b"%d" % number: 1}, SMALL)
        for _ in range(100):
            remote.update({b"1": 0}, SMALL)
            remote.update({b"1": 1}, SMALL)
        with self.assertRaises(MalformedMessage):
            remote.update({b"new": 1}, SMALL)

    def test_remote_memory(self) -> None:
        """However many handshakes, the names kept are few and short."""
        remote = RemoteExtensions()
        with self.assertRaises(MalformedMessage):
            for number in range(1000):
                name = b"%d" % number + b"x" * 60_000
                short = b"%d" % number + b"y" * 40
                payload = encode({"m": {name: 1, short: 2}})
                self.assertLess(len(payload), 64 * KIB)
                remote.update(ExtendedHandshake.decode(payload).extensions)
        self.assertLess(sum(map(len, remote._ids)), 2 * 128 * MAX_NAME)
