"""Which chunks a selection touches, what it takes of each, and where that goes.

A plan is pure: it knows shapes and indices, no store and no codec. Along each
axis it is a list of `Part`; the chunks of a block are their product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tenzarr.storage.indexing.selection import AxisSelection, Coordinates, Index

__all__ = ["Job", "Part", "Plan", "PointJob", "as_list", "grid_index", "plan_axes", "plan_points"]


class Part(NamedTuple):
    """What a selection takes of one row of chunks along one axis."""

    chunk: int
    """Which chunk along the axis."""
    label: str
    """`chunk` in decimal digits, for its key."""
    taken: AxisSelection
    """Within the chunk."""
    place: AxisSelection
    """Within the block."""
    full: bool
    """Whether all of the chunk is taken, in order, padding included, to neighbouring places."""
    covered: bool
    """Whether everything of the chunk that lies inside the array is taken, in order."""


Job: TypeAlias = tuple[str, tuple[int, ...], tuple[AxisSelection, ...], tuple[AxisSelection, ...], bool, bool]
"""One chunk: its key, its index, and what `Part` says, for all axes together.

``(key, index, taken, place, full, covered)``; a plain tuple, because a read makes one per chunk.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The chunks of a block."""

    axes: tuple[list[Part], ...]
    """Along each axis."""
    block_shape: tuple[int, ...]
    """Elements along each axis."""

    @property
    def count(self) -> int:
        """How many chunks are touched."""
        return math.prod(len(parts) for parts in self.axes)

    @property
    def listed_axes(self) -> int:
        """Along how many axes the elements are listed one by one rather than sliced."""
        return sum(
            any(not isinstance(part.taken, slice) or not isinstance(part.place, slice) for part in parts)
            for parts in self.axes
        )

    def jobs(self, head: str, separator: str) -> Iterator[Job]:
        """One for each chunk, in row-major order of the chunk grid.

        Parameters
        ----------
        head : str
            What comes before the numbers in a key.
        separator : str
            What comes between the numbers in a key.
        """
        if not self.axes:
            yield head, (), (), (), True, True
            return
        last = self.axes[-1]
        for lead in product(*self.axes[:-1]):
            key = head + "".join([part.label + separator for part in lead])
            index = tuple([part.chunk for part in lead])
            taken = tuple([part.taken for part in lead])
            place = tuple([part.place for part in lead])
            full = all(part.full for part in lead)
            covered = all(part.covered for part in lead)
            for number, label, at, to, part_full, part_covered in last:
                yield (
                    key + label,
                    (*index, number),
                    (*taken, at),
                    (*place, to),
                    full and part_full,
                    covered and part_covered,
                )

    def corners(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The lowest and the highest chunk number along each axis."""
        low = tuple(min(part.chunk for part in parts) for parts in self.axes)
        return low, tuple(max(part.chunk for part in parts) for parts in self.axes)

    def contiguous(self) -> bool:
        """Whether full chunks cover contiguous slabs of a C-ordered block."""
        spread = False
        for parts, length in zip(reversed(self.axes), reversed(self.block_shape), strict=True):
            if spread and any(_count(part.place) > 1 for part in parts):
                return False
            if len(parts) > 1 or (parts and _count(parts[0].place) != length):
                spread = True
        return True


def _count(place: AxisSelection) -> int:
    return place.stop - place.start if isinstance(place, slice) else place.size


def plan_axes(
    axes: tuple[AxisSelection, ...],
    block_shape: tuple[int, ...],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
) -> Plan:
    """Plan a block over a regular grid.

    Parameters
    ----------
    axes : tuple of slice or ndarray of int64
        For each axis of the array: a slice with a positive step, or indices.
    block_shape : tuple of int
        Elements selected along each axis.
    shape, chunks : tuple of int
        Of the array and of its chunks, in elements.

    Examples
    --------
    >>> plan = plan_axes((slice(5, 25, 1),), (20,), (30,), (10,))
    >>> [(key, taken, place, full) for key, _, taken, place, full, _ in plan.jobs("c/", "/")][1:]
    [('c/1', (slice(0, 10, 1),), (slice(5, 15, 1),), True), ('c/2', (slice(0, 5, 1),), (slice(15, 20, 1),), False)]
    """
    parts = tuple(
        _slice_parts(axis, length, chunk) if isinstance(axis, slice) else _index_parts(axis, length, chunk)
        for axis, length, chunk in zip(axes, shape, chunks, strict=True)
    )
    return Plan(parts, block_shape)


