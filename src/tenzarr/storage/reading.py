"""Reading blocks of native chunks into memory that the caller owns.

A chunk that covers a contiguous slab of the block is decoded there; any other
is decoded into scratch memory and copied once. Little work is done by the
calling thread; more is dealt out in groups of chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty, scratch
from tenzarr.core.workers import drain, worker_count
from tenzarr.errors import StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import LeafCodec, ShardCodec, UndecodableError
from tenzarr.storage.indexing import AxisSelection, Coordinates, Job, as_list, grid_index, plan_axes, plan_points
from tenzarr.storage.shards import read_shard
from tenzarr.storage.sources.base import Value

__all__ = ["leaf_shape", "read_block", "read_points"]

Array = npt.NDArray[Any]

PIECE_BYTES = 256 * 1024
"""Uncompressed chunks larger than this are read in pieces that stay in the processor's cache."""

GROUP_BYTES = 32 * 2**20
"""How much is asked of a distant store at once."""

INLINE_SECONDS = 250e-6
"""Less work than this is not worth waking another thread for."""

BATCH_SECONDS = 1e-3
"""What one thread takes at a time, so that two threads end together and rarely meet."""

SHARES = 3
"""Into how many batches each thread's share is cut."""

CHUNK_SECONDS = 6e-6
RAW_BYTES_PER_SECOND = 12e9
CODED_BYTES_PER_SECOND = 1.5e9
"""Rough costs of a chunk; they only decide whether and how the work is dealt out."""

