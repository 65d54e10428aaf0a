"""Reading blocks of native chunks into memory that the caller owns.

A chunk that covers a contiguous slab of the block is decoded there; any other
is decoded into scratch memory and copied once. Little work is done by the
calling thread; more is dealt out in groups of chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import Scratch, aligned_empty
from tenzarr.core.workers import drain, worker_count
from tenzarr.errors import StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import LeafCodec, ShardCodec, UndecodableError
from tenzarr.storage.codecs.stage import Bytes
from tenzarr.storage.huge import decode_huge, is_huge
from tenzarr.storage.indexing import AxisSelection, Coordinates, Job, Plan, plan_axes, plan_points
from tenzarr.storage.landing import Landing
from tenzarr.storage.raw_reading import read_raw
from tenzarr.storage.shards import read_shard

__all__ = ["leaf_shape", "read_block", "read_points"]

Array = npt.NDArray[Any]

GROUP_BYTES = 32 * 2**20
"""How much is asked of a distant store at once."""

INLINE_SECONDS = 400e-6
"""Less work than this is not worth waking another thread for."""

BATCH_SECONDS = 5e-3
"""What one thread takes at a time at most, so that threads end together."""

SHARES = 2
"""Into how many batches each thread's share is cut: threads that rarely meet seldom wait for each other."""

CHUNK_SECONDS = 6e-6
"""Rough cost of a chunk besides its bytes."""


LARGE_BYTES = 64 * 2**20
"""A chunk that may be stored in more than this gets memory once it is found, and as much as it has."""


