"""pytest's set-up: the mark of integration tests, and when a skip of one is a failure.

pytest-twisted brings the reactor by its entry point; see pyproject.toml for the rest.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

_INTEGRATION = Path(__file__).parent / "integration"


def _skips_are_failures() -> bool:
    """FUNCTORRENT_REQUIRE_REAL=1, as in .ci/run: whoever sets it has every real program."""
    return os.environ.get("FUNCTORRENT_REQUIRE_REAL", "") not in ("", "0")


def _is_integration(node: pytest.Item | pytest.Collector) -> bool:
    return node.path.is_relative_to(_INTEGRATION)


def _reason(longrepr: object) -> str:
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)


def _may_be_missing(reason: str) -> bool:
    """FUNCTORRENT_WITHOUT=NAME: a program that could not be had, and is not the fault of what is tested."""
    missing = os.environ.get("FUNCTORRENT_WITHOUT", "")
    return bool(missing) and f"needs {missing} " in reason


def _why(reason: str) -> str:
    return f"{reason}\n(FUNCTORRENT_REQUIRE_REAL is set: a skipped integration test is a failure)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_integration(item):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(autouse=True, scope="session")
def _away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """As trial does: `TestCase.mktemp` makes folders where it stands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _is_integration(item) and _skips_are_failures():
        reason = _reason(report.longrepr)
        if not _may_be_missing(reason):
            report.outcome = "failed"
            report.longrepr = _why(reason)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module that skips itself, as ``pytest.importorskip("libtorrent")`` does."""
    report = yield
    if report.skipped and _is_integration(collector) and _skips_are_failures():
        report.outcome = "failed"
        report.longrepr = _why(report.longrepr)
    return report
