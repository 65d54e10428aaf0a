"""Writing a shard: changed inner chunks are encoded, the others keep their stored bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty
from tenzarr.errors import StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import MISSING_INNER, LeafCodec, ShardCodec, ShardIndex, UndecodableError
from tenzarr.storage.codecs.shard import INNER_ALIGNMENT_BYTES
from tenzarr.storage.indexing import AxisSelection, grid_index, plan_axes
from tenzarr.storage.shards import HeldShard, open_shard
from tenzarr.storage.sources.base import Buffer

__all__ = ["Change", "encode_shard"]

Array = npt.NDArray[Any]
Parts = list[npt.NDArray[np.uint8]]

PADDING = np.zeros(INNER_ALIGNMENT_BYTES, np.uint8)


@dataclass(frozen=True, slots=True)
class Change:
    """What is written to a chunk, with the axes as the array sees them."""

    taken: tuple[AxisSelection, ...]
    """Within the chunk, along each axis."""
    value: Array
    """Of the shape of what is taken and the type in memory."""
    full: bool
    """Whether all of the chunk is replaced."""

    def transposed(self, order: tuple[int, ...]) -> Change:
        """The same with the axes in stored order."""
        return Change(tuple(self.taken[axis] for axis in order), self.value.transpose(order), self.full)


def encode_shard(access: ChunkAccess, key: str, index: tuple[int, ...], change: Change) -> list[Buffer] | None:
    """The stored bytes of the shard at `key` after `change`, in parts; None if nothing is left to store.

    Raises `CorruptChunkError` if the shard that is there is damaged.
    """
    codec = access.codec
    if not isinstance(codec, ShardCodec):
        raise AssertionError("encode_shard needs a sharded array; this is a bug in tenzarr")
    try:
        held = None if change.full else open_shard(access, key, index)
        try:
            parts = _encode(access, codec, held, change)
        finally:
            if held is not None:
                held.value.close()
    except (UndecodableError, StoreError) as error:
        access.corrupt(index, error)
    if parts is None:
        return None
    return [codec.wrap(np.concatenate(parts))] if codec.stages else list(parts)


def _encode(access: ChunkAccess, codec: ShardCodec, held: HeldShard | None, change: Change) -> Parts | None:
    """The parts of a shard, before the stages behind it."""
    if codec.order is not None:
        change = change.transposed(codec.order)
    plan = plan_axes(change.taken, change.value.shape, codec.stored_shape, codec.inner.shape)
    changed: dict[int, Parts | None] = {}
    listed = plan.listed_axes
    for job in plan.jobs("", "/"):
        number = _row_major(job[1], codec.grid)
        inner = Change(job[2], change.value[grid_index(job[3], listed)], job[4])
        if isinstance(codec.inner, LeafCodec):
            changed[number] = _encode_inner(access, codec.inner, held, number, inner, listed)
        else:
            nested = _nested(held, codec.inner, number) if held is not None and not inner.full else None
            parts = _encode(access, codec.inner, nested, inner)
            if parts is not None and codec.inner.stages:
                parts = [codec.inner.wrap(np.concatenate(parts))]
            changed[number] = parts
    kept = held.table if held is not None else codec.empty_index()
    if held is not None:
        _check_kept(codec, held, changed)
    return _assemble(codec, held, kept, changed)


def _check_kept(codec: ShardCodec, held: HeldShard, changed: dict[int, Parts | None]) -> None:
    """Refuse to copy more than the shard has: an index may point to the same bytes again and again."""
    kept = held.table[:, 0] != MISSING_INNER
    kept[list(changed)] = False
    total = float(held.table[kept, 1].sum(dtype=np.float64))
    if total > max(held.size, codec.whole_bound):
        raise UndecodableError(f"its index claims {total:.0f} bytes of inner chunks in a shard of {held.size}")


def _row_major(index: tuple[int, ...], grid: tuple[int, ...]) -> int:
    number = 0
    for position, count in zip(index, grid, strict=True):
        number = number * count + position
    return number


def _encode_inner(
    access: ChunkAccess, codec: LeafCodec, held: HeldShard | None, number: int, change: Change, listed: int
) -> Parts | None:
    if change.full:
        chunk = np.ascontiguousarray(change.value, dtype=codec.dtype).reshape(codec.shape)
    else:
        chunk = aligned_empty(codec.shape, codec.dtype)
        stored = None if held is None else _stored(held, number)
        chunk[...] = access.fill if stored is None else codec.view(codec.decode(stored))
        chunk[grid_index(change.taken, listed)] = change.value
    return None if access.is_fill(chunk) else codec.encode(chunk)


def _stored(held: HeldShard, number: int) -> npt.NDArray[np.uint8] | None:
    """The stored bytes of an inner chunk."""
    offset, length = (int(entry) for entry in held.table[number])
    return None if offset == MISSING_INNER else held.read(offset, length)


def _nested(held: HeldShard, codec: ShardCodec, number: int) -> HeldShard | None:
    offset, length = (int(entry) for entry in held.table[number])
    if offset == MISSING_INNER:
        return None
    return held.within(codec, offset, length)


def _assemble(
    codec: ShardCodec, held: HeldShard | None, kept: ShardIndex, changed: dict[int, Parts | None]
) -> Parts | None:
    """Lay out inner chunks in row-major order and write the index."""
    table = codec.empty_index()
    aligned = isinstance(codec.inner, LeafCodec) and codec.inner.raw
    position = codec.index_bytes if codec.location == "start" else 0
    body: Parts = []
    for number in _present(kept, changed):
        parts = changed.get(number)
        if parts is None:
            stored = _stored(held, number) if held is not None else None
            if stored is None:
                raise AssertionError("an inner chunk that is kept has no bytes; this is a bug in tenzarr")
            parts = [stored]
        if aligned and position % INNER_ALIGNMENT_BYTES:
            gap = PADDING[: -position % INNER_ALIGNMENT_BYTES]
            body.append(gap)
            position += gap.nbytes
        length = sum(part.nbytes for part in parts)
        table[number] = position, length
        body.extend(parts)
        position += length
    if not body:
        return None
    index = codec.write_index(table)
    return [index, *body] if codec.location == "start" else [*body, index]


def _present(kept: ShardIndex, changed: dict[int, Parts | None]) -> Iterable[int]:
    """Numbers of the inner chunks that the new shard has."""
    present = kept[:, 0] != MISSING_INNER
    for number, parts in changed.items():
        present[number] = parts is not None
    return np.flatnonzero(present).tolist()
