"""A chunk that is a shard: inner chunks and the index that says where they lie.

Source: Zarr v3 specification, codec ``sharding_indexed`` 1.0. The index is an
array of uint64 of shape ``(*grid, 2)``, offset and length of each inner chunk
in bytes; both are 2**64 - 1 where the inner chunk is missing.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty
from tenzarr.storage.codecs.errors import UndecodableError
from tenzarr.storage.codecs.leaf import LeafCodec
from tenzarr.storage.codecs.stage import Bytes, Stage

__all__ = ["INNER_ALIGNMENT_BYTES", "MISSING_INNER", "ShardCodec", "ShardIndex"]

MISSING_INNER = 2**64 - 1

INNER_ALIGNMENT_BYTES = 64
"""Uncompressed inner chunks are written at multiples of this, so that a map of them can be adopted."""

ShardIndex = npt.NDArray[np.uint64]
"""Of shape ``(inner chunks, 2)``: offset and length in bytes, inner chunks in row-major order."""


class ShardCodec:
    """The compiled chain of a chunk that is a shard.

    Parameters
    ----------
    shape : tuple of int
        Of the shard, in elements, as the array sees it.
    inner : LeafCodec or ShardCodec
        The chain of an inner chunk, whose shape divides the shard's once the axes are in stored order.
    index : LeafCodec
        The chain of the index.
    location : {"start", "end"}
        Where the index lies.
    order : tuple of int or None
        A ``transpose`` before the sharding codec, or None.
    stages : tuple of Stage
        What follows the sharding codec in the chain, in the order of encoding.
    """

    __slots__ = (
        "checks",
        "dtype",
        "grid",
        "index",
        "index_bytes",
        "inner",
        "inverse",
        "location",
        "order",
        "shape",
        "stages",
        "stored_shape",
        "whole_bound",
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        inner: LeafCodec | ShardCodec,
        index: LeafCodec,
        location: Literal["start", "end"],
        order: tuple[int, ...] | None,
        stages: tuple[Stage, ...],
    ) -> None:
        identity = tuple(range(len(shape)))
        self.shape = shape
        self.order = None if order == identity else order
        self.inverse = identity if self.order is None else tuple(int(axis) for axis in np.argsort(self.order))
        self.stored_shape = shape if self.order is None else tuple(shape[axis] for axis in self.order)
        self.inner = inner
        self.dtype: np.dtype[Any] = inner.dtype
        self.index = index
        self.index_bytes = index.max_stored
        self.location: Literal["start", "end"] = location
        self.stages = stages
        self.grid = tuple(whole // part for whole, part in zip(self.stored_shape, inner.shape, strict=True))
        """Inner chunks along each stored axis."""
        count = math.prod(self.grid)
        self.whole_bound = self.index_bytes + count * (inner.max_stored + INNER_ALIGNMENT_BYTES)
        """Upper bound of the size, in bytes, of a shard without superfluous gaps, before `stages`."""
        outer = next((stage.checks for stage in reversed(stages) if stage.checks), None)
        self.checks = outer or (inner.checks if index.checks or outer else None)
        """What verifies the data, in words, or None."""

    @property
    def max_stored(self) -> int:
        """Upper bound of the stored size of a shard that has stages behind it, in bytes."""
        bound = self.whole_bound
        for stage in self.stages:
            bound = stage.encoded_bound(bound)
        return bound

    def unwrap(self, data: Bytes) -> Bytes:
        """Decode the stages behind the sharding codec."""
        bounds = [self.whole_bound]
        for stage in self.stages:
            bounds.append(stage.encoded_bound(bounds[-1]))
        for stage, bound in zip(reversed(self.stages), reversed(bounds[:-1]), strict=True):
            data = stage.decode(data, bound, False, None)
        return data

    def wrap(self, data: Bytes) -> Bytes:
        """Encode the stages behind the sharding codec."""
        for stage in self.stages:
            data = stage.encode(data)
        return data

    def read_index(self, stored: Bytes, size_bytes: int) -> ShardIndex:
        """The index from its stored bytes; every range in it lies inside a shard of `size_bytes`."""
        table = self.index.view(self.index.decode(stored)).reshape(-1, 2).astype(np.uint64)
        present = table[:, 0] != MISSING_INNER
        offsets, lengths = table[present, 0], table[present, 1]
        if bool(np.any(lengths > size_bytes)) or bool(np.any(offsets > size_bytes - lengths)):
            raise UndecodableError("its index points outside the shard")
        if bool(np.any(table[~present, 1] != MISSING_INNER)):
            raise UndecodableError("its index has half an entry")
        return table

    def empty_index(self) -> ShardIndex:
        """The index of a shard without any inner chunk."""
        table = aligned_empty((math.prod(self.grid), 2), np.dtype(np.uint64))
        table.fill(MISSING_INNER)
        return table

    def write_index(self, table: ShardIndex) -> Bytes:
        """The stored bytes of the index."""
        return np.concatenate(self.index.encode(table.reshape((*self.grid, 2))))
