"""File names for torrents: a template filled in, a stranger's name made safe (FIELD 3.13).

A torrent's name may hold path separators, control and bidi characters, be ``..`` or 10,000 bytes long.
What comes out is always one component of a path, of at most 255 bytes.
"""

from __future__ import annotations

import re
from unicodedata import category, normalize

from functorrent.errors import UsageError

#: Bytes of a file name on nearly every file system.
MAX_BYTES = 255
_FIELD = re.compile(r"\{([^{}]*)\}")
#: Kept free for what tells a clash apart: a dot and 40 hex digits.
_SPARE = 41
#: Separators, and what SMB shares and other systems refuse.
_REFUSED = frozenset('/\\:*?"<>|')
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_JOINERS = "\u200c\u200d"
#: Devices to Windows, whatever their extension: folders are shared.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.I | re.S)


class NameTemplate:
    """A template with ``{infohash}`` and ``{name}``. Raises UsageError where it is none.

    `has_infohash`, `has_name`: whether the field is in it.
    """

    def __init__(self, template: str) -> None:
        fields = _FIELD.findall(template)
        for field in fields:
            if field not in ("infohash", "name"):
                raise UsageError(f"--name: {{{field}}} is unknown; there are {{infohash}} and {{name}}")
        literal = _FIELD.sub("", template)
        if "{" in literal or "}" in literal:
            raise UsageError("--name: a brace stands alone; there are {infohash} and {name}")
        if "/" in literal or not literal.isprintable():
            raise UsageError("--name is the name of a file within the output folder, without a path")
        if not template or template in (".", ".."):
            raise UsageError("--name: this is no file name; the default is {infohash}.torrent")
        self.has_infohash = "infohash" in fields
        self.has_name = "name" in fields
        self._template = template
        self._names = fields.count("name")
        self._fixed = len(literal.encode()) + 40 * fields.count("infohash")
        # An empty name becomes the infohash, and a clash adds one.
        if self._fixed + 40 * self._names + _SPARE > MAX_BYTES:
            raise UsageError(f"--name gives file names over {MAX_BYTES} bytes")

    def fill(self, infohash: bytes, name: str) -> str:
        """The file name for a torrent; `name` is a stranger's. At most 255 bytes, room for a clash."""
        digits = infohash.hex()
        # Of a v2 infohash the first 20 bytes, as in the handshake.
        filled = self._template.replace("{infohash}", digits[:40])
        if self._names:
            room = (MAX_BYTES - _SPARE - self._fixed) // self._names
            filled = filled.replace("{name}", safe_name(name, room) or digits[:40])
        return filled


def told_apart(file_name: str, infohash: bytes, digits: int = 8) -> str:
    """A name for when `file_name` is taken by another torrent: ``.<first 8 of the infohash>`` in it."""
    stem, _, extension = file_name.rpartition(".")
    mark = infohash.hex()[:digits]
    return f"{stem}.{mark}.{extension}" if stem and extension == "torrent" else f"{file_name}.{mark}"


def safe_name(name: str, room: int) -> str:
    """A stranger's name as a part of a file name, in at most `room` bytes of UTF-8; "" if nothing is left."""
    # No honest name has more; normalizing megabytes would take its time.
    name = normalize("NFC", name[: 4 * MAX_BYTES].encode("utf-8", "replace").decode())
    name = "".join("_" if _is_unsafe(character) else character for character in name)
    # Not hidden, not an option of some command, and no blanks or dots at the ends (Windows drops those).
    name = name.strip(". \u3000\u00a0").lstrip("-")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    # Cutting bytes may split a character; what is left of it goes.
    return name.encode()[:room].decode("utf-8", "ignore").strip(". ")


def _is_unsafe(character: str) -> bool:
    if character in _REFUSED:
        return True
    return character not in _JOINERS and category(character) in _INVISIBLE
