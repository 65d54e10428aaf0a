"""What compressed frames say about their own sizes, read without decoding them.

A decoder is only started once the declared size is known to fit, so a frame
that lies costs no memory. Sources: RFC 8878 (Zstandard), the header
description of c-blosc 1, and numcodecs' LZ4 framing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenzarr.storage.codecs.errors import UndecodableError

__all__ = ["ZstdContent", "blosc_sizes", "lz4_size", "zstd_content", "zstd_first_size"]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_BLOCK_BYTES = 128 * 1024
BLOSC_HEADER_BYTES = 16
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
    """The content size that the first frame declares, in bytes; None where it declares none.

    >>> import numcodecs
    >>> zstd_first_size(memoryview(numcodecs.Zstd().encode(b"x" * 1000)))
    1000
    >>> zstd_first_size(memoryview(b"not a frame"))
    Traceback (most recent call last):
        ...
    tenzarr.storage.codecs.errors.UndecodableError: not a Zstandard frame
    """
    if bytes(data[:4]) != ZSTD_MAGIC or len(data) < 6:
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
        if len(data) - position >= 8 and bytes(data[position + 1 : position + 4]) == b"\x2a\x4d\x18":
            position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
            continue
        frame = data[position:]
        declared = zstd_first_size(frame)
        length, frame_bound, checked = _zstd_walk_blocks(frame)
        total = None if total is None or declared is None else total + declared
        bound += frame_bound
        checksums = checksums and checked
        position += length
    if position != len(data):
        raise UndecodableError("the Zstandard frame is truncated")
    return ZstdContent(total, bound, checksums)


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
