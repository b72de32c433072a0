"""What the manual says and the code can check."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from functorrent.cli import INTERRUPTED, OK, SOME_FAILED, TERMINATED, WRONG_USAGE
from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES
from functorrent.options import OPTIONS
from functorrent.wire.session import TRANSITIONS, Input, State

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|md)|[a-z_]+\.py)`")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")
#: Options of others that the manual shows: of pip, twistd, systemctl, curl, benches.
_OTHERS = frozenset(
    {"help", "version", "no-install-recommends", "logfile", "syslog", "logger", "now", "data-binary"}
)


def states_table() -> str:
    """The state table as docs/architecture.md has it."""
    rows = [["state", *(what.value for what in Input)], ["---"] * (len(Input) + 1)]
    for state in State:
        goes = [TRANSITIONS.get((state, what)) for what in Input]
        rows.append([f"{state.name}: {state.value}", *(to.name if to else "" for to in goes)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


class ManualTests(SynchronousTestCase):
    def test_states(self) -> None:
        page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
        table = page.partition("<!-- states -->\n")[2].partition("\n<!-- /states -->")[0]
        self.assertEqual(table, states_table())

    def test_links_lead_somewhere(self) -> None:
        for page in PAGES:
            for target, _ in _LINK.findall(page.read_text(encoding="utf-8")):
                self.assertTrue((page.parent / target).exists(), f"{page.name} links to {target}")

    def test_files_named_are_there(self) -> None:
        """In backticks, from the top of the repository or of the package."""
        for page in PAGES:
            for name in _PATH.findall(page.read_text(encoding="utf-8")):
                found = [folder / name for folder in (ROOT, ROOT / "functorrent") if (folder / name).exists()]
                # `framing.py` beside another file of its folder.
                found += list((ROOT / "functorrent").rglob(name))
                self.assertTrue(found, f"{page.name} names {name}")

    def test_options_named_are_there(self) -> None:
        known = {option.name for option in OPTIONS} | _OTHERS
        for name in (
            "README.md",
            "docs/operating.md",
            "docs/http-api.md",
            "docs/metrics.md",
            "docs/webhook.md",
            "docs/extending.md",
            "docs/architecture.md",
        ):
            text = (ROOT / name).read_text(encoding="utf-8")
            self.assertEqual(set(_OPTION.findall(text)) - known, set(), name)

    def test_words_of_reports_are_explained(self) -> None:
        text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
        for word in (*PEER_OUTCOMES, *TRACKER_STATUSES):
            self.assertIn(f"`{word}`", text)

    def test_every_exit_status_is_explained(self) -> None:
        text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
        for status in (OK, SOME_FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED):
            self.assertIn(f"\n| {status} |", text)
