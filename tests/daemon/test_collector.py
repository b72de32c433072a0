"""The garbage collector of the daemon."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

CODE = """
import gc
from functorrent.daemon.collector import calm_collector
kept = [[] for _ in range(1000)]
calm_collector()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
first, second, third = gc.get_threshold()
# Not often, no long walk over the middle generation, and full ones rarely.
assert gc.isenabled() and first >= 5_000 and first * second <= 20_000, gc.get_threshold()
assert first * second * third >= 1_000_000, gc.get_threshold()
"""


class CollectorTests(SynchronousTestCase):
    def test_what_is_there_is_left_alone(self) -> None:
        # In a process of its own: it is for good.
        subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
