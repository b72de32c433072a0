"""Bencode of info dictionaries and .torrent files, read leniently (BEP 3, bencoding).

An info dictionary that hashes right is kept whatever it looks like, so unsorted and repeated keys and
leading zeros are read here, and warned of. Iterative and budgeted like `functorrent.wire.bencode`;
long ones can be read in slices, between which the reactor does other work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from functorrent.errors import BencodeError, LocalProtocolError
from functorrent.wire.bencode import MAX_DIGITS, OPENERS, SMALL, TRUNCATED, trailing

#: Containers within one another (libtorrent 100), and values (its metadata_token_limit: 2.5 million).
INFO_DEPTH = 100
INFO_ITEMS = 3_000_000

UNSORTED = "keys are not sorted"
REPEATED = "a key stands twice in a dictionary (the first is used)"
ZEROS = "a number has leading zeros"
LONG_NUMBER = "a number has more than 20 digits"

#: Called when a container below the top one ends, with its level (1: a value of the top dictionary),
#: its key (None within a list) and itself; what it returns takes the container's place.
Reduce = Callable[[int, "bytes | None", Any], Any]


class Scan(NamedTuple):
    """A dictionary read by the lenient grammar.

    `value`: what it holds, the first of repeated keys; `end`: offset of its end; `spans`: start and
    end offset of each value of the top dictionary; `repeated`: keys standing twice in the top
    dictionary; `warnings`: sentences on what a strict reader would refuse.
    """

    value: dict[bytes, Any]
    end: int
    spans: dict[bytes, tuple[int, int]]
    repeated: frozenset[bytes]
    warnings: tuple[str, ...]


def scan_info(
    data: bytes,
    *,
    depth: int = INFO_DEPTH,
    items: int = INFO_ITEMS,
    reduce: Reduce | None = None,
    more: bool = False,
) -> Scan:
    """Read an info dictionary (or a .torrent file) at once. Raises BencodeError.

    `more`: bytes behind the dictionary are let pass (``end`` tells of them).
    """
    try:
        next(_scan(data, depth, items, reduce, items))
    except StopIteration as stop:
        scan: Scan = stop.value
    if scan.end != len(data) and not more:
        raise BencodeError(trailing(data, scan.end))
    return scan


def raw_span(data: bytes, key: bytes, *, depth: int = INFO_DEPTH, items: int = INFO_ITEMS) -> tuple[int, int]:
    """Start and end offset of the value that `key` has in the dictionary `data`.

    Raises BencodeError, also where the key stands twice: two readers could take two different ones.
    """
    scan = scan_info(data, depth=depth, items=items, reduce=_forget, more=True)
    if key in scan.repeated:
        raise BencodeError(f"the key {key!r} stands twice")
    span = scan.spans.get(key)
    if span is None:
        raise BencodeError(f"there is no key {key!r}")
    return span


def _forget(_level: int, _key: bytes | None, _box: Any) -> None:
    return None


class ScanSteps:
    """Reads a dictionary in slices: iterate it to the end, other work in between, then `result()`.

    Each step reads `pause` values (about a microsecond each).
    """

    def __init__(
        self,
        data: bytes,
        *,
        depth: int = INFO_DEPTH,
        items: int = INFO_ITEMS,
        reduce: Reduce | None = None,
        pause: int = 5000,
    ) -> None:
        self._data = data
        self._steps = _scan(data, depth, items, reduce, pause)
        self._result: Scan | None = None

    def __iter__(self) -> ScanSteps:
        return self

    def __next__(self) -> None:
        try:
            next(self._steps)
        except StopIteration as stop:
            if stop.value is not None:
                self._result = stop.value
            raise

    def result(self) -> Scan:
        """What was read. Raises BencodeError, and LocalProtocolError before the last step."""
        if self._result is None:
            raise LocalProtocolError("the dictionary is not read to its end")
        if self._result.end != len(self._data):
            raise BencodeError(trailing(self._data, self._result.end))
        return self._result


def _scan(
    data: bytes, depth: int, items: int, reduce: Reduce | None, pause: int
) -> Generator[None, None, Scan]:
    index = data.index
    small = SMALL.get
    warnings: set[str] = set()
    repeated: set[bytes] = set()
    spans: dict[bytes, tuple[int, int]] = {}
    if data[:1] != b"d":
        raise BencodeError("not a dictionary" if data else TRUNCATED)
    root: dict[bytes, Any] = {}
    box: Any = root
    key: Any = None  # bytes, or None within a list
    previous = b""
    began = pos = 1
    in_dict = True
    stack: list[tuple[Any, bytes | None, bytes]] = []
    left = min(pause, items)
    items -= left
    value: Any
    try:
        while True:
            # Also where a byte string ends behind the data: an IndexError.
            byte = data[pos]
            if byte == 0x65:  # 'e'
                pos += 1
                if not stack:
                    break
                level = len(stack)
                value = box
                box, key, previous = stack.pop()
                in_dict = type(box) is dict
                if reduce is not None:
                    value = reduce(level, key, value)
            else:
                if in_dict:
                    if not 0x30 <= byte <= 0x39:
                        raise BencodeError(f"a dictionary key at byte {pos} is not a byte string")
                    if data[pos + 1] == 0x3A:
                        pos += 2
                        end = pos + byte - 0x30
                    else:
                        colon = index(b":", pos)
                        length = small(data[pos:colon])
                        if length is None:
                            length = _lenient_length(data[pos:colon], pos, warnings)
                        pos = colon + 1
                        end = pos + length
                    key = data[pos:end]
                    if key < previous:
                        warnings.add(UNSORTED)
                    previous = key
                    pos = end
                    byte = data[pos]
                    if not stack:
                        began = pos
                left -= 1
                if left < 0:
                    if not items:
                        raise BencodeError("too many values")
                    yield
                    left = min(pause, items)
                    items -= left
                    left -= 1
                if byte == 0x69:  # 'i'
                    end = index(b"e", pos)
                    digits = data[pos + 1 : end]
                    value = small(digits)
                    if value is None:
                        value = _lenient_integer(digits, pos, warnings)
                    pos = end + 1
                elif 0x30 <= byte <= 0x39:
                    if data[pos + 1] == 0x3A:
                        pos += 2
                        end = pos + byte - 0x30
                    else:
                        colon = index(b":", pos)
                        length = small(data[pos:colon])
                        if length is None:
                            length = _lenient_length(data[pos:colon], pos, warnings)
                        pos = colon + 1
                        end = pos + length
                    value = data[pos:end]
                    pos = end
                elif byte in OPENERS:
                    if len(stack) + 1 >= depth:
                        raise BencodeError(f"more than {depth} containers within one another")
                    stack.append((box, key, previous))
                    box = OPENERS[byte]()
                    in_dict = byte == 0x64
                    key = None
                    previous = b""
                    pos += 1
                    continue
                else:
                    raise BencodeError(f"no value begins with the byte {data[pos : pos + 1]!r} at {pos}")
            if not in_dict:
                box.append(value)
            elif key in box:
                warnings.add(REPEATED)
                if not stack:
                    repeated.add(key)
            else:
                box[key] = value
                if not stack:
                    spans[key] = (began, pos)
    except IndexError:
        raise BencodeError(TRUNCATED) from None
    except ValueError:
        raise BencodeError(f"the number at byte {pos} has no end") from None
    return Scan(root, pos, spans, frozenset(repeated), tuple(sorted(warnings)))


def _lenient_length(digits: bytes, pos: int, warnings: set[str]) -> int:
    """A length with whatever zeros in front, but without a sign."""
    if not digits.isdigit():
        raise BencodeError(f"the length at byte {pos} is not a plain number")
    return _lenient_integer(digits, pos, warnings)


def _lenient_integer(digits: bytes, pos: int, warnings: set[str]) -> int:
    """An integer with whatever zeros in front; one too long to be meant becomes one of 21 digits."""
    # 0x30: '0'. Nearly every number is a plain one.
    if digits.isdigit() and digits[0] != 0x30 and len(digits) <= MAX_DIGITS:
        return int(digits)
    negative = digits[:1] == b"-"
    unsigned = digits[1:] if negative else digits
    if not unsigned.isdigit():
        raise BencodeError(f"the number at byte {pos} is not a plain number")
    plain = unsigned.lstrip(b"0")
    if (len(plain) != len(unsigned) and unsigned != b"0") or (negative and not plain):
        warnings.add(ZEROS)
    if len(plain) > MAX_DIGITS:
        warnings.add(LONG_NUMBER)
        plain = b"1" + b"0" * MAX_DIGITS
    number = int(plain or b"0")
    return -number if negative else number
