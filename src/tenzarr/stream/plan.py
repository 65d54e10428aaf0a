"""Cutting an array into blocks of whole chunks that fit a byte budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tenzarr.errors import ArgumentError

__all__ = ["Block", "BlockReadable", "plan_blocks", "read_blocks"]

Block: TypeAlias = tuple[slice, ...]
"""One block as a selection: a slice with start and stop for every axis."""


class BlockReadable(Protocol):
    """What a stream asks of a stored array; `tenzarr.Array` has it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In elements."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """In memory."""
        ...

    @property
    def chunks(self) -> tuple[int, ...]:
        """The smallest part that is decoded, in elements."""
        ...

    @property
    def shards(self) -> tuple[int, ...] | None:
        """The part that is one stored value, in elements; None where that is the chunk."""
        ...

    def read(self, selection: Any = None, *, out: npt.NDArray[Any]) -> Any:
        """Fill `out` with `selection`."""
        ...


def plan_blocks(
    shape: Sequence[int], unit: Sequence[int], itemsize_bytes: int, budget_bytes: int
) -> tuple[tuple[int, ...], Iterator[Block]]:
    """Cut `shape` into equal blocks, each made of whole units, in row-major order.

    A block is one unit, grown along the last axis first while it stays within
    `budget_bytes`, so that it holds runs that lie close together in the store.

    Parameters
    ----------
    shape : sequence of int
        Of the array, in elements.
    unit : sequence of int
        What must not be cut: the chunk or the shard, in elements.
    itemsize_bytes : int
        Of one element.
    budget_bytes : int
        The most that a block may hold. One unit is the least, whatever the budget.

    Returns
    -------
    block_shape : tuple of int
        Of the largest block, in elements.
    blocks : iterator of tuple of slice
        They cover every element once. None where the array is empty; one, ``()``, where it is 0-d.

    Raises
    ------
    ArgumentError
        If `unit` has a length below 1, or another number of axes than `shape`.

    Examples
    --------
    >>> block_shape, blocks = plan_blocks((4, 5), (2, 2), itemsize_bytes=8, budget_bytes=100)
    >>> block_shape, list(blocks)
    ((2, 5), [(slice(0, 2, None), slice(0, 5, None)), (slice(2, 4, None), slice(0, 5, None))])
    >>> plan_blocks((4, 5), (0, 2), 8, 100)
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: `unit` must have a length of at least 1 on each of the 2 axes of (4, 5); got (0, 2).
    """
    if len(unit) != len(shape) or any(u < 1 for u in unit):
        raise ArgumentError(
            f"`unit` must have a length of at least 1 on each of the {len(shape)} axes of {tuple(shape)}; "
            f"got {tuple(unit)}."
        )
    block = [min(u, n) for u, n in zip(unit, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        others_bytes = itemsize_bytes * math.prod(n for a, n in enumerate(block) if a != axis)
        fit = budget_bytes // (unit[axis] * others_bytes) if others_bytes else 1
        block[axis] = min(shape[axis], max(1, fit) * unit[axis])
        if block[axis] < shape[axis]:
            break
    return tuple(block), _cover(shape, block)


def _cover(shape: Sequence[int], block: Sequence[int]) -> Iterator[Block]:
    # A length of zero has no steps; max() keeps range() legal there.
    starts = [range(0, n, max(1, b)) for n, b in zip(shape, block, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(i, min(i + b, n)) for i, b, n in zip(corner, block, shape, strict=True))


def read_blocks(array: BlockReadable, budget_bytes: int) -> Iterator[npt.NDArray[Any]]:
    """The blocks of `array` in row-major order, each in one buffer that the next block overwrites.

    A block holds whole shards where one fits in `budget_bytes`, and whole chunks otherwise.
    """
    itemsize = array.dtype.itemsize
    unit = array.shards
    if unit is None or itemsize * math.prod(unit) > budget_bytes:
        unit = array.chunks
    block_shape, blocks = plan_blocks(array.shape, unit, itemsize, budget_bytes)
    buffer = np.empty(math.prod(block_shape), array.dtype)
    for block in blocks:
        lengths = tuple(s.stop - s.start for s in block)
        out = buffer[: math.prod(lengths)].reshape(lengths)
        array.read(block, out=out)
        yield out
