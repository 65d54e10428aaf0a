"""What a user asks for, in one normal form: pure functions of the selection and the shape.

A basic or orthogonal selection becomes a `Selection`: for each axis of the
array either a slice with a positive step or an array of indices, so that what
is selected is a block of the array. A coordinate selection becomes
`Coordinates`. Everything that NumPy adds around the block (dropped axes, new
axes, reversed axes) is kept apart and applied to the result.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from tenzarr.errors import ArgumentTypeError, BoundsError, SelectionError

__all__ = [
    "AxisSelection",
    "Coordinates",
    "Index",
    "Selection",
    "as_items",
    "basic",
    "blocks",
    "coordinates",
    "is_basic",
    "mask_of",
    "orthogonal",
    "whole",
]

Index: TypeAlias = npt.NDArray[np.int64]
"""Indices along one axis, one-dimensional and not negative."""

AxisSelection: TypeAlias = slice | Index
"""A slice with ``0 <= start <= stop`` and a positive step, or indices."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A block of an array, and how it is shown."""

    axes: tuple[AxisSelection, ...]
    """One for each axis of the array."""
    block_shape: tuple[int, ...]
    """Elements selected along each axis of the array."""
    result_shape: tuple[int, ...]
    """The block with dropped axes left out and new axes put in."""
    flips: tuple[slice, ...] | None = None
    """How the block is reversed along its axes, or None if it is not."""
    layout: tuple[int | None, ...] = ()
    """The axes of the result: an axis of the array, or None for a new one of length 1."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Single elements of an array."""

    indices: tuple[Index, ...]
    """For each axis of the array, the index of every element."""
    result_shape: tuple[int, ...]
    """How the elements are arranged."""


def whole(shape: tuple[int, ...]) -> Selection:
    """Everything.

    >>> whole((2, 3)).block_shape
    (2, 3)
    """
    return Selection(tuple(slice(0, n, 1) for n in shape), shape, shape, None, tuple(range(len(shape))))


def is_basic(selection: Any) -> bool:
    """Whether `selection` has no lists, arrays or masks in it.

    >>> is_basic((0, slice(None), ..., None)), is_basic([0, 1]), is_basic((0, [1]))
    (True, False, False)
    """
    return not any(_is_array(item) for item in as_items(selection))


def as_items(selection: Any) -> tuple[Any, ...]:
    """What stands between the brackets, separated by commas.

    >>> as_items(1), as_items((1, 2))
    ((1,), (1, 2))
    """
    return cast(tuple[Any, ...], selection) if isinstance(selection, tuple) else (selection,)


def _is_array(item: Any) -> bool:
    if isinstance(item, slice | EllipsisType | int | None):
        return isinstance(item, bool)
    if isinstance(item, np.ndarray):
        array = cast(npt.NDArray[Any], item)
        return array.ndim > 0 or array.dtype == np.bool_
    return isinstance(item, list | np.bool_)


def basic(selection: Any, shape: tuple[int, ...]) -> Selection:
    """Integers, slices, an ellipsis and ``None``, as in NumPy.

    Parameters
    ----------
    selection : int, slice, Ellipsis, None, or a tuple of them
    shape : tuple of int
        Of the array, in elements.

    Raises
    ------
    SelectionError
        Too many axes, more than one ellipsis.
    BoundsError
        An integer outside its axis.
    ArgumentTypeError
        Something that is no index.

    Examples
    --------
    >>> basic((1, slice(None, None, -1)), (4, 3)).result_shape
    (3,)
    >>> basic(7, (4, 3))
    Traceback (most recent call last):
        ...
    tenzarr.errors.BoundsError: `selection` must be from -4 to 3 on axis 0 (length 4), got 7
    """
    items = as_items(selection)
    axes: list[slice] = []
    counts: list[int] = []
    result: list[int] = []
    layout: list[int | None] = []
    flips: list[slice] | None = None
    for item in expand(items, len(shape)):
        if item is None:
            result.append(1)
            layout.append(None)
            continue
        axis = len(axes)
        length = shape[axis]
        if isinstance(item, slice):
            start, stop, step = _slice_indices(cast(slice, item), axis, length)
            count = len(range(start, stop, step))
            if count == 0:
                start = stop = 0
                step = 1
            if step < 0:
                if flips is None:
                    flips = [slice(None)] * len(shape)
                flips[axis] = slice(None, None, -1)
                start, stop, step = start + (count - 1) * step, start + 1, -step
            axes.append(slice(start, stop, step))
            counts.append(count)
            result.append(count)
            layout.append(axis)
        else:
            at = _integer(item, axis, length)
            axes.append(slice(at, at + 1, 1))
            counts.append(1)
    return Selection(tuple(axes), tuple(counts), tuple(result), None if flips is None else tuple(flips), tuple(layout))


