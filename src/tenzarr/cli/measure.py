"""Timing one array layout in several engines, side by side on this machine."""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import tenzarr as tz
from tenzarr.core.workers import worker_count

__all__ = ["Engine", "Layout", "Measured", "engines", "measure"]

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is stored."""

    words: str
    """For the table."""
    chunks: tuple[int, ...]
    compressor: Any
    checksum: bool


@dataclass(frozen=True, slots=True)
class Engine:
    """One library in one setting."""

    name: str
    open: Callable[[Path], Any]
    """Opens an existing array for reading and writing."""
    read: Callable[[Any], Array]
    """The whole array, newly allocated."""
    write: Callable[[Any, Array], object]
    """Replaces the whole array; returns when the engine calls it done."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """Global configuration that holds while the engine opens and works."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one engine needed for one layout."""

    engine: str
    layout: str
    nbytes: int
    """Of the array in memory."""
    stored_bytes: int
    """Of everything in its folder."""
    write_seconds: tuple[float, ...]
    """Of each round, into a fresh array."""
    read_seconds: tuple[float, ...]
    """Of each round, with a warm page cache."""
    equal: bool
    """Whether the engine read back what it was given, every time."""


def engines() -> list[Engine]:
    """Ours, zarr-python as it comes and at its best, and TensorStore where it is importable."""
    found = [
        Engine("tenzarr", tz.open_array, _read_all, _write_all),
        _zarr("zarr-python", {}),
        _zarr("zarr-python, tuned", _best_zarr_settings()),
    ]
    return [*found, *_tensorstore()]


def measure(
    layout: Layout, data: Array, folder: Path, contenders: Sequence[Engine], *, rounds: int = 3
) -> Iterator[Measured]:
    """Write `data` into a fresh array and read it back, `rounds` times, the engines taking turns.

    Every engine writes the same document, that is the same chunks through the same codecs.
    """
    paths = {engine.name: folder / f"{number}.zarr" for number, engine in enumerate(contenders)}
    writes: dict[str, list[float]] = {name: [] for name in paths}
    reads: dict[str, list[float]] = {name: [] for name in paths}
    equal = dict.fromkeys(paths, True)
    for turn in range(rounds):
        # Nobody always follows the same engine: what one leaves behind in caches falls on all.
        order = [*contenders[turn % len(contenders) :], *contenders[: turn % len(contenders)]]
        for engine in order:
            _empty_array(paths[engine.name], layout, data)
            with engine.around():
                writes[engine.name].append(_write_once(engine, paths[engine.name], data))
        for engine in order:
            with engine.around():
                seconds, got = _read_once(engine, paths[engine.name])
            reads[engine.name].append(seconds)
            equal[engine.name] &= np.array_equal(got, data)
    for name, path in paths.items():
        stored = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        yield Measured(name, layout.words, data.nbytes, stored, tuple(writes[name]), tuple(reads[name]), equal[name])


def _write_once(engine: Engine, path: Path, data: Array) -> float:
    array = engine.open(path)
    start = time.perf_counter()
    engine.write(array, data)
    return time.perf_counter() - start


def _read_once(engine: Engine, path: Path) -> tuple[float, Array]:
    array = engine.open(path)
    start = time.perf_counter()
    got = engine.read(array)
    return time.perf_counter() - start, got


def _empty_array(path: Path, layout: Layout, data: Array) -> None:
    shutil.rmtree(path, ignore_errors=True)
    tz.create(
        path,
        shape=data.shape,
        dtype=data.dtype,
        chunks=layout.chunks,
        compressor=layout.compressor,
        checksum=layout.checksum,
    )


def _read_all(array: Any) -> Array:
    return array[...]


def _write_all(array: Any, data: Array) -> None:
    array[...] = data


def _zarr(name: str, settings: dict[str, Any]) -> Engine:
    zarr: Any = importlib.import_module("zarr")

    def open_array(path: Path) -> Any:
        return zarr.open_array(str(path), mode="r+")

    return Engine(name, open_array, _read_all, _write_all, lambda: zarr.config.set(settings))


def _best_zarr_settings() -> dict[str, Any]:
    """The pipeline that zarr's documentation calls the faster one, where this version has it; all its threads."""
    pipelines: Any = importlib.import_module("zarr.core.codec_pipeline")
    workers = worker_count()
    if hasattr(pipelines, "FusedCodecPipeline"):
        path = "zarr.core.codec_pipeline.FusedCodecPipeline"
        return {"codec_pipeline.path": path, "codec_pipeline.max_workers": workers}
    return {"async.concurrency": 64, "threading.max_workers": workers}


def _tensorstore() -> list[Engine]:
    try:
        ts: Any = importlib.import_module("tensorstore")
    except ImportError:
        return []
    context = ts.Context({"data_copy_concurrency": {"limit": worker_count()}, "file_io_sync": False})

    def open_array(path: Path) -> Any:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        return ts.open(spec, context=context).result()

    def write(array: Any, data: Array) -> None:
        array.write(data).result()

    return [Engine("tensorstore", open_array, lambda array: array.read().result(), write)]
