"""Extensions: their table, plugins that raise in every hook, and plugins that hang up."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from functorrent.errors import MalformedMessage, NoMetadata
from functorrent.interfaces import IPeerExtension
from functorrent.peer.dispatch import ExtensionTable, discover_extensions
from functorrent.wire.bencode import decode
from functorrent.wire.extended import ExtendedHandshake
from tests.peer.bed import Bed, Extension, Remote, frame, offer_of

HOOKS = (
    "connect",
    "peer_handshake",
    "handshake_items",
    "extended_handshake",
    "message",
    "writable",
    "closed",
)


class Broken(Exception):
    """A plugin's bug."""


def drive(bed: Bed) -> Remote:
    """A connection on which every hook is called."""
    remote = bed.call()
    remote.greet(more=offer_of({"x_test": 5, "x_other": 6}))
    remote.extended(1, b"one")
    remote.extended(2, b"two")
    remote.peer.pauseProducing()
    remote.peer.resumeProducing()
    remote.peer.abort(None)
    return remote


class TableTests(SynchronousTestCase):
    def test_ids_in_order(self) -> None:
        table = ExtensionTable([Extension("a"), Extension("b")])
        self.assertEqual(table.local.ids, {"a": 1, "b": 2})

    def test_a_name_that_comes_again(self) -> None:
        first, second = Extension("a"), Extension("a")
        table = ExtensionTable([first, second, Extension("b")])
        self.assertIs(table.extensions["a"], first)
        self.assertEqual(table.local.ids, {"a": 1, "b": 2})

    def test_what_is_no_name(self) -> None:
        class Nameless:
            pass

        unusable: list[Any] = [Nameless(), *(Extension(name) for name in ("", "x" * 65, "ü"))]
        for name in (None, b"x", 7):
            extension = Extension()
            extension.__dict__["name"] = name
            unusable.append(extension)
        table = ExtensionTable([*unusable, Extension("x" * 64)])
        self.assertEqual(list(table.extensions), ["x" * 64])
        self.assertIn(b"m", decode(table.handshake({})))

    def test_the_handshake(self) -> None:
        table = ExtensionTable([Extension("a")], "1.2")
        plain = {b"m": {b"a": 1}, b"v": b"functorrent 1.2", b"reqq": 250}
        self.assertEqual(decode(table.handshake({})), plain)
        table.port = 7
        self.assertEqual(decode(table.handshake({})), {**plain, b"p": 7})
        self.assertEqual(decode(table.handshake({"x": 1})), {**plain, b"p": 7, b"x": 1})

    def test_discovery(self) -> None:
        found = Extension("x_found")
        directlyProvides(found, IPlugin, IPeerExtension)
        asked = []

        def plugins(interface: Any, package: Any) -> list[Any]:
            asked.append((interface, package.__name__))
            return [found]

        self.patch(__import__("twisted.plugin").plugin, "getPlugins", plugins)
        self.assertEqual(discover_extensions(), [found])
        self.assertEqual(asked, [(IPeerExtension, "functorrent.plugins")])


class WithheldTests(SynchronousTestCase):
    """An extension that is of no use with one torrent."""

    def setUp(self) -> None:
        self.withheld = Extension("x_withheld")
        self.other = Extension("x_other")
        self.withheld.connect = lambda peer: None  # type: ignore[method-assign, assignment, return-value]
        self.bed = Bed(self.withheld, self.other)

    def offered(self) -> ExtendedHandshake:
        remote = self.bed.call()
        remote.greet(more=frame(1, b"to one that is not there") + frame(2, b"to the other"))
        heard = remote.listen()[1]
        assert isinstance(heard, ExtendedHandshake)
        return heard

    def test_it_is_not_offered(self) -> None:
        """The others keep their ids."""
        self.assertEqual(self.offered().extensions, {b"x_other": 2})
        self.assertEqual(self.other.calls[-1], ("message", b"to the other"))
        self.assertEqual(self.withheld.calls, [])

    def test_beside_items_of_another(self) -> None:
        self.other.reactions["handshake_items"] = lambda peer: {"metadata_size": 100}
        offered = self.offered()
        self.assertEqual((offered.extensions, offered.metadata_size), ({b"x_other": 2}, 100))

    def test_beside_items_that_cannot_be_sent(self) -> None:
        self.other.reactions["handshake_items"] = lambda peer: {"metadata_size": None}
        remote = self.bed.call()
        remote.greet()
        heard = remote.listen()[1]
        assert isinstance(heard, ExtendedHandshake)
        self.assertEqual(heard.extensions, {b"x_other": 2})
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_each_torrent_for_itself(self) -> None:
        self.assertEqual(self.offered().extensions, {b"x_other": 2})
        del self.withheld.connect  # type: ignore[method-assign]
        self.assertEqual(self.offered().extensions, {b"x_withheld": 1, b"x_other": 2})
        self.bed.table.port = 6881
        offered = self.offered()
        self.assertEqual((offered.extensions, offered.port), ({b"x_withheld": 1, b"x_other": 2}, 6881))


