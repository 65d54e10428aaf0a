"""What the numbers of a stored array are like, however large it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.progress import Progress, track
from tenzarr.errors import ArgumentError, UnsupportedError
from tenzarr.stream.moments import Cascade, Moments, integer_moments, pieces, real_moments
from tenzarr.stream.plan import BlockReadable, read_blocks

__all__ = ["Statistics", "statistics"]

_REAL_BEYOND_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
_INTEGER_BEYOND_NUMPY = ("int4", "uint4")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Whole-array statistics, over the values that are not NaN."""

    count: int
    """How many values are not NaN."""
    nan_count: int
    """How many are."""
    mean: float
    """NaN where there is no value, and where +inf meets -inf."""
    std: float
    """Of the population (``ddof=0``). NaN where there is no value or an infinite one."""
    min: int | float | None
    """An int for integers and booleans; None where there is no value."""
    max: int | float | None
    """As `min`."""


def statistics(array: BlockReadable, *, budget_bytes: int = 64 * 2**20, progress: Progress = False) -> Statistics:
    """Count, mean, standard deviation and range of `array`, block by block in constant memory.

    Parameters
    ----------
    array : Array
        Any shape, 0-d and empty ones included. Integers, booleans and floats, bfloat16 and float8 among them.
    budget_bytes : int
        The most that a block may hold; one chunk is the least. The whole needs about this and one
        block's compressed bytes.
    progress : bool or callable
        True draws a bar on standard error; a callable gets ``(done_bytes, total_bytes)``.

    Returns
    -------
    Statistics
        Floats are summarised in float64, integers with an exact sum. NaNs are counted and left out.

    Raises
    ------
    UnsupportedError
        If the values have no order: complex numbers, strings, dates, structured types.
    ArgumentError
        If `budget_bytes` is not positive.
    CorruptChunkError
        If a chunk is damaged.

    Examples
    --------
    >>> import numpy as np, tenzarr as tz
    >>> a = tz.create(None, shape=(4, 3), chunks=(2, 3), dtype="float32")
    >>> a[...] = np.arange(12).reshape(4, 3)
    >>> tz.statistics(a)
    Statistics(count=12, nan_count=0, mean=5.5, std=3.452052529534663, min=0.0, max=11.0)
    >>> tz.statistics(tz.create(None, shape=3, dtype="complex64"))
    Traceback (most recent call last):
    tenzarr.errors.UnsupportedError: `array` must hold real numbers; got complex64, ...
    """
    if budget_bytes < 1:
        raise ArgumentError(f"`budget_bytes` must be positive; got {budget_bytes}. Leave it out for 64 MiB.")
    summarise = _kernel(array.dtype)
    cascade = Cascade()
    total_bytes = math.prod(array.shape) * array.dtype.itemsize
    with track(progress, total_bytes, label="statistics") as advance:
        for block in read_blocks(array, budget_bytes):
            for piece in pieces(block):
                cascade.add(summarise(piece))
            advance(block.nbytes)
    return _finish(cascade.result())


def _kernel(dtype: np.dtype[Any]) -> Callable[[npt.NDArray[Any]], Moments]:
    if dtype.kind == "f" or dtype.name in _REAL_BEYOND_NUMPY:
        return real_moments
    if dtype.kind in "iub" or dtype.name in _INTEGER_BEYOND_NUMPY:
        return integer_moments
    advice = "take the statistics of its real and imaginary parts" if dtype.kind == "c" else "convert it first"
    raise UnsupportedError(f"`array` must hold real numbers; got {dtype.name}, which has no order: {advice}.")


def _finish(moments: Moments) -> Statistics:
    infinite = moments.positive_infinite + moments.negative_infinite
    count = moments.finite + infinite
    mean, std = moments.mean, math.nan
    if infinite:
        mean = math.inf if not moments.negative_infinite else -math.inf
        mean = math.nan if moments.positive_infinite and moments.negative_infinite else mean
    elif count:
        std = math.sqrt(moments.m2 / count)
    else:
        mean = math.nan
    return Statistics(count, moments.nan, mean, std, moments.low, moments.high)
