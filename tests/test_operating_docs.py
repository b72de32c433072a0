"""The manual of operating: metrics and their dashboard, and examples that run as they stand there."""

from __future__ import annotations

import importlib
import json
import re
import unittest
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import functorrent.plugins
from functorrent.daemon.interfaces import IOutlet
from functorrent.daemon.outlets import discover_outlets
from functorrent.daemon.telemetry import Telemetry
from functorrent.daemon.webhook import signature
from tests.daemon.fakes import Wall
from tests.daemon.test_telemetry import Store
from tests.pages import PageFilesTestCase

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("metrics.md", "webhook.md", "extending.md")
TEXT = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
DASHBOARD = DOCS / "grafana" / "metafetch.json"
_NAME = re.compile(r"\b(?:metafetch|process)_[a-z0-9_]+")
#: prometheus-client's own, which only Linux has.
_PROCESS = frozenset(
    {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"}
)


def metrics() -> dict[str, Any]:
    """Every metric there is, by name."""
    clock = Clock()
    store: Any = Store()
    return {metric.name: metric for metric in Telemetry(clock, Wall(clock), store, "0").metrics()}


def series() -> set[str]:
    """Every name that a query may use."""
    names = set(_PROCESS)
    for name, metric in metrics().items():
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {name + end for end in ends}
    return names


class MetricsTests(SynchronousTestCase):
    def test_each_is_explained_with_its_labels(self) -> None:
        table = TEXT.partition("<!-- metrics -->\n")[2].partition("<!-- /metrics -->")[0]
        rows = re.findall(r"^\| `([a-z_0-9]+)(?:\{([a-z,]+)\})?` \|", table, re.M)
        explained = {name: tuple(labels.split(",")) if labels else () for name, labels in rows}
        self.assertEqual(explained, {name: metric.labels for name, metric in metrics().items()})

    def test_alarms_use_what_is_there(self) -> None:
        rules = TEXT.partition("\ngroups:\n")[2].partition("```")[0]
        self.assertEqual(set(_NAME.findall(rules)) - series(), set())
        self.assertGreater(len(_NAME.findall(rules)), 5)

    def test_the_dashboard_uses_what_is_there(self) -> None:
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        used = {name for query in queries for name in _NAME.findall(query)}
        self.assertEqual(used - series(), set())
        shown = {re.sub("_(bucket|sum|count)$", "", name) for name in used}
        self.assertEqual(set(metrics()) - shown, set(), "each metric has a place on it")

    def test_the_dashboard_can_be_imported(self) -> None:
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        self.assertTrue(board["title"] and board["uid"] and board["schemaVersion"] > 30)
        self.assertNotIn("id", board)
        self.assertEqual(
            [variable["name"] for variable in board["templating"]["list"]], ["datasource", "instance"]
        )
        numbers = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}", panel["title"])
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            self.assertFalse(cells & taken, f"{panel['title']} lies over another")
            taken |= cells
            for target in panel["targets"]:
                self.assertEqual(target["expr"].count("("), target["expr"].count(")"))
                self.assertIn('instance=~"$instance"', target["expr"])


class ExampleTests(PageFilesTestCase):
    """The pages' files, written to a folder of their own that is put on the path."""

    def setUp(self) -> None:
        self.put(TEXT, ("verify_metafetch.py", "functorrent/plugins/journal.py", "test_journal.py"))

    def test_a_receiver_can_tell_ours(self) -> None:
        verify = importlib.import_module("verify_metafetch").verify
        body, secret = b'{"a": 1}', b"0123456789abcdef"
        headers = {
            "X-Metafetch-Timestamp": "1700000000",
            "X-Metafetch-Signature": signature(secret, "1700000000", body),
        }
        self.assertTrue(verify(secret, headers, body, 1_700_000_100.0))
        self.assertFalse(verify(secret, headers, body + b" ", 1_700_000_100.0))
        self.assertFalse(verify(b"another", headers, body, 1_700_000_100.0))
        self.assertFalse(verify(secret, headers, body, 1_700_000_400.0))
        later = {**headers, "X-Metafetch-Timestamp": "1700000400"}
        self.assertFalse(verify(secret, later, body, 1_700_000_400.0))
        self.assertFalse(verify(secret, headers, body), "it is years old")

    def test_the_outlet_is_found(self) -> None:
        self.assertEqual([outlet.name for outlet in discover_outlets()], ["journal"])

    def test_a_broken_module_takes_nobody_along(self) -> None:
        (self.plugins / "broken.py").write_text(
            "raise RuntimeError('a bug of its author')\n", encoding="utf-8"
        )
        self.assertEqual([outlet.name for outlet in getPlugins(IOutlet, functorrent.plugins)], ["journal"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_its_tests_pass(self) -> None:
        suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module("test_journal"))
        result = unittest.TestResult()
        suite.run(result)
        self.assertGreaterEqual(result.testsRun, 2)
        self.assertEqual([text for _, text in result.errors + result.failures], [])
