"""Where the elements of a block go: the caller's memory, by the places that a plan names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.storage.indexing import AxisSelection, Plan, grid_index

__all__ = ["Landing"]

Array = npt.NDArray[Any]
Places = tuple[AxisSelection, ...]


class Landing:
    """The block that is being read.

    Parameters
    ----------
    out : ndarray
        The caller's memory, of the block's shape; any strides.
    plan : Plan
        What is read.
    fill : ndarray
        Of shape (): what a missing chunk holds.
    """

    __slots__ = ("fill", "listed", "out", "slabs")

    def __init__(self, out: Array, plan: Plan, fill: Array) -> None:
        # The index () takes a scalar out of an array without axes, and a view of one with any.
        self.out = out if out.ndim else out.reshape(1)
        self.fill = fill
        self.listed = plan.listed_axes
        """Along how many axes elements are listed one by one."""
        self.slabs = out.flags.c_contiguous and plan.contiguous()
        """Whether a full chunk covers a contiguous slab of the block."""

    def put(self, chunk: Array, taken: Places, place: Places, full: bool) -> None:
        """Copy what is `taken` of `chunk` to its `place`."""
        if full:
            self.out[place] = chunk
        else:
            self.out[grid_index(place, self.listed)] = chunk[grid_index(taken, self.listed)]

    def miss(self, place: Places) -> None:
        """Put the fill value where a chunk is missing."""
        self.out[grid_index(place, self.listed)] = self.fill

    def slab(self, place: Places) -> npt.NDArray[np.uint8]:
        """The bytes of the slab that a full chunk covers."""
        return self.out[place].reshape(-1).view(np.uint8)

    def view(self, place: Places) -> Array | None:
        """The place as a view of the block, or None where it is not a rectangle."""
        return self.out[place] if all(isinstance(part, slice) for part in place) else None

    def store(self, place: Places, block: Array) -> None:
        """Copy `block` to its place."""
        self.out[grid_index(place, self.listed)] = block

    def counts(self, place: Places) -> tuple[int, ...]:
        """How many elements the place has along each axis."""
        return tuple(part.stop - part.start if isinstance(part, slice) else part.size for part in place)