def expand(items: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """`items` with the ellipsis, and the axes left out at the end, written as full slices."""
    given = 0
    ellipsis = -1
    for position, item in enumerate(items):
        if item is None:
            continue
        if item is Ellipsis:
            if ellipsis >= 0:
                raise SelectionError("`selection` may have one ellipsis (...), got more than one")
            ellipsis = position
        else:
            given += 1
    if given > ndim:
        raise SelectionError(
            f"`selection` must have at most {ndim} axes, as the array has, got {given}; "
            "leave some out, or use a.vindex for coordinates"
        )
    if given == ndim and ellipsis < 0:
        return items
    full = (slice(None),) * (ndim - given)
    if ellipsis < 0:
        return items + full
    return items[:ellipsis] + full + items[ellipsis + 1 :]


def _slice_indices(item: slice, axis: int, length: int) -> tuple[int, int, int]:
    try:
        return item.indices(length)
    except ValueError:
        raise SelectionError(f"`selection` must have a step other than 0 on axis {axis}, got {item}") from None
    except TypeError:
        raise ArgumentTypeError(f"`selection` must be a slice of integers or None on axis {axis}, got {item}") from None


def _integer(item: Any, axis: int, length: int) -> int:
    if isinstance(item, bool | np.bool_):
        raise SelectionError(
            f"`selection` must not be a single bool on axis {axis}, got {item}; use a mask of the array's shape"
        )
    try:
        at = operator.index(item)
    except TypeError:
        raise ArgumentTypeError(
            f"`selection` must be an integer, slice, ellipsis or None on axis {axis}, got {type(item).__name__}; "
            "use a.oindex or a.vindex for lists and arrays"
        ) from None
    if not -length <= at < length:
        rule = f"must be from {-length} to {length - 1}" if length else "cannot be an integer"
        raise BoundsError(f"`selection` {rule} on axis {axis} (length {length}), got {at}")
    return at + length if at < 0 else at


def index_array(item: Any, axis: int, length: int) -> Index:
    """Indices along one axis from a list, an array of integers or a mask of that axis."""
    array = _as_array(item, axis)
    if array.dtype == np.bool_:
        if array.shape != (length,):
            raise SelectionError(
                f"`selection` must have a mask of shape ({length},) on axis {axis}, got shape {array.shape}"
            )
        return np.flatnonzero(array).astype(np.int64)
    if array.ndim != 1:
        raise SelectionError(
            f"`selection` must have a one-dimensional list on axis {axis}, got {array.ndim} dimensions; "
            "use a.vindex for arrays of coordinates"
        )
    return _checked(array, axis, length)


def _as_array(item: Any, axis: int) -> npt.NDArray[Any]:
    try:
        return np.asarray(item)
    except ValueError as error:
        raise ArgumentTypeError(f"`selection` must have an array of integers on axis {axis}: {error}") from None


def _checked(array: npt.NDArray[Any], axis: int, length: int) -> Index:
    """Integers made non-negative, each inside its axis."""
    if array.size == 0:
        return np.zeros(array.shape, np.int64)
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(f"`selection` must have integers on axis {axis}, got {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < -length or high >= length:
        bad = low if low < -length else high
        raise BoundsError(
            f"`selection` must be from {-length} to {length - 1} on axis {axis} (length {length}), got {bad}"
        )
    indices = array.astype(np.int64)
    if low < 0:
        indices[indices < 0] += length
    return indices


def orthogonal(selection: Any, shape: tuple[int, ...]) -> Selection:
    """Each axis by its own integer, slice, list or mask; the block is their product.

    Raises
    ------
    SelectionError
        Too many axes, a list that is not one-dimensional, a mask of another length.
    BoundsError
        An index outside its axis.

    Examples
    --------
    >>> orthogonal(([2, 0], slice(1, 3)), (4, 3)).result_shape
    (2, 2)
    """
    items = as_items(selection)
    simple: list[Any] = []
    arrays: dict[int, Index] = {}
    for axis, item in enumerate(expand(items, len(shape))):
        if item is None:
            raise SelectionError("`selection` must not have None in a.oindex; add the axis to the result")
        if _is_array(item):
            arrays[axis] = index_array(item, axis, shape[axis])
            simple.append(slice(None))
        else:
            simple.append(item)
    chosen = basic(tuple(simple), shape)
    if not arrays:
        return chosen
    axes = tuple(arrays.get(axis, kept) for axis, kept in enumerate(chosen.axes))
    counts = tuple(arrays[axis].size if axis in arrays else n for axis, n in enumerate(chosen.block_shape))
    result = tuple(1 if axis is None else counts[axis] for axis in chosen.layout)
    return Selection(axes, counts, result, chosen.flips, chosen.layout)


def mask_of(items: tuple[Any, ...]) -> npt.NDArray[np.bool_] | None:
    """The mask, where that is all there is between the brackets."""
    if len(items) != 1 or isinstance(items[0], bool | slice | EllipsisType | None):
        return None
    given = _as_array(items[0], 0)
    return given if given.dtype == np.bool_ else None


def coordinates(selection: Any, shape: tuple[int, ...]) -> Coordinates:
    """One array of integers for each axis, broadcast together; or one mask of the array's shape.

    Raises
    ------
    SelectionError
        Not one array for each axis, arrays that do not broadcast, a mask of another shape.
    BoundsError
        An index outside its axis.

    Examples
    --------
    >>> coordinates(([0, 1], [2, 2]), (4, 3)).result_shape
    (2,)
    """
    items = as_items(selection)
    mask = mask_of(items)
    if mask is not None:
        if mask.shape != shape:
            raise SelectionError(f"`selection` must be a mask of the array's shape {shape}, got shape {mask.shape}")
        indices = tuple(axis.astype(np.int64) for axis in np.nonzero(mask)) if shape else ()
        return Coordinates(indices, (int(np.count_nonzero(mask)),))
    if len(items) != len(shape):
        raise SelectionError(
            f"`selection` must have one array of integers for each of the {len(shape)} axes, got {len(items)}"
        )
    checked: list[Index] = []
    for axis, (item, length) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice | EllipsisType) or item is None:
            raise SelectionError(f"`selection` must be integers in a.vindex on axis {axis}, got {item}; use a.oindex")
        checked.append(_checked(_as_array(item, axis), axis, length))
    try:
        arranged = np.broadcast_arrays(*checked)
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in checked)
        raise SelectionError(f"`selection` must have arrays that broadcast together, got shapes {shapes}") from None
    shape_of_all = arranged[0].shape if arranged else ()
    return Coordinates(tuple(np.ascontiguousarray(array).reshape(-1) for array in arranged), shape_of_all)


def blocks(selection: Any, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    """Whole chunks, by integers and slices of step 1 over the chunk grid.

    Examples
    --------
    >>> blocks((1, slice(0, 2)), (10, 10), (4, 4)).axes
    (slice(4, 8, 1), slice(0, 8, 1))
    """
    grid = tuple(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True))
    chosen = basic(selection, grid)
    if None in chosen.layout or chosen.flips is not None:
        raise SelectionError("`selection` must have integers and slices of step 1 in a.blocks")
    axes: list[slice] = []
    for axis, part in enumerate(chosen.axes):
        if not isinstance(part, slice) or part.step != 1:
            raise SelectionError(f"`selection` must have slices of step 1 in a.blocks, got {part} on axis {axis}")
        axes.append(slice(part.start * chunks[axis], min(part.stop * chunks[axis], shape[axis]), 1))
    counts = tuple(max(0, part.stop - part.start) for part in axes)
    return Selection(tuple(axes), counts, counts, None, tuple(range(len(shape))))
