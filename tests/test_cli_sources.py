"""The sources that options ask for, and where the command keeps what they remember."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from functorrent.cli import WallClock
from functorrent.commands.sources import cache_folder, dht_settings, from_anywhere, source_makers
from functorrent.errors import UsageError
from functorrent.options import COMMAND, DAEMON, OPTIONS, defaults
from functorrent.sources.dht.settings import BOOTSTRAP, DhtSettings
from tests.commands_bed import FolderTestCase, magnet

ROOT = Path(__file__).parent.parent


class MakerTests(FolderTestCase):
    def names(self, *, lsd: bool = False, folder: str | None = None, **changed: Any) -> list[str]:
        values = {**defaults(COMMAND), **{name.replace("_", "-"): value for name, value in changed.items()}}
        return [maker.name for maker in source_makers(values, folder, WallClock(), lsd=lsd)]

    def test_each_has_its_option(self) -> None:
        self.assertEqual(self.names(), ["dht"])
        self.assertEqual(self.names(no_dht=True), [])
        self.assertEqual(self.names(lsd=True), ["dht", "lsd"])
        folder = self.folder()
        trackers = os.path.join(folder, "trackers.txt")
        Path(trackers).write_text("udp://t.example:1\n")
        everything = self.names(lsd=True, web_sources=True, extra_trackers=trackers, folder=folder)
        self.assertEqual(everything, ["dht", "lsd", "web sources", "extra trackers"])

    def test_a_list_that_cannot_be_read(self) -> None:
        missing = os.path.join(self.folder(), "missing.txt")
        error = self.assertRaises(UsageError, self.names, extra_trackers=missing)
        self.assertIn(f"--extra-trackers {missing}", str(error))

    def test_a_list_found_from_anywhere(self) -> None:
        """A daemon goes to another folder than that where its option was typed."""
        for given, expected in (
            ("list.txt", os.path.abspath("list.txt")), ("/a/list.txt", "/a/list.txt"),
            ("https://u.example/list.txt", "https://u.example/list.txt"), (None, None),
        ):  # fmt: skip
            values = {**defaults(DAEMON), "extra-trackers": given}
            self.assertEqual(from_anywhere(values), {**values, "extra-trackers": expected})

    def test_the_dht_is_as_the_options_say(self) -> None:
        values = defaults(DAEMON)
        self.assertEqual(dht_settings(values, None), DhtSettings())
        values |= {"dht-bootstrap": [("192.0.2.1", 1)], "dht-read-only": True, "dht-rate": 50.0}
        made = dht_settings(values, "/a/folder")
        self.assertEqual((made.bootstrap, made.trusted), ((("192.0.2.1", 1),), True))
        self.assertEqual((made.read_only, made.rate), (True, 50.0))
        self.assertEqual(made.table_file, "/a/folder/dht.table")
        self.assertEqual(dht_settings(values, None, bootstrap=()).bootstrap, ())

    def test_well_known_nodes_are_not_trusted(self) -> None:
        """A name server that gives them a local address must not make us ask it."""
        made = dht_settings(defaults(COMMAND), None)
        self.assertEqual((made.bootstrap, made.trusted), (BOOTSTRAP, False))

    def test_the_default_rate_is_the_dht_s_own(self) -> None:
        (rate,) = (option for option in OPTIONS if option.name == "dht-rate")
        self.assertEqual(rate.default, DhtSettings().rate)
        self.assertIn(f"(default: {DhtSettings().rate:g})", rate.help)

    def test_what_is_off_is_not_loaded(self) -> None:
        code = (
            "import sys\n"
            "from functorrent.options import COMMAND, defaults\n"
            "from functorrent.commands.sources import source_makers\n"
            "source_makers({**defaults(COMMAND), 'no-dht': True}, None, None, lsd=False)\n"
            "print([name for name in sys.modules if name.startswith('functorrent.sources')])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(done.stdout, "[]\n")


class CacheFolderTests(FolderTestCase):
    def test_where_it_is(self) -> None:
        home = self.folder()
        cache = self.folder()
        for environ, platform, expected in (
            ({"HOME": home}, "linux", f"{home}/.cache/functorrent"),
            ({"HOME": home, "XDG_CACHE_HOME": cache}, "linux", f"{cache}/functorrent"),
            ({"HOME": home, "XDG_CACHE_HOME": "relative"}, "linux", f"{home}/.cache/functorrent"),
            ({"HOME": home, "XDG_CACHE_HOME": ""}, "linux", f"{home}/.cache/functorrent"),
            ({"HOME": home, "XDG_CACHE_HOME": cache}, "darwin", f"{home}/Library/Caches/functorrent"),
        ):
            self.assertEqual(cache_folder(environ, platform), expected)
            self.assertEqual(os.stat(expected).st_mode & 0o777, 0o700)

    def test_nowhere(self) -> None:
        """A service user has no home, or one that is not there: nothing is said, nothing is kept."""
        file = os.path.join(self.folder(), "file")
        Path(file).touch()
        for environ in ({"HOME": file}, {"XDG_CACHE_HOME": file, "HOME": file}, {"HOME": "/proc/nobody"}):
            self.assertIsNone(cache_folder(environ, "linux"))

    def test_it_is_not_made_for_what_needs_no_network(self) -> None:
        home = self.folder()
        done = subprocess.run(
            [sys.executable, "-m", "functorrent", "show", magnet(1)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": home, "XDG_CACHE_HOME": ""},
            capture_output=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, os.listdir(home)), (0, []))
