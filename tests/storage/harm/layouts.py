"""Arrays in every layout that a chunk or shard file can have, and every way to read them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  NumPy then knows "bfloat16"
import numpy as np
import numpy.typing as npt

import tenzarr as tz
from tenzarr.errors import AliasError

INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
CRC = {"name": "crc32c"}


def sharding(inner: tuple[int, ...], codecs: list[Any], location: str = "end") -> dict[str, Any]:
    """The sharding codec, as a document names it."""
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(inner),
            "codecs": codecs,
            "index_codecs": INDEX_CODECS,
            "index_location": location,
        },
    }


@dataclass(frozen=True)
class Layout:
    """One way of storing an array of shape `shape`."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    """Of `tenzarr.create`."""
    shape: tuple[int, ...] = (23, 37)
    chunks: Any = (8, 10)
    dtype: str = "int32"
    flips: int = 110
    """How many bits are tried."""

    def data(self, seed: int = 0) -> npt.NDArray[Any]:
        """Values without repetition in small arrays, compressible, and no chunk of zeros."""
        rng = np.random.default_rng(seed)
        if self.dtype == "str":
            words = np.array([f"word {n}" for n in rng.integers(0, 10_000, 40)], object)
            return words[rng.integers(0, 40, self.shape)].astype(np.dtypes.StringDType())
        steps = np.asarray(rng.integers(1, 7, self.shape))
        return (steps.cumsum(axis=-1) if steps.ndim else steps).astype(self.dtype)

    def create(self, root: Path | str, data: npt.NDArray[Any] | None = None) -> tz.Array:
        """The array at `root`, full of `data`."""
        values = self.data() if data is None else data
        options = dict(self.options)
        if "codecs" not in options:
            options.setdefault("chunks", self.chunks)
        else:
            options["chunks"] = self.chunks
        dtype = values.dtype if self.dtype == "str" else self.dtype
        array = tz.create(root, shape=values.shape, dtype=dtype, **options)
        array[...] = values
        return array

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of what is stored under one key."""
        return self.options.get("shards") or self.chunks


LAYOUTS = [
    Layout("default zstd", flips=300),
    Layout("uncompressed", {"compressor": None}, flips=200),
    Layout("uncompressed, read in pieces", {"compressor": None}, (400, 300), (350, 300), flips=60),
    Layout("blosc", {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}}, flips=200),
    Layout("blosc zstd", {"compressor": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2}}),
    Layout("gzip", {"compressor": "gzip"}, flips=150),
    Layout("zstd with its own checksum", {"compressor": {"id": "zstd", "level": 3, "checksum": True}}),
    Layout("zlib", {"compressor": {"id": "zlib", "level": 1}}),
    Layout("bz2", {"compressor": {"id": "bz2", "level": 1}}),
    Layout("xz", {"compressor": {"id": "lzma"}}),
    Layout("lz4", {"compressor": {"id": "lz4"}}),
    Layout("Fortran order, bfloat16", {"order": "F"}, dtype="bfloat16"),
    Layout("big-endian", {}, dtype=">f8"),
    Layout("delta filter", {"filters": [{"id": "delta", "dtype": "<i4"}]}),
    Layout("whole rows", {}, chunks=(4, 37)),
    Layout("whole rows, uncompressed", {"compressor": None}, chunks=(4, 37)),
    Layout("one axis", {}, (500,), (90,), "float64"),
    Layout("no axis", {}, (), (), "float64", flips=40),
    Layout("sharded", {"shards": (16, 20)}, chunks=(4, 5), flips=250),
    Layout("sharded uncompressed", {"shards": (16, 20), "compressor": None}, chunks=(4, 5), flips=150),
    Layout(
        "index at the start",
        {"codecs": [sharding((4, 5), [BYTES, ZSTD, CRC], "start")]},
        chunks=(16, 20),
        flips=150,
    ),
    Layout(
        "shards in shards",
        {"codecs": [sharding((8, 10), [sharding((4, 5), [BYTES, ZSTD, CRC])])]},
        chunks=(16, 20),
        flips=150,
    ),
    Layout(
        "shards in shards, index at the start, uncompressed",
        {"codecs": [sharding((8, 10), [sharding((4, 5), [BYTES, CRC], "start")], "start")]},
        chunks=(16, 20),
    ),
    Layout(
        "shards compressed as a whole",
        {"codecs": [sharding((4, 5), [BYTES]), ZSTD, CRC]},
        chunks=(16, 20),
    ),
    Layout("strings", {}, dtype="str", flips=60),
]

