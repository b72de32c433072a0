"""Tests of functorrent.interfaces: the values it defines."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass, Method

from functorrent import interfaces
from functorrent.errors import TRACKER_STATUSES
from functorrent.interfaces import PeerAddress, SourceReport, TrackerReport


class ValueTests(SynchronousTestCase):
    """PeerAddress and the reports."""

    def test_address_in_words(self) -> None:
        """As people write addresses: IPv6 in brackets."""
        self.assertEqual(str(PeerAddress("192.0.2.1", 6881)), "192.0.2.1:6881")
        self.assertEqual(f"{PeerAddress('2001:db8::1', 6881)}", "[2001:db8::1]:6881")

    def test_address_is_a_tuple(self) -> None:
        """It can be a key, and be unpacked for a socket."""
        host, port = PeerAddress("192.0.2.1", 6881)
        self.assertEqual(len({PeerAddress(host, port), PeerAddress("192.0.2.1", 6881)}), 1)

    def test_reports_are_frozen(self) -> None:
        """A report is given to many, and changed by none."""
        report = TrackerReport("http://t.example/announce", TRACKER_STATUSES[0], 3)
        with self.assertRaises(FrozenInstanceError):
            report.peers = 4  # type: ignore[misc]
        with self.assertRaises(FrozenInstanceError):
            SourceReport("trackers").peers = 4  # type: ignore[misc]


class InterfaceTests(SynchronousTestCase):
    """The interfaces themselves."""

    def test_small_and_told(self) -> None:
        """Each is small, and says what each of its parts is for."""
        seams = [each for each in vars(interfaces).values() if isinstance(each, InterfaceClass)]
        seams = [each for each in seams if each.__module__ == interfaces.__name__]
        self.assertGreater(len(seams), 8)
        for seam in seams:
            self.assertTrue(seam.__doc__, seam)
            methods = [each for _, each in seam.namesAndDescriptions() if isinstance(each, Method)]
            self.assertLessEqual(len(methods), 6, seam)
            for name, part in seam.namesAndDescriptions():
                self.assertTrue(part.__doc__, f"{seam.__name__}.{name}")
