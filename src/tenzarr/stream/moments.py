"""Count, mean, spread and range of numbers that arrive in pieces.

The pieces are summarised one by one and the summaries merged, by the update of
Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
computing sample variances", 1979), pairwise as they advise, so that the rounding
error grows with the logarithm of the number of pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Cascade", "Moments", "integer_moments", "pieces", "real_moments"]

PIECE = 1 << 15
"""Elements that are summarised at once: their float64 copies stay in the cache, and below what malloc maps anew."""

_LOW_HALF = np.uint64(0xFFFF_FFFF)
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Moments:
    """The summary of some numbers."""

    finite: int = 0
    """How many are neither NaN nor infinite; `mean` and `m2` are about these."""
    nan: int = 0
    """How many are NaN."""
    positive_infinite: int = 0
    negative_infinite: int = 0
    total: int | None = None
    """The exact sum, where they are integers."""
    mean: float = 0.0
    m2: float = 0.0
    """The sum of the squared distances from the mean."""
    low: int | float | None = None
    """The smallest that is not NaN."""
    high: int | float | None = None
    """The largest that is not NaN."""

    def merge(self, other: Moments) -> Moments:
        """The summary of both sets of numbers together."""
        if self.finite and other.finite:
            total, mean, m2 = _merge_finite(self, other)
        else:
            one = self if self.finite else other
            total, mean, m2 = one.total, one.mean, one.m2
        return Moments(
            finite=self.finite + other.finite,
            nan=self.nan + other.nan,
            positive_infinite=self.positive_infinite + other.positive_infinite,
            negative_infinite=self.negative_infinite + other.negative_infinite,
            total=total,
            mean=mean,
            m2=m2,
            low=min((v for v in (self.low, other.low) if v is not None), default=None),
            high=max((v for v in (self.high, other.high) if v is not None), default=None),
        )


def _merge_finite(a: Moments, b: Moments) -> tuple[int | None, float, float]:
    n = a.finite + b.finite
    if a.total is not None and b.total is not None:
        # Exact before the one rounding of the division: means near 2**63 would cancel as floats.
        delta = (b.total * a.finite - a.total * b.finite) / (a.finite * b.finite)
        total = a.total + b.total
        mean = total / n
    else:
        delta = b.mean - a.mean
        total = None
        mean = a.mean + delta * (b.finite / n)
    return total, mean, a.m2 + b.m2 + delta * delta * (a.finite * (b.finite / n))


class Cascade:
    """Merges summaries as a balanced tree, holding one for each power of two."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[tuple[int, Moments]] = []

    def add(self, moments: Moments) -> None:
        """Take one more summary."""
        level = 0
        while self._levels and self._levels[-1][0] == level:
            moments = self._levels.pop()[1].merge(moments)
            level += 1
        self._levels.append((level, moments))

    def result(self) -> Moments:
        """The summary of all that was added."""
        merged = Moments()
        for _, moments in reversed(self._levels):
            merged = moments.merge(merged)
        return merged


def pieces(block: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """A C-contiguous block as flat pieces of at most `PIECE` elements."""
    flat = block.reshape(-1)
    for start in range(0, flat.size, PIECE):
        yield flat[start : start + PIECE]


def real_moments(x: npt.NDArray[Any]) -> Moments:
    """Summarise a non-empty flat array of any float type, in float64."""
    values = np.asarray(x, dtype=np.float64)
    # NaN comes through min(), so that the usual piece pays for no mask.
    with np.errstate(invalid="ignore"):
        low, high = float(values.min()), float(values.max())
    nan = 0
    if math.isnan(low):
        missing = np.isnan(values)
        nan = int(np.count_nonzero(missing))
        values = values[~missing]
        if values.size == 0:
            return Moments(nan=nan)
        low, high = float(values.min()), float(values.max())
    positive = int(np.count_nonzero(values == np.inf)) if high == math.inf else 0
    negative = int(np.count_nonzero(values == -np.inf)) if low == -math.inf else 0
    if positive or negative:
        values = values[np.isfinite(values)]
    mean, m2 = _mean_and_m2(values)
    return Moments(values.size, nan, positive, negative, None, mean, m2, low, high)


def integer_moments(x: npt.NDArray[Any]) -> Moments:
    """Summarise a non-empty flat array of integers of at most 64 bits, with an exact sum."""
    low, high = int(x.min()), int(x.max())
    # The distance from the smallest fits in 64 unsigned bits, and wrapping arithmetic gives it exactly.
    offsets = x.astype(np.int64 if low < 0 else np.uint64).view(np.uint64) - np.uint64(low & 0xFFFF_FFFF_FFFF_FFFF)
    if high - low < 1 << 48:
        above = int(offsets.sum())
    else:
        above = (int((offsets >> _HALF).sum()) << 32) + int((offsets & _LOW_HALF).sum())
    distances = offsets.astype(np.float64)
    distances -= above / x.size
    total = above + low * x.size
    return Moments(x.size, 0, 0, 0, total, total / x.size, _sum_of_squares(distances), low, high)


def _mean_and_m2(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.sum()) / values.size
        distances = values - mean
        # The second term is zero but for the rounding of the mean, which it takes back.
        rest = float(distances.sum())
        m2 = _sum_of_squares(distances)
        if math.isfinite(m2):
            # A product that is too large is infinite; a power would raise.
            m2 -= rest * rest / values.size
    return mean, max(m2, 0.0) if not math.isnan(m2) else m2


def _sum_of_squares(distances: npt.NDArray[np.float64]) -> float:
    """It overwrites `distances`. NumPy's sum is pairwise, and wakes no BLAS threads as a dot product does."""
    np.square(distances, out=distances)
    return float(distances.sum())
