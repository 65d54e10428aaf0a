"""Decoding a chunk that is too large to be held twice: its stored form is read in pieces.

A chunk of a gigabyte, and its compressed form beside it, would take nearly two. The stored bytes are read
twice instead: once for the checksum, so that nothing is decoded before it is known to be whole, and once by
the decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tenzarr.core.workers import drain
from tenzarr.storage.codecs import LeafCodec, UndecodableError
from tenzarr.storage.codecs.checksums import CHECKSUM_BYTES, ChecksumStage
from tenzarr.storage.codecs.compressors import BloscStage, ZstdStage
from tenzarr.storage.codecs.frames import blosc_blocks
from tenzarr.storage.codecs.stage import Bytes
from tenzarr.storage.sources.base import Value

__all__ = ["HUGE_BYTES", "decode_huge", "is_huge"]

HUGE_BYTES = 64 * 2**20
"""Smaller chunks are simply read whole."""

PIECE_BYTES = 2**20
"""How much of the stored form is held at once."""


def is_huge(codec: LeafCodec) -> bool:
    """Whether chunks of this codec are decoded piece by piece: large ones behind zstd or Blosc alone."""
    stages = codec.stages if codec.crc is None else codec.stages[:-1]
    return (
        codec.nbytes >= HUGE_BYTES
        and codec.plain
        and len(stages) == 1
        and isinstance(stages[0], ZstdStage | BloscStage)
    )


def decode_huge(codec: LeafCodec, value: Value, out: Bytes, *, verify: bool) -> None:
    """Decode the chunk that is stored in `value` into `out`, of exactly its size.

    Raises `UndecodableError` if it is damaged.
    """
    size = value.size_bytes - (0 if codec.crc is None else CHECKSUM_BYTES)
    if size < 0 or value.size_bytes > codec.max_stored:
        raise UndecodableError(f"it has {value.size_bytes} bytes where at most {codec.max_stored} are expected")
    if codec.crc is not None and verify:
        _check(codec.crc, value, size)
    stage = codec.stages[0]
    if isinstance(stage, BloscStage):
        _decode_blosc(stage, value, size, out)
    elif isinstance(stage, ZstdStage):
        stage.decode_stream(_Pieces(value, size), out)
    else:
        raise AssertionError(f"{stage.name} does not decode piece by piece; this is a bug in tenzarr")


def _check(crc: ChecksumStage, value: Value, size: int) -> None:
    held = np.empty(PIECE_BYTES, np.uint8)
    computed = 0
    for start in range(0, size, PIECE_BYTES):
        piece = held[: min(PIECE_BYTES, size - start)]
        _fill(value, start, piece)
        computed = crc.compute(piece, computed)
    ending = np.empty(CHECKSUM_BYTES, np.uint8)
    _fill(value, size, ending)
    crc.compare(computed, ending)


def _fill(value: Value, start: int, data: Bytes) -> None:
    if value.read_into(((start, (data,)),))[0] != data.nbytes:
        raise UndecodableError("it became shorter while it was read")


class _Pieces:
    """The stored bytes as a file that is read once, for the streaming decoder."""

    def __init__(self, value: Value, size: int) -> None:
        self.value = value
        self.size = size
        self.position = 0

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes, at most `count`."""
        left = self.size - self.position
        piece = np.empty(left if count < 0 else min(count, left), np.uint8)
        _fill(self.value, self.position, piece)
        self.position += piece.nbytes
        return piece.tobytes()


def _decode_blosc(stage: BloscStage, value: Value, size: int, out: Bytes) -> None:
    """Each block of the frame as a frame of its own, several at a time."""
    head = np.empty(min(size, 16), np.uint8)
    _fill(value, 0, head)
    blocks = blosc_blocks(head.data, size, out.nbytes, lambda start, data: _fill(value, start, data))

    def work(taken: list[Any]) -> None:
        for block in taken:
            frame = np.empty(len(block.head) + block.size, np.uint8)
            frame[: len(block.head)] = np.frombuffer(block.head, np.uint8)
            _fill(value, block.start, frame[len(block.head) :])
            target = out[block.place : block.place + block.content]
            if block.head:
                stage.decode(frame, block.content, True, target)
            else:
                target[:] = frame

    drain(blocks, work, batch=4, parallel=True)
