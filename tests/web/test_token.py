"""The token file: made where it is missing, refused where it is no secret."""

from __future__ import annotations

import os
import stat

from functorrent.errors import UsageError
from functorrent.web.token import load_token
from tests.commands_bed import FolderTestCase


class TokenFileTests(FolderTestCase):
    def path(self, text: bytes | None = None, mode: int = 0o600) -> str:
        path = os.path.join(self.folder(), "token")
        if text is not None:
            with open(path, "wb") as file:
                file.write(text)
            os.chmod(path, mode)
        return path

    def test_a_missing_one_is_made(self) -> None:
        path = self.path()
        before = os.umask(0)
        try:
            token = load_token(path)
        finally:
            os.umask(before)
        self.assertGreaterEqual(len(token), 32)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(load_token(path), token, "and is the same from then on")
        self.assertNotEqual(load_token(self.path()), token)

    def test_the_first_line_counts(self) -> None:
        self.assertEqual(load_token(self.path(b"  0123456789abcdef \r\nmore\n")), "0123456789abcdef")
        self.assertEqual(load_token(self.path(b"0123456789abcdef", 0o640)), "0123456789abcdef")

    def test_what_is_no_token(self) -> None:
        for text in (
            b"",
            b"\n0123456789abcdef",
            b"short",
            b"x" * 2000,
            b"with a blank in it",
            "schlüssel-0123456789".encode(),
        ):
            error = self.assertRaises(UsageError, load_token, self.path(text))
            self.assertIn("--token-file", str(error))

    def test_what_everybody_can_read(self) -> None:
        for mode in (0o604, 0o602):
            error = self.assertRaises(UsageError, load_token, self.path(b"0123456789abcdef", mode))
            self.assertIn("chmod 600", str(error))

    def test_a_pipe_does_not_hold_the_start(self) -> None:
        path = self.path()
        os.mkfifo(path, 0o600)
        error = self.assertRaises(UsageError, load_token, path)
        self.assertIn("this is no file", str(error))

    def test_no_folder(self) -> None:
        error = self.assertRaises(UsageError, load_token, os.path.join(self.folder(), "none", "token"))
        self.assertIn("No such file", str(error))
        error = self.assertRaises(UsageError, load_token, self.folder())
        self.assertNotIn("Traceback", str(error))