RANGE_GAP_BYTES = 8 * 1024
"""Rows of an uncompressed chunk that lie closer together than this are read as one range."""


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
    count = plan.count
    if count == 0:
        return
    codec = access.codec
    direct = out.flags.c_contiguous and plan.contiguous()
    if out.ndim == 0:
        # The index () takes a scalar out of an array without axes, and a view of one with any.
        out = out.reshape(1)
    jobs = plan.jobs(access.key_head, access.keys.separator)
    if isinstance(codec, ShardCodec):
        whole = partial(_read_shards, access, out, plan.listed_axes, verify, count == 1)
        drain(jobs, whole, batch=1, parallel=count > 1)
        return
    seconds = CHUNK_SECONDS + codec.nbytes / (RAW_BYTES_PER_SECOND if codec.raw else CODED_BYTES_PER_SECOND)
    parallel = count > 1 and count * seconds > INLINE_SECONDS
    share = -(-count // worker_count())
    if access.source.local:
        batch = max(1, min(-(-share // SHARES), int(BATCH_SECONDS / seconds)))
        drain(jobs, _leaf_reader(access, codec, plan.listed_axes, out, direct, verify), batch=batch, parallel=parallel)
    else:
        batch = max(1, GROUP_BYTES // codec.max_stored)
        drain(jobs, partial(_read_distant, access, codec, plan.listed_axes, out, verify), batch=batch, parallel=False)


def _leaf_reader(
    access: ChunkAccess, codec: LeafCodec, listed: int, out: Array, direct: bool, verify: bool
) -> Callable[[list[Job]], None]:
    """The cheapest way to read chunks, which are slabs of `out` if `direct`."""
    direct = direct and codec.plain
    if codec.raw:
        checked = verify and codec.crc is not None
        return partial(_read_raw, access, codec, listed, out, direct, checked)
    return partial(_read_coded, access, codec, listed, out, direct, verify)


def _read_raw(
    access: ChunkAccess, codec: LeafCodec, listed: int, out: Array, direct: bool, checked: bool, jobs: list[Job]
) -> None:
    """Chunks whose stored bytes are the chunk, perhaps followed by a checksum."""
    nbytes, stored = codec.nbytes, codec.max_stored
    fetch = access.source.fetch
    small = nbytes <= PIECE_BYTES
    tail = scratch("tail", stored - nbytes + 1)
    held = scratch("chunk", stored + 1) if small else None
    chunk = None if held is None else codec.view(held[:nbytes])
    crc = codec.crc if checked else None
    for key, index, taken, place, full, _ in jobs:
        try:
            if full and direct:
                slab = out[place].reshape(-1).view(np.uint8)
                count = fetch(key, 0, [slab, tail])
                data, ending = slab, tail
            elif held is not None and chunk is not None and (full or checked):
                count = fetch(key, 0, [held])
                data, ending = held, held[nbytes:]
            else:
                _read_raw_pieces(access, codec, key, index, taken, out, place, listed, crc is not None)
                continue
        except StoreError as error:
            access.corrupt(index, error)
        if count != stored:
            if count != -1:
                access.corrupt(index, f"it has {_at_least(count, stored)} bytes where exactly {stored} are expected")
            out[grid_index(place, listed)] = access.fill
            continue
        if crc is not None:
            try:
                crc.compare(crc.compute(data[:nbytes]), ending[: stored - nbytes])
            except UndecodableError as error:
                access.corrupt(index, error)
        if data is held and chunk is not None:
            if full:
                out[place] = chunk
            else:
                out[grid_index(place, listed)] = chunk[grid_index(taken, listed)]


def _at_least(count: int, stored: int) -> str:
    return f"more than {stored}" if count > stored else str(count)


def _read_raw_pieces(
    access: ChunkAccess,
    codec: LeafCodec,
    key: str,
    index: tuple[int, ...],
    taken: tuple[AxisSelection, ...],
    out: Array,
    place: tuple[AxisSelection, ...],
    listed: int,
    checked: bool,
) -> None:
    """One uncompressed chunk, only the rows that are needed, in pieces that fit the cache."""
    value = access.source.open(key)
    if value is None:
        out[grid_index(place, listed)] = access.fill
        return
    with value:
        if value.size_bytes != codec.max_stored:
            access.corrupt(index, f"it has {value.size_bytes} bytes where exactly {codec.max_stored} are expected")
        if checked:
            _read_checked_pieces(access, codec, value, index, taken, out, place, listed)
        else:
            _read_row_ranges(access, codec, value, index, taken, out, place, listed)


def _rows_per_piece(row_bytes: int) -> int:
    return max(1, PIECE_BYTES // max(1, row_bytes))


def _read_checked_pieces(
    access: ChunkAccess,
    codec: LeafCodec,
    value: Value,
    index: tuple[int, ...],
    taken: tuple[AxisSelection, ...],
    out: Array,
    place: tuple[AxisSelection, ...],
    listed: int,
) -> None:
    """All of the chunk, its checksum computed along the way.

    The elements are in `out` before the checksum is known; the error that follows a
    mismatch keeps the caller from seeing them.
    """
    crc = codec.crc
    if crc is None or not codec.shape:
        raise AssertionError("a chunk without rows or checksum is read in pieces; this is a bug in tenzarr")
    rows, row_bytes = codec.shape[0], codec.nbytes // codec.shape[0]
    step = _rows_per_piece(row_bytes)
    held = scratch("piece", step * row_bytes)
    computed = 0
    for first in range(0, rows, step):
        last = min(first + step, rows)
        piece = held[: (last - first) * row_bytes]
        _fill_range(access, value, index, first * row_bytes, piece)
        computed = crc.compute(piece, computed)
        chosen = _rows_within(taken[0], place[0], first, last)
        if chosen is not None:
            rows_taken, rows_place = chosen
            block = piece.view(codec.dtype).reshape((last - first, *codec.shape[1:]))
            out[grid_index((rows_place, *place[1:]), listed)] = block[grid_index((rows_taken, *taken[1:]), listed)]
    ending = scratch("tail", codec.max_stored - codec.nbytes)
    _fill_range(access, value, index, codec.nbytes, ending)
    try:
        crc.compare(computed, ending)
    except UndecodableError as error:
        access.corrupt(index, error)


def _rows_within(
    taken: AxisSelection, place: AxisSelection, first: int, last: int
) -> tuple[AxisSelection, AxisSelection] | None:
    """The part of a selection along the first axis that lies in rows ``first <= row < last``."""
    if isinstance(taken, slice) and isinstance(place, slice):
        skipped = max(0, -(-(first - taken.start) // taken.step))
        low = taken.start + skipped * taken.step
        high = min(taken.stop, last)
        if low >= high:
            return None
        count = -(-(high - low) // taken.step)
        return slice(low - first, high - first, taken.step), slice(place.start + skipped, place.start + skipped + count)
    rows, spots = as_list(taken), as_list(place)
    inside = (rows >= first) & (rows < last)
    return (rows[inside] - first, spots[inside]) if inside.any() else None


def _read_row_ranges(
    access: ChunkAccess,
    codec: LeafCodec,
    value: Value,
    index: tuple[int, ...],
    taken: tuple[AxisSelection, ...],
    out: Array,
    place: tuple[AxisSelection, ...],
    listed: int,
) -> None:
    """Only the rows that are taken; neighbours in one range."""
    if not codec.shape:
        _fill_range(access, value, index, 0, out.reshape(-1).view(np.uint8))
        return
    row_bytes = codec.nbytes // codec.shape[0]
    step = _rows_per_piece(row_bytes)
    held = scratch("piece", step * row_bytes)
    for first, last in _row_runs(taken[0], row_bytes, step):
        piece = held[: (last - first) * row_bytes]
        _fill_range(access, value, index, first * row_bytes, piece)
        chosen = _rows_within(taken[0], place[0], first, last)
        if chosen is not None:
            block = piece.view(codec.dtype).reshape((last - first, *codec.shape[1:]))
            out[grid_index((chosen[1], *place[1:]), listed)] = block[grid_index((chosen[0], *taken[1:]), listed)]


def _row_runs(taken: AxisSelection, row_bytes: int, step: int) -> list[tuple[int, int]]:
    """Runs of rows to read, each of at most `step` rows."""
    gap = RANGE_GAP_BYTES // max(1, row_bytes) + 1
    if isinstance(taken, slice):
        if taken.step <= gap:
            return [(first, min(first + step, taken.stop)) for first in range(taken.start, taken.stop, step)]
        return [(row, row + 1) for row in range(taken.start, taken.stop, taken.step)]
    runs: list[tuple[int, int]] = []
    for row in np.unique(taken).tolist():
        if runs and row - runs[-1][1] < gap and row + 1 - runs[-1][0] <= step:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs


def _fill_range(access: ChunkAccess, value: Value, index: tuple[int, ...], start: int, out: Array) -> None:
    if value.read_into([(start, [out])])[0] != out.nbytes:
        access.corrupt(index, "it became shorter while it was read")


def _read_coded(
    access: ChunkAccess, codec: LeafCodec, listed: int, out: Array, direct: bool, verify: bool, jobs: list[Job]
) -> None:
    """Chunks that have to be decoded."""
    fetch = access.source.fetch
    held = scratch("stored", codec.max_stored + 1)
    flat = scratch("chunk", codec.nbytes) if codec.plain else None
    for key, index, taken, place, full, _ in jobs:
        try:
            count = fetch(key, 0, [held])
        except StoreError as error:
            access.corrupt(index, error)
        if count == -1:
            out[grid_index(place, listed)] = access.fill
            continue
        into_out = direct and full
        target = out[place].reshape(-1).view(np.uint8) if into_out else flat
        try:
            data = codec.decode(held[:count], target, verify=verify)
        except UndecodableError as error:
            access.corrupt(index, error)
        if not into_out:
            chunk = codec.view(data)
            out[grid_index(place, listed)] = chunk if full else chunk[grid_index(taken, listed)]


def _read_distant(
    access: ChunkAccess, codec: LeafCodec, listed: int, out: Array, verify: bool, jobs: list[Job]
) -> None:
    """Chunks of a store where requests take long: all of them are asked for at once."""
    buffers = [np.empty(codec.max_stored + 1, np.uint8) for _ in jobs]
    requests = [(job[0], 0, [buffer]) for job, buffer in zip(jobs, buffers, strict=True)]
    counts = access.source.read_into(requests)
    for (_, index, taken, place, _, _), buffer, count in zip(jobs, buffers, counts, strict=True):
        if count == -1:
            out[grid_index(place, listed)] = access.fill
            continue
        try:
            data = codec.decode(buffer[:count], verify=verify)
        except UndecodableError as error:
            access.corrupt(index, error)
        out[grid_index(place, listed)] = codec.view(data)[grid_index(taken, listed)]


def _read_shards(access: ChunkAccess, out: Array, listed: int, verify: bool, alone: bool, jobs: list[Job]) -> None:
    for key, index, taken, place, _, _ in jobs:
        simple = listed < 2 and all(isinstance(part, slice) for part in place)
        spot = grid_index(place, listed)
        target = out[spot] if simple else aligned_empty(_shape_of(place), out.dtype)
        try:
            found = read_shard(access, key, index, taken, target, verify=verify, parallel=alone)
        except StoreError as error:
            access.corrupt(index, error)
        if not found:
            out[spot] = access.fill
        elif not simple:
            out[spot] = target


def _shape_of(place: tuple[AxisSelection, ...]) -> tuple[int, ...]:
    return tuple(part.stop - part.start if isinstance(part, slice) else part.size for part in place)


def read_points(access: ChunkAccess, points: Coordinates, shape: tuple[int, ...], out: Array, *, verify: bool) -> None:
    """Read single elements into `out`, of shape ``(number of elements,)``, each chunk once."""
    unit = leaf_shape(access)
    jobs = plan_points(points, unit)

    def work(taken_jobs: list[Any]) -> None:
        for job in taken_jobs:
            box = tuple(
                slice(number * side, min((number + 1) * side, length), 1)
                for number, side, length in zip(job.index, unit, shape, strict=True)
            )
            block = aligned_empty(tuple(part.stop - part.start for part in box), out.dtype)
            read_block(access, box, shape, block, verify=verify)
            out[job.place] = block[job.taken]

    bytes_per_job = math.prod(unit) * out.dtype.itemsize
    seconds = CHUNK_SECONDS + bytes_per_job / CODED_BYTES_PER_SECOND
    drain(jobs, work, batch=1, parallel=len(jobs) * seconds > INLINE_SECONDS)


def leaf_shape(access: ChunkAccess) -> tuple[int, ...]:
    """The smallest part of the array that is decoded on its own, in elements."""
    codec = access.codec
    shape = access.chunks
    while isinstance(codec, ShardCodec) and codec.order is None:
        codec = codec.inner
        shape = codec.shape
    return shape
