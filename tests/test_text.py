"""Tests of functorrent.text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.text import plural, printable, redact_url

quick = settings(deadline=None, derandomize=True, max_examples=100)


class PrintableTests(SynchronousTestCase):
    """printable: what a terminal or a log may see of a stranger's string."""

    def test_honest_text_stays(self) -> None:
        """Letters of any script, spaces and emoji are not touched."""
        for text in ("", "Debian 12", "Ünïcödé – «»", "日本語\u3000名", "עברית", "ف\u200cا", "👩\u200d👩"):
            self.assertEqual(printable(text), text)
            self.assertEqual(printable(text.encode()), text)

    def test_tricks_are_shown(self) -> None:
        """Whatever a terminal would act on, or a reader not see, becomes visible."""
        for text, shown in [
            ("\x1b[31mred", "\\x1b[31mred"),
            ("a\nb\rc\td\0", "a\\x0ab\\x0dc\\x09d\\x00"),
            ("\x7f\x80\x9b31m\x85", "\\x7f\\x80\\x9b31m\\x85"),
            ("fdp.\u202eexe", "fdp.\\u202eexe"),
            ("\u2066\u2069\u200e\u200f", "\\u2066\\u2069\\u200e\\u200f"),
            ("\u061c\ufeff\u200b", "\\u061c\\ufeff\\u200b"),
            ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
            ("\ud800", "\\ud800"),
            ("\U000e0041", "\\U000e0041"),
        ]:
            self.assertEqual(printable(text), shown)

    def test_bytes(self) -> None:
        """Bad UTF-8 is replaced, and never raises."""
        self.assertEqual(printable(b"a\xffb"), "a\ufffdb")
        self.assertEqual(printable(b"\xc2\x9b"), "\\x9b")

    def test_cut(self) -> None:
        """Long strings are cut, and say so."""
        self.assertEqual(printable("a" * 10, limit=10), "a" * 10)
        self.assertEqual(printable("a" * 11, limit=10), "a" * 10 + "…")
        self.assertEqual(printable(("é" * 11).encode(), limit=10), "é" * 10 + "…")
        self.assertEqual(printable(("👩" * 11).encode(), limit=10), "👩" * 10 + "…")
        self.assertEqual(printable(b"a" * 10_000_000), "a" * 200 + "…")

    @given(st.text(), st.binary())
    @quick
    def test_never_raises(self, text: str, data: bytes) -> None:
        """The outcome can always be printed on one line."""
        for shown in (printable(text), printable(data), redact_url(text)):
            shown.encode()
            self.assertLessEqual(len(shown.splitlines()), 1)


class RedactTests(SynchronousTestCase):
    """redact_url: no passkeys in logs, reports and pages."""

    def test_public_trackers_stay(self) -> None:
        """What a public tracker's URL has is kept whole."""
        for url in [
            "http://tracker.example/announce",
            "udp://tracker.example:1337",
            "udp://a-tracker-of-a-long-name.example:1337",
            "udp://tracker.example:1337/announce",
            "https://[2001:db8::1]:443/announce.php?compact=1&numwant=200&x=",
            "http://tracker.example/a/b/announce?compact_allowed_or_not=1",
            "wss://tracker.example:443/",
            "not a url",
            "//",
            "",
        ]:
            self.assertEqual(redact_url(url), url)

    def test_secrets_go(self) -> None:
        """Passkeys in paths, queries, user names and fragments become stars; the rest stays."""
        key = "0123456789abcdef0123456789abcdef"
        for url, shown in [
            (f"http://t.example:80/{key}/announce", "http://t.example:80/***/announce"),
            ("http://t.example/zYxWvUtSrQpOnMlKj_-A/announce", "http://t.example/***/announce"),
            ("http://t.example/zYxWvUtSrQpOnMlK==/announce", "http://t.example/***/announce"),
            ("http://t.example/deadbee5/announce", "http://t.example/***/announce"),
            ("http://t.example/1234567/announce", "http://t.example/1234567/announce"),
            (f"http://t.example/announce.php?passkey={key}", "http://t.example/announce.php?passkey=***"),
            (
                "http://t.example/a?torrent_pass=x&b=1&authkey=y",
                "http://t.example/a?torrent_pass=***&b=1&authkey=***",
            ),
            ("http://t.example/a?UID=5;Token=q#sid=9", "http://t.example/a?UID=***;Token=***#sid=***"),
            ("http://t.example/a;passkey=x/announce", "http://t.example/a;passkey=***/announce"),
            (f"http://t.example/a?whatever={key}", "http://t.example/a?whatever=***"),
            (f"http://t.example/a?{key}", "http://t.example/a?***"),
            (f"http://t.example/a?{key}=1", "http://t.example/a?***=1"),
            ("http://joe:pw@t.example/announce", "http://***@t.example/announce"),
            ("http://joe:p@w@t.example/announce", "http://***@t.example/announce"),
            ("http:/joe:pw@t.example/announce", "http:/***@t.example/announce"),
            (f"{key}/announce", "***/announce"),
            (f"?://{key}/", "?://***/"),
        ]:
            self.assertEqual(redact_url(url), shown)

    def test_printable_too(self) -> None:
        """A URL is a stranger's string like others."""
        self.assertEqual(redact_url("http://t.example/\x1b[2J"), "http://t.example/\\x1b[2J")
        self.assertLess(len(redact_url("http://t.example/" + "a/" * 10_000)), 600)


class PluralTests(SynchronousTestCase):
    """plural."""

    def test_words(self) -> None:
        """One is one, all else is many."""
        self.assertEqual(
            [plural(0, "peer"), plural(1, "peer"), plural(12000, "peer"), plural(2, "query", "queries")],
            ["0 peers", "1 peer", "12,000 peers", "2 queries"],
        )
