"""Reading every stored chunk of an array to learn which are damaged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tenzarr.core.progress import Progress, track
from tenzarr.core.workers import drain
from tenzarr.errors import CorruptChunkError, StoreError
from tenzarr.storage.metadata.model import ArrayMetadata
from tenzarr.storage.sources.base import ByteSource
from tenzarr.storage.stored import StoredChunk, stored_chunks

__all__ = ["ChunkReport", "Verifiable", "verify"]

WINDOW = 64
"""Chunks that are dealt to the workers together; reports come in order, so they wait for the slowest."""


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What reading one stored chunk, or one inner chunk of a damaged shard, found."""

    chunk: tuple[int, ...]
    """Its index, as `CorruptChunkError.chunk` gives it."""
    key: str
    """The key of the stored value, relative to the store."""
    problem: str | None
    """What is wrong with it; None for a sound one."""
    inner: tuple[int, ...] | None = None
    """Which inner chunk of the shard, on the grid of all inner chunks; None where the value is meant as a whole."""


class Verifiable(Protocol):
    """What `verify` asks of an array; `tenzarr.Array` has it."""

    @property
    def source(self) -> ByteSource:
        """The store."""
        ...

    @property
    def path(self) -> str:
        """In the store."""
        ...

    @property
    def metadata(self) -> ArrayMetadata:
        """What the document says."""
        ...

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is decoded at once, in elements."""
        ...

    def read(self, selection: Any = None, *, alias: bool | None = None) -> Any:
        """Decode `selection`, checking every checksum."""
        ...


def verify(array: Verifiable, *, progress: Progress = False) -> Iterator[ChunkReport]:
    """Read every stored chunk, on all processors, and report each.

    Chunks that were never written are not stored: they read as the fill value and cannot be
    damaged. A sound shard gives one report; a damaged one gives a report for each of its inner
    chunks that is damaged, under the key of the shard.

    Parameters
    ----------
    array : Array
        It is read one stored chunk at a time, so memory holds one decoded chunk for each processor.
    progress : bool or callable
        True draws a bar on standard error; a callable gets ``(done_chunks, total_chunks)``. The
        chunks are listed once more to count them.

    Yields
    ------
    ChunkReport
        With ``problem=None`` where the chunk is sound. What the store says about a chunk that it
        cannot read becomes its `problem`, too.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=4, chunks=2, dtype="int8")
    >>> a[0:2] = 1
    >>> list(verify(a))
    [ChunkReport(chunk=(0,), key='c/0', problem=None, inner=None)]
    """
    total = 0 if progress is False else sum(1 for _ in stored_chunks(array.source, array.path, array.metadata))
    remaining = stored_chunks(array.source, array.path, array.metadata)
    with track(progress, total, label="verify", unit="chunk") as advance:
        while window := list(itertools.islice(remaining, WINDOW)):
            for reports in _check_together(array, window):
                yield from reports
            advance(len(window))


def _check_together(array: Verifiable, window: list[StoredChunk]) -> list[list[ChunkReport]]:
    reports: list[list[ChunkReport]] = [[] for _ in window]

    def check(places: list[int]) -> None:
        for place in places:
            reports[place] = list(_check(array, window[place]))

    drain(range(len(window)), check, batch=1, parallel=len(window) > 1)
    return reports


def _check(array: Verifiable, stored: StoredChunk) -> Iterator[ChunkReport]:
    grid, shape = array.metadata.chunks, array.metadata.shape
    whole = tuple(slice(i * n, min((i + 1) * n, m)) for i, n, m in zip(stored.index, grid, shape, strict=True))
    damage = _damage(array, whole, stored)
    if damage is None:
        yield ChunkReport(stored.index, stored.key, None)
    elif array.chunks == grid:
        yield damage
    else:
        yield from _check_inner(array, whole, stored)


def _check_inner(array: Verifiable, whole: tuple[slice, ...], stored: StoredChunk) -> list[ChunkReport]:
    """What is wrong in a damaged shard; one report where all of it is, its index for instance."""
    parts = list(_inner_chunks(whole, array.chunks))
    damages = [_damage(array, part, stored) for part in parts]
    if len(set(damages)) == 1 and damages[0] is not None:
        return [damages[0]]
    return [
        replace(damage, inner=tuple(s.start // n for s, n in zip(part, array.chunks, strict=True)))
        for part, damage in zip(parts, damages, strict=True)
        if damage is not None
    ]


def _damage(array: Verifiable, selection: tuple[slice, ...], stored: StoredChunk) -> ChunkReport | None:
    try:
        array.read(selection, alias=False)
    except CorruptChunkError as error:
        return ChunkReport(error.chunk, error.key, error.problem)
    except StoreError as error:
        return ChunkReport(stored.index, stored.key, str(error))
    return None


def _inner_chunks(whole: tuple[slice, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    starts = (range(s.start, s.stop, c) for s, c in zip(whole, chunks, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(i, min(i + c, s.stop)) for i, c, s in zip(corner, chunks, whole, strict=True))
