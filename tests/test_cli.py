"""The `functorrent` command's door, and show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from functorrent import __version__
from functorrent.cli import main
from functorrent.commands import fetch, show
from tests.commands_bed import FolderTestCase, infohash, magnet, metadata

ROOT = Path(__file__).parent.parent


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "functorrent", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class DoorTests(FolderTestCase):
    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_version_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from functorrent.cli import main; main(['--version']); "
            "heavy = {'twisted', 'argparse', 'dataclasses', 'inspect', 'importlib.metadata'}; "
            "print(heavy & set(sys.modules))"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        self.assertEqual(out, f"functorrent {__version__}\nset()\n")

    def test_help(self) -> None:
        self.assertEqual(main(["--help"]), 0)
        self.assertIn("functorrent fetch", self.out.getvalue())
        self.assertEqual(main([]), 2)

    def test_wrong_usage_is_one_line_with_a_hint(self) -> None:
        for arguments, hint in (
            (["fetsh"], "fetch, show, peers, dht or demo"),
            ([magnet(1)], "functorrent fetch 'magnet:...'"),
            (["--jobs", "3"], "options come after the command"),
            (["fetch"], "give a magnet link"),
            (["fetch", "--jobs", "x", magnet(1)], "--jobs: 'x'"),
            (["fetch", "-o", "-", "--json", magnet(1)], "give one of them"),
            (["show"], "functorrent show --help"),
            (["show", "/nonexistent"], "no such file"),
            (["show", "a.torrent", "b.torrent"], "one argument too many: b.torrent"),
            (["demo", "--quick"], "there is no option --quick"),
        ):
            self.err.truncate(0)
            self.assertEqual(main(arguments), 2, arguments)
            self.assertIn(hint, self.err.getvalue())
            self.assertEqual(self.err.getvalue().count("\n"), 1)

    def test_a_bug_is_one_line(self) -> None:
        def bug(*_: Any) -> int:
            raise ZeroDivisionError("oops\x1b\nmore")

        self.patch(fetch, "fetch", bug)
        self.assertEqual(main(["fetch", "x"]), 1)
        self.assertEqual(
            self.err.getvalue(),
            "functorrent: internal error (ZeroDivisionError: oops?); please report it "
            "(FUNCTORRENT_DEBUG=1 shows where)\n",
        )

    def test_ctrl_c(self) -> None:
        def interrupted(*_: Any) -> int:
            raise KeyboardInterrupt

        self.patch(show, "show", interrupted)
        self.assertEqual(main(["show", "x"]), 130)


class FetchTests(FolderTestCase):
    """What ends before any network, in a process of its own."""

    def test_nothing_valid_to_do(self) -> None:
        for arguments, stdin in ((["nonsense"], b""), (["-i", "-"], b"junk\n# x\n"), (["-i", "-"], b"\n")):
            status, out, err = run("fetch", "-o", self.folder(), *arguments, stdin=stdin)
            self.assertEqual((status, out), (2, ""), err)
            self.assertNotIn("Traceback", err)

    def test_an_output_that_cannot_be_written_is_said_before_anything_else(self) -> None:
        file = os.path.join(self.folder(), "file")
        Path(file).touch()
        status, out, err = run("fetch", "-o", os.path.join(file, "x"), magnet(1), "nonsense")
        self.assertEqual((status, out, err.count("\n")), (2, "", 1), err)

    def test_several_magnets_do_not_fit_stdout(self) -> None:
        lines = f"{magnet(1)}\n{magnet(2)}\n".encode()
        status, out, err = run("fetch", "-o", "-", "-i", "-", stdin=lines)
        self.assertEqual((status, out), (2, ""))
        self.assertIn("give -o DIR", err)

    def test_what_is_there_needs_no_network(self) -> None:
        from hashlib import sha1

        folder, data = self.folder(), metadata(1)
        digest = sha1(data.info_bytes).hexdigest()
        path = os.path.join(folder, f"{digest}.torrent")
        Path(path).write_bytes(data.torrent_bytes)
        self.assertEqual(run("fetch", digest, "-o", folder), (0, path + "\n", ""))
        status, out, err = run("fetch", "--json", "-i", "-", "-o", folder, stdin=f"{digest}\njunk".encode())
        first, second = map(json.loads, out.splitlines())
        self.assertEqual((first["cached"], first["size"], first["line"]), (True, 5, 1))
        self.assertEqual((second["status"], second["line"], second["source"]), ("invalid", 2, "-"))
        self.assertEqual(status, 1)
        self.assertTrue(err.splitlines()[-1].startswith("functorrent: 1 fetched (1 of them there before)"))


class ShowTests(FolderTestCase):
    def test_a_magnet(self) -> None:
        text = magnet(1, "&dn=a%1b&tr=udp://t:1&xl=1536&x.pe=[::1]:5&ws=http://w/&so=0,2-4")
        self.assertEqual(
            list(show._lines(text, False)),
            [
                "name         a\\x1b",
                f"infohash     {infohash(1).hex()}",
                "size         1,536 bytes (1.5 KiB)",
                "tracker      udp://t:1 (tier 1)",
                "web seed     http://w/",
                "peer         [::1]:5",
                "only files   0, 2-4",
            ],
        )
        shown = json.loads("\n".join(show._lines(text, True)))
        self.assertEqual((shown["infohash"], shown["trackers"]), (infohash(1).hex(), [["udp://t:1"]]))

    def test_a_torrent(self) -> None:
        info = (
            b"d5:filesld6:lengthi5e4:pathl1:a3:b\x1b\x5beed6:lengthi2048e4:pathl1:ceee4:name1:n"
            b"12:piece lengthi16384e6:pieces0:7:privatei1ee"
        )
        path = os.path.join(self.folder(), "x.torrent")
        Path(path).write_bytes(b"d8:announce9:udp://t:14:info" + info + b"e")
        lines = list(show._lines(path, False))
        self.assertIn("size         2,053 bytes (2.0 KiB) in 2 files", lines)
        self.assertIn("private      yes", lines)
        self.assertIn("tracker      udp://t:1 (tier 1)", lines)
        self.assertEqual(lines[-2:], [f"  {5:>16}  a/b\\x1b[", f"  {'2,048':>16}  c"])
        shown = json.loads("\n".join(show._lines(path, True)))
        self.assertEqual(
            shown["files"], [{"path": ["a", "b\x1b["], "size": 5}, {"path": ["c"], "size": 2048}]
        )

    def test_nodes(self) -> None:
        """A stranger's file may name anything there."""
        path = os.path.join(self.folder(), "x.torrent")
        info = b"d6:lengthi5e4:name1:ne"
        nodes = b"5:nodesll9:192.0.2.1i5eel5:h.e\x1b[i6eel11:2001:db8::1i7eel1:xi0eel1:yei3e3:abcl0:i1eee"
        Path(path).write_bytes(b"d4:info" + info + nodes + b"e")
        lines = [line for line in show._lines(path, False) if line.startswith("DHT node")]
        self.assertEqual(
            lines, ["DHT node     192.0.2.1:5", "DHT node     h.e\\x1b[:6", "DHT node     [2001:db8::1]:7"]
        )
        shown = json.loads("\n".join(show._lines(path, True)))
        self.assertEqual(shown["nodes"], [["192.0.2.1", 5], ["h.e\x1b[", 6], ["2001:db8::1", 7]])

    def test_what_is_no_torrent(self) -> None:
        path = os.path.join(self.folder(), "x.torrent")
        Path(path).write_bytes(b"<html>")
        status, out, err = run("show", path)
        self.assertEqual((status, out, err.count("\n")), (2, "", 1))
        self.assertIn(path, err)

    def test_a_full_disk_is_no_bug(self) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "functorrent", "show", magnet(1)],
                cwd=ROOT,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "functorrent: cannot write to stdout: No space left on device\n")

    def test_a_reader_that_has_enough(self) -> None:
        done = subprocess.run(
            f"{sys.executable} -m functorrent show '{magnet(1)}' | true; exit ${{PIPESTATUS[0]}}",
            shell=True,
            executable="/bin/bash",
            cwd=ROOT,
            capture_output=True,
            timeout=60,
        )
        self.assertIn(done.returncode, (0, 1))
        self.assertEqual(done.stderr, b"")
