"""The compact set of infohashes."""

from __future__ import annotations

from hashlib import sha1

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.seen import Seen

members = st.lists(st.one_of(st.binary(min_size=20, max_size=20), st.sampled_from([b"a" * 20, b"b" * 20])))


class SeenTests(SynchronousTestCase):
    @given(members)
    @settings(deadline=None, derandomize=True, max_examples=100)
    def test_behaves_as_a_set(self, given_members: list[bytes]) -> None:
        seen, model = Seen(), set()
        for member in given_members:
            self.assertEqual(seen.add(member), member not in model)
            model.add(member)
            self.assertIn(member, seen)
        self.assertEqual(len(seen), len(model))
        self.assertNotIn(b"c" * 20, seen)

    def test_keeps_all_members_while_it_grows(self) -> None:
        seen = Seen()
        hashes = [sha1(b"%d" % n).digest() for n in range(20_000)]
        self.assertTrue(all([seen.add(h) for h in hashes]))
        self.assertFalse(any([seen.add(h) for h in hashes]))
        self.assertTrue(all(h in seen for h in hashes))
        self.assertEqual(len(seen), 20_000)

    def test_takes_few_bytes_an_entry(self) -> None:
        seen = Seen()
        for n in range(40_000):
            seen.add(sha1(b"%d" % n).digest())
        self.assertLess(seen.size / len(seen), 24)

    def test_positions_differ_between_sets(self) -> None:
        """The key is secret: where a member lands cannot be foreseen."""
        first, second = Seen(), Seen()
        for n in range(50):
            first.add(b"%d" % n)
            second.add(b"%d" % n)
        self.assertNotEqual(first._tables, second._tables)
