"""The gates of .ci/ close: each passes what is good, and fails what is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gate = load("check_wheel")
        self.good = self.gate.WANTED | {"functorrent-1.dist-info/RECORD"}

    def test_good(self) -> None:
        self.assertEqual(self.gate.complaints(self.good), [])

    def test_what_is_wanted_exists(self) -> None:
        self.assertEqual([name for name in self.gate.WANTED if not (ROOT / name).exists()], [])

    def test_bad(self) -> None:
        for lost in self.gate.WANTED:
            self.assertEqual(len(self.gate.complaints(self.good - {lost})), 1, lost)
        for extra in (
            "twisted/__init__.py",
            "twisted/plugins/__init__.py",
            "tap/metafetch.tac",
            "tests/x.py",
        ):
            self.assertEqual(len(self.gate.complaints(self.good | {extra})), 1, extra)


class CoverageTests(SynchronousTestCase):
    def judge(self, **summary: Any) -> bool:
        files = {"functorrent/wire/a.py": {"summary": {"percent_covered": 1.5, **summary}}}
        passed: bool = load("check_coverage").judge(files, "functorrent/wire", 95.0)[0]
        return passed

    def test_both_figures_count(self) -> None:
        good = {"num_branches": 100, "covered_branches": 95, "num_statements": 100, "covered_lines": 95}
        self.assertTrue(self.judge(**good))
        self.assertFalse(self.judge(**{**good, "covered_branches": 94, "covered_lines": 100}))
        self.assertFalse(self.judge(**{**good, "covered_lines": 90}))

    def test_an_empty_report_fails(self) -> None:
        self.assertFalse(load("check_coverage").judge({}, "functorrent/wire", 95.0)[0])
        other = {"functorrent/wires/a.py": {"summary": {"num_branches": 1, "covered_branches": 1}}}
        self.assertFalse(load("check_coverage").judge(other, "functorrent/wire", 95.0)[0])


class MinimumsTests(SynchronousTestCase):
    def test_bounds_become_versions(self) -> None:
        text = "\n# why\nTwisted[tls]>=1.2.3\nbencode.py >= 4"
        self.assertEqual(load("minimums").minimums(text), ["Twisted==1.2.3", "bencode.py==4"])

    def test_everything_needs_a_bound(self) -> None:
        for text in ("treq", "treq<3", "treq>=1,<2"):
            self.assertRaises(ValueError, load("minimums").minimums, text)


class ReadmeTests(SynchronousTestCase):
    def test_two_commands(self) -> None:
        found = load("readme_commands").commands((ROOT / "README.md").read_text(encoding="utf-8"))
        self.assertEqual(len(found), 2)
        self.assertIn("functorrent demo", found[0])
        self.assertIn("-m twisted.trial tests", found[1])

    def test_only_marked_blocks(self) -> None:
        text = "```sh\na\n```\n<!-- ci -->\n```sh\nb\n```\n"
        self.assertEqual(load("readme_commands").commands(text), ["b"])
