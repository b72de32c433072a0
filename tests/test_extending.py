"""docs/extending.md: its plugins are found, and its tests pass, as they stand there."""

from __future__ import annotations

import importlib
import re
import sys
import unittest
from pathlib import Path

from twisted.plugin import IPlugin, getPlugins, pluginPackagePaths
from twisted.trial.unittest import SynchronousTestCase

import functorrent.plugins
from functorrent.interfaces import IPeerExtension, IPeerSourceMaker
from functorrent.peer.dispatch import ExtensionTable, discover_extensions

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


class ExtendingTests(SynchronousTestCase):
    """The page's files, written to a folder of their own that is put on the path."""

    def setUp(self) -> None:
        folder = self.folder = Path(self.mktemp()).absolute()
        self.files = dict(_FILE.findall(PAGE.read_text(encoding="utf-8")))
        for name, code in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        before = set(sys.modules)
        self.patch(sys, "path", [str(folder), *sys.path])
        self.patch(functorrent.plugins, "__path__", [*functorrent.plugins.__path__])
        functorrent.plugins.__path__.extend(pluginPackagePaths("functorrent.plugins"))
        importlib.invalidate_caches()
        self.addCleanup(self._forget, before)

    def _forget(self, before: set[str]) -> None:
        for name in set(sys.modules) - before:
            if name == "test_plugins" or name.startswith("functorrent.plugins."):
                del sys.modules[name]
                if hasattr(functorrent.plugins, name.rpartition(".")[2]):
                    delattr(functorrent.plugins, name.rpartition(".")[2])

    def test_the_page_has_its_files(self) -> None:
        self.assertEqual(
            sorted(self.files),
            [
                "functorrent/plugins/directory.py",
                "functorrent/plugins/journal.py",
                "functorrent/plugins/upload_only.py",
                # The outlet's and its test are tried by tests/test_ops_docs.py.
                "test_journal.py",
                "test_plugins.py",
            ],
        )

    def test_plugins_are_found(self) -> None:
        self.assertEqual([found.name for found in discover_extensions()], ["upload_only"])
        makers = list(getPlugins(IPeerSourceMaker, functorrent.plugins))
        self.assertEqual([found.name for found in makers], ["directory"])
        for plugin in [*discover_extensions(), *makers]:
            self.assertTrue(IPlugin.providedBy(plugin))

    def test_a_broken_module_takes_nobody_along(self) -> None:
        broken = self.folder / "functorrent" / "plugins" / "broken.py"
        broken.write_text("raise RuntimeError('a bug of its author')\n", encoding="utf-8")
        self.assertEqual([found.name for found in discover_extensions()], ["upload_only"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_extension_is_offered(self) -> None:
        table = ExtensionTable(getPlugins(IPeerExtension, functorrent.plugins))
        self.assertEqual(table.local.ids, {"upload_only": 1})

    def test_its_tests_pass(self) -> None:
        suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module("test_plugins"))
        result = unittest.TestResult()
        suite.run(result)
        self.assertGreaterEqual(result.testsRun, 5)
        self.assertEqual([text for _, text in result.errors + result.failures], [])
