"""The ways of selecting that have a name of their own: ``oindex``, ``vindex`` and ``blocks``."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tenzarr.storage.indexing import Coordinates, Selection, blocks, coordinates, orthogonal
from tenzarr.storage.metadata import ArrayMetadata

__all__ = ["BlockView", "CoordinateView", "OrthogonalView", "Selectable"]

NDArray = npt.NDArray[Any]


class Selectable(Protocol):
    """What the views need of an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def metadata(self) -> ArrayMetadata: ...

    def read_selection(self, selection: Selection) -> NDArray: ...

    def write_selection(self, selection: Selection, value: Any) -> None: ...

    def read_points(self, points: Coordinates) -> NDArray: ...

    def write_points(self, points: Coordinates, value: Any) -> None: ...


class OrthogonalView:
    """Each axis by its own integer, slice, list or mask; what is selected is their product.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(4, 6), dtype="int8")
    >>> a.oindex[[3, 0], 1:3] = [[1, 2], [3, 4]]
    >>> a.oindex[[0, 3], 1]
    array([3, 1], dtype=int8)
    >>> a.oindex[[9]]
    Traceback (most recent call last):
        ...
    tenzarr.errors.BoundsError: `selection` must be from -4 to 3 on axis 0 (length 4), got 9
    """

    __slots__ = ("_array",)

    def __init__(self, array: Selectable) -> None:
        self._array = array

    def __getitem__(self, selection: Any) -> NDArray:
        return self._array.read_selection(orthogonal(selection, self._array.shape))

    def __setitem__(self, selection: Any, value: Any) -> None:
        self._array.write_selection(orthogonal(selection, self._array.shape), value)


class CoordinateView:
    """Single elements: one array of integers for each axis, broadcast together, or one mask.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(4, 6), dtype="int8")
    >>> a.vindex[[0, 3], [1, 5]] = [7, 8]
    >>> a.vindex[[3, 0], [5, 1]]
    array([8, 7], dtype=int8)
    >>> a.vindex[[0, 1]]
    Traceback (most recent call last):
        ...
    tenzarr.errors.SelectionError: `selection` must have one array of integers for each of the 2 axes, got 1
    """

    __slots__ = ("_array",)

    def __init__(self, array: Selectable) -> None:
        self._array = array

    def __getitem__(self, selection: Any) -> NDArray:
        return self._array.read_points(coordinates(selection, self._array.shape))

    def __setitem__(self, selection: Any, value: Any) -> None:
        self._array.write_points(coordinates(selection, self._array.shape), value)


class BlockView:
    """What is stored under one key, by its place on the chunk grid: integers, and slices of step 1.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(4, 6), dtype="int8", chunks=(2, 4))
    >>> a.blocks.shape, a.blocks[1, 1].shape
    ((2, 2), (2, 2))
    >>> a.blocks[2, 0]
    Traceback (most recent call last):
        ...
    tenzarr.errors.BoundsError: `selection` must be from -2 to 1 on axis 0 (length 2), got 2
    """

    __slots__ = ("_array",)

    def __init__(self, array: Selectable) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        chunks = self._array.metadata.chunks
        return tuple(-(-length // chunk) for length, chunk in zip(self._array.shape, chunks, strict=True))

    @property
    def size(self) -> int:
        """How many blocks there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, selection: Any) -> NDArray:
        return self._array.read_selection(self._select(selection))

    def __setitem__(self, selection: Any, value: Any) -> None:
        self._array.write_selection(self._select(selection), value)

    def _select(self, selection: Any) -> Selection:
        return blocks(selection, self._array.shape, self._array.metadata.chunks)
