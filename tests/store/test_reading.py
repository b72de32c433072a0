"""Tests of functorrent.store.reading: one job, pages, searches, info dictionaries, totals."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1, sha256

from functorrent.limits import DEFAULT_LIMITS
from functorrent.metainfo.torrent import Metainfo
from functorrent.store import reading
from functorrent.store.jobs import STATES, JobQuery, Page
from tests.store.bed import (
    REPORT,
    StoreCase,
    hash_of,
    hybrid_hashes,
    hybrid_info,
    info_of,
    link,
    magnet_of,
    result_of,
)


def limits(**changed: int) -> object:
    return replace(DEFAULT_LIMITS, **changed)


class PageTests(StoreCase):
    def pages(self, **query: object) -> list[list[bytes]]:
        """The keys of each page, to the end."""
        found = []
        before = None
        for _ in range(100):
            page: Page = self.get(self.store.jobs(JobQuery(before=before, **query)))  # type: ignore[arg-type]
            found.append([job.key for job in page.jobs])
            before = page.next
            if before is None:
                return found
        raise AssertionError("the pages never end")  # type: ignore[arg-type]

    def test_newest_first(self) -> None:
        self.submit(*range(7))
        keys = [hash_of(number) for number in range(6, -1, -1)]
        self.assertEqual(self.pages(limit=3), [keys[:3], keys[3:6], keys[6:]])
        self.assertEqual(self.pages(limit=7), [keys])
        self.assertEqual(self.pages(limit=0), [[key] for key in keys])

    def test_what_comes_meanwhile_moves_nothing(self) -> None:
        self.submit(*range(4))
        page = self.get(self.store.jobs(JobQuery(limit=2)))
        self.submit(8, 9)
        page = self.get(self.store.jobs(JobQuery(limit=2, before=page.next)))
        self.assertEqual([job.key for job in page.jobs], [hash_of(1), hash_of(0)])

    def test_without_reports(self) -> None:
        self.in_state(1, "gave_up")
        [job] = self.get(self.store.jobs(JobQuery())).jobs
        self.assertEqual((job, job.report), (replace(self.job(1), report=None), None))
        self.assertEqual(self.job(1).report, REPORT)

    def test_by_state(self) -> None:
        for number in range(18):
            self.in_state(number, STATES[number % 6])
        for number, state in enumerate(STATES):
            keys = [hash_of(number + 12), hash_of(number + 6), hash_of(number)]
            self.assertEqual(self.pages(status=state, limit=2), [keys[:2], keys[2:]])

    def test_by_the_first_digits(self) -> None:
        """Of any number, of v1 and v2, in the order of the listing."""
        self.submit(*range(300))
        v1, v2 = hybrid_hashes(1)
        self.submit(link(v1, v2))
        all_keys = [v1, *(hash_of(number) for number in range(299, -1, -1))]
        for digits in ("0", "7f", "f", "ff", "fff", all_keys[50].hex()[:3], all_keys[50].hex(), v1.hex()[:9]):
            expected = [key for key in all_keys if key.hex().startswith(digits)]
            if v2.hex().startswith(digits) and v1 not in expected:
                expected.insert(0, v1)
            self.assertEqual(self.listed(infohash=digits), expected, digits)
        self.assertEqual(self.listed(infohash=v2.hex()), [v1])
        self.assertEqual(self.listed(infohash=v2.hex()[:5]), [v1])
        self.assertEqual(self.listed(infohash="f" * 70), [])
        self.assertEqual(self.listed(infohash=all_keys[5].hex(), status="fetched"), [])

    def test_many_of_a_prefix(self) -> None:
        """More than are sorted at once are met by walking, with the same answer."""
        self.submit(*range(200))
        for digits in ("a", "f", *(hash_of(number).hex()[:number] for number in (2, 3, 7))):
            expected = self.pages(infohash=digits, limit=4)
            self.assertEqual(len(expected) > 1, len(digits) == 1)
            self.patch(reading, "_FEW", 0)
            self.assertEqual(self.pages(infohash=digits, limit=4), expected)
            self.patch(reading, "_FEW", 2000)

    def test_by_name(self) -> None:
        """A part of it, in any size of letters; what LIKE takes for wild is meant as it stands."""
        names = ["Größe.XL", "100%_sure", "100 per cent", "a/b\\c", "İstanbul"]
        self.submit(*(magnet_of(n, f"&dn={name.replace('%', '%25')}") for n, name in enumerate(names)), 77)
        for text, found in (
            ("GRÖSSE", [0]),
            ("größe.x", [0]),
            ("100", [2, 1]),
            ("0%_", [1]),
            ("0_p", []),
            ("a/b\\C", [3]),
            ("istan", []),
            ("İSTAN", [4]),
            ("xyz", []),
        ):
            self.assertEqual(self.listed(text=text), [hash_of(number) for number in found], text)

    def test_by_what_no_database_takes(self) -> None:
        """NUL ends a pattern of SQLite's, which then fits every name; it is kept as another character."""
        self.submit(magnet_of(1, "&dn=a%00bc"), magnet_of(2, "&dn=other"), 3)
        self.assertEqual(self.listed(text="\0\0\0"), [])
        self.assertEqual(self.listed(text="A\0B"), [hash_of(1)])
        self.assertEqual(self.listed(text="oth\ud800"), [])

    def test_a_search_is_bounded(self) -> None:
        """It looks at so many jobs for each page, which may come short, and goes on behind them."""
        self.patch(reading, "DEFAULT_LIMITS", limits(store_search=10))
        self.submit(*(magnet_of(n, "&dn=" + ("needle" if n in (3, 4, 28) else "straw")) for n in range(35)))
        keys = {number: hash_of(number) for number in (3, 4, 28)}
        self.assertEqual(self.pages(text="Needle"), [[keys[28]], [], [], [keys[4], keys[3]]])
        self.assertEqual(self.pages(text="Needle", limit=1), [[keys[28]], [], [], [keys[4]], [keys[3]]])
        self.assertEqual(self.pages(text="Needle", status="fetched"), [[]])
        pages = self.pages(text="Needle", status="queued")
        self.assertEqual([key for page in pages for key in page], [keys[28], keys[4], keys[3]])

    def test_digits_or_a_name(self) -> None:
        """Both are asked for where somebody typed one word; a long infohash is no word."""
        digits = hash_of(1).hex()
        self.submit(1, magnet_of(2, f"&dn={digits[:3]}de"), magnet_of(3, f"&dn=about+{digits}"))
        self.assertEqual(
            self.listed(infohash=digits[:3], text=digits[:3]), [hash_of(3), hash_of(2), hash_of(1)]
        )
        self.assertEqual(self.listed(infohash=digits, text=digits), [hash_of(1)])
        self.assertEqual(self.listed(infohash="0" * 40, text=digits), [hash_of(3)])


