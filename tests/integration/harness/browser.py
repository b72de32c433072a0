"""Debian's chromium, driven by Playwright in a thread of its own: it wants neither reactor nor greenlet."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness.programs import Program, require

ROOT = Path(__file__).parents[3]
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Milliseconds that an expectation may take; a whole test, in seconds.
PATIENCE = 10_000
LONGEST = 150.0


class PageServer(Program):
    """`page_server`, running: `server("fetched", ...)` asks it for something and gives the answer."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            super().__init__(
                [sys.executable, "-m", "tests.integration.harness.page_server"],
                log,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def fresh(self, token: str | None = None, dht: int | None = None) -> str:
        """An empty daemon; the address of its page. `dht`: it knows so many nodes."""
        return f"http://127.0.0.1:{self('fresh', token=token, dht=dht)}/"

    def __call__(self, do: str, **more: Any) -> Any:
        self.ask(do, **more)
        return self.answer()

    def ask(self, do: str, **more: Any) -> None:
        """Ask, without waiting for the answer."""
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The next answer that is due."""
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait(5)
            self.check()
        return json.loads(answer)


class Browser:
    """One chromium for all tests, its profile in a folder of its own; `run` runs a function in its thread."""

    def __init__(self) -> None:
        pytest.importorskip("playwright", reason="needs Playwright (pip install playwright)")
        self._path = require("chromium")
        self._thread = ThreadPoolExecutor(1, "playwright")
        self.run(self._start)

    def run(self, action: Callable[..., Any], *arguments: Any) -> Any:
        return self._thread.submit(action, *arguments).result(LONGEST)

    def _start(self) -> None:
        from playwright.sync_api import sync_playwright

        self._driver = sync_playwright().start()
        # Playwright makes a fresh profile, and takes it away.
        self._chromium = self._driver.chromium.launch(executable_path=self._path, args=list(ARGUMENTS))

    def stop(self) -> None:
        """End it."""

        def end() -> None:
            self._chromium.close()
            self._driver.stop()

        self.run(end)
        self._thread.shutdown()

    @contextmanager
    def page(self, url: str, *, wait: bool = True, loud: str = "", **options: Any) -> Iterator[Any]:
        """A page of its own session at `url`, live when `wait`. At its end nothing may have been complained
        of: no error, no violation of the policy, but for what has `loud` in it: the test's own doing."""
        options = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB", **options}
        context = self._chromium.new_context(**options)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda told: said.append(f"{told.type}: {told.text}"))
        page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
        try:
            page.goto(url)
            if wait:
                page.wait_for_selector('#link[data-link="live"]')
            yield page
            complaints = [line for line in said if not line.startswith(("verbose", "info"))]
            if loud:
                complaints = [line for line in complaints if loud not in line]
            assert complaints == []
        finally:
            context.close()


def in_browser(test: Callable[..., None]) -> Callable[..., None]:
    """A test that runs in the browser's thread; its first argument is the Browser."""

    @functools.wraps(test)
    def run(browser: Browser, **fixtures: Any) -> None:
        browser.run(functools.partial(test, browser, **fixtures))

    return run
