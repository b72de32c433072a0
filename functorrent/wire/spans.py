"""Where a value stands in a bencoded dictionary, found without reading it (BEP 3, bencoding).

For a .torrent file of a stranger's, which may be long and may be anything: nothing is built, so it costs
no memory, and it goes in slices, between which the reactor does other work. Only what is needed to find
the ends of values is looked at; whether the value is any good, its hash tells.
"""

from __future__ import annotations

from collections.abc import Generator

from functorrent.errors import BencodeError
from functorrent.wire.bencode import TRUNCATED
from functorrent.wire.lenient import INFO_ITEMS

#: Keys, values and ends of containers: of the largest info dictionary, and of what may stand around it.
TOKENS = 3 * INFO_ITEMS
#: ... of one slice: some three milliseconds.
SLICE = 15_000
#: Characters of a length at most, leading zeros and the colon included.
_LENGTH = 24


def find_span(
    data: bytes | bytearray, key: bytes, *, tokens: int = TOKENS, pause: int = SLICE
) -> Generator[None, None, tuple[int, int] | None]:
    """Start and end offset of the value of `key` in the dictionary that `data` begins with.

    Iterate to the end, other work in between; the span is the generator's value, None where the key is
    not there. The first counts where it stands twice; what follows it is not looked at. Raises
    BencodeError, also where more than `tokens` would have to be passed.
    """
    if data[:1] != b"d":
        raise BencodeError("not a dictionary" if data else TRUNCATED)
    index = data.index
    size = len(data)
    pos = 1
    left = min(pause, tokens)
    tokens -= left
    try:
        while data[pos] != 0x65:  # 'e'
            if not 0x30 <= data[pos] <= 0x39:
                raise BencodeError(f"a dictionary key at byte {pos} is not a byte string")
            colon = index(b":", pos, pos + _LENGTH)
            end = colon + 1 + int(data[pos:colon])
            name = data[colon + 1 : min(end, colon + 2 + len(key))]
            pos = start = end
            depth = 0
            while True:
                byte = data[pos]
                if 0x30 <= byte <= 0x39:
                    if data[pos + 1] == 0x3A:  # ':'
                        pos += byte - 0x2E
                    else:
                        colon = index(b":", pos, pos + _LENGTH)
                        pos = colon + 1 + int(data[pos:colon])
                elif byte == 0x69:  # 'i'
                    pos = index(b"e", pos) + 1
                elif byte == 0x64 or byte == 0x6C:  # 'd' and 'l'
                    depth += 1
                    pos += 1
                elif byte == 0x65 and depth:
                    depth -= 1
                    pos += 1
                else:
                    raise BencodeError(f"no value begins with the byte {data[pos : pos + 1]!r} at {pos}")
                left -= 1
                if left <= 0:
                    if not tokens:
                        raise BencodeError("too many values")
                    yield
                    left = min(pause, tokens)
                    tokens -= left
                if not depth:
                    break
            if pos > size:
                raise BencodeError(TRUNCATED)
            if name == key:
                return start, pos
    except IndexError:
        raise BencodeError(TRUNCATED) from None
    except ValueError:
        raise BencodeError(f"the number at byte {pos} has no end") from None
    return None
