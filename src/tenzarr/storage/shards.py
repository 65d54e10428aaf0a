"""Reading parts of shards: the index once, neighbouring inner chunks in one range."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import Scratch, aligned_empty
from tenzarr.core.workers import drain
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import MISSING_INNER, LeafCodec, ShardCodec, ShardIndex, UndecodableError
from tenzarr.storage.indexing import AxisSelection, Job, grid_index, plan_axes
from tenzarr.storage.sources.base import Buffer, Value

__all__ = ["HeldShard", "open_shard", "read_shard"]

Array = npt.NDArray[Any]

RANGE_BYTES = 1024 * 1024
"""Neighbouring inner chunks are read together up to this size."""

RANGE_GAP_BYTES = 16 * 1024
"""Inner chunks that lie closer together than this are read together."""

PARALLEL_BYTES = 1024 * 1024
"""Less than this is not worth waking another thread for."""


class HeldShard:
    """A shard, or a shard within a shard: a range of a value, its codec, and its index."""

    def __init__(
        self, access: ChunkAccess, index: tuple[int, ...], value: Value, codec: ShardCodec, start: int, size: int
    ) -> None:
        self.access = access
        self.index = index
        self.value = value
        self.codec = codec
        self.start = start
        self.size = size
        self.table = self._table()

    def _table(self) -> ShardIndex:
        # A shard and the first shard within it may start at the same byte.
        key = (self.index, self.start, self.size, id(self.codec))
        cache = self.access.indexes
        table = cache.get(key, self.value.identity)
        if table is None:
            codec = self.codec
            if self.size < codec.index_bytes:
                raise UndecodableError(f"a shard of {self.size} bytes is too short for its index")
            at = 0 if codec.location == "start" else self.size - codec.index_bytes
            table = codec.read_index(self.read(at, codec.index_bytes), self.size)
            cache.put(key, self.value.identity, table)
        return table

    def within(self, codec: ShardCodec, offset: int, length: int) -> HeldShard:
        """The shard that lies in this one at `offset`."""
        if codec.stages:
            data = codec.unwrap(self.read(offset, min(length, codec.max_stored + 1)))
            return HeldShard(self.access, self.index, _BytesValue(data), codec, 0, data.nbytes)
        return HeldShard(self.access, self.index, self.value, codec, self.start + offset, length)

    def read(self, start: int, size: int) -> npt.NDArray[np.uint8]:
        """Bytes of the shard, freshly allocated."""
        data = np.empty(size, np.uint8)
        self.fill(start, data)
        return data

    def fill(self, start: int, data: Buffer) -> None:
        """Fill `data` with bytes of the shard from `start`."""
        if self.value.read_into([(self.start + start, [data])])[0] != len(data):
            raise UndecodableError("the shard became shorter while it was read")


def open_shard(access: ChunkAccess, key: str, index: tuple[int, ...]) -> HeldShard | None:
    """The shard at `key`, or None if there is none. Close its `value` after use."""
    codec = access.codec
    if not isinstance(codec, ShardCodec):
        raise AssertionError("open_shard needs a sharded array; this is a bug in tenzarr")
    value = _open_wrapped(access, key, codec) if codec.stages else access.source.open(key)
    if value is None:
        return None
    try:
        return HeldShard(access, index, value, codec, 0, value.size_bytes)
    except BaseException:
        value.close()
        raise


class _BytesValue(Value):
    """A shard that had to be decoded as a whole."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self.data = data
        self.size_bytes = data.nbytes
        self.identity = None

    def read_into(self, ranges: Any) -> list[int]:
        counts: list[int] = []
        for start, buffers in ranges:
            done = 0
            for buffer in buffers:
                part = self.data[start + done : start + done + len(buffer)]
                np.frombuffer(buffer, np.uint8)[: part.nbytes] = part
                done += part.nbytes
            counts.append(done)
        return counts

    def map(self, start: int, length: int) -> None:
        return None

    def close(self) -> None:
        pass


def _open_wrapped(access: ChunkAccess, key: str, codec: ShardCodec) -> Value | None:
    stored = access.source.get(key, codec.max_stored)
    if stored is None:
        return None
    if len(stored) > codec.max_stored:
        raise UndecodableError(f"it has more than {codec.max_stored} bytes")
    return _BytesValue(codec.unwrap(np.frombuffer(stored, np.uint8)))


def read_shard(
    access: ChunkAccess,
    key: str,
    index: tuple[int, ...],
    taken: tuple[AxisSelection, ...],
    out: Array,
    *,
    verify: bool,
    parallel: bool,
) -> bool:
    """Read what is `taken` of one shard into `out`; False, and nothing read, if there is no shard.

    Raises `CorruptChunkError` or `ChecksumError` if the shard is damaged.
    """
    try:
        shard = open_shard(access, key, index)
        if shard is None:
            return False
        with shard.value:
            read_held(shard, taken, out, verify=verify, parallel=parallel)
    except UndecodableError as error:
        access.corrupt(index, error)
    return True


