"""docs/extending.md: its plugins are found, and its tests pass, as they stand there."""

from __future__ import annotations

import importlib
import unittest
from pathlib import Path

from twisted.plugin import IPlugin, getPlugins

import functorrent.plugins
from functorrent.interfaces import IPeerExtension, IPeerSourceMaker
from functorrent.peer.dispatch import ExtensionTable, discover_extensions
from tests.pages import PageFilesTestCase

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


class ExtendingTests(PageFilesTestCase):
    """The page's files, written to a folder of their own that is put on the path."""

    def setUp(self) -> None:
        self.put(PAGE.read_text(encoding="utf-8"))

    def test_the_page_has_its_files(self) -> None:
        self.assertEqual(
            sorted(self.files),
            [
                "functorrent/plugins/directory.py",
                "functorrent/plugins/journal.py",
                "functorrent/plugins/upload_only.py",
                "seams.py",
                # The outlet's and its test are tried by tests/test_operating_docs.py.
                "test_journal.py",
                "test_plugins.py",
                "test_seams.py",
            ],
        )

    def test_plugins_are_found(self) -> None:
        self.assertEqual([found.name for found in discover_extensions()], ["upload_only"])
        makers = list(getPlugins(IPeerSourceMaker, functorrent.plugins))
        self.assertEqual([found.name for found in makers], ["directory"])
        for plugin in [*discover_extensions(), *makers]:
            self.assertTrue(IPlugin.providedBy(plugin))

    def test_a_broken_module_takes_nobody_along(self) -> None:
        broken = self.plugins / "broken.py"
        broken.write_text("raise RuntimeError('a bug of its author')\n", encoding="utf-8")
        self.assertEqual([found.name for found in discover_extensions()], ["upload_only"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_extension_is_offered(self) -> None:
        table = ExtensionTable(getPlugins(IPeerExtension, functorrent.plugins))
        self.assertEqual(table.local.ids, {"upload_only": 1})

    def test_its_tests_pass(self) -> None:
        for name, least in (("test_plugins", 5), ("test_seams", 7)):
            suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
            result = unittest.TestResult()
            suite.run(result)
            self.assertGreaterEqual(result.testsRun, least)
            self.assertEqual([text for _, text in result.errors + result.failures], [])
