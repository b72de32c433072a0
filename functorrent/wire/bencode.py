"""Bencode in two grammars: strict for control messages, lenient for info dictionaries (BEP 3).

Control messages (peers, trackers, DHT) come from anybody: `decode` and `decode_prefix` take only
what the BEP allows (digits only, no leading zeros, no ``-0``, no key twice), save that unsorted keys
pass. Info dictionaries that hash right are kept whatever they look like: `scan_info` takes unsorted
and repeated keys and leading zeros, and warns of them.

Both are iterative, so depth costs no stack; depth and items are budgeted, and nothing is allocated
because a length says so. bencode.py (module bencodepy) encodes; it must never decode network bytes:
``d1:a1:b-6:`` makes its 4.1.0 loop for ever, and it takes ``i1_0e`` and ``i 5 e``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

from functorrent.errors import BencodeError, LocalProtocolError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

#: Values that control messages may hold, and how deep (see `functorrent.limits`).
DEPTH = 32
ITEMS = 20_000
#: The same for info dictionaries; libtorrent has 100 and 2.5 million.
INFO_DEPTH = 100
INFO_ITEMS = 3_000_000

#: Digits of an integer at most: those of 2**64.
_MAX_DIGITS = 20
#: Numbers that are looked up rather than parsed: most lengths, ids and flags.
_SMALL = {b"%d" % number: number for number in range(1000)}
_OPENERS = {0x64: dict, 0x6C: list}  # 'd' and 'l'
_TRUNCATED = "the data ends in the middle of a value"


def encode(value: Any) -> bytes:
    """The bencoding of our own int, bytes, str, list or dict. Raises LocalProtocolError."""
    # Imported late: the hot paths build their bytes by hand.
    import bencodepy

    try:
        return bytes(bencodepy.encode(value))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LocalProtocolError(f"this value cannot be bencoded: {error!r}") from None


def decode(data: bytes, *, depth: int = DEPTH, items: int = ITEMS) -> Value:
    """The value that all of `data` is. Raises BencodeError."""
    value, end = decode_prefix(data, 0, depth=depth, items=items)
    if end != len(data):
        raise BencodeError(_trailing(data, end))
    return value


def decode_prefix(
    data: bytes, start: int = 0, *, depth: int = DEPTH, items: int = ITEMS
) -> tuple[Value, int]:
    """The value that begins at `start`, and the offset where it ends.

    `depth`: containers within one another at most; `items`: values in all, keys not counted.
    Raises BencodeError.
    """
    size = len(data)
    index = data.index
    small = _SMALL.get
    stack: list[Any] = []
    box: Any = None
    root: Any = None
    in_dict = False
    key = b""
    pos = start
    try:
        while True:
            byte = data[pos]
            if byte == 0x65 and box is not None:  # 'e'
                pos += 1
                box = stack.pop()
                if box is None:
                    return root, pos
                in_dict = type(box) is dict
                continue
            if in_dict:
                if not 0x30 <= byte <= 0x39:
                    raise BencodeError(f"a dictionary key at byte {pos} is not a byte string")
                if data[pos + 1] == 0x3A:  # ':'
                    pos += 2
                    end = pos + byte - 0x30
                else:
                    colon = index(b":", pos, pos + 12)
                    length = small(data[pos:colon])
                    if length is None:
                        length = _length(data[pos:colon], pos)
                    pos = colon + 1
                    end = pos + length
                if end >= size:
                    raise BencodeError(_TRUNCATED)
                key = data[pos:end]
                if key in box:
                    raise BencodeError(f"the key {key[:40]!r} stands twice in a dictionary")
                pos = end
                byte = data[pos]
            items -= 1
            if items < 0:
                raise BencodeError("too many values")
            value: Any
            if byte == 0x69:  # 'i'
                end = index(b"e", pos, pos + 3 + _MAX_DIGITS)
                digits = data[pos + 1 : end]
                value = small(digits)
                if value is None:
                    value = _integer(digits, pos)
                pos = end + 1
            elif 0x30 <= byte <= 0x39:
                if data[pos + 1] == 0x3A:
                    pos += 2
                    end = pos + byte - 0x30
                else:
                    colon = index(b":", pos, pos + 12)
                    length = small(data[pos:colon])
                    if length is None:
                        length = _length(data[pos:colon], pos)
                    pos = colon + 1
                    end = pos + length
                if end > size:
                    raise BencodeError(_TRUNCATED)
                value = data[pos:end]
                pos = end
            elif byte in _OPENERS:
                if len(stack) >= depth:
                    raise BencodeError(f"more than {depth} containers within one another")
                value = _OPENERS[byte]()
                stack.append(box)
                if box is None:
                    root = value
                elif in_dict:
                    box[key] = value
                else:
                    box.append(value)
                box = value
                in_dict = byte == 0x64
                pos += 1
                continue
            else:
                raise BencodeError(f"no value begins with the byte {data[pos : pos + 1]!r} at {pos}")
            if in_dict:
                box[key] = value
            elif box is not None:
                box.append(value)
            else:
                return value, pos
    except IndexError:
        raise BencodeError(_TRUNCATED) from None
    except ValueError:
        raise BencodeError(f"the number at byte {pos} has no end") from None


def _trailing(data: bytes, end: int) -> str:
    return f"{len(data) - end} bytes behind the end of the value"


def _length(digits: bytes, pos: int) -> int:
    if not digits.isdigit() or digits[0] == 0x30:
        raise BencodeError(f"the length at byte {pos} is not a plain number")
    return int(digits)


def _integer(digits: bytes, pos: int) -> int:
    unsigned = digits[1:] if digits[:1] == b"-" else digits
    if not unsigned.isdigit() or unsigned[0] == 0x30 or len(unsigned) > _MAX_DIGITS:
        raise BencodeError(f"the integer at byte {pos} is not a plain number")
    return int(digits)


# -- the lenient grammar -----------------------------------------------------------------------

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
    trailing: bool = False,
) -> Scan:
    """Read an info dictionary (or a .torrent file) at once. Raises BencodeError.

    `trailing`: bytes behind the dictionary are let pass (``end`` tells of them).
    """
    try:
        next(_scan(data, depth, items, reduce, items))
    except StopIteration as stop:
        scan: Scan = stop.value
    if scan.end != len(data) and not trailing:
        raise BencodeError(_trailing(data, scan.end))
    return scan


def raw_span(data: bytes, key: bytes, *, depth: int = INFO_DEPTH, items: int = INFO_ITEMS) -> tuple[int, int]:
    """Start and end offset of the value that `key` has in the dictionary `data`.

    Raises BencodeError, also where the key stands twice: two readers could take two different ones.
    """
    scan = scan_info(data, depth=depth, items=items, reduce=_forget, trailing=True)
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
            raise BencodeError(_trailing(self._data, self._result.end))
        return self._result


def _scan(
    data: bytes, depth: int, items: int, reduce: Reduce | None, pause: int
) -> Generator[None, None, Scan]:
    size = len(data)
    index = data.index
    small = _SMALL.get
    warnings: set[str] = set()
    repeated: set[bytes] = set()
    spans: dict[bytes, tuple[int, int]] = {}
    if data[:1] != b"d":
        raise BencodeError("not a dictionary" if data else _TRUNCATED)
    root: dict[bytes, Any] = {}
    box: Any = root
    key: bytes | None = None
    previous = b""
    began = pos = 1
    in_dict = True
    stack: list[tuple[Any, bytes | None, bytes]] = []
    left = min(pause, items)
    items -= left
    value: Any
    try:
        while True:
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
                    if end >= size:
                        raise BencodeError(_TRUNCATED)
                    key = data[pos:end]
                    if key <= previous and box:
                        warnings.add(REPEATED if key in box else UNSORTED)
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
                    if end > size:
                        raise BencodeError(_TRUNCATED)
                    value = data[pos:end]
                    pos = end
                elif byte in _OPENERS:
                    if len(stack) + 1 >= depth:
                        raise BencodeError(f"more than {depth} containers within one another")
                    stack.append((box, key, previous))
                    box = _OPENERS[byte]()
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
                    spans[key] = (began, pos)  # type: ignore[index]
    except IndexError:
        raise BencodeError(_TRUNCATED) from None
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
    negative = digits[:1] == b"-"
    unsigned = digits[1:] if negative else digits
    if not unsigned.isdigit():
        raise BencodeError(f"the number at byte {pos} is not a plain number")
    plain = unsigned.lstrip(b"0")
    if (len(plain) != len(unsigned) and unsigned != b"0") or (negative and not plain):
        warnings.add(ZEROS)
    if len(plain) > _MAX_DIGITS:
        warnings.add(LONG_NUMBER)
        plain = b"1" + b"0" * _MAX_DIGITS
    number = int(plain or b"0")
    return -number if negative else number