class BrokenPluginTests(SynchronousTestCase):
    """A plugin's bug switches it off for that connection, and harms nobody else."""

    def test_in_every_hook(self) -> None:
        for hook in HOOKS:
            broken, sound = Extension("x_test", **{hook: Broken(hook)}), Extension("x_other")
            bed = Bed(broken, sound)
            remote = drive(bed)
            self.assertEqual(sound.names, list(HOOKS), hook)
            self.assertEqual(bed.owner.ended, [None], hook)
            self.assertEqual(len(self.flushLoggedErrors(Broken)), 1, hook)
            # It hears nothing more, but that it is over.
            after = broken.names[broken.names.index(hook) + 1 :]
            self.assertEqual(after, [] if hook in ("connect", "closed") else ["closed"], hook)
            self.assertIsInstance(remote.listen()[1], ExtendedHandshake, hook)

    def test_that_cannot_even_close(self) -> None:
        bed = Bed(Extension("x_test", message=Broken("one"), closed=Broken("two")), Extension("x_other"))
        drive(bed)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)

    def test_items_that_cannot_be_sent(self) -> None:
        """The others' items go out all the same."""
        unsendable: tuple[Any, ...] = ({"x": object()}, {"x": 0.5}, {"m": {}}, {b"x": {1: 2}}, [1], 7)
        for items in unsendable:
            broken = Extension("x_test")
            broken.reactions["handshake_items"] = partial(lambda items, peer: items, items)
            sound = Extension("x_other", handshake_items=lambda peer: {"metadata_size": 77})
            bed = Bed(broken, sound)
            remote = bed.call()
            remote.greet(more=frame(1, b"hello"))
            handshake = remote.listen()[1]
            assert isinstance(handshake, ExtendedHandshake)
            self.assertEqual(handshake.metadata_size, 77, items)
            self.assertEqual(len(self.flushLoggedErrors()), 1, items)
            self.assertEqual(broken.names[-1], "closed")

    def test_nothing_more_is_told_to_one_that_is_off(self) -> None:
        broken = Extension("x_test", peer_handshake=Broken())
        bed = Bed(broken)
        remote = bed.call()
        remote.greet(more=frame(1, b"hello"))
        self.assertEqual(broken.names, ["connect", "peer_handshake", "closed"])
        self.flushLoggedErrors(Broken)


class HangingUpTests(SynchronousTestCase):
    """An extension that has no use for a peer ends the connection, and each session hears of it once."""

    def check(self, hook: str, first: Extension, second: Extension) -> None:
        bed = Bed(first, second)
        remote = bed.call()
        remote.greet(more=offer_of() + frame(1, b"one") + frame(2, b"two"))
        remote.peer.resumeProducing()
        self.assertEqual(bed.owner.outcome, "bad_data", hook)
        self.assertTrue(remote.dropped)
        for extension in (first, second):
            self.assertEqual(extension.names.count("closed"), len(extension.sessions), hook)
            if extension.sessions:
                self.assertEqual(extension.names[-1], "closed", hook)
                self.assertIs(extension.calls[-1][1], bed.owner.ended[0], hook)

    def test_by_raising(self) -> None:
        for hook in HOOKS[:-1]:
            lie = MalformedMessage(hook)
            self.check(hook, Extension("x_test", **{hook: lie}), Extension("x_other"))
            self.check(hook, Extension("x_test"), Extension("x_other", **{hook: lie}))

    def test_by_abort(self) -> None:
        for hook in HOOKS[:-1]:

            def abort(peer: Any, hook: str = hook) -> None:
                peer.abort(MalformedMessage(hook))

            self.check(hook, Extension("x_test", **{hook: abort}), Extension("x_other"))
            self.check(hook, Extension("x_test"), Extension("x_other", **{hook: abort}))

    def test_for_lack_of_metadata_before_the_handshake(self) -> None:
        """It may yet come: the extended handshake decides."""
        bed = Bed(Extension("x_test", peer_handshake=lambda peer: peer.abort(NoMetadata("none"))))
        bed.open()
        self.assertEqual(bed.owner.outcome, "")