def _slice_parts(axis: slice, length: int, chunk: int) -> list[Part]:
    start, stop, step = axis.start, axis.stop, axis.step
    if stop <= start:
        return []
    if step != 1:
        return _strided_parts(start, stop, step, length, chunk)
    parts: list[Part] = []
    for number in range(start // chunk, (stop - 1) // chunk + 1):
        origin = number * chunk
        low = max(origin, start)
        high = origin + chunk
        if high > stop:
            high = stop
        covered = low == origin and (high == origin + chunk or high == length)
        parts.append(
            Part(
                number,
                str(number),
                slice(low - origin, high - origin, 1),
                slice(low - start, high - start, 1),
                covered and high == origin + chunk,
                covered,
            )
        )
    return parts


def _strided_parts(start: int, stop: int, step: int, length: int, chunk: int) -> list[Part]:
    parts: list[Part] = []
    done = 0
    at = start
    while at < stop:
        number = at // chunk
        origin = number * chunk
        high = min(origin + chunk, stop)
        count = (high - at + step - 1) // step
        covered = min(chunk, length - origin) == 1
        parts.append(
            Part(
                number,
                str(number),
                slice(at - origin, high - origin, step),
                slice(done, done + count, 1),
                covered and chunk == 1,
                covered,
            )
        )
        done += count
        at += count * step
    return parts


def _index_parts(axis: Index, length: int, chunk: int) -> list[Part]:
    if axis.size == 0:
        return []
    numbers = axis // chunk
    order: Index | None = None
    if np.any(numbers[1:] < numbers[:-1]):
        order = np.argsort(numbers, kind="stable").astype(np.int64)
        axis, numbers = axis[order], numbers[order]
    cuts = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    bounds = [0, *cuts.tolist(), axis.size]
    parts: list[Part] = []
    for low, high in pairwise(bounds):
        number = int(numbers[low])
        taken = _as_slice(axis[low:high] - number * chunk)
        place = slice(low, high, 1) if order is None else order[low:high]
        inside = min(chunk, length - number * chunk)
        covered = isinstance(taken, slice) and taken.start == 0 and taken.stop == inside
        full = covered and inside == chunk and order is None
        parts.append(Part(number, str(number), taken, place, full, covered))
    return parts


def _as_slice(indices: Index) -> AxisSelection:
    """A run of neighbours as a slice: it costs less to apply."""
    first, count = int(indices[0]), indices.size
    if count == 1 or (int(indices[-1]) - first == count - 1 and bool(np.all(np.diff(indices) == 1))):
        return slice(first, first + count, 1)
    return indices


def as_list(axis: AxisSelection) -> Index:
    """The indices that a slice stands for."""
    return np.arange(axis.start, axis.stop, axis.step, dtype=np.int64) if isinstance(axis, slice) else axis


def grid_index(axes: tuple[AxisSelection, ...], listed: int) -> tuple[Any, ...]:
    """What selects the product of `axes` from an ndarray, where `listed` axes or fewer are lists.

    >>> grid_index((np.array([0, 2]), slice(0, 2, 1)), 1)
    (array([0, 2]), slice(0, 2, 1))
    >>> [part.tolist() for part in grid_index((np.array([0, 2]), np.array([1, 3])), 2)]
    [[[0], [2]], [[1, 3]]]
    """
    if listed < 2:
        return axes
    return np.ix_(*(as_list(axis) for axis in axes))


@dataclass(frozen=True, slots=True)
class PointJob:
    """Which single elements are taken of one chunk."""

    index: tuple[int, ...]
    """Of the chunk, on its grid."""
    taken: tuple[Index, ...]
    """Within the chunk, along each axis."""
    place: Index
    """Positions among all the elements."""


def plan_points(points: Coordinates, chunks: tuple[int, ...]) -> list[PointJob]:
    """Group single elements by chunk; within a chunk they keep their order.

    Examples
    --------
    >>> from tenzarr.storage.indexing.selection import coordinates
    >>> jobs = plan_points(coordinates(([0, 9, 1],), (10,)), (5,))
    >>> [(job.index, job.taken[0].tolist(), job.place.tolist()) for job in jobs]
    [((0,), [0, 1], [0, 2]), ((1,), [4], [1])]
    """
    total = points.indices[0].size if points.indices else math.prod(points.result_shape)
    if not points.indices:
        return [PointJob((), (), np.arange(total, dtype=np.int64))] if total else []
    if total == 0:
        return []
    numbers = np.stack([index // chunk for index, chunk in zip(points.indices, chunks, strict=True)])
    order = np.lexsort(numbers[::-1]).astype(np.int64)
    numbers = numbers[:, order]
    cuts = np.flatnonzero(np.any(numbers[:, 1:] != numbers[:, :-1], axis=0)) + 1
    jobs: list[PointJob] = []
    for place in np.split(order, cuts):
        index = tuple(int(axis[place[0]] // chunk) for axis, chunk in zip(points.indices, chunks, strict=True))
        taken = tuple(
            axis[place] - number * chunk for axis, number, chunk in zip(points.indices, index, chunks, strict=True)
        )
        jobs.append(PointJob(index, taken, place))
    return jobs