def read_block(
    access: ChunkAccess,
    axes: tuple[AxisSelection, ...],
    shape: tuple[int, ...],
    out: Array,
    *,
    verify: bool,
) -> None:
    """Read a block of the array into `out`.

    Parameters
    ----------
    access : ChunkAccess
        The array.
    axes : tuple of slice or ndarray
        The block, as `Selection.axes`.
    shape : tuple of int
        Of the array, in elements.
    out : ndarray
        Of the block's shape and the type in memory; any strides.
    verify : bool
        Whether checksums are compared.

    Raises
    ------
    CorruptChunkError
        A chunk cannot be decoded to what the array declares.
    StoreError
        The store failed.
    """
    plan = plan_axes(axes, out.shape, shape, access.chunks)
    if plan.count == 0:
        return
    landing = Landing(out, plan, access.fill)
    if isinstance(access.codec, ShardCodec):
        _deal_shards(access, plan, landing, verify)
    elif access.codec.max_stored > LARGE_BYTES and not access.codec.raw:
        jobs = plan.jobs(access.key_head, access.keys.separator)
        drain(jobs, partial(_read_large, access, access.codec, landing, verify), batch=1, parallel=plan.count > 1)
    elif access.source.local:
        _deal_leaves(access, access.codec, plan, landing, verify)
    else:
        jobs = plan.jobs(access.key_head, access.keys.separator)
        batch = max(1, GROUP_BYTES // access.codec.max_stored)
        drain(jobs, partial(_read_distant, access, access.codec, landing, verify), batch=batch, parallel=False)


def _deal_leaves(access: ChunkAccess, codec: LeafCodec, plan: Plan, landing: Landing, verify: bool) -> None:
    """Read chunks that are asked for one by one, in several threads where that pays."""
    work: Callable[[list[Job]], None] = partial(read_raw if codec.raw else _read_coded, access, codec, landing, verify)
    jobs = plan.jobs(access.key_head, access.keys.separator)
    count = plan.count
    seconds = CHUNK_SECONDS + codec.decode_seconds
    parallel = _pays(access, count)
    share = -(-count // (worker_count() * SHARES)) if parallel else count
    drain(jobs, work, batch=max(1, min(share, int(BATCH_SECONDS / seconds))), parallel=parallel)


def _deal_shards(access: ChunkAccess, plan: Plan, landing: Landing, verify: bool) -> None:
    """Read shards: several at a time, or the inner chunks of a single one."""
    jobs = plan.jobs(access.key_head, access.keys.separator)
    alone = plan.count == 1
    drain(jobs, partial(_read_shards, access, landing, verify, alone), batch=1, parallel=not alone)


def _read_coded(access: ChunkAccess, codec: LeafCodec, landing: Landing, verify: bool, jobs: list[Job]) -> None:
    """Chunks that have to be decoded."""
    own = not codec.plain
    with Scratch("stored", codec.max_stored + 1) as held, Scratch("chunk", 0 if own else codec.nbytes) as flat:
        _decode_each(access, codec, landing, verify, jobs, held, None if own else flat)


def _decode_each(
    access: ChunkAccess,
    codec: LeafCodec,
    landing: Landing,
    verify: bool,
    jobs: list[Job],
    held: Bytes,
    flat: Bytes | None,
) -> None:
    slabs = landing.slabs and codec.plain
    counts = access.source.fetch_each([job[0] for job in jobs], (held,))
    for _, index, taken, place, full, _ in jobs:
        try:
            count = next(counts)
        except StoreError as error:
            access.corrupt(index, error)
        if count == -1:
            landing.miss(place)
            continue
        try:
            if slabs and full:
                codec.decode(held[:count], landing.slab(place), verify=verify)
            else:
                landing.put(codec.view(codec.decode(held[:count], flat, verify=verify)), taken, place, full)
        except UndecodableError as error:
            access.corrupt(index, error)


def _read_large(access: ChunkAccess, codec: LeafCodec, landing: Landing, verify: bool, jobs: list[Job]) -> None:
    """Chunks that nothing is set aside for before they are there: one that was never written costs nothing."""
    for job in jobs:
        key, index, taken, place, full, _ = job
        if full and landing.slabs and is_huge(codec):
            _read_huge(access, codec, landing, verify, job)
            continue
        try:
            stored = access.source.get(key, codec.max_stored)
            if stored is None:
                landing.miss(place)
                continue
            slab = landing.slab(place) if landing.slabs and codec.plain and full else None
            data = codec.decode(np.frombuffer(stored, np.uint8), slab, verify=verify)
        except (StoreError, UndecodableError) as error:
            access.corrupt(index, error)
        except MemoryError as error:
            access.too_large(index, codec.nbytes, error)
        if slab is None:
            landing.put(codec.view(data), taken, place, full)


def _read_huge(access: ChunkAccess, codec: LeafCodec, landing: Landing, verify: bool, job: Job) -> None:
    """One chunk that is decoded piece by piece into its place."""
    key, index, _, place, _, _ = job
    try:
        value = access.source.open(key)
        if value is None:
            landing.miss(place)
            return
        with value:
            decode_huge(codec, value, landing.slab(place), verify=verify)
    except (StoreError, UndecodableError) as error:
        access.corrupt(index, error)


def _read_distant(access: ChunkAccess, codec: LeafCodec, landing: Landing, verify: bool, jobs: list[Job]) -> None:
    """Chunks of a store where requests take long: all of them are asked for at once."""
    buffers = [np.empty(codec.max_stored + 1, np.uint8) for _ in jobs]
    requests = [(job[0], 0, [buffer]) for job, buffer in zip(jobs, buffers, strict=True)]
    counts = access.source.read_into(requests)
    for (_, index, taken, place, full, _), buffer, count in zip(jobs, buffers, counts, strict=True):
        if count == -1:
            landing.miss(place)
            continue
        try:
            landing.put(codec.view(codec.decode(buffer[:count], verify=verify)), taken, place, full)
        except UndecodableError as error:
            access.corrupt(index, error)


def _read_shards(access: ChunkAccess, landing: Landing, verify: bool, alone: bool, jobs: list[Job]) -> None:
    for key, index, taken, place, _, _ in jobs:
        target = landing.view(place)
        block = target if target is not None else aligned_empty(landing.counts(place), landing.out.dtype)
        try:
            found = read_shard(access, key, index, taken, block, verify=verify, parallel=alone)
        except StoreError as error:
            access.corrupt(index, error)
        if not found:
            landing.miss(place)
        elif target is None:
            landing.store(place, block)


def read_points(access: ChunkAccess, points: Coordinates, shape: tuple[int, ...], out: Array, *, verify: bool) -> None:
    """Read single elements into `out`, of shape ``(number of elements,)``, each chunk once."""
    unit = leaf_shape(access)
    jobs = plan_points(points, unit)

    def work(taken_jobs: list[Any]) -> None:
        for job in taken_jobs:
            starts = tuple(int(taken.min()) for taken in job.taken)
            box = tuple(
                slice(number * side + start, number * side + int(taken.max()) + 1, 1)
                for number, side, start, taken in zip(job.index, unit, starts, job.taken, strict=True)
            )
            block = aligned_empty(tuple(part.stop - part.start for part in box), out.dtype)
            read_block(access, box, shape, block, verify=verify)
            out[job.place] = block[tuple(taken - start for taken, start in zip(job.taken, starts, strict=True))]

    drain(jobs, work, batch=4, parallel=_pays(access, len(jobs)))


def _pays(access: ChunkAccess, count: int) -> bool:
    """Whether reading `count` of the smallest parts is worth several threads."""
    codec = access.codec
    while isinstance(codec, ShardCodec):
        codec = codec.inner
    return count > 1 and count * (CHUNK_SECONDS + codec.decode_seconds) > INLINE_SECONDS


def leaf_shape(access: ChunkAccess) -> tuple[int, ...]:
    """The smallest part of the array that is decoded on its own, in elements."""
    codec = access.codec
    shape = access.chunks
    while isinstance(codec, ShardCodec) and codec.order is None:
        codec = codec.inner
        shape = codec.shape
    return shape
