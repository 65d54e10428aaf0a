"""The data that is stored and read: made, not downloaded, and the same in every run.

Compression ratios decide what a benchmark of compressed chunks measures, so
each maker states what it imitates, and the report prints the ratio reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ROW_LENGTH", "Field", "digits", "draws", "elevation"]

ROW_LENGTH = 784
"""Elements in one row of `digits`: an image of 28 x 28 pixels."""


@dataclass(frozen=True, slots=True)
class Field:
    """A smooth field with noise, rounded to two decimals: a temperature grid as archives keep it.

    Octaves of value noise (each half as high and twice as fine as the one before) around 15,
    plus measurement noise of 0.05. zstd level 3 makes it four to five times smaller, blosc lz4
    with byte shuffle 1.2 to 1.3 times.
    """

    shape: tuple[int, int]
    """In elements."""
    seed: int = 0
    """Of every random number in it."""
    octaves: int = 7
    """The coarsest has 4 cells along each axis."""

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Rows `start` to `stop`, the same however the field is cut; shape ``(stop - start, shape[1])``."""
        grids = np.random.default_rng(self.seed)
        out = np.full((stop - start, self.shape[1]), 15.0)
        for octave in range(self.octaves):
            cells = 4 << octave
            grid = grids.normal(scale=6.0 / (1 << octave), size=(cells + 1, cells + 1))
            down = _weights(np.arange(start, stop) * (cells / self.shape[0]), cells)
            across = _weights(np.arange(self.shape[1]) * (cells / self.shape[1]), cells)
            out += (down @ grid) @ across.T
        for row in range(start, stop):
            noise = np.random.default_rng((self.seed, 1, row))
            out[row - start] += noise.normal(scale=0.05, size=self.shape[1])
        return np.round(out, 2, out=out)

    def whole(self) -> npt.NDArray[np.float64]:
        """The whole field; shape `shape`."""
        out = np.empty(self.shape)
        for start in range(0, self.shape[0], 512):
            stop = min(start + 512, self.shape[0])
            out[start:stop] = self.rows(start, stop)
        return out


def _weights(position: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float64]:
    """Cubic blending weights of each position over ``cells + 1`` knots; shape ``(len(position), cells + 1)``."""
    left = np.minimum(position.astype(np.int64), cells - 1)
    part = position - left
    part = part * part * (3 - 2 * part)
    weights = np.zeros((len(position), cells + 1))
    each = np.arange(len(position))
    weights[each, left] = 1 - part
    weights[each, left + 1] = part
    return weights


def elevation(shape: tuple[int, int], *, seed: int = 0) -> npt.NDArray[np.int32]:
    """Whole metres of an invented terrain, int32; zstd makes blocks of 64 x 64 about four times smaller."""
    return np.round(Field(shape, seed=seed).whole() * 40).astype(np.int32)


def digits(count: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Drawn strokes on black, like scanned handwriting; shape ``(count, 784)``, float32 in 0..1.

    Three points of a curve per image, thickened and rounded to 256 levels as an 8-bit scan is.
    Most pixels are zero; zstd makes it about eight times smaller.
    """
    rng = np.random.default_rng(seed)
    y, x = np.divmod(np.arange(ROW_LENGTH, dtype=np.float32), np.float32(28))
    time = np.linspace(0, 1, 12, dtype=np.float32)
    out = np.empty((count, ROW_LENGTH), np.float32)
    for row in range(count):
        a, b, c = rng.uniform(6, 22, size=(3, 2)).astype(np.float32)
        curve = np.outer((1 - time) ** 2, a) + np.outer(2 * time * (1 - time), b) + np.outer(time**2, c)
        distance = ((curve[:, :1] - y) ** 2 + (curve[:, 1:] - x) ** 2).min(axis=0)
        out[row] = np.round(255 * np.clip(1.6 * np.exp(-distance / 4) - 0.1, 0, 1))
    out /= 255
    return out


def draws(count: int, size: int, below: int, *, seed: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """`count` samples of `size` different row numbers below `below`, unsorted, as a loader draws them."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.choice(below, size=size, replace=False)
