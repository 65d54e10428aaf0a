"""Changing a shape: elements that come into an array hold the fill value, whatever lay there before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tenzarr.storage.engine import Engine
from tenzarr.storage.indexing import blocks
from tenzarr.storage.metadata import ArrayMetadata
from tenzarr.storage.sources import ByteSource
from tenzarr.storage.stored import stored_chunks

__all__ = ["clear_outside"]


def clear_outside(
    source: ByteSource,
    path: str,
    metadata: ArrayMetadata,
    engine: Engine,
    kept: tuple[int, ...],
    reach: tuple[int, ...],
    *,
    durable: bool,
) -> None:
    """Remove the stored chunks between `kept` and `reach`, and fill what chunks at the edge hold beyond `kept`.

    Parameters
    ----------
    source, path, metadata, engine
        Of the array; the caller holds the lock of everything.
    kept, reach : tuple of int
        The shape that keeps its elements, and the one that is cleared, in elements; ``kept <= reach``.
    durable : bool
        Whether filled chunks survive a power loss.
    """
    grid = tuple(-(-length // chunk) for length, chunk in zip(kept, metadata.chunks, strict=True))
    cut: list[tuple[int, ...]] = []
    for chunk in stored_chunks(source, path, replace(metadata, shape=reach)):
        if any(number >= count for number, count in zip(chunk.index, grid, strict=True)):
            source.delete(chunk.key)
        elif _is_cut(chunk.index, metadata.chunks, kept, reach):
            cut.append(chunk.index)
    for index in cut:
        _fill_chunk(engine, index, metadata.chunks, kept, reach, durable)


def _is_cut(index: tuple[int, ...], chunks: tuple[int, ...], kept: tuple[int, ...], reach: tuple[int, ...]) -> bool:
    """Whether a chunk has elements inside `kept` and others between it and `reach`."""
    starts = [number * chunk for number, chunk in zip(index, chunks, strict=True)]
    if any(start >= length for start, length in zip(starts, kept, strict=True)):
        return False
    return any(
        inside < min(start + chunk, outside)
        for start, chunk, inside, outside in zip(starts, chunks, kept, reach, strict=True)
    )


def _fill_chunk(
    engine: Engine,
    index: tuple[int, ...],
    chunks: tuple[int, ...],
    kept: tuple[int, ...],
    reach: tuple[int, ...],
    durable: bool,
) -> None:
    """Give the elements of one chunk that lie outside `kept` the fill value."""
    chunk = blocks(index, reach, chunks)
    block = engine.read(chunk, reach, None, True)
    inside = tuple(
        slice(0, max(0, min(length, number * side + side) - number * side))
        for length, number, side in zip(kept, index, chunks, strict=True)
    )
    cleared = np.full_like(block, engine.fill)
    cleared[inside] = block[inside]
    if block.tobytes() != cleared.tobytes() or block.dtype.hasobject:
        engine.write(chunk, reach, cleared, durable)
