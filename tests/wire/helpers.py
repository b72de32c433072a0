"""What the tests of the codecs share: bytes cut into packets, settings of Hypothesis, small limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from functorrent.limits import DEFAULT_LIMITS

quick = settings(deadline=None, derandomize=True, max_examples=100)

#: Caps small enough for Hypothesis to reach them.
SMALL = replace(DEFAULT_LIMITS, max_extended=48, max_skipped=160, max_extensions=4, max_client_name=8)

#: Where to cut a stream: lengths of packets, used over and over.
cuts = st.lists(st.integers(1, 70), min_size=1, max_size=6)


def in_packets(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in packets of `size` bytes, the last one shorter."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def in_every_packet_size(data: bytes) -> Iterator[list[bytes]]:
    """`data` cut into packets of 1 byte, of 2, ... and at last whole."""
    for size in range(1, len(data) + 1):
        yield list(in_packets(data, size))


def cut(data: bytes, lengths: Iterable[int]) -> list[bytes]:
    """`data` in packets of these lengths, over and over."""
    lengths = list(lengths)
    packets: list[bytes] = []
    start = turn = 0
    while start < len(data):
        length = lengths[turn % len(lengths)]
        packets.append(data[start : start + length])
        start += length
        turn += 1
    return packets
