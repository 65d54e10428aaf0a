"""Random selections, for Hypothesis: what NumPy takes between brackets, and zarr's other ways of selecting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.storage.oracles import NDArray

__all__ = [
    "basic_selections",
    "block_selections",
    "coordinate_selections",
    "mask_of",
    "orthogonal_selections",
    "outer",
    "shapes",
    "slices",
]

Shape = tuple[int, ...]


def shapes(max_dims: int = 3, max_side: int = 11) -> st.SearchStrategy[Shape]:
    """Shapes; now and then one without axes or without elements."""
    sides = st.integers(1, max_side)
    usual = st.lists(sides, min_size=1, max_size=max_dims)
    odd = st.lists(st.just(0) | sides, max_size=max_dims)
    return st.one_of(usual, usual, usual, usual, odd).map(tuple)


def slices(length: int, *, forward: bool = False) -> st.SearchStrategy[slice]:
    """Slices that may begin or end outside the axis, with steps, backwards unless `forward`."""
    near = st.integers(-length - 2, length + 2)
    ends = st.one_of(st.none(), st.none(), near)
    steps = [None, 1, 2, 3, 7] if forward else [None, -1, 1, -1, 2, -2, 3, 7, -5]
    return st.builds(slice, ends, ends, st.sampled_from(steps))


def _parts(length: int) -> st.SearchStrategy[Any]:
    if length == 0:
        return slices(0)
    integers = st.integers(-length, length - 1)
    return st.one_of(slices(length), slices(length), slices(length), integers, integers.map(np.int64))


@st.composite
def basic_selections(draw: st.DrawFn, shape: Shape, *, new_axes: bool = True) -> Any:
    """Integers, slices, an ellipsis and None."""
    given_axes = draw(st.integers(0, len(shape)))
    ellipsis_at = draw(st.integers(0, given_axes)) if draw(st.booleans()) else None
    lead = given_axes if ellipsis_at is None else ellipsis_at
    axes = [*range(lead), *range(len(shape) - (given_axes - lead), len(shape))]
    parts: list[Any] = [draw(_parts(shape[axis])) for axis in axes]
    if ellipsis_at is not None:
        parts.insert(ellipsis_at, ...)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])) if new_axes else 0):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return tuple(parts)


def _lists(length: int) -> st.SearchStrategy[Any]:
    masks = st.lists(st.booleans(), min_size=length, max_size=length).map(lambda items: np.array(items, bool))
    if length == 0:
        return masks | st.just(np.zeros(0, np.int64))
    lists = st.lists(st.integers(-length, length - 1), max_size=2 * length)
    return lists | lists.map(lambda items: np.array(items, np.int32)) | masks


@st.composite
def orthogonal_selections(draw: st.DrawFn, shape: Shape, *, duplicates: bool = True) -> tuple[Any, ...]:
    """For each axis an integer, a slice, a list or a mask; lists without `duplicates` for writing."""
    parts = [draw(_parts(length) | _lists(length)) for length in shape]
    if not duplicates:
        parts = [_unique(part, length) for part, length in zip(parts, shape, strict=True)]
    return tuple(parts)


def _unique(part: Any, length: int) -> Any:
    if isinstance(part, list) or (isinstance(part, np.ndarray) and part.dtype != np.bool_):
        order = dict.fromkeys(int(index) % length for index in part) if length else {}
        return list(order)
    return part


def outer(selection: tuple[Any, ...], shape: Shape) -> tuple[tuple[NDArray, ...], Shape]:
    """What selects the same from an ndarray with ``np.ix_``, and the shape that is left without dropped axes."""
    lists: list[NDArray] = []
    kept: list[int] = []
    for part, length in zip(selection, shape, strict=True):
        chosen = np.arange(length)[part]
        lists.append(np.atleast_1d(chosen))
        if chosen.ndim:
            kept.append(chosen.size)
    return np.ix_(*lists) if lists else (), tuple(kept)


@st.composite
def coordinate_selections(draw: st.DrawFn, shape: Shape) -> tuple[Any, ...]:
    """For each axis an array of integers, together broadcastable; only for shapes with elements."""
    points = draw(st.sampled_from([(), (1,), (4,), (0,), (2, 3), (7,)]))
    parts: list[Any] = []
    for length in shape:
        own = draw(st.sampled_from([points, points, (1,) * len(points), ()]))
        count = math.prod(own)
        chosen = draw(st.lists(st.integers(-length, length - 1), min_size=count, max_size=count))
        array = np.array(chosen, np.int64).reshape(own)
        parts.append(array.tolist() if draw(st.booleans()) and array.size else array)
    return tuple(parts)


@st.composite
def mask_of(draw: st.DrawFn, shape: Shape) -> NDArray:
    """A mask of the whole shape."""
    seed = draw(st.integers(0, 2**16))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return np.random.default_rng(seed).random(shape) < share


@st.composite
def block_selections(draw: st.DrawFn, shape: Shape, chunks: Shape) -> tuple[Any, tuple[slice, ...]]:
    """A selection of the chunk grid, and the same as slices of the array."""
    parts: list[Any] = []
    wanted: list[slice] = []
    for length, chunk in zip(shape, chunks, strict=True):
        count = -(-length // chunk)
        integers = st.integers(-count, count - 1) if count else st.nothing()
        steps = st.builds(slice, st.none() | st.integers(-count, count), st.none() | st.integers(-count, count))
        part = draw(steps | integers)
        numbers = range(count)[part] if isinstance(part, slice) else range(part % count, part % count + 1)
        parts.append(part)
        start = numbers.start * chunk if len(numbers) else 0
        wanted.append(slice(start, min(numbers.stop * chunk, length) if len(numbers) else 0))
    return tuple(parts), tuple(wanted)
