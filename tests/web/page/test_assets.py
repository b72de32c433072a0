"""What can be known of script, style and shell without a browser."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES
from functorrent.store.jobs import ENDED, STATES
from functorrent.web.page.assets import load_assets, load_shell

#: What makes markup or code of a string, or leaves the page's own style sheet.
_NEVER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|cssText"
    r"|createContextualFragment|DOMParser|https?://(?!www\.w3\.org/2000/svg)"
)


class AssetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.assets = load_assets()
        self.texts = {name: asset.body.decode("utf-8") for name, asset in self.assets.items()}
        self.scripts = {name: text for name, text in self.texts.items() if name.endswith(".js")}

    def keys(self, name: str) -> list[str]:
        """The keys of an exported table of words.js."""
        table = re.search(rf"export const {name} = \{{\n(.*?)\n\}};", self.scripts["words.js"], re.S)
        assert table is not None
        return re.findall(r"^  (\w+):", table[1], re.M)

    def test_no_markup_of_strings(self) -> None:
        """Names from strangers are text, in every browser, also those without trusted types."""
        for name, text in self.texts.items():
            self.assertEqual(_NEVER.findall(text.replace('xmlns="http://www.w3.org/2000/svg"', "")), [], name)

    def test_nothing_inline(self) -> None:
        shell = load_shell("1", self.assets).body.decode()
        self.assertEqual(re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", shell), [])
        self.assertEqual(set(re.findall(r'<script[^>]*src="([^"]+)"', shell)), {"/page/app.js"})

    def test_imports_are_there(self) -> None:
        """Every module that is imported, and each name that is taken of it."""
        for name, text in self.scripts.items():
            for names, module in re.findall(r'^import \{([^}]*)\} from "\./([^"]+)";', text, re.M):
                self.assertIn(module, self.scripts, name)
                exported = re.findall(
                    r"^export (?:async )?(?:function|const|class) (\w+)", self.scripts[module], re.M
                )
                wanted = {word.strip() for word in names.split(",") if word.strip()}
                self.assertEqual(wanted - set(exported), set(), f"{name} of {module}")
                self.assertEqual({w for w in wanted if len(re.findall(rf"\b{w}\b", text)) < 2}, set(), name)
            self.assertEqual(len(re.findall(r"^import ", text, re.M)), text.count('} from "./'), name)

    def test_every_module_is_used(self) -> None:
        used = {module for text in self.scripts.values() for module in re.findall(r'from "\./([^"]+)"', text)}
        self.assertEqual(set(self.scripts) - used, {"app.js"})

    def test_ids_are_there(self) -> None:
        """What the scripts look for, the shell has."""
        shell = load_shell("1", self.assets).body.decode()
        there = re.findall(r'\sid="([^"]+)"', shell)
        self.assertEqual(len(there), len(set(there)))
        for name, text in self.scripts.items():
            wanted = set(re.findall(r'byId\("([^"]+)"\)', text))
            self.assertEqual(wanted - set(there), set(), name)

    def test_every_word_of_the_api_is_known(self) -> None:
        self.assertEqual(set(self.keys("STATES")), set(STATES))
        self.assertEqual(set(self.keys("PEERS")), set(PEER_OUTCOMES))
        self.assertEqual(set(self.keys("TRACKERS")), set(TRACKER_STATUSES))
        goes_on = re.search(r"GOES_ON = new Set\(\[([^]]*)\]\)", self.scripts["words.js"])
        assert goes_on is not None
        self.assertEqual(set(re.findall(r"\w+", goes_on[1])), set(STATES) - ENDED)

    def test_every_state_has_a_colour(self) -> None:
        style = self.texts["app.css"]
        for state in STATES:
            # Once for light, once for dark.
            self.assertEqual(len(re.findall(rf"^\s+--{state}:", style, re.M)), 2, state)

    def test_etags_tell_bodies_apart(self) -> None:
        self.assertEqual(len({asset.etag for asset in self.assets.values()}), len(self.assets))
        self.assertNotEqual(load_shell("1", self.assets).etag, load_shell("2", self.assets).etag)
        self.assertEqual(load_shell("1", self.assets).etag, load_shell("1", load_assets()).etag)