BY_NAME = {layout.name: layout for layout in LAYOUTS}


@dataclass(frozen=True)
class Way:
    """One way to read a part of an array."""

    name: str
    read: Callable[[tz.Array], npt.NDArray[Any]]
    expected: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def _into(array: tz.Array, order: str) -> npt.NDArray[Any]:
    return array.read(out=np.empty(array.shape, array.dtype, order=order))


def _alias(array: tz.Array, selection: Any, verify: bool = True) -> npt.NDArray[Any] | None:
    try:
        return array.read(selection, alias=True, verify=verify)
    except AliasError:
        return None


def ways(array: tz.Array, index: tuple[int, ...]) -> Iterator[Way]:
    """Reads that touch chunk `index` of the grid of `array`: whole, in part, and everything with a name."""
    grid = array.shards or array.metadata.chunks
    box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, grid, array.shape, strict=True))
    yield Way("whole", lambda a: a[...], lambda d: d)
    yield Way("chunk", lambda a: a[box], lambda d: d[box])
    yield Way("alias=None", lambda a: a.read(box, alias=None), lambda d: d[box])
    yield Way("alias=False", lambda a: a.read(box, alias=False), lambda d: d[box])
    yield Way("out", lambda a: _into(a, "C"), lambda d: d)
    if not box:
        return
    yield Way("out in Fortran order", lambda a: _into(a, "F"), lambda d: d)
    yield Way("blocks", lambda a: a.blocks[index], lambda d: d[box])
    steps = tuple(slice(part.start, part.stop, 3) for part in box)
    yield Way("steps", lambda a: a[steps], lambda d: d[steps])
    back = tuple(slice(part.stop - 1, None if part.start == 0 else part.start - 1, -1) for part in box)
    yield Way("backwards", lambda a: a[back], lambda d: d[back])
    first = tuple(part.start for part in box)
    last = tuple(part.stop - 1 for part in box)
    yield Way("first element", lambda a: a[first], lambda d: np.asarray(d[first]))
    yield Way("last element", lambda a: a[last], lambda d: np.asarray(d[last]))
    rows = slice(box[0].start, min(box[0].start + grid[0], array.shape[0]))
    yield Way("rows", lambda a: a[rows], lambda d: d[rows])
    numbers = np.arange(rows.stop - 1, rows.start - 1, -2)
    yield Way("listed rows", lambda a: a.oindex[numbers], lambda d: d[numbers])
    row = (last[0], *box[1:])
    yield Way("last row", lambda a: a[row], lambda d: d[row])
    lists = tuple(np.unique(np.array([part.stop - 1, part.start])) for part in box)
    yield Way("oindex", lambda a: a.oindex[lists], lambda d: d[np.ix_(*lists)])
    points = tuple(np.array([part.start, part.stop - 1, part.start]) for part in box)
    yield Way("vindex", lambda a: a.vindex[points], lambda d: d[points])
    mask = np.zeros(array.shape, bool)
    mask[first] = mask[last] = True
    yield Way("mask", lambda a: a.vindex[mask], lambda d: d[mask])


def stored_keys(root: Path) -> dict[str, tuple[int, ...]]:
    """The keys of the chunks below `root`, in the default encoding, and their indices."""
    files = (path for path in (root / "c").rglob("*") if path.is_file())
    keys = {str(path.relative_to(root)): path for path in sorted(files)}
    if (root / "c").is_file():
        return {"c": ()}
    return {key: tuple(int(part) for part in key.split("/")[1:]) for key in keys}


def corners(array: tz.Array) -> Iterator[tuple[int, ...]]:
    """Every chunk index of the grid of `array`."""
    grid = array.shards or array.metadata.chunks
    yield from itertools.product(*(range(-(-n // c)) for n, c in zip(array.shape, grid, strict=True)))
