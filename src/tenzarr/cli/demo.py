"""``tenzarr demo``: the main job on real data, then a race on an array large enough to time."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

import tenzarr as tz
from tenzarr.cli.measure import Layout, Measured, engines, measure
from tenzarr.cli.tables import facts_table, terminal, timing_table
from tenzarr.core.text import format_bytes, format_count
from tenzarr.errors import UnsupportedError

__all__ = ["field", "run"]

SHADES = " ░▒▓█"
RACE_SHAPE = (4000, 8000)
RACES = (
    Layout("500 x 500, zstd:3 + crc32c", (500, 500), "zstd:3", checksum=True),
    Layout("200 x 200, crc32c", (200, 200), None, checksum=True),
)
ROUNDS = 3


def run() -> bool:
    """Print the demonstration; whether every array came back equal."""
    console = terminal()
    images = _digits()
    with tempfile.TemporaryDirectory(prefix="tenzarr-demo-") as folder:
        equal = _store_digits(console, images, Path(folder) / "digits.zarr")
        results = _race(console, Path(folder))
        console.print(Text(f"removed {folder}", "dim"))
    return equal and all(result.equal for result in results)


def _digits() -> npt.NDArray[np.float64]:
    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise UnsupportedError(
            "the demonstration needs the handwritten digits that ship inside scikit-learn, which is not installed: "
            "pip install 'tenzarr[demo]'."
        ) from None
    return datasets.load_digits().images


def _store_digits(console: Console, images: npt.NDArray[np.float64], path: Path) -> bool:
    _headline(console, "1", f"{format_count(len(images), 'handwritten digit')} into a Zarr array")
    written = tz.create(path, shape=images.shape, dtype="float32", chunks=(100, 8, 8), names=("digit", "row", "column"))
    written[...] = images
    console.print(facts_table({"path": str(path), "in memory": format_bytes(written.nbytes)}))

    _headline(console, "2", "reopened from disk")
    stored = tz.open_array(path, mode="r")
    console.print(Text(repr(stored)))
    console.print(Text(_side_by_side(stored.oindex[[0, 11, 42, 77]])))

    _headline(console, "3", "its statistics, in blocks of at most 50 kB")
    found = tz.statistics(stored, budget_bytes=50_000, progress=sys.stderr.isatty())
    console.print(
        facts_table(
            {
                "values": f"{found.count:,} and {found.nan_count} NaN",
                "mean, std": f"{found.mean:.6f}, {found.std:.6f}",
                "range": f"{found.min:g} to {found.max:g}",
            }
        )
    )

    _headline(console, "4", "back as NumPy")
    back = stored[...]
    equal = np.array_equal(back, images)
    console.print(
        Text("equal to what went in" if equal else "DIFFERENT from what went in", "green" if equal else "red")
    )
    return equal


def _race(console: Console, folder: Path) -> list[Measured]:
    data = field(RACE_SHAPE)
    contenders = engines()
    _headline(console, "5", f"a {format_bytes(data.nbytes)} array, written and read whole, engines in turn")
    results: list[Measured] = []
    for layout in RACES:
        with console.status("measuring ..."), tempfile.TemporaryDirectory(dir=folder) as scratch:
            rows = list(measure(layout, data, Path(scratch), contenders, rounds=ROUNDS))
        console.print(timing_table(rows))
        results += rows
    console.print(
        Text(
            "Beside each engine, how many times as fast tenzarr is; medians of "
            f"{ROUNDS} rounds, page\ncache warm. `tenzarr bench` compares more layouts.",
            "dim",
        )
    )
    return results


def field(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """A smooth field with the noise and the two decimals of an instrument, so that it compresses as real data does."""
    rng = np.random.default_rng(20)
    y, x = np.linspace(0, 9, shape[0]), np.linspace(0, 14, shape[1])
    data = 15 + 10 * np.sin(y)[:, None] * np.cos(x)[None, :]
    data += rng.standard_normal((1, shape[1])) * 0.3
    data += rng.standard_normal((shape[0], 1)) * 0.3
    np.multiply(data, 100, out=data)
    np.rint(data, out=data)
    return np.divide(data, 100, out=data)


def _headline(console: Console, number: str, words: str) -> None:
    console.print()
    console.print(Text.assemble((f" {number} ", "bold reverse"), " ", (words, "bold")))


def _side_by_side(images: npt.NDArray[Any]) -> str:
    """Small pictures in a row, two letters a pixel."""
    level = (images / max(1.0, float(images.max())) * (len(SHADES) - 1)).round().astype(int)
    rows = ("   ".join("".join(SHADES[v] * 2 for v in image[row]) for image in level) for row in range(level.shape[1]))
    return "\n".join(rows)
