"""Writing blocks: each touched chunk is encoded and replaced as a whole, under a lock.

A chunk that is written only in part is read, changed and written again while
the lock is held, so that writers of disjoint parts lose nothing. A chunk that
holds nothing but the fill value is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty
from tenzarr.core.workers import WAITING_SHARE, drain, worker_count
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import LeafCodec, ShardCodec, UndecodableError
from tenzarr.storage.indexing import AxisSelection, Coordinates, Job, grid_index, plan_axes, plan_points
from tenzarr.storage.reading import read_block
from tenzarr.storage.shard_writing import Change, encode_shard
from tenzarr.storage.sources.base import Buffer, Item

__all__ = ["write_block", "write_points"]

Array = npt.NDArray[Any]

Stored: TypeAlias = tuple[str, Sequence[Buffer] | None]
"""A key and its new value; None where the chunk is not stored."""

INLINE_SECONDS = 250e-6
CHUNK_SECONDS = 60e-6
ENCODED_BYTES_PER_SECOND = 500e6
"""Rough costs of writing a chunk; they only decide whether and how the work is dealt out."""

HELD_BYTES = 64 * 2**20
"""How much, in decoded bytes, is handed to the store together."""

LONGEST_BATCH = 256
"""How many chunks one thread takes at a time."""


def write_block(
    access: ChunkAccess,
    axes: tuple[AxisSelection, ...],
    shape: tuple[int, ...],
    value: Array,
    *,
    durable: bool,
) -> None:
    """Write `value` to a block of the array; the caller holds the lock of its chunks.

    Parameters
    ----------
    access : ChunkAccess
        The array.
    axes : tuple of slice or ndarray
        The block, as `Selection.axes`.
    shape : tuple of int
        Of the array, in elements.
    value : ndarray
        Of the block's shape; any type that NumPy casts to the array's, any strides.
    durable : bool
        Whether the chunks survive a power loss once the call has returned.

    Raises
    ------
    CorruptChunkError
        A chunk that is written in part is damaged.
    StoreError
        The store failed; every chunk is either as it was or as it should be.
    """
    plan = plan_axes(axes, value.shape, shape, access.chunks)
    if plan.count == 0:
        return
    if value.ndim == 0:
        # The index () takes a scalar out of an array without axes, and a view of one with any.
        value = value.reshape(1)
    codec = access.codec
    encode_chunk = _encode_leaf if isinstance(codec, LeafCodec) else _encode_shard
    encode = partial(encode_chunk, access, value, plan.listed_axes, shape)
    jobs = plan.jobs(access.key_head, access.keys.separator)
    chunk_bytes = math.prod(access.chunks) * codec.dtype.itemsize
    seconds = CHUNK_SECONDS + chunk_bytes / ENCODED_BYTES_PER_SECOND
    parallel = plan.count > 1 and plan.count * seconds > INLINE_SECONDS
    if durable:
        _write_durably(access, encode, jobs, max(2, HELD_BYTES // max(1, chunk_bytes)))
    else:
        # One run of neighbours for each thread: they mostly lie in different directories.
        batch = min(-(-plan.count // (WAITING_SHARE * worker_count())), LONGEST_BATCH)
        drain(jobs, partial(_write_jobs, access, encode), batch=batch, parallel=parallel, waiting=True)


def _write_jobs(access: ChunkAccess, encode: Callable[[Job], Stored], jobs: list[Job]) -> None:
    for job in jobs:
        key, parts = encode(job)
        if parts is None:
            access.source.delete(key)
        else:
            access.source.put(key, parts)


def _write_durably(access: ChunkAccess, encode: Callable[[Job], Stored], jobs: Iterator[Job], group: int) -> None:
    """Encode and store groups of chunks: the store shares the cost of syncs, and encodes while it waits for them."""

    def make(job: Job) -> Item | None:
        key, parts = encode(job)
        if parts is not None:
            return key, parts
        # Unlike a new value, a removal is not made to survive a power loss.
        return (key, encode_empty(access)) if exists(access, key) else None

    while taken := list(islice(jobs, group)):
        access.source.put_made(taken, make, durable=True)


def exists(access: ChunkAccess, key: str) -> bool:
    """Whether there is a value."""
    value = access.source.open(key)
    if value is None:
        return False
    value.close()
    return True


def encode_empty(access: ChunkAccess) -> Sequence[Buffer]:
    """The stored bytes of a chunk that holds nothing but the fill value."""
    codec = access.codec
    if isinstance(codec, ShardCodec):
        return [codec.wrap(codec.write_index(codec.empty_index()))]
    chunk = aligned_empty(codec.shape, codec.dtype)
    chunk[...] = access.fill
    return codec.encode(chunk)


def _encode_leaf(access: ChunkAccess, value: Array, listed: int, shape: tuple[int, ...], job: Job) -> Stored:
    key, index, taken, place, full, covered = job
    codec = access.codec
    if not isinstance(codec, LeafCodec):
        raise AssertionError("a sharded array is written shard by shard; this is a bug in tenzarr")
    given = value[grid_index(place, listed)]
    if full:
        chunk = np.ascontiguousarray(given, dtype=codec.dtype).reshape(codec.shape)
    else:
        chunk = aligned_empty(codec.shape, codec.dtype)
        chunk[...] = access.fill
        if not covered:
            inside = _inside(index, access.chunks, shape)
            read_block(access, inside, shape, chunk[_from_zero(inside)], verify=True)
        chunk[grid_index(taken, listed)] = given
    if access.is_fill(chunk):
        return key, None
    try:
        return key, codec.encode(chunk)
    except UndecodableError as error:
        access.corrupt(index, error)


def _inside(index: tuple[int, ...], chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """What of a chunk lies inside the array, as a block of the array."""
    return tuple(
        slice(number * chunk, min((number + 1) * chunk, length), 1)
        for number, chunk, length in zip(index, chunks, shape, strict=True)
    )


def _from_zero(block: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, part.stop - part.start) for part in block)


def _encode_shard(access: ChunkAccess, value: Array, listed: int, shape: tuple[int, ...], job: Job) -> Stored:
    key, index, taken, place, full, _ = job
    codec = access.codec
    if not isinstance(codec, ShardCodec):
        raise AssertionError("an array without shards is written chunk by chunk; this is a bug in tenzarr")
    given = value[grid_index(place, listed)]
    change = Change(taken, np.asarray(given, dtype=codec.dtype), full)
    return key, encode_shard(access, key, index, change)


def write_points(
    access: ChunkAccess, points: Coordinates, shape: tuple[int, ...], value: Array, *, durable: bool
) -> None:
    """Write single elements, `value` of shape ``(number of elements,)``; the caller holds the lock of the array."""

    def work(jobs: list[Any]) -> None:
        for job in jobs:
            box = _inside(job.index, access.chunks, shape)
            block = aligned_empty(tuple(part.stop - part.start for part in box), access.codec.dtype)
            read_block(access, box, shape, block, verify=True)
            if box:
                block[job.taken] = value[job.place]
            else:
                block[...] = value[-1]
            write_block(access, box, shape, block, durable=durable)

    jobs = plan_points(points, access.chunks)
    drain(jobs, work, batch=1, parallel=len(jobs) > 1)
