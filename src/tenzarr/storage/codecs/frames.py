"""What compressed frames say about their own sizes, read without decoding them.

A decoder is only started once the declared size is known to fit, so a frame
that lies costs no memory. Sources: RFC 8878 (Zstandard), the header
description of c-blosc 1, and numcodecs' LZ4 framing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tenzarr.storage.codecs.errors import UndecodableError
from tenzarr.storage.codecs.stage import Bytes

__all__ = ["ZstdContent", "blosc_sizes", "lz4_size", "zstd_content", "zstd_first_size", "zstd_frame_length"]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_BLOCK_BYTES = 128 * 1024
BLOSC_HEADER_BYTES = 16
BLOSC_STORED = 2
"""The flag of a frame whose content is stored as it is."""
BLOSC_UNSPLIT = 16
"""The flag of a frame whose blocks are not split by the bytes of an element."""
LZ4_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class ZstdContent:
    """What a sequence of Zstandard frames decodes to."""

    size_bytes: int | None
    """The sum of the declared content sizes; None if a frame does not declare one."""
    bound_bytes: int
    """An upper bound, from the block headers, that holds whatever the frames declare."""
    checksums: bool
    """Whether every frame carries a content checksum."""


def zstd_first_size(data: memoryview[int]) -> int | None:
    """The content size that the first frame declares, in bytes; None where it declares none, or is one to skip.

    >>> import numcodecs
    >>> zstd_first_size(memoryview(numcodecs.Zstd().encode(b"x" * 1000)))
    1000
    >>> zstd_first_size(memoryview(b"not a frame"))
    Traceback (most recent call last):
        ...
    tenzarr.storage.codecs.errors.UndecodableError: not a Zstandard frame
    """
    if bytes(data[:4]) != ZSTD_MAGIC or len(data) < 6:
        if _is_skipped(data):
            return None
        raise UndecodableError("not a Zstandard frame")
    descriptor = data[4]
    single = descriptor >> 5 & 1
    code = descriptor >> 6
    if code == 0 and not single:
        return None
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    width = (1, 2, 4, 8)[code]
    if len(data) < start + width:
        raise UndecodableError("the Zstandard frame ends within its header")
    return int.from_bytes(data[start : start + width], "little") + (256 if code == 1 else 0)


def _is_skipped(data: memoryview[int]) -> bool:
    """Whether a skippable frame comes next: RFC 8878, section 3.1.2."""
    return len(data) >= 8 and data[0] >> 4 == 5 and bytes(data[1:4]) == b"\x2a\x4d\x18"


def zstd_content(data: memoryview[int]) -> ZstdContent:
    """Walk over every frame and block header of `data`.

    >>> import numcodecs
    >>> two = numcodecs.Zstd().encode(b"x" * 1000) + numcodecs.Zstd(checksum=True).encode(b"y" * 10)
    >>> content = zstd_content(memoryview(two))
    >>> content.size_bytes, content.checksums
    (1010, False)
    """
    position = 0
    total: int | None = 0
    bound = 0
    checksums = True
    while position < len(data):
        frame = data[position:]
        if _is_skipped(frame):
            position += 8 + int.from_bytes(frame[4:8], "little")
            continue
        declared = zstd_first_size(frame)
        length, frame_bound, checked = _zstd_walk_blocks(frame)
        total = None if total is None or declared is None else total + declared
        bound += frame_bound
        checksums = checksums and checked
        position += length
    if position != len(data):
        raise UndecodableError("the Zstandard frame is truncated")
    return ZstdContent(total, bound, checksums)


def zstd_frame_length(data: memoryview[int]) -> int:
    """Of the first frame of `data`, in bytes, from its block headers.

    >>> import numcodecs
    >>> frame = numcodecs.Zstd().encode(b"x" * 1000)
    >>> zstd_frame_length(memoryview(frame + b"more")) == len(frame)
    True
    """
    return _zstd_walk_blocks(data)[0]


def _zstd_walk_blocks(frame: memoryview[int]) -> tuple[int, int, bool]:
    """Length of the frame, upper bound of its content, and whether it has a checksum."""
    descriptor = frame[4]
    single = descriptor >> 5 & 1
    code = descriptor >> 6
    position = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    position += (1 if single else 0, 2, 4, 8)[code]
    bound = 0
    while True:
        if position + 3 > len(frame):
            raise UndecodableError("the Zstandard frame is truncated")
        header = int.from_bytes(frame[position : position + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        bound += ZSTD_BLOCK_BYTES if kind == 2 else size
        position += 3 + (1 if kind == 1 else size)
        if last:
            break
    checked = bool(descriptor >> 2 & 1)
    return position + (4 if checked else 0), bound, checked


def blosc_sizes(data: memoryview[int]) -> tuple[int, int]:
    """Content size and frame size that a Blosc header declares, in bytes.

    >>> import numcodecs
    >>> frame = numcodecs.Blosc().encode(b"x" * 1000)
    >>> blosc_sizes(memoryview(frame)) == (1000, len(frame))
    True
    >>> blosc_sizes(memoryview(b"short"))
    Traceback (most recent call last):
        ...
    tenzarr.storage.codecs.errors.UndecodableError: 5 bytes are too few for a Blosc header
    """
    if len(data) < BLOSC_HEADER_BYTES:
        raise UndecodableError(f"{len(data)} bytes are too few for a Blosc header")
    return int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")


def lz4_size(data: memoryview[int]) -> int:
    """Content size that numcodecs' LZ4 prefix declares, in bytes.

    >>> import numcodecs
    >>> lz4_size(memoryview(numcodecs.LZ4().encode(b"x" * 1000)))
    1000
    """
    if len(data) <= LZ4_HEADER_BYTES:
        raise UndecodableError(f"{len(data)} bytes are too few for an LZ4 frame")
    return int.from_bytes(data[:LZ4_HEADER_BYTES], "little")


class BloscBlock(NamedTuple):
    """One block of a Blosc frame, as what makes it a frame of its own."""

    head: bytes
    """The header of that frame; empty where the block is stored as it is."""
    start: int
    """Where its bytes lie in the stored frame."""
    size: int
    """How many they are."""
    place: int
    """Where its content belongs."""
    content: int
    """How many bytes that is."""


def blosc_blocks(
    head: memoryview[int], stored: int, size: int, fill: Callable[[int, Bytes], None]
) -> Iterator[BloscBlock]:
    """The blocks of a Blosc frame of `stored` bytes that must decode to `size`.

    A frame is a header of 16 bytes, the start of each block as int32, and the blocks, which do not depend on
    one another. `fill` reads bytes of the frame: ``fill(start, buffer)``.

    Raises `UndecodableError` if the header or the starts are not those of such a frame.
    """
    content, frame = blosc_sizes(head)
    if frame != stored or content != size:
        raise UndecodableError(f"the Blosc frame declares {content} bytes in {frame}, {size} in {stored} are expected")
    if head[2] & BLOSC_STORED:
        step = 2**20
        if stored != size + BLOSC_HEADER_BYTES:
            raise UndecodableError(f"the Blosc frame holds {stored - BLOSC_HEADER_BYTES} bytes as they are, not {size}")
        for at in range(0, size, step):
            count = min(step, size - at)
            yield BloscBlock(b"", BLOSC_HEADER_BYTES + at, count, at, count)
        return
    side = int.from_bytes(head[8:12], "little")
    count = -(-size // side) if side else 0
    first = BLOSC_HEADER_BYTES + 4 * count
    if count < 1 or first > stored:
        raise UndecodableError(f"the Blosc frame has blocks of {side} bytes, which do not fit {stored} stored bytes")
    table = np.empty(4 * count, np.uint8)
    fill(BLOSC_HEADER_BYTES, table)
    starts = table.view("<i4").astype(np.int64)
    order = np.sort(starts)
    if int(order[0]) < first or int(order[-1]) >= stored or bool(np.any(np.diff(order) <= 0)):
        raise UndecodableError("the Blosc frame has blocks outside itself")
    ends = np.append(order, stored)[np.searchsorted(order, starts) + 1]
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        inside = min(side, size - number * side)
        # A last block that is shorter is never split by bytes; as a frame of its own it has to say so.
        flags = head[2] | (BLOSC_UNSPLIT if inside < side else 0)
        lengths = (inside, inside, BLOSC_HEADER_BYTES + 4 + end - start, BLOSC_HEADER_BYTES + 4)
        own = bytes((head[0], head[1], flags, head[3])) + b"".join(length.to_bytes(4, "little") for length in lengths)
        yield BloscBlock(own, start, end - start, number * side, inside)
