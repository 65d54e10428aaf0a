"""The engines behind one face: Tenzarr, TensorStore, zarr-python and zarrs.

Each engine is opened once, before anything is timed, in every setting that its
documentation recommends for a machine of two cores; `harness.compete` keeps
the fastest. The loops over selections are written out for each engine, so that
nothing but the engine's own calls is inside the clock.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy.typing as npt

__all__ = ["ENGINES", "Engine", "Handle", "Purpose", "Setting", "available", "versions"]

Purpose = Literal["read", "write", "write durably", "read pieces"]
"""What a handle is opened for; the recommended settings differ."""

THREADS = 2
"""What every engine is told to use."""


class Handle(Protocol):
    """An open array, as the rows use it."""

    def whole(self) -> npt.NDArray[Any]:
        """The whole array, newly allocated."""
        ...

    def into(self, out: npt.NDArray[Any]) -> None:
        """The whole array into `out`."""
        ...

    def each(self, selections: Iterable[Any]) -> Iterator[npt.NDArray[Any]]:
        """The block of each basic selection, one after another."""
        ...

    def rows(self, draws: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        """The rows of each list of row numbers, one list after another."""
        ...

    def write(self, data: npt.NDArray[Any]) -> None:
        """Replace the whole array; returns when the engine calls it done."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of configuring an engine."""

    words: str
    """For the report."""
    open: Callable[[Path], Handle]
    """Opens an existing array."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """Global configuration that must hold while the engine opens and works."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One library."""

    name: str
    package: str
    """As installed: the import name, which is the distribution's name too."""
    settings: Callable[[Purpose], list[Setting]]
    writes: bool = True
    """Whether it takes part in rows that write."""


