"""Showing stored bytes as an array without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.errors import AliasError, StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import MISSING_INNER, LeafCodec, ShardCodec, UndecodableError
from tenzarr.storage.engine import Engine, NativeEngine
from tenzarr.storage.indexing import Job, Selection, plan_axes
from tenzarr.storage.shards import HeldShard, open_shard
from tenzarr.storage.sources.base import Value

__all__ = ["alias_block"]

Array = npt.NDArray[Any]


class _CannotAliasError(Exception):
    """Why a selection cannot be shown without a copy."""


def alias_block(
    engine: Engine, selection: Selection, shape: tuple[int, ...], *, verify: bool, required: bool
) -> Array | None:
    """A read-only view of the stored bytes of a selection, or None where there can be none.

    Parameters
    ----------
    engine : Engine
        Of the array.
    selection : Selection
        A basic selection.
    shape : tuple of int
        Of the array, in elements.
    verify : bool
        Whether checksums have to be compared: then a checked chunk is not shown.
    required : bool
        Raise `AliasError` with the reason instead of returning None.
    """
    try:
        if not isinstance(engine, NativeEngine):
            raise _CannotAliasError("zarr-python reads this array")
        block = _alias(engine.access, selection, shape, verify)
    except _CannotAliasError as reason:
        if not required:
            return None
        raise AliasError(
            f"`alias` must not be True here: {reason}. Use alias=None to copy where needed, or write the array "
            "with compressor=None, checksum=False and chunks that hold what you read"
        ) from None
    if selection.flips is not None:
        block = block[selection.flips]
    return block.reshape(selection.result_shape) if block.flags.c_contiguous else _with_layout(block, selection)


def _with_layout(block: Array, selection: Selection) -> Array:
    kept = [axis for axis in selection.layout if axis is not None]
    shown = block[tuple(slice(None) if axis in kept else 0 for axis in range(block.ndim))]
    return shown[tuple(np.newaxis if axis is None else slice(None) for axis in selection.layout)]


def _alias(access: ChunkAccess, selection: Selection, shape: tuple[int, ...], verify: bool) -> Array:
    codec = access.codec
    leaf = codec.inner if isinstance(codec, ShardCodec) else codec
    if isinstance(leaf, ShardCodec):
        raise _CannotAliasError("the array has shards within shards")
    if not leaf.raw:
        raise _CannotAliasError("the stored bytes are compressed, filtered, or in another order than in memory")
    if leaf.crc is not None and verify:
        raise _CannotAliasError(
            "the chunk has a checksum, which a view would not compare (pass verify=False to allow that)"
        )
    if isinstance(codec, ShardCodec) and (codec.stages or codec.order is not None):
        raise _CannotAliasError("the shard is stored compressed or in another order")
    plan = plan_axes(selection.axes, selection.block_shape, shape, access.chunks)
    if plan.count != 1:
        raise _CannotAliasError(f"the selection lies in {plan.count} chunks, a view needs exactly one")
    job = next(plan.jobs(access.key_head, access.keys.separator))
    if isinstance(codec, ShardCodec):
        return _alias_in_shard(access, codec, leaf, job)
    try:
        value = access.source.open(job[0])
    except StoreError as error:
        access.corrupt(job[1], error)
    if value is None:
        raise _CannotAliasError("the chunk was never written")
    with value:
        if value.size_bytes != leaf.max_stored:
            access.corrupt(job[1], f"it has {value.size_bytes} bytes where exactly {leaf.max_stored} are expected")
        return _map(value, 0, leaf.nbytes, leaf.dtype, leaf.shape)[(*job[2], ...)]


def _map(value: Value, start: int, size: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    data = value.map(start, size)
    if data is None:
        raise _CannotAliasError("the store is not a local disk whose files can be mapped safely")
    if data.__array_interface__["data"][0] % dtype.alignment:
        raise _CannotAliasError(f"the bytes do not start at a multiple of {dtype.alignment}")
    return data.view(dtype).reshape(shape)


def _alias_in_shard(access: ChunkAccess, codec: ShardCodec, leaf: LeafCodec, job: Job) -> Array:
    """A run of neighbouring inner chunks that is one slab of the array."""
    key, index, taken, _, _, _ = job
    try:
        shard = open_shard(access, key, index)
        if shard is None:
            raise _CannotAliasError("the shard was never written")
        with shard.value:
            return _alias_run(codec, leaf, shard, taken)
    except (UndecodableError, StoreError) as error:
        access.corrupt(index, error)


def _alias_run(codec: ShardCodec, leaf: LeafCodec, shard: HeldShard, taken: tuple[Any, ...]) -> Array:
    counts = tuple(part.stop - part.start for part in taken)
    plan = plan_axes(taken, counts, codec.stored_shape, leaf.shape)
    jobs = list(plan.jobs("", "/"))
    numbers = [int(np.ravel_multi_index(job[1], codec.grid)) if codec.grid else 0 for job in jobs]
    entries = [tuple(int(entry) for entry in shard.table[number]) for number in numbers]
    if any(offset == MISSING_INNER for offset, _ in entries):
        raise _CannotAliasError("an inner chunk was never written")
    if any(length != leaf.max_stored for _, length in entries):
        raise UndecodableError(f"an inner chunk does not have {leaf.max_stored} bytes")
    start = entries[0][0]
    if len(jobs) == 1:
        chunk = _map(shard.value, shard.start + start, leaf.nbytes, leaf.dtype, leaf.shape)
        return chunk[(*jobs[0][2], ...)]
    if leaf.crc is not None or not all(job[4] for job in jobs) or not plan.contiguous():
        raise _CannotAliasError(f"the selection lies in {len(jobs)} inner chunks that are not one slab of the array")
    if any(offset != start + at * leaf.nbytes for at, (offset, _) in enumerate(entries)):
        raise _CannotAliasError("the inner chunks do not follow one another in the shard")
    return _map(shard.value, shard.start + start, leaf.nbytes * len(jobs), leaf.dtype, counts)
