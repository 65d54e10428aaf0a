"""Between what a user gives or gets and the block behind it: pure NumPy."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tenzarr.errors import ArgumentTypeError, ShapeMismatchError
from tenzarr.storage.indexing import Selection

__all__ = ["arrange_value", "block_view", "cast_value"]

Array = npt.NDArray[Any]


def block_view(result: Array, selection: Selection) -> Array:
    """A view of `result` with the axes and the direction of the block.

    Parameters
    ----------
    result : ndarray
        Of ``selection.result_shape``.
    selection : Selection
        Which block.

    Returns
    -------
    ndarray
        Of ``selection.block_shape``, over the same memory.

    Examples
    --------
    >>> from tenzarr.storage.indexing import basic
    >>> block_view(np.arange(3), basic((1, slice(None, None, -1)), (2, 3)))
    array([[2, 1, 0]])
    """
    # The ellipsis makes a view of what would be a scalar without it.
    without_new = result[(*(0 if axis is None else slice(None) for axis in selection.layout), ...)]
    kept = [axis for axis in selection.layout if axis is not None]
    dropped = tuple(axis for axis in range(len(selection.block_shape)) if axis not in kept)
    block = np.expand_dims(without_new, dropped) if dropped else without_new
    return block if selection.flips is None else block[selection.flips]


def cast_value(value: Any, dtype: np.dtype[Any]) -> Array:
    """`value` as an array of `dtype`, cast as NumPy's assignment casts.

    Raises
    ------
    ArgumentTypeError
        NumPy does not cast it.

    Examples
    --------
    >>> cast_value([1, 2], np.dtype("f4"))
    array([1., 2.], dtype=float32)
    >>> cast_value("x", np.dtype("f4"))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentTypeError: `value` must be what NumPy casts to float32: could not convert string...
    """
    try:
        if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
            given = np.asarray(cast(Any, value))
            return given if given.dtype == dtype else given.astype(dtype)
        # NumPy looks at the range of Python's numbers, and not at that of its own.
        assigned = np.empty(np.shape(value), dtype)
        assigned[...] = value
        return assigned
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"`value` must be what NumPy casts to {dtype}: {error}") from None


def arrange_value(value: Any, selection: Selection, dtype: np.dtype[Any]) -> Array:
    """`value` broadcast to the selection, with the axes and the direction of the block.

    Raises
    ------
    ShapeMismatchError
        `value` does not broadcast to the selected shape.
    ArgumentTypeError
        `value` cannot be cast to `dtype`.

    Examples
    --------
    >>> from tenzarr.storage.indexing import basic
    >>> arrange_value([1, 2], basic((0, slice(0, 2)), (2, 3)), np.dtype("f4"))
    array([[1., 2.]], dtype=float32)
    >>> arrange_value([1, 2], basic(0, (2, 3)), np.dtype("f4"))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ShapeMismatchError: `value` must broadcast to the selected shape (3,), got shape (2,)
    """
    given = cast_value(value, dtype)
    extra = given.ndim - len(selection.result_shape)
    if extra > 0 and all(length == 1 for length in given.shape[:extra]):
        given = given.reshape(given.shape[extra:])
    try:
        whole = np.broadcast_to(given, selection.result_shape)
    except ValueError:
        raise ShapeMismatchError(
            f"`value` must broadcast to the selected shape {selection.result_shape}, got shape {np.shape(value)}"
        ) from None
    return block_view(whole, selection)