def read_held(shard: HeldShard, taken: tuple[AxisSelection, ...], out: Array, *, verify: bool, parallel: bool) -> None:
    """Read a part of an open shard; `taken` and `out` have the axes as the array sees them."""
    codec = shard.codec
    if codec.order is not None:
        taken = tuple(taken[axis] for axis in codec.order)
        out = out.transpose(codec.order)
    plan = plan_axes(taken, out.shape, codec.stored_shape, codec.inner.shape)
    listed = plan.listed_axes
    runs = _runs(codec, shard.table, list(plan.jobs("", "/")), out, shard.access.fill, listed)
    if isinstance(codec.inner, ShardCodec):
        work = partial(_read_nested, shard, codec.inner, out, listed, verify, parallel)
        drain(runs, work, batch=1, parallel=False)
    else:
        work = partial(_read_leaves, shard, codec.inner, out, listed, verify)
        drain(runs, work, batch=1, parallel=parallel and len(runs) > 1 and out.nbytes > PARALLEL_BYTES)


Inner = tuple[int, int, Job]
"""Offset and length in bytes, and what is taken."""


def _runs(
    codec: ShardCodec, table: ShardIndex, jobs: list[Job], out: Array, fill: Array, listed: int
) -> list[list[Inner]]:
    """Inner chunks in the order in which they lie in the shard, neighbours together; missing ones are filled in."""
    strides = np.cumprod((1, *codec.grid[:0:-1]))[::-1] if codec.grid else np.ones(0, np.int64)
    numbers = np.array([job[1] for job in jobs], np.int64).reshape(len(jobs), len(codec.grid)) @ strides
    entries = table[numbers].tolist()
    present: list[Inner] = []
    for (offset, length), job in zip(entries, jobs, strict=True):
        if offset == MISSING_INNER:
            out[grid_index(job[3], listed)] = fill
        else:
            present.append((offset, length, job))
    present.sort(key=_offset)
    runs: list[list[Inner]] = []
    end = start = 0
    for inner in present:
        if runs and inner[0] - end <= RANGE_GAP_BYTES and inner[0] + inner[1] - start <= RANGE_BYTES:
            runs[-1].append(inner)
            end = max(end, inner[0] + inner[1])
        else:
            runs.append([inner])
            start, end = inner[0], inner[0] + inner[1]
    return runs


def _offset(inner: Inner) -> int:
    return inner[0]


def _read_leaves(
    shard: HeldShard, codec: LeafCodec, out: Array, listed: int, verify: bool, runs: list[list[Inner]]
) -> None:
    for run in runs:
        for _, length, _ in run:
            if length > codec.max_stored:
                raise UndecodableError(f"an inner chunk has {length} bytes, at most {codec.max_stored} are expected")
        start = run[0][0]
        size = max(offset + length for offset, length, _ in run) - start
        if len(run) == 1 and codec.raw and _read_straight(shard, codec, out, run[0], verify):
            continue
        own = codec.raw or not codec.plain
        with Scratch("run", size) as data, Scratch("chunk", 0 if own else codec.nbytes) as flat:
            shard.fill(start, data)
            for offset, length, (_, _, taken, place, full, _) in run:
                stored = data[offset - start : offset - start + length]
                decoded = codec.decode(stored, None if own else flat, verify=verify)
                chunk = codec.view(decoded)
                out[grid_index(place, listed)] = chunk if full else chunk[grid_index(taken, listed)]


def _read_straight(shard: HeldShard, codec: LeafCodec, out: Array, inner: Inner, verify: bool) -> bool:
    """Read an unchecked, uncompressed inner chunk to where it belongs, if it lies there in one piece."""
    offset, length, (_, _, _, place, full, _) = inner
    if not full or codec.crc is not None or length != codec.nbytes:
        return False
    slab = out[place]
    if not slab.flags.c_contiguous:
        return False
    shard.fill(offset, slab.reshape(-1).view(np.uint8))
    return True


def _read_nested(
    shard: HeldShard,
    codec: ShardCodec,
    out: Array,
    listed: int,
    verify: bool,
    parallel: bool,
    runs: list[list[Inner]],
) -> None:
    for run in runs:
        for offset, length, (_, _, taken, place, _, _) in run:
            nested = shard.within(codec, offset, length)
            if listed < 2 and all(isinstance(part, slice) for part in place):
                read_held(nested, taken, out[place], verify=verify, parallel=parallel)
            else:
                counts = tuple(p.stop - p.start if isinstance(p, slice) else p.size for p in place)
                block = aligned_empty(counts, out.dtype)
                read_held(nested, taken, block, verify=verify, parallel=parallel)
                out[grid_index(place, listed)] = block
