"""Tests of functorrent.store.handing_on: files to be written, and what is due to outlets."""

from __future__ import annotations

from tests.store.bed import START, StoreCase, hash_of


class FileTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(5):
            self.in_state(number, "fetched")
        self.in_state(9, "queued")

    def test_unexported(self) -> None:
        """Oldest first, until told to be written."""
        keys = [hash_of(number) for number in range(5)]
        self.assertEqual(self.get(self.store.unexported(3)), keys[:3])
        self.get(
            self.store.exported({keys[0]: "/a", keys[2]: "/c\udcff", hash_of(9): "/no", hash_of(99): "/no"})
        )
        self.assertEqual(self.get(self.store.unexported(9)), [keys[1], keys[3], keys[4]])
        self.assertEqual((self.job(0).file, self.job(2).file, self.job(1).file), ("/a", "/c?", None))
        self.assertEqual((self.job(9).file, self.job(9).status), (None, "queued"))

    def test_exports(self) -> None:
        """Pages of what was written, each once."""
        self.get(self.store.exported({hash_of(number): f"/{number}" for number in (0, 1, 3, 4)}))
        self.get(self.store.exported({hash_of(0): "/moved"}))
        found = []
        after: int | None = 0
        pages = 0
        while after is not None:
            page, after = self.get(self.store.exports(after, 2))
            found += page
            pages += 1
        self.assertEqual(pages, 2)
        self.assertEqual(
            sorted(found), sorted([(hash_of(0), "/moved")] + [(hash_of(n), f"/{n}") for n in (1, 3, 4)])
        )

    def test_none(self) -> None:
        self.get(self.store.exported({}))
        self.assertEqual(self.get(self.store.exports(0, 2)), ([], None))


class DeliveryTests(StoreCase):
    def due(self, limit: int = 9) -> list[tuple[bytes, int]]:
        return [(each.key, each.attempts) for each in self.get(self.store.deliveries("hook", limit))]

    def setUp(self) -> None:
        super().setUp()
        self.submit(1, 2, 3)
        self.claim(3)
        for number in (2, 1, 3):
            self.fetch(number, outlets=["hook"])
            self.wall.time += 1
        self.numbers = [each.number for each in self.get(self.store.deliveries("hook", 9))]

    def test_oldest_first(self) -> None:
        self.assertEqual(self.due(), [(hash_of(2), 0), (hash_of(1), 0), (hash_of(3), 0)])
        self.assertEqual(self.due(1), [(hash_of(2), 0)])
        self.assertEqual(self.get(self.store.deliveries("other", 9)), [])

    def test_delivered(self) -> None:
        self.get(self.store.delivered(self.numbers[0]))
        self.get(self.store.delivered(self.numbers[0]))
        self.assertEqual(self.due(), [(hash_of(1), 0), (hash_of(3), 0)])

    def test_again(self) -> None:
        """At the time that was said, and not before; or never."""
        self.get(self.store.undelivered(self.numbers[0], START + 60))
        self.get(self.store.undelivered(self.numbers[1], None))
        self.assertEqual(self.due(), [(hash_of(3), 0)])
        self.wall.time = START + 60
        self.assertEqual(self.due(), [(hash_of(3), 0), (hash_of(2), 1)])
        self.get(self.store.undelivered(self.numbers[0], START + 61))
        self.wall.time = START + 99
        self.assertEqual(self.due(), [(hash_of(3), 0), (hash_of(2), 2)])
