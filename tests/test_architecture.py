"""Laws 1 to 3 hold in the tree, and each rule that says so can fail."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import functorrent
from tests.architecture import CLOCK_PLACES, CLOCKS, LAYERS, REACTOR_PLACES, layer_of, read_tree, violations

ROOT = Path(functorrent.__file__).parent

#: A small tree that keeps the laws; each case below spoils one module of it.
LAWFUL = {
    "functorrent": "__version__ = '1'\n",
    "functorrent.errors": "",
    "functorrent.interfaces": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from twisted.internet.defer import Deferred\n"
        "    from functorrent.fetch import fetcher\n"
    ),
    "functorrent.wire": "",
    "functorrent.wire.framing": "from functorrent import __version__\nfrom . import messages\n",
    "functorrent.wire.messages": "from ..errors import FunctorrentError\n",
    "functorrent.magnet": "from functorrent.wire.framing import Frames\n",
    "functorrent.peer": "",
    "functorrent.peer.protocol": "from twisted.internet.protocol import Protocol\n",
    "functorrent.sources": "import secrets\n",
    "functorrent.store": "",
    "functorrent.fetch": "import functorrent.peer.protocol as p\nfrom functorrent.sources import tracker\n",
    "functorrent.daemon": "from functorrent import fetch\n",
    "functorrent.web": "",
    "functorrent.tap": (
        "def makeService(options):\n    from twisted.internet import reactor\n    return reactor\n"
    ),
    "functorrent.cli": (
        "from functorrent.tap import makeService\n"
        "def main():\n"
        "    from twisted.internet.task import react\n"
        "    react(run)\n"
    ),
}


class TreeTests(SynchronousTestCase):
    """The real tree."""

    def test_no_law_is_broken(self) -> None:
        self.assertEqual(violations(read_tree(ROOT)), [])

    def test_the_tree_was_read(self) -> None:
        """An empty or misnamed tree would pass everything."""
        tree = read_tree(ROOT)
        expected = {"functorrent", "functorrent.wire.framing", "functorrent.fetch.report"}
        self.assertEqual(expected - set(tree), set())
        self.assertGreater(sum(len(source) for source in tree.values()), 50_000)

    def test_the_exceptions_exist(self) -> None:
        """A place that is allowed something, and is gone, must leave the list."""
        allowed = {
            f"functorrent.{module}" for module in [*(place[0] for place in REACTOR_PLACES), *CLOCK_PLACES]
        }
        self.assertEqual(allowed - set(read_tree(ROOT)), set())


class RuleTests(SynchronousTestCase):
    """Each rule finds what breaks it, in a tree that is lawful otherwise."""

    def assert_broken(self, module: str, line: str, *words: str) -> None:
        """`line`, put at the end of `module`, is one violation, and its sentence has these words."""
        found = violations({**LAWFUL, module: LAWFUL.get(module, "") + line + "\n"})
        self.assertTrue(found, f"{line!r} in {module} passed")
        self.assertEqual({sentence.partition(":")[0] for sentence in found}, {module}, found)
        for word in words:
            self.assertIn(word, " ".join(found))

    def assert_lawful(self, module: str, line: str) -> None:
        self.assertEqual(violations({**LAWFUL, module: LAWFUL.get(module, "") + line + "\n"}), [])

    def test_lawful(self) -> None:
        self.assertEqual(violations(LAWFUL), [])

    def test_nothing_imports_upward(self) -> None:
        """One row after the other: the first of each may not import the first of the next."""
        for lower, upper in pairwise(f"functorrent.{row[0]}" for row in LAYERS):
            source = {upper: "", lower: f"import {upper}"}
            self.assertEqual(len(violations(source)), 1, f"{lower} may import {upper}")

    def test_upward_in_every_spelling(self) -> None:
        for line in (
            "import functorrent.fetch",
            "import functorrent.fetch as f",
            "from functorrent import fetch",
            "from functorrent.fetch import Anything",
            "from ..fetch import Anything",
            "from .. import fetch",
            "def lazily():\n    from functorrent.fetch import Anything",
            "class A:\n    from functorrent.fetch import Anything",
            "try:\n    import functorrent.fetch\nexcept ImportError:\n    pass",
            "import importlib\nimportlib.import_module('functorrent.fetch')",
            "from importlib import import_module\nimport_module('functorrent.fetch')",
            "__import__('functorrent.fetch')",
        ):
            self.assert_broken("functorrent.peer.protocol", line, "functorrent.fetch", "above")

    def test_downward_and_beside_are_lawful(self) -> None:
        self.assert_lawful("functorrent.fetch", "from functorrent.wire.messages import Any")
        self.assert_lawful("functorrent.peer", "from functorrent.peer.protocol import PeerProtocol")
        self.assert_lawful("functorrent.peer.protocol", "from . import dispatch")

    def test_islands_do_not_import_each_other(self) -> None:
        self.assert_broken("functorrent.peer.protocol", "from functorrent.sources import x", "interfaces")
        self.assert_broken("functorrent.sources", "import functorrent.store", "interfaces")
        self.assert_broken("functorrent.store", "from .peer import protocol", "interfaces")

    def test_wire_imports_no_twisted(self) -> None:
        self.assert_broken(
            "functorrent.wire.messages", "from twisted.python import log", "twisted.python.log"
        )
        self.assert_broken("functorrent.wire", "def f():\n    import twisted", "twisted")

    def test_what_wire_imports_imports_no_twisted(self) -> None:
        self.assert_broken("functorrent.errors", "from twisted.internet.error import ConnectError", "wire")
        self.assert_lawful("functorrent.interfaces", "from twisted.internet.defer import Deferred")

    def test_the_package_exports_lazily(self) -> None:
        self.assert_broken("functorrent.wire.messages", "from functorrent import Magnet", "Magnet")
        self.assert_broken("functorrent", "from functorrent.errors import InputError", "cost nothing")

    def test_every_module_has_a_layer(self) -> None:
        self.assert_broken("functorrent.misc", "", "no layer")
        # A name that only begins like a layer's is not in it.
        self.assert_broken("functorrent.wires", "", "no layer")
        self.assertIsNone(layer_of("functorrent.fetcher"))

    def test_type_checking_is_exempt_but_its_else_is_not(self) -> None:
        spare = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from functorrent import fetch\n"
        self.assert_lawful("functorrent.peer.protocol", spare)
        self.assert_broken(
            "functorrent.peer.protocol", spare + "else:\n    import functorrent.fetch", "above"
        )
        self.assert_lawful("functorrent.peer.protocol", spare.replace("if T", "import typing\nif typing.T"))

    def test_the_reactor_has_its_places(self) -> None:
        for line in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "def f():\n    from twisted.internet import reactor as r",
            "from twisted import internet\ndef f():\n    internet.reactor.run()",
            "from importlib import import_module\nimport_module('twisted.internet.reactor')",
        ):
            self.assert_broken("functorrent.fetch", line, "reactor")
            # The allowed modules may do so in the one function alone.
            self.assert_broken("functorrent.tap", line, "reactor")

    def test_the_reactor_behind_a_call(self) -> None:
        for line in (
            "from twisted.internet.task import react",
            "from twisted.internet import task\ntask.react(print)",
            "from twisted.internet import threads\nthreads.deferToThread(print)",
            "import treq\ntreq.get('http://a/')",
            "from treq import post",
        ):
            self.assert_broken("functorrent.fetch", line, "reactor")
        self.assert_lawful("functorrent.fetch", "from treq.client import HTTPClient\nimport treq")

    def test_no_predictable_random(self) -> None:
        for line in ("import random", "from random import choice", "def f():\n    import random as r"):
            self.assert_broken("functorrent.sources", line, "secrets")

    def test_no_clock_but_an_injected_one(self) -> None:
        for name in CLOCKS:
            module, _, function = name.rpartition(".")
            owner, _, kind = module.rpartition(".")
            if owner:
                self.assert_broken(
                    "functorrent.fetch", f"from {owner} import {kind}\n{kind}.{function}()", "clock"
                )
                self.assert_broken(
                    "functorrent.fetch", f"import {owner} as d\nd.{kind}.{function}()", "clock"
                )
            else:
                self.assert_broken("functorrent.fetch", f"from {module} import {function}", "clock")
                self.assert_broken("functorrent.fetch", f"import {module}\nx = {module}.{function}", "clock")
        self.assert_lawful("functorrent.fetch", "import time\nx = time.strftime('%Y')")
        self.assert_lawful("functorrent.fetch", "def f(clock):\n    return clock.seconds()")

    def test_no_inline_callbacks(self) -> None:
        self.assert_broken("functorrent.fetch", "from twisted.internet.defer import inlineCallbacks", "async")
        self.assert_broken(
            "functorrent.fetch",
            "from twisted.internet import defer\n@defer.inlineCallbacks\ndef f(): yield",
            "async",
        )
