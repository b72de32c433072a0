"""Bencode of control messages, read strictly (BEP 3, bencoding).

Peers', trackers' and DHT nodes' messages come from anybody: only what the BEP allows is taken (digits
only, no leading zeros, no ``-0``, no key twice), save that unsorted keys pass. For info dictionaries
see `functorrent.wire.lenient`.

Decoding is iterative, so depth costs no stack; depth and items are budgeted, and nothing is allocated
because a length says so. bencode.py (module bencodepy) encodes; it must never decode network bytes:
``d1:a1:b-6:`` makes its 4.1.0 loop for ever, and it takes ``i1_0e`` and ``i 5 e``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from functorrent.errors import BencodeError, LocalProtocolError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

#: Values that control messages may hold, and how deep (see `functorrent.limits`).
DEPTH = 32
ITEMS = 20_000

#: Digits of an integer at most: those of 2**64.
MAX_DIGITS = 20
#: Numbers that are looked up rather than parsed: most lengths, ids and flags.
SMALL = {b"%d" % number: number for number in range(1000)}
OPENERS = {0x64: dict, 0x6C: list}  # 'd' and 'l'
TRUNCATED = "the data ends in the middle of a value"


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
        raise BencodeError(trailing(data, end))
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
    small = SMALL.get
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
                    # One digit, and two: nearly all lengths, read without a call.
                    pos += 2
                    end = pos + byte - 0x30
                elif data[pos + 2] == 0x3A and byte != 0x30 and 0x30 <= data[pos + 1] <= 0x39:
                    pos += 3
                    end = pos + 10 * byte + data[pos - 2] - 0x210
                else:
                    colon = index(b":", pos, pos + 12)
                    length = small(data[pos:colon])
                    if length is None:
                        length = _length(data[pos:colon], pos)
                    pos = colon + 1
                    end = pos + length
                key = data[pos:end]
                if key in box:
                    raise BencodeError(f"the key {key[:40]!r} stands twice in a dictionary")
                pos = end
                byte = data[pos]  # an IndexError where the key ends behind the data
            items -= 1
            if items < 0:
                raise BencodeError("too many values")
            value: Any
            if byte == 0x69 and data[pos + 2] == 0x65 and 0x30 <= data[pos + 1] <= 0x39:
                value = data[pos + 1] - 0x30
                pos += 3
            elif byte == 0x69:  # 'i'
                end = index(b"e", pos, pos + 3 + MAX_DIGITS)
                digits = data[pos + 1 : end]
                value = small(digits)
                if value is None:
                    value = _integer(digits, pos)
                pos = end + 1
            elif 0x30 <= byte <= 0x39:
                if data[pos + 1] == 0x3A:
                    pos += 2
                    end = pos + byte - 0x30
                elif data[pos + 2] == 0x3A and byte != 0x30 and 0x30 <= data[pos + 1] <= 0x39:
                    pos += 3
                    end = pos + 10 * byte + data[pos - 2] - 0x210
                else:
                    colon = index(b":", pos, pos + 12)
                    length = small(data[pos:colon])
                    if length is None:
                        length = _length(data[pos:colon], pos)
                    pos = colon + 1
                    end = pos + length
                if end > size:
                    raise BencodeError(TRUNCATED)
                value = data[pos:end]
                pos = end
            elif byte in OPENERS:
                if len(stack) >= depth:
                    raise BencodeError(f"more than {depth} containers within one another")
                value = OPENERS[byte]()
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
        raise BencodeError(TRUNCATED) from None
    except ValueError:
        raise BencodeError(f"the number at byte {pos} has no end") from None


def trailing(data: bytes, end: int) -> str:
    return f"{len(data) - end} bytes behind the end of the value"


def _length(digits: bytes, pos: int) -> int:
    if not digits.isdigit() or digits[0] == 0x30:
        raise BencodeError(f"the length at byte {pos} is not a plain number")
    return int(digits)


def _integer(digits: bytes, pos: int) -> int:
    unsigned = digits[1:] if digits[:1] == b"-" else digits
    if not unsigned.isdigit() or unsigned[0] == 0x30 or len(unsigned) > MAX_DIGITS:
        raise BencodeError(f"the integer at byte {pos} is not a plain number")
    return int(digits)
