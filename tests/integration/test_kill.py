"""kill -9 at random moments loses nothing: the short form of `tests.integration.killing`."""

from __future__ import annotations

from pathlib import Path

from tests.integration.killing import Killing


def test_killed_five_times(tmp_path: Path) -> None:
    verdict = Killing(tmp_path, 150, 5).run()
    assert not verdict.wrong, verdict
    assert verdict.posts > verdict.posts_cut_off, verdict
