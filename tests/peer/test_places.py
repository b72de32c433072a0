"""Places for connections: so many in all, and none for whoever has as many as are left."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from functorrent.addresses import subscriber
from functorrent.peer.places import Places


class PlacesTests(SynchronousTestCase):
    def fill(self, places: Places, *hosts: str) -> list[int]:
        """Each host in turn takes what it can get; how many each has."""
        taken = dict.fromkeys(hosts, 0)
        while True:
            got = [host for host in hosts if places.take(host)]
            for host in got:
                taken[host] += 1
            if not got:
                return list(taken.values())

    def test_one_gets_half(self) -> None:
        self.assertEqual(self.fill(Places(10), "192.0.2.1"), [5])
        self.assertEqual(self.fill(Places(1), "192.0.2.1"), [1])

    def test_many_get_an_equal_share_and_leave_one(self) -> None:
        places = Places(1000)
        self.assertEqual(self.fill(places, *(f"192.0.2.{n}" for n in range(9))), [100] * 9)
        self.assertTrue(places.take("192.0.2.99"))

    def test_no_more_than_there_are(self) -> None:
        places = Places(5)
        self.assertEqual([places.take(f"192.0.2.{n}") for n in range(6)], [True] * 5 + [False])
        places.leave("192.0.2.3")
        self.assertTrue(places.take("192.0.2.77"))
        self.assertFalse(places.take("192.0.2.78"))
        self.assertEqual(places.used, 5)

    def test_what_is_left_can_be_taken_again(self) -> None:
        places = Places(4)
        for _ in range(10):
            self.assertEqual(self.fill(places, "192.0.2.1"), [2])
            places.leave("192.0.2.1")
            places.leave("192.0.2.1")
        self.assertEqual((places.used, places._taken), (0, {}))

    def test_a_subscriber_is_one(self) -> None:
        """Whoever has a /64 has all of its addresses."""
        self.assertEqual(self.fill(Places(10), "2001:db8::1", "2001:db8::ffff:2"), [3, 2])
        self.assertEqual(self.fill(Places(12), "2001:db8::1", "2001:db8:0:1::1"), [4, 4])

    def test_subscriber(self) -> None:
        self.assertEqual(subscriber("192.0.2.1"), "192.0.2.1")
        self.assertEqual(subscriber("2001:db8:1:2::"), subscriber("2001:db8:1:2:ffff::3"))
        self.assertNotEqual(subscriber("2001:db8:1:2::"), subscriber("2001:db8:1:3::"))
        self.assertEqual(subscriber(""), "")
        self.assertEqual(subscriber("fe80::1%eth0"), subscriber("fe80::2%eth0"))
        self.assertEqual(subscriber("no:address"), "no:address")