@dataclass(frozen=True, slots=True)
class _Tenzarr:
    array: Any

    def whole(self) -> npt.NDArray[Any]:
        return self.array[...]

    def into(self, out: npt.NDArray[Any]) -> None:
        self.array.read(out=out)

    def each(self, selections: Iterable[Any]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for selection in selections:
            yield array[selection]

    def rows(self, draws: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for rows in draws:
            yield array.oindex[rows]

    def write(self, data: npt.NDArray[Any]) -> None:
        self.array[...] = data


def _tenzarr_settings(purpose: Purpose) -> list[Setting]:
    import tenzarr as tz

    if purpose == "write durably":
        return [Setting("durable=True", lambda path: _Tenzarr(tz.open(path, durable=True)))]
    if purpose == "write":
        return [Setting("defaults", lambda path: _Tenzarr(tz.open(path)))]
    return [Setting("defaults", lambda path: _Tenzarr(tz.open(path, mode="r")))]


@dataclass(frozen=True, slots=True)
class _TensorStore:
    array: Any
    module: Any
    context: Any
    borrow: bool
    """Whether a write may keep references to the source array instead of copying it."""

    def whole(self) -> npt.NDArray[Any]:
        return self.array.read().result()

    def into(self, out: npt.NDArray[Any]) -> None:
        self.module.array(out, context=self.context).write(self.array).result()

    def each(self, selections: Iterable[Any]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for selection in selections:
            yield array[selection].read().result()

    def rows(self, draws: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for rows in draws:
            yield array.oindex[rows].read().result()

    def write(self, data: npt.NDArray[Any]) -> None:
        self.array.write(data, can_reference_source_data_indefinitely=self.borrow).result()


LIMITED: Mapping[str, Any] = {
    "cache_pool": {"total_bytes_limit": 0},
    "data_copy_concurrency": {"limit": THREADS},
    "file_io_concurrency": {"limit": THREADS},
}


def _opener(context: Mapping[str, Any], borrow: bool = False) -> Callable[[Path], Handle]:
    def open_array(path: Path) -> Handle:
        import tensorstore as ts

        shared = ts.Context(dict(context))
        spec = {"driver": _driver(path), "kvstore": {"driver": "file", "path": str(path)}}
        array = ts.open(spec, open=True, context=shared).result()
        return _TensorStore(array, ts, shared, borrow)

    return open_array


def _tensorstore_settings(purpose: Purpose) -> list[Setting]:
    if purpose in ("write", "write durably"):
        sync = {"file_io_sync": purpose == "write durably"}
        return [
            Setting("2 threads", _opener({**LIMITED, **sync})),
            Setting("default threads", _opener(sync)),
            Setting("2 threads, source referenced", _opener({**LIMITED, **sync}, borrow=True)),
        ]
    settings = [Setting("2 threads", _opener(LIMITED)), Setting("defaults", _opener({}))]
    if purpose == "read pieces":
        small = {"cache_pool": {"total_bytes_limit": 2_000_000}}
        settings.append(Setting("2 threads, 2 MB cache for the indexes", _opener({**LIMITED, **small})))
    return settings


def _memmap_settings(purpose: Purpose) -> list[Setting]:
    mapped = {"file_io_mode": {"mode": "memmap"}}
    return [Setting("2 threads", _opener({**LIMITED, **mapped})), Setting("default threads", _opener(mapped))]


def _driver(path: Path) -> str:
    return "zarr3" if (path / "zarr.json").exists() else "zarr"


@dataclass(frozen=True, slots=True)
class _Zarr:
    array: Any

    def whole(self) -> npt.NDArray[Any]:
        return self.array[...]

    def into(self, out: npt.NDArray[Any]) -> None:
        from zarr.core.buffer import default_buffer_prototype

        self.array.get_basic_selection(..., out=default_buffer_prototype().nd_buffer.from_numpy_array(out))

    def each(self, selections: Iterable[Any]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for selection in selections:
            yield array[selection]

    def rows(self, draws: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        array = self.array
        for rows in draws:
            yield array.oindex[rows, :]

    def write(self, data: npt.NDArray[Any]) -> None:
        self.array[...] = data


def _zarr_setting(words: str, configuration: Mapping[str, Any], *, writable: bool) -> Setting:
    import zarr

    options = {"threading.max_workers": THREADS, **configuration}

    def open_array(path: Path) -> Handle:
        return _Zarr(zarr.open_array(str(path), mode="r+" if writable else "r"))

    return Setting(words, open_array, lambda: zarr.config.set(options))


def _zarr_settings(purpose: Purpose) -> list[Setting]:
    writable = purpose in ("write", "write durably")
    settings = [
        _zarr_setting(f"async.concurrency {n}", {"async.concurrency": n}, writable=writable) for n in (THREADS, 10, 64)
    ]
    import zarr.core.codec_pipeline as pipelines

    if hasattr(pipelines, "FusedCodecPipeline"):
        for workers in (1, THREADS):
            fused = {
                "codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline",
                "codec_pipeline.max_workers": workers,
            }
            settings.append(_zarr_setting(f"FusedCodecPipeline, {workers} workers", fused, writable=writable))
    return settings


def _zarrs_settings(purpose: Purpose) -> list[Setting]:
    return [
        _zarr_setting(
            "zarrs.ZarrsCodecPipeline, 2 threads",
            {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"},
            writable=purpose in ("write", "write durably"),
        )
    ]


ENGINES: tuple[Engine, ...] = (
    Engine("tenzarr", "tenzarr", _tenzarr_settings),
    Engine("tensorstore", "tensorstore", _tensorstore_settings),
    Engine("tensorstore memmap", "tensorstore", _memmap_settings, writes=False),
    Engine("zarr-python", "zarr", _zarr_settings),
    Engine("zarrs", "zarrs", _zarrs_settings),
)
"""Ours first; the report keeps this order. TensorStore's mapped files are an engine of their own, since they trade
safety for speed: its process dies where a file shrinks under it."""


def available() -> frozenset[str]:
    """The names of the engines that are installed."""
    return frozenset(e.name for e in ENGINES if importlib.util.find_spec(e.package) is not None)


def versions() -> dict[str, str]:
    """Version by package, of the engines and of what they stand on."""
    found: dict[str, str] = {}
    for package in ("tenzarr", "tensorstore", "zarr", "zarrs", "numcodecs", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package == "tenzarr" and importlib.util.find_spec(package) is not None:
                found[package] = "source tree"
    return found


def stored_codecs(path: Path) -> str:
    """The names of the codecs in an array's document, for the report."""
    document = json.loads((path / "zarr.json").read_text())
    return ", ".join(codec["name"] for codec in document["codecs"])
