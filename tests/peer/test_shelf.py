"""The shelf: one object for all readers, within a budget, and who had a turn gives way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.interfaces import IMetadataProvider
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.shelf import Shelf

LIMITS = replace(DEFAULT_LIMITS, max_serving=100, serve_turn=30.0)


class Peer:
    """A peer that says `leave` when it is hung up on, as the listener's do."""

    def __init__(self, shelf: Shelf, gone: list[Any]) -> None:
        self.shelf, self.gone = shelf, gone

    def abort(self, error: object) -> None:
        self.gone.append(self)
        self.shelf.leave(self)  # type: ignore[arg-type]


@implementer(IMetadataProvider)
class Provider:
    def info_bytes(self, infohash: bytes) -> bytes | None:
        return b"provided" if infohash == b"P" else None


class ShelfTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.shelf = Shelf(self.clock, Provider(), LIMITS)
        self.gone: list[Any] = []

    def peer(self) -> Any:
        return Peer(self.shelf, self.gone)

    def put(self, infohash: bytes, size: int) -> Any:
        """A peer that is served so many bytes; None where there was no room."""
        peer = self.peer()
        return peer if self.shelf.put(peer, infohash, bytes(size)) else None

    def test_what_it_is(self) -> None:
        verifyObject(IMetadataProvider, self.shelf)

    def test_one_object_for_all(self) -> None:
        first, second = bytes(50), bytes(50)
        readers = [self.peer(), self.peer(), self.peer()]
        self.assertTrue(self.shelf.put(readers[0], b"a", first))
        self.assertTrue(self.shelf.put(readers[1], b"a", second))
        self.assertIs(self.shelf.info_bytes(b"a"), first)
        self.assertIs(self.shelf.take(readers[2], b"a"), first)
        self.assertEqual(self.shelf.size, 50)
        for reader in readers:
            self.assertIs(self.shelf.info_bytes(b"a"), first)
            self.shelf.leave(reader)
        self.assertIsNone(self.shelf.info_bytes(b"a"))
        self.assertEqual((self.shelf.size, self.shelf._read), (0, {}))

    def test_what_others_have(self) -> None:
        peer = self.peer()
        self.assertEqual(self.shelf.info_bytes(b"P"), b"provided")
        self.assertEqual(self.shelf.take(peer, b"P"), b"provided")
        self.assertIsNone(self.shelf.take(peer, b"N"))
        self.assertEqual((self.shelf.size, self.shelf._read), (0, {}))
        self.shelf.leave(peer)
        self.assertIsNone(Shelf(self.clock).info_bytes(b"P"))

    def test_full(self) -> None:
        self.assertIsNotNone(self.put(b"a", 60))
        self.assertIsNone(self.put(b"b", 41))
        self.assertIsNotNone(self.put(b"c", 40))
        # One that is there already costs nothing more.
        self.assertIsNotNone(self.put(b"a", 60))
        self.assertEqual((self.shelf.size, self.gone), (100, []))

    def test_who_had_a_turn_gives_way(self) -> None:
        old = [self.put(b"a", 60), self.put(b"a", 60)]
        self.clock.advance(20)
        young = self.put(b"b", 40)
        self.clock.advance(10)
        self.assertIsNotNone(self.put(b"c", 60))
        self.assertEqual(set(self.gone), set(old))
        self.assertEqual(self.shelf.size, 100)
        self.assertIsNone(self.put(b"d", 1))
        self.assertNotIn(young, self.gone)

    def test_nobody_goes_without_need(self) -> None:
        self.put(b"a", 40)
        self.put(b"b", 40)
        self.clock.advance(100)
        self.put(b"c", 20)
        self.assertEqual(self.gone, [])
        self.put(b"d", 10)
        # The oldest alone was enough.
        self.assertEqual((len(self.gone), self.shelf.size), (1, 70))
        self.assertIsNone(self.shelf.info_bytes(b"a"))

    def test_too_large_at_all(self) -> None:
        self.put(b"a", 60)
        self.clock.advance(100)
        self.assertIsNone(self.put(b"b", 101))
        self.assertEqual((self.shelf.size, self.gone), (60, []))
