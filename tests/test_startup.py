"""What a command that fetches does not load, and that what stands in for it does its work."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from functorrent.commands.startup import no_collector

ROOT = Path(__file__).parent.parent
LOAD = """
import sys
from functorrent.commands.startup import light_imports
with light_imports():
    from twisted.internet import reactor
"""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD + code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


class NoCollectorTests(SynchronousTestCase):
    def test_off_for_a_while(self) -> None:
        self.addCleanup(gc.enable)
        for before in (True, False):
            gc.enable() if before else gc.disable()
            with self.assertRaises(ZeroDivisionError), no_collector():
                self.assertFalse(gc.isenabled())
                raise ZeroDivisionError
            self.assertEqual(gc.isenabled(), before)


class LightImportTests(SynchronousTestCase):
    def test_not_loaded(self) -> None:
        code = "print({'OpenSSL', 'http.cookiejar', 'asyncio', 'ssl'} & set(sys.modules))"
        self.assertEqual(python(code), "set()\n")

    def test_coroutines_are_told_from_others(self) -> None:
        code = """
from twisted.internet.defer import Deferred
async def answer():
    return 42
def old_style():
    yield
Deferred.fromCoroutine(answer()).addCallback(print)
for wrong in (42, answer):
    try:
        Deferred.fromCoroutine(wrong)
    except Exception as error:
        print(type(error).__name__)
"""
        self.assertEqual(python(code), "42\nNotACoroutineError\nNotACoroutineError\n")

    def test_the_real_one_is_there_for_who_wants_it(self) -> None:
        code = """
import asyncio
from twisted.internet.defer import Deferred
async def answer():
    return 42
loop = asyncio.new_event_loop()
done = Deferred.fromCoroutine(answer()).asFuture(loop)
print(loop.run_until_complete(done))
"""
        self.assertEqual(python(code), "42\n")