class InfoTests(StoreCase):
    def test_none_until_fetched(self) -> None:
        for state in STATES:
            if state != "fetched":
                key = self.in_state(STATES.index(state), state)
                self.assertIsNone(self.get(self.store.info_bytes(key)))
                self.assertIsNone(self.get(self.store.torrent(key)))
        self.assertIsNone(self.get(self.store.info_bytes(hash_of(99))))
        self.assertIsNone(self.get(self.store.torrent(hash_of(99))))
        self.assertIsNone(self.get(self.store.job(hash_of(99))))

    def test_by_the_bytes_of_a_handshake(self) -> None:
        """A v2 torrent's infohash is cut to 20 bytes there (BEP 52)."""
        _, v2 = hybrid_hashes(1)
        info = hybrid_info(1).replace(b"6:pieces0:", b"")
        v2 = sha256(info).digest()
        self.submit(link(None, v2))
        self.assertIsNone(self.get(self.store.info_bytes(v2[:20])))
        self.claim()
        self.assertTrue(self.get(self.store.fetched("w", result_of(1, info, key=v2))))
        self.assertEqual(self.get(self.store.info_bytes(v2)), info)
        self.assertEqual(self.get(self.store.info_bytes(v2[:20])), info)
        self.assertIsNone(self.get(self.store.info_bytes(v2[:19] + b"\0")))
        # In a listing and for a job, they are no infohash.
        self.assertIsNone(self.get(self.store.job(v2[:20])))

    def test_trackers_of_every_submission(self) -> None:
        self.in_state(1, "fetched")
        self.submit(magnet_of(1, "&tr=udp%3A%2F%2Flate%3A1&ws=http%3A%2F%2Fseed%2F"))
        torrent = self.get(self.store.torrent(hash_of(1)))
        self.assertIn(b"udp://late:1", torrent)
        self.assertIn(b"http://seed/", torrent)

    def test_what_is_private_has_its_own_trackers_alone(self) -> None:
        """What the try asked beside them (extra trackers, BEP 27) is in its report, and nowhere else."""
        info = info_of(1, b"7:privatei1e")
        key = sha1(info).digest()
        self.submit(link(key, None, "&tr=http%3A%2F%2Fown%2Fa"))
        learned = {"extra trackers": {"answers": [{"url": "udp://extra:1", "until": 9e9}], "failed": []}}
        self.claim()
        self.assertTrue(self.failed(key, self.wall.time, learned=learned))
        (claim,) = self.claim()
        self.assertEqual(claim.magnet.all_trackers(), ["http://own/a"])
        report = {"trackers": [{"url": "udp://extra:1", "status": "ok"}], "peers": {}, "reason": None}
        result = replace(result_of(1, info), private=True, report=report)
        self.assertTrue(self.get(self.store.fetched("w", result)))
        torrent = Metainfo.parse(self.get(self.store.torrent(key)))
        self.assertEqual(torrent.trackers, (("http://own/a",),))
        self.assertEqual(self.job(key).report["trackers"], report["trackers"])
        self.assertNotIn(b"extra", self.get(self.store.torrent(key)))


class CountTests(StoreCase):
    def test_all_states_are_there(self) -> None:
        self.assertEqual(self.get(self.store.counts()), dict.fromkeys(STATES, 0))

    def test_each_move_is_counted(self) -> None:
        for number, state in enumerate(STATES):
            self.in_state(number, state)
            self.in_state(number + 10, state)
        self.assertEqual(self.get(self.store.counts()), dict.fromkeys(STATES, 2))
