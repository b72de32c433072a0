"""`twistd metafetch`: its options, and that it costs others nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.python import usage

from functorrent.tap import Options
from tests.commands_bed import FolderTestCase, magnet

ROOT = Path(__file__).parent.parent


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


class OptionsTests(FolderTestCase):
    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def test_defaults(self) -> None:
        options = self.parse()
        self.assertEqual(
            (options["data"], options["output"], options["watch"]), ("metafetch-data", None, None)
        )
        self.assertEqual((options["magnets"], options["settings"].jobs), ([], 200))

    def test_magnets_and_options(self) -> None:
        options = self.parse("--jobs=3", "--watch", self.folder(), "-o", "out", magnet(1), magnet(2))
        self.assertEqual((options["settings"].jobs, options["output"]), (3, "out"))
        self.assertEqual(options["magnets"], [magnet(1), magnet(2)])

    def test_wrong_usage_is_said_at_once(self) -> None:
        for arguments in (
            ["--jobs=0"],
            ["--watch", os.path.join(self.folder(), "none")],
            ["nonsense"],
            ["--listen=off", "--listen=tcp:1"],
            ["--input=x"],
        ):
            error = self.assertRaises(usage.UsageError, self.parse, *arguments)
            self.assertNotIn("\n", str(error))


class PluginTests(FolderTestCase):
    def test_it_is_found_and_imports_nothing_heavy(self) -> None:
        found = python(
            "import sys\n"
            "from twisted.plugin import getPlugins\n"
            "from twisted.application.service import IServiceMaker\n"
            "maker = [p for p in getPlugins(IServiceMaker) if p.tapname == 'metafetch'][0]\n"
            "before = 'functorrent' in sys.modules\n"
            "maker.options().getUsage()\n"
            "heavy = {'treq', 'OpenSSL', 'twisted.internet.reactor', 'klein', 'sqlalchemy', 'alembic',"
            " 'prometheus_client'} & set(sys.modules)\n"
            "print(before, heavy, maker.module)"
        )
        self.assertEqual(found.strip(), "False set() functorrent.tap")

    def test_a_folder_that_cannot_be_used_ends_it_with_words(self) -> None:
        file = os.path.join(self.folder(), "file")
        Path(file).touch()
        said = python(
            "from functorrent.tap import Options, makeService\n"
            "options = Options()\n"
            f"options.parseOptions(['--data', {file!r}])\n"
            "try: makeService(options)\n"
            "except SystemExit as error: print(error)"
        )
        self.assertTrue(said.startswith("metafetch: "), said)
        self.assertEqual(said.count("\n"), 1)

    def test_a_second_signal_changes_nothing(self) -> None:
        data = os.path.join(self.folder(), "data")
        said = python(
            "from functorrent.tap import Options, makeService\n"
            "options = Options()\n"
            f"options.parseOptions(['--data', {data!r}])\n"
            "service = makeService(options)\n"
            "from twisted.internet import reactor\n"
            "from twisted.logger import globalLogPublisher, formatEvent\n"
            "globalLogPublisher.addObserver(lambda event: print(formatEvent(event)))\n"
            "for handler in (reactor.sigTerm, reactor.sigTerm, reactor.sigInt):\n"
            "    reactor.callWhenRunning(handler, 15)\n"
            "reactor.run()"
        )
        self.assertEqual(said.count("shutting down"), 3, said)
        self.assertNotIn("Traceback", said)
        self.assertNotIn("while calling", said)

    def test_the_service(self) -> None:
        data = os.path.join(self.folder(), "data")
        said = python(
            "import time\n"
            "from functorrent.tap import Options, makeService\n"
            "options = Options()\n"
            f"options.parseOptions(['--data', {data!r}, '--watch', {self.folder()!r}, {magnet(1)!r}])\n"
            "service = makeService(options)\n"
            "from twisted.internet import reactor\n"
            "print([each.name for each in service], reactor.seconds is time.monotonic)"
        )
        self.assertEqual(said.strip(), "['metafetch', 'reload', 'systemd'] True")
        self.assertEqual(sorted(os.listdir(data)), ["output-owner", "torrents"])
