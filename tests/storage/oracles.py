"""What the tests of formats share: arrays full of awkward values, and the oracles that write and read them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore as ts
import zarr

import tenzarr as tz
from tenzarr.dtypes import normalize, register_with_zarr

__all__ = ["Case", "assert_same", "sample", "tensorstore_writes", "we_write", "zarr_writes"]

NDArray = npt.NDArray[Any]

QUIET = [
    # ml_dtypes says so when zarr-python compares NaNs.
    "ignore:invalid value encountered:RuntimeWarning",
    "ignore::zarr.errors.UnstableSpecificationWarning",
    "ignore::zarr.errors.ZarrUserWarning",
]
"""zarr-python warns of what the specification of version 3 lacks; that is its users' business, not ours."""

NARROW = {"int4": (-8, 8), "uint4": (0, 16)}


@dataclass(frozen=True)
class Case:
    """One way of storing an array."""

    id: str
    """What pytest calls it."""
    dtype: Any
    """As `tenzarr.create` takes it."""
    shape: tuple[int, ...] = (7, 5)
    """Not a multiple of `chunks`, so that there are edge chunks."""
    chunks: Any = (3, 2)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `tenzarr.create`."""
    written: tuple[slice, ...] | None = None
    """The part that is written, whole by default; the other chunks are missing."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """Members of the document that `tenzarr.create` has no argument for."""
    data: Callable[[np.dtype[Any], tuple[int, ...]], NDArray] | None = None
    """Values that the codecs can take; any bits by default."""
    exact: bool = True
    """Whether what is read is what was written."""
    zarr: bool = True
    """Whether zarr-python reads it."""
    zarr_writes: bool = True
    """Whether zarr-python writes it."""
    tensorstore: bool = False
    """Whether TensorStore reads and writes it."""

    @property
    def values(self) -> NDArray:
        """What is written, of the whole shape."""
        dtype = normalize(self.dtype)
        return sample(dtype, self.shape) if self.data is None else self.data(dtype, self.shape)

    @property
    def part(self) -> tuple[slice, ...]:
        """The part that is written."""
        return (slice(None),) * len(self.shape) if self.written is None else self.written


def sample(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int = 0) -> NDArray:
    """Values of any bits: NaNs with payloads, both zeros, both infinities, the extremes of integers."""
    rng = np.random.default_rng(seed)
    size = math.prod(shape)
    if dtype.name in NARROW:
        return rng.integers(*NARROW[dtype.name], size).astype(dtype).reshape(shape)
    if dtype.kind == "b":
        return rng.integers(0, 2, size).astype(bool).reshape(shape)
    if dtype.kind == "U":
        points = rng.choice(np.array([0x41, 0xE9, 0x4E2D, 0x1F600], "u4"), size * dtype.itemsize // 4)
        return points.view(dtype).reshape(shape)
    values = rng.integers(0, 256, size * dtype.itemsize, np.uint8).view(dtype)
    if dtype.kind in "fc" or dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        special = np.array([-0.0, 0.0, math.nan, 1.0]).astype(dtype)
        values[: special.size] = special[: values.size]
        if dtype.name != "float8_e4m3fn":
            values[4:6] = np.array([math.inf, -math.inf]).astype(dtype)[: values[4:6].size]
    return values.reshape(shape)


def bits(array: Any) -> bytes:
    """What of `array` has to be equal: every bit, save the upper half of the bytes of 4-bit integers."""
    flat = np.ascontiguousarray(array)
    if flat.dtype.name in NARROW:
        flat = flat.astype(np.int8)
    return flat.astype(flat.dtype.newbyteorder("="), copy=False).tobytes()


def assert_same(actual: Any, expected: Any) -> None:
    """The same shape, the same type but for its byte order, the same bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    if actual.dtype.hasobject or actual.dtype.kind == "T":
        assert actual.dtype == expected.dtype
        assert actual.tolist() == expected.tolist()
    else:
        assert actual.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        assert bits(actual) == bits(expected)


def create(case: Case, path: Path) -> tz.Array:
    """The array of `case`, without a chunk."""
    register_with_zarr()
    array = tz.create(path, shape=case.shape, chunks=case.chunks, dtype=case.dtype, **case.options)
    if case.document:
        place = path / ("zarr.json" if array.metadata.zarr_format == 3 else ".zarray")
        place.write_text(json.dumps({**json.loads(place.read_text()), **case.document}))
        array = tz.open_array(path)
    return array


def expectation(case: Case, fill_value: Any) -> NDArray:
    """What an exact case reads back."""
    values = case.values
    whole = np.zeros(values.shape, values.dtype)
    if fill_value is not None:
        whole[...] = fill_value
    elif values.dtype.kind in "mM":
        whole[...] = "NaT"
    whole[case.part] = values[case.part]
    return whole


def we_write(case: Case, path: Path) -> NDArray:
    """Write `case`, by way of the native engine; what has to be read, where that is known."""
    array = create(case, path)
    assert array.info.engine == "native"
    array[case.part] = case.values[case.part]
    got = array[...]
    if case.exact:
        assert_same(got, expectation(case, array.fill_value))
    return got


def zarr_writes(case: Case, path: Path) -> NDArray:
    """Let zarr-python write the chunks, and the document in its own words; what it reads."""
    create(case, path)
    array = zarr.open_array(path, mode="r+")
    array.attrs["by"] = "zarr-python"
    array[case.part] = case.values[case.part]
    got = np.asarray(array[...])
    if case.exact:
        assert_same(got, expectation(case, tz.open_array(path).fill_value))
    return got


def document_of(path: Path) -> dict[str, Any]:
    """The document of the array at `path`."""
    place = path / "zarr.json"
    return json.loads((place if place.exists() else path / ".zarray").read_text())


def open_tensorstore(path: Path, document: dict[str, Any], *, new: bool) -> Any:
    """The array as TensorStore sees it; with `new`, TensorStore writes the document itself."""
    spec: dict[str, Any] = {
        "driver": "zarr3" if document["zarr_format"] == 3 else "zarr",
        "kvstore": {"driver": "file", "path": f"{path}/"},
    }
    if new:
        spec["metadata"] = {name: value for name, value in document.items() if name != "attributes"}
    context = ts.Context({"file_io_sync": False, "data_copy_concurrency": {"limit": 1}})
    return ts.open(spec, create=new, open=not new, context=context).result()


def tensorstore_reads(path: Path) -> NDArray:
    """What TensorStore reads of the array at `path`."""
    return np.asarray(open_tensorstore(path, document_of(path), new=False).read().result())


def tensorstore_writes(case: Case, path: Path) -> NDArray:
    """Let TensorStore write document and chunks; what it reads."""
    create(case, path)
    document = document_of(path)
    shutil.rmtree(path)
    array = open_tensorstore(path, document, new=True)
    array[case.part].write(case.values[case.part]).result()
    got = np.asarray(array.read().result())
    assert_same(got, expectation(case, tz.open_array(path).fill_value))
    return got
