"""Memory that engines adopt without a copy, and scratch memory that is reused.

Buffers start at a multiple of 64 bytes, which is what JAX and PyTorch ask of
memory that they take over; `numpy.empty` promises 16. A buffer that was handed
out belongs to whoever got it and is never refilled. Scratch belongs to the
thread that asked for it, until it asks again.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.text import format_bytes
from tenzarr.errors import TooLargeError

__all__ = ["ALIGNMENT_BYTES", "Scratch", "aligned_empty"]

ALIGNMENT_BYTES = 64
"""The alignment of every buffer."""

KEPT_SCRATCH_BYTES = 16 * 2**20
"""A thread keeps scratch up to this size for its next use; larger scratch is freed after use."""


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An uninitialised C-contiguous array of `shape` and `dtype` that starts at a multiple of 64 bytes.

    Parameters
    ----------
    shape : tuple of int
        In elements.
    dtype : numpy.dtype
        Any type; object arrays are filled with None and not aligned.

    Returns
    -------
    numpy.ndarray
        Fresh, writable, of `shape` and `dtype`.

    Raises
    ------
    TooLargeError
        The machine does not have the memory.

    Examples
    --------
    >>> a = aligned_empty((3, 5), np.dtype("float32"))
    >>> a.shape, a.dtype.name, a.ctypes.data % 64
    ((3, 5), 'float32', 0)
    >>> aligned_empty((2**30, 2**30), np.dtype("int8"))
    Traceback (most recent call last):
        ...
    tenzarr.errors.TooLargeError: 1.15 EB do not fit in the memory of this machine; select less at once, ...
    """
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes == 0 or dtype.hasobject:
        return np.empty(shape, dtype)
    try:
        raw = np.empty(nbytes + ALIGNMENT_BYTES, np.uint8)
    except (MemoryError, ValueError, OverflowError):
        # More than an index can count is a ValueError or an OverflowError.
        raise TooLargeError(
            f"{format_bytes(nbytes)} do not fit in the memory of this machine; select less at once, "
            "or store the array in smaller chunks"
        ) from None
    offset = -raw.__array_interface__["data"][0] % ALIGNMENT_BYTES
    return raw[offset : offset + nbytes].view(dtype).reshape(shape)


class _Kept(threading.local):
    def __init__(self) -> None:
        self.slots: dict[str, npt.NDArray[np.uint8]] = {}


_kept = _Kept()


class Scratch:
    """Uninitialised bytes for the time of a ``with``, mostly the same ones each time this thread asks for `slot`.

    They are checked out: whoever asks for the slot meanwhile, a signal handler for instance, gets other bytes.

    Parameters
    ----------
    slot : str
        What they are for.
    nbytes : int
        How many are needed.

    Examples
    --------
    >>> with Scratch("example", 100) as first:
    ...     address = first.ctypes.data
    >>> with Scratch("example", 50) as again, Scratch("example", 50) as other:
    ...     again.nbytes, again.ctypes.data == address, other.ctypes.data == address
    (50, True, False)
    """

    __slots__ = ("_held", "_nbytes", "_slot")

    def __init__(self, slot: str, nbytes: int) -> None:
        self._slot = slot
        self._nbytes = nbytes

    def __enter__(self) -> npt.NDArray[np.uint8]:
        held = _kept.slots.pop(self._slot, None)
        if held is None or held.nbytes < self._nbytes:
            held = aligned_empty((self._nbytes,), np.dtype(np.uint8))
        self._held = held
        return held[: self._nbytes]

    def __exit__(self, *_: object) -> None:
        if self._held.nbytes <= KEPT_SCRATCH_BYTES:
            _kept.slots[self._slot] = self._held
