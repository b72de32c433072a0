"""argparse, made to say what is wrong in one line and how to mend it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from functorrent.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing a usage text and leaving."""

    def __init__(self, command: str, description: str) -> None:
        # Abbreviated options would break scripts when an option is added.
        super().__init__(f"functorrent {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """argparse's own complaints."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            word = unknown.split()[0]
            if word.startswith("-"):
                message = f"there is no option {word}{self._like(word)}"
            else:
                message = f"one argument too many: {word}"
        message = message.removeprefix("argument ")
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _like(self, word: str) -> str:
        # Not worth its time where nothing is wrong.
        import difflib

        near = difflib.get_close_matches(word.partition("=")[0], self._option_string_actions, 1)
        return f": did you mean {near[0]}?" if near else ""
