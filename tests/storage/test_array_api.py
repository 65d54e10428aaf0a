"""What an open array promises: every method and property, and every refusal with its message."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

import tenzarr as tz
from tenzarr.errors import (
    AliasError,
    ArgumentError,
    ArgumentTypeError,
    ClosedStoreError,
    ConfinementError,
    NodeExistsError,
    NodeNotFoundError,
    ReadOnlyError,
    SelectionError,
    ShapeMismatchError,
    TenzarrError,
)
from tests.storage.oracles import NDArray, assert_same

DATA = np.arange(60, dtype="f4").reshape(10, 6)


def made(store: Any = None, **options: Any) -> tz.Array:
    given: dict[str, Any] = {"shape": (10, 6), "dtype": "f4", "chunks": (4, 3), "names": ("time", "x"), **options}
    array = tz.create(store, **given)
    array[...] = DATA
    return array


# --- what it says of itself -----------------------------------------------------------------------


def test_properties(tmp_path: Path) -> None:
    array = made(tmp_path / "a", attributes={"units": "K"}, fill_value=-1)
    assert (array.shape, array.ndim, array.size, array.nbytes) == ((10, 6), 2, 60, 240)
    assert array.dtype == np.dtype("f4")
    assert array.dtype.isnative
    assert (array.chunks, array.shards, array.names) == ((4, 3), None, ("time", "x"))
    assert isinstance(array.fill_value, np.float32)
    assert array.fill_value == -1
    assert dict(array.attrs) == {"units": "K"}
    assert array.path == ""
    assert array.location == str(tmp_path / "a")
    assert not array.read_only
    files = [file for file in (tmp_path / "a").rglob("*") if file.is_file() and not file.name.startswith(".")]
    assert array.nbytes_stored == sum(file.stat().st_size for file in files)
    assert len(array) == 10


def test_info(tmp_path: Path) -> None:
    array = made(tmp_path / "a", compressor="zstd:5")
    info = array.info
    assert (info.engine, info.checks, info.codecs) == ("native", "crc32c", "zstd:5 + crc32c")
    assert (info.zarr_format, info.order, info.separator, info.byte_order) == (3, "C", "/", "little")
    assert (info.n_chunks, info.nbytes, info.chunks, info.shards) == (6, 240, (4, 3), None)
    assert "native" in str(info)
    assert made(checksum=False).info.checks == "unverified"
    assert made(compressor="gzip").info.checks == "gzip checksum"
    assert made(zarr_format=2).info.checks == "unverified"
    assert made(dtype=">f4", order="F").info.byte_order == "big"
    assert made(order="F").info.order == "F"
    assert made(dtype="i1").info.byte_order == "none"
    sharded = made(shards=(8, 6))
    assert (sharded.chunks, sharded.shards, sharded.info.n_chunks) == ((4, 3), (8, 6), 2)
    assert made(zarr_format=2).info.separator == "."


def test_big_endian_arrays_are_native_in_memory() -> None:
    for zarr_format in (2, 3):
        array = made(dtype=">f8", zarr_format=zarr_format)
        assert array.dtype == np.dtype("f8")
        assert array.dtype.isnative
        assert array[...].dtype.isnative


def test_pictures() -> None:
    array = made()
    assert "time: 10" in repr(array)
    assert "<svg" in array._repr_html_()
    assert "float32" in array._repr_html_()


def test_the_fingerprint_is_of_document_and_place(tmp_path: Path) -> None:
    array = made(tmp_path / "a")
    first = array.fingerprint
    assert tz.open_array(tmp_path / "a").fingerprint == first
    array[0] = 0
    assert array.fingerprint == first
    array.attrs["a"] = 1
    second = array.fingerprint
    array.resize((11, 6))
    assert len({first, second, array.fingerprint, made(tmp_path / "b").fingerprint}) == 4


# --- creating ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [("auto", (100, 7)), (None, (100, 7)), (10, (10, 10)), (-1, (100, 7)), ((-1, 2), (100, 2)), ([30, 4], (30, 4))],
)
def test_chunks_may_be_given_in_many_ways(chunks: Any, expected: tuple[int, ...]) -> None:
    assert tz.create(None, shape=(100, 7), dtype="f8", chunks=chunks).chunks == expected


def test_auto_chunks_are_about_a_mebibyte() -> None:
    for dtype in ("u1", "f8"):
        array = tz.create(None, shape=(5000, 3000, 20), dtype=dtype)
        assert 2**18 <= np.prod(array.chunks) * array.dtype.itemsize <= 2**20
    sharded = tz.create(None, shape=(5000, 3000), dtype="f8", shards=(1000, 3000))
    assert all(whole % part == 0 for whole, part in zip((1000, 3000), sharded.chunks, strict=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shape": (-1,)}, ArgumentError, "`shape` must have no negative length"),
        ({"shape": (2.5,)}, ArgumentTypeError, "`shape` must be a tuple of integers"),
        ({"shape": "ab"}, ArgumentTypeError, "`shape` must be a tuple of integers"),
        ({"shape": None}, ArgumentTypeError, "`shape` must be a tuple of integers"),
        ({"shape": (True,)}, ArgumentTypeError, "`shape` must be a tuple of integers"),
        ({"shape": (0, 2**62)}, ArgumentError, r"`shape` must be of less than 2\*\*63 bytes"),
        ({"shape": (2**62,)}, ArgumentError, r"`shape` must be of less than 2\*\*63 bytes"),
        ({"shape": (1,) * 65}, ArgumentError, "at most 64 axes"),
        ({"dtype": "float33"}, ArgumentTypeError, "`dtype` must name a data type"),
        ({"dtype": None}, ArgumentTypeError, "`dtype` must name a data type"),
        ({"dtype": "S"}, ArgumentError, "must have a length of at least 1"),
        ({"chunks": (0,)}, ArgumentError, "`chunks` must have lengths of at least 1"),
        ({"chunks": (1, 1)}, ArgumentError, "`chunks` must have one length for each of the 1 axes"),
        ({"chunks": "big"}, ArgumentError, '`chunks` must be "auto"'),
        ({"chunks": 1.5}, ArgumentTypeError, "`chunks` must be a tuple of integers"),
        ({"chunks": 4, "shards": 6}, ArgumentError, "`shards` must be a multiple of `chunks`"),
        ({"order": "A"}, ArgumentError, '`order` must be "C" or "F"'),
        ({"zarr_format": 4}, ArgumentError, "`zarr_format` must be 2 or 3"),
        ({"names": ("a", "b")}, ArgumentError, "`names` must have a string or None for each of the 1 axes"),
        ({"names": (1,)}, ArgumentError, "`names` must have a string or None"),
        ({"shape": (2, 2), "names": ("a", "a")}, ArgumentError, "`names` must differ"),
        ({"attributes": [1]}, ArgumentTypeError, "`attributes` must be a mapping"),
        ({"attributes": {1: 2}}, ArgumentTypeError, "`attributes` must have names that are strings"),
        ({"attributes": {"a": object()}}, ArgumentError, "`attributes` must be what JSON can say"),
        ({"fill_value": "x"}, ArgumentError, "fill value of float32"),
        ({"dtype": "u1", "fill_value": 256}, ArgumentError, "must lie in 0..255"),
        ({"chunk_key_encoding": "-"}, ArgumentError, "`chunk_key_encoding` must be"),
        ({"chunk_key_encoding": "default", "zarr_format": 2}, ArgumentError, "`chunk_key_encoding` must be"),
        ({"path": "../b"}, ConfinementError, "path|segment"),
        ({"path": "/b"}, ConfinementError, "path|segment"),
    ],
)
def test_wrong_arguments_leave_nothing(
    options: dict[str, Any], error: type[TenzarrError], message: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"shape": (4,), "dtype": "f4", **options}
    with pytest.raises(error, match=message):
        tz.create(tmp_path / "a", **given)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    array = made(tmp_path / "a")
    with pytest.raises(NodeExistsError, match="pass overwrite=True"):
        tz.create(tmp_path / "a", shape=3, dtype="i4")
    assert_same(array[...], DATA)
    again = tz.create(tmp_path / "a", shape=3, dtype="i4", overwrite=True)
    assert again[...].tolist() == [0, 0, 0]
    assert not list((tmp_path / "a" / "c").rglob("*")) if (tmp_path / "a" / "c").exists() else True
    with pytest.raises(NodeNotFoundError, match="was replaced by another one"):
        array[0] = 1


def test_groups_are_made_on_the_way(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "g", path="x/y", shape=3, dtype="i4")
    assert array.path == "x/y"
    assert isinstance(tz.open(tmp_path / "g"), tz.Group)
    assert tz.open_array(tmp_path / "g", path="x/y").shape == (3,)
    assert zarr.open_group(tmp_path / "g")["x/y"].shape == (3,)
    with pytest.raises(NodeExistsError, match="must not lie inside an array"):
        tz.create(tmp_path / "g", path="x/y/z", shape=3, dtype="i4")


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"compressor": None, "checksum": False}, {"zarr_format": 2}, {"shards": (8, 6)}]
)
def test_brackets_give_fresh_writable_arrays(options: dict[str, Any], tmp_path: Path) -> None:
    array = made(tmp_path / "a", **options)
    for selection in (..., slice(None), (slice(0, 4), slice(0, 3)), slice(4, 8), 3, (0, 0), slice(None, None, -1)):
        got = array[selection]
        assert isinstance(got, np.ndarray)
        assert got.flags.writeable
        got[...] = -5
        assert_same(array[...], DATA)


def test_memory_is_aligned_for_engines() -> None:
    array = made()
    assert array[...].ctypes.data % 64 == 0
    assert array[4:8].ctypes.data % 64 == 0


def test_isel_selects_by_name() -> None:
    array = made()
    assert_same(array.isel(time=slice(2, 5)), DATA[2:5])
    assert_same(array.isel(x=-1), DATA[:, -1])
    assert_same(array.isel({"time": [3, 1]}, x=slice(None, None, 2)), DATA[np.ix_([3, 1], [0, 2, 4])])
    assert_same(array.isel(), DATA)
    with pytest.raises(SelectionError, match=r"`isel` must name axes of the array \('time', 'x'\), got 'y'"):
        array.isel(y=0)
    assert_same(made(names=(None, "x")).isel(x=0), DATA[:, 0])
    with pytest.raises(SelectionError, match="must name axes"):
        made(names=(None, "x")).isel({None: 0})  # type: ignore[dict-item]


def test_a_name_that_two_axes_share_selects_neither(tmp_path: Path) -> None:
    made(tmp_path / "a")
    document = tmp_path / "a" / "zarr.json"
    members = json.loads(document.read_text())
    document.write_text(json.dumps({**members, "dimension_names": ["x", "x"]}))
    array = tz.open_array(tmp_path / "a")
    assert array.names == ("x", "x")
    with pytest.raises(SelectionError, match="more than one axis is called 'x'"):
        array.isel(x=0)
    with pytest.raises(SelectionError, match="more than one axis is called 'x'"):
        array.append(DATA, axis="x")


def test_read_into_a_buffer() -> None:
    array = made()
    out = np.empty((6, 10), "f4").T
    assert array.read(out=out) is out
    assert_same(out, DATA)
    assert array.read(..., out=out) is out
    small = np.empty(3, "f4")
    assert_same(array.read((2, slice(1, 4)), out=small), DATA[2, 1:4])
    scalar = np.empty((), "f4")
    assert_same(array.read((2, 2), out=scalar), DATA[2, 2].reshape(()))
    with pytest.raises(ShapeMismatchError, match=r"`out` must have the selected shape \(10, 6\), got \(3,\)"):
        array.read(out=small)
    with pytest.raises(ArgumentTypeError, match="`out` must have the array's dtype float32, got float64"):
        array.read(out=np.empty((10, 6)))
    with pytest.raises(ArgumentTypeError, match=r"`out` must be a numpy\.ndarray, got list"):
        array.read(out=[0])  # type: ignore[arg-type]
    out.flags.writeable = False
    with pytest.raises(ArgumentError, match="`out` must be writable"):
        array.read(out=out)
    with pytest.raises(ArgumentError, match="`alias` must not be True where `out` is given"):
        array.read(out=np.empty((10, 6), "f4"), alias=True)
    with pytest.raises(ArgumentTypeError, match=r"use a.oindex or a.vindex"):
        array.read([0, 1])


RAW: dict[str, Any] = {"compressor": None, "checksum": False}


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        ({**RAW, "chunks": (10, 6)}, None),
        ({**RAW, "chunks": (10, 6)}, (slice(1, 8, 2), slice(None, None, -1))),
        ({**RAW, "chunks": (10, 6)}, (3, None, slice(2, 4))),
        ({**RAW, "chunks": (10, 6)}, (3, 3)),
        ({**RAW, "chunks": (10, 6), "zarr_format": 2}, slice(2, 5)),
        (RAW, (slice(4, 8), slice(3, 6))),
        ({**RAW, "chunks": (2, 16), "shape": (10, 16), "shards": (10, 16)}, slice(2, 8)),
        ({**RAW, "chunks": (2, 3), "shards": (10, 6)}, (slice(2, 4), slice(0, 2))),
    ],
)
def test_alias_shows_the_stored_bytes(options: dict[str, Any], selection: Any, tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", **{"shape": (10, 6), "dtype": "f4", "chunks": (4, 3), **options})
    data = np.arange(array.size, dtype="f4").reshape(array.shape) + 1
    array[...] = data
    expected = data if selection is None else data[selection]
    view = array.read(selection, alias=True)
    assert_same(view, np.asarray(expected))
    assert not view.flags.writeable
    assert not view.flags.owndata
    assert_same(array.read(selection), np.asarray(expected))
    copy = array.read(selection, alias=False)
    assert copy.flags.writeable
    array[...] = -data
    assert_same(copy, np.asarray(expected))
    assert_same(view, np.asarray(expected))


@pytest.mark.parametrize(
    ("options", "selection", "message"),
    [
        ({}, None, "the stored bytes are compressed, filtered, or in another order"),
        ({"compressor": None, "order": "F"}, None, "in another order"),
        ({"compressor": None, "dtype": ">f4"}, None, "in another order"),
        ({"compressor": None}, (slice(0, 2), slice(0, 3)), r"the chunk has a checksum.*verify=False"),
        (RAW, None, "the selection lies in 6 chunks, a view needs exactly one"),
        ({**RAW, "chunks": (2, 3), "shards": (10, 6)}, None, "not one slab"),
        ({**RAW, "shape": (10, 7)}, (0, 6), "the chunk was never written"),
    ],
)
def test_alias_says_why_not(options: dict[str, Any], selection: Any, message: str, tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", **{"shape": (10, 6), "dtype": "f4", "chunks": (4, 3), **options})
    if "shape" not in options:
        array[...] = DATA
    with pytest.raises(AliasError, match=message):
        array.read(selection, alias=True)
    assert array.read(selection).flags.writeable


def test_alias_of_a_checked_chunk_needs_verify_false(tmp_path: Path) -> None:
    array = made(tmp_path / "a", compressor=None, chunks=(10, 6))
    assert not array.read(alias=True, verify=False).flags.writeable
    assert array.read().flags.writeable


def test_numpy_takes_it_as_an_array() -> None:
    array = made()
    assert_same(np.asarray(array), DATA)
    assert np.asarray(array, "f8").dtype == np.dtype("f8")
    assert np.array(array, copy=True).flags.writeable
    with pytest.raises(ValueError, match=r"`copy` must not be False.*alias=True"):
        np.asarray(array, copy=False)
    assert float(np.sum(array)) == DATA.sum()
    assert_same(DATA + array, DATA * 2)


def test_iterating_reads_chunk_by_chunk() -> None:
    assert_same(np.stack(list(made())), DATA)
    with pytest.raises(TypeError, match="without axes cannot be iterated"):
        iter(tz.create(None, shape=(), dtype="i4")).__next__()
    with pytest.raises(TypeError, match="len"):
        len(tz.create(None, shape=(), dtype="i4"))


# --- writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "value", "error", "message"),
    [
        (..., np.zeros((10, 5)), ShapeMismatchError, r"broadcast to the selected shape \(10, 6\), got shape \(10, 5\)"),
        (0, np.zeros(7), ShapeMismatchError, r"broadcast to the selected shape \(6,\), got shape \(7,\)"),
        ((0, 0), [1, 2], ShapeMismatchError, r"broadcast to the selected shape \(\), got shape \(2,\)"),
        (..., "text", ArgumentTypeError, "`value` must be what NumPy casts to float32"),
        (..., object(), ArgumentTypeError, "`value` must be what NumPy casts to float32"),
        (..., [[1], [2, 3]], ArgumentTypeError, "`value` must be what NumPy casts to float32"),
        (DATA > 5, np.zeros(3), ShapeMismatchError, r"broadcast to the selected shape \(54,\)"),
        (DATA > 5, "text", ArgumentTypeError, "`value` must be what NumPy casts to float32"),
        (slice(10, 20), np.zeros((2, 6)), ShapeMismatchError, r"broadcast to the selected shape \(0, 6\)"),
    ],
)
def test_wrong_values_change_nothing(selection: Any, value: Any, error: type[TenzarrError], message: str) -> None:
    array = made()
    with pytest.raises(error, match=message):
        array[selection] = value
    assert_same(array[...], DATA)


def test_values_are_cast_and_broadcast() -> None:
    array = made()
    array[0] = 7
    array[:, 1] = np.arange(10, dtype="i8")
    array[2:4, 2:4] = [[True], [False]]
    array[5:6] = np.ones((1, 1, 1, 6))
    expected = DATA.copy()
    expected[0] = 7
    expected[:, 1] = np.arange(10)
    expected[2:4, 2:4] = [[1], [0]]
    expected[5:6] = 1
    assert_same(array[...], expected)


def test_the_fill_value_is_not_stored(tmp_path: Path) -> None:
    array = made(tmp_path / "a", fill_value=3)
    assert len(list((tmp_path / "a" / "c").rglob("[0-9]/[0-9]"))) == 6
    array[:4] = 3
    assert len(list((tmp_path / "a" / "c").rglob("[0-9]/[0-9]"))) == 4
    assert_same(array[:4], np.full((4, 6), 3, "f4"))


def test_minus_zero_and_odd_nans_are_not_the_fill_value(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=4, dtype="f4", chunks=2)
    odd = np.array([0x7FC00001, 0xFF800001, 0x80000000, 0x80000000], "u4").view("f4")
    array[...] = odd
    assert_same(tz.open_array(tmp_path / "a")[...], odd)
    signs = tz.create(tmp_path / "c", shape=4, dtype="f4", chunks=2, fill_value=-0.0)
    signs[...] = np.array([-0.0, 0.0, -0.0, -0.0], "f4")
    assert_same(tz.open_array(tmp_path / "c")[...], np.array([-0.0, 0.0, -0.0, -0.0], "f4"))
    filled = tz.create(tmp_path / "b", shape=4, dtype="f4", chunks=2, fill_value=np.nan)
    filled[...] = odd
    assert_same(tz.open_array(tmp_path / "b")[...], odd)


def test_resize_and_append() -> None:
    array = made(fill_value=9)
    assert array.append(np.ones((2, 6))) == (12, 6)
    assert array.append(np.full((12, 1), 2), axis="x") == (12, 7)
    assert array.append(np.zeros((12, 0)), axis=-1) == (12, 7)
    array.resize((3, 2))
    array.resize((5, 4))
    expected = np.full((5, 4), 9, "f4")
    expected[:3, :2] = DATA[:3, :2]
    assert_same(array[...], expected)
    flat = tz.create(None, shape=3, dtype="i4")
    flat.resize(5)
    assert flat.shape == (5,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: a.append([1, 2, 3]), ShapeMismatchError, r"`value` must have shape \(any, 6\), got \(3,\)"),
        (lambda a: a.append(np.zeros((2, 5))), ShapeMismatchError, r"must have shape \(any, 6\), got \(2, 5\)"),
        (
            lambda a: a.append(np.zeros((2, 5)), axis=1),
            ShapeMismatchError,
            r"must have shape \(10, any\), got \(2, 5\)",
        ),
        (lambda a: a.append(DATA, axis=2), SelectionError, "`axis` must be from -2 to 1, got 2"),
        (
            lambda a: a.append(DATA, axis="y"),
            SelectionError,
            r"`axis` must name axes of the array \('time', 'x'\), got 'y'",
        ),
        (lambda a: a.append(np.full((1, 6), "x")), ArgumentTypeError, "`value` must be what NumPy casts"),
        (lambda a: a.resize((2,)), ArgumentError, r"`shape` must have one length for each of the 2 axes"),
        (lambda a: a.resize((2, -1)), ArgumentError, "`shape` must have no negative length"),
        (lambda a: a.resize("x"), ArgumentTypeError, "`shape` must be a tuple of integers"),
        (lambda a: a.resize((2**60, 2**60)), ArgumentError, "bytes"),
    ],
)
def test_wrong_changes_of_shape_change_nothing(call: Any, error: type[TenzarrError], message: str) -> None:
    array = made()
    with pytest.raises(error, match=message):
        call(array)
    assert tz.open_array(array.source).shape == (10, 6)
    assert_same(array[...], DATA)


def test_an_array_without_axes_has_nothing_to_append_to() -> None:
    with pytest.raises(SelectionError, match="`axis` must be an axis of the array, which has no axes"):
        tz.create(None, shape=(), dtype="i4").append(1)


# --- attributes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_persist(zarr_format: Any, tmp_path: Path) -> None:
    array = made(tmp_path / "a", zarr_format=zarr_format, attributes={"a": [1, {"b": None}]})
    array.attrs["c"] = "é"
    array.attrs.update(d=1.5, e=True)
    del array.attrs["a"]
    expected = {"c": "é", "d": 1.5, "e": True}
    shown = {name: value for name, value in tz.open_array(tmp_path / "a").attrs.items() if name[0] != "_"}
    assert shown == expected
    theirs = zarr.open_array(tmp_path / "a").attrs
    assert {name: theirs[name] for name in expected} == expected
    assert "c" in array.attrs
    assert array.attrs.get("x", 5) == 5
    assert array.attrs.pop("c") == "é"
    with pytest.raises(KeyError, match="x"):
        array.attrs["x"]
    with pytest.raises(KeyError, match="x"):
        del array.attrs["x"]
    with pytest.raises(ArgumentError, match="`attributes` must be what JSON can say"):
        array.attrs["bad"] = {1, 2}
    array.attrs.clear()
    assert len(tz.open_array(tmp_path / "a").attrs) == 0


def test_handles_that_change_different_attributes_lose_nothing(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a"), tz.open_array(tmp_path / "a")
    one.attrs["one"] = 1
    other.attrs["other"] = 2
    assert dict(other.attrs) == {"one": 1, "other": 2}
    assert "other" not in one.attrs
    one.refresh()
    assert dict(one.attrs) == {"one": 1, "other": 2}


def test_threads_that_change_different_attributes_lose_nothing(tmp_path: Path) -> None:
    made(tmp_path / "a")
    handles = [tz.open_array(tmp_path / "a") for _ in range(4)]

    def work(number: int) -> None:
        for i in range(10):
            handles[number].attrs[f"{number}-{i}"] = i

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tz.open_array(tmp_path / "a").attrs) == 40


def test_names_in_version_2_are_xarrays_attribute(tmp_path: Path) -> None:
    array = made(tmp_path / "a", zarr_format=2)
    assert json.loads((tmp_path / "a" / ".zattrs").read_text())["_ARRAY_DIMENSIONS"] == ["time", "x"]
    array.attrs["_ARRAY_DIMENSIONS"] = ["t", "y"]
    assert array.names == ("t", "y")
    assert tz.open_array(tmp_path / "a").names == ("t", "y")
    assert made(names=None).names == (None, None)


# --- two handles ------------------------------------------------------------------------------------


def test_a_handle_reads_with_the_shape_it_knows(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a", fill_value=-1), tz.open_array(tmp_path / "a")
    one.resize((3, 6))
    assert other.shape == (10, 6)
    expected = np.full((10, 6), -1, "f4")
    expected[:3] = DATA[:3]
    assert_same(other[...], expected)
    other.refresh()
    assert_same(other[...], DATA[:3])
    other.append(DATA[:2])
    assert one.shape == (3, 6)
    one[0, 0] = 5
    assert one.shape == (5, 6)


def test_a_write_to_what_another_cut_off_is_refused(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a"), tz.open_array(tmp_path / "a")
    one.resize((3, 6))
    with pytest.raises(SelectionError, match=r"axis 0 has been cut to length 3 by another writer"):
        other[5] = 1
    assert other.shape == (3, 6)
    assert_same(one[...], DATA[:3])
    one.resize((2, 6))
    with pytest.raises(SelectionError, match="axis 0 has been cut to length 2"):
        other.vindex[[2], [0]] = 1


def test_a_write_with_a_step_only_needs_the_elements_that_it_takes(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a"), tz.open_array(tmp_path / "a")
    one.resize((9, 6))
    other[0:10:4] = 1
    assert other.shape == (9, 6)
    assert_same(one[[0, 4, 8], [0, 0, 0]], np.ones(3, "f4"))
    one.resize((8, 6))
    with pytest.raises(SelectionError, match="axis 0 has been cut to length 8"):
        other[0:10:4] = 1


def test_what_another_removed_or_replaced_is_refused(tmp_path: Path) -> None:
    group = tz.open_group(tmp_path / "g", mode="a")
    array = group.create_array("a", shape=(4,), dtype="i4", chunks=2)
    array[...] = 1
    del group["a"]
    with pytest.raises(NodeNotFoundError, match="is gone"):
        array[...] = 2
    with pytest.raises(NodeNotFoundError, match="is gone"):
        array.refresh()
    with pytest.raises(NodeNotFoundError, match="is gone"):
        array.append([1])
    assert not (tmp_path / "g" / "a").exists() or not list((tmp_path / "g" / "a").rglob("c/*"))


# --- read-only, closed, pickled -----------------------------------------------------------------------


WRITES = [
    lambda a: a.__setitem__(..., 1),
    lambda a: a.__setitem__(DATA > 3, 1),
    lambda a: a.oindex.__setitem__(([0], [1]), 1),
    lambda a: a.vindex.__setitem__(([0], [1]), 1),
    lambda a: a.blocks.__setitem__((0, 0), 1),
    lambda a: a.resize((3, 3)),
    lambda a: a.append(DATA),
    lambda a: a.attrs.__setitem__("a", 1),
    lambda a: a.attrs.update(a=1),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_reader_refuses_writes(write: Any, tmp_path: Path) -> None:
    made(tmp_path / "a")
    before = sorted(file.name for file in (tmp_path / "a").rglob("*"))
    reader = tz.open_array(tmp_path / "a", mode="r")
    assert reader.read_only
    assert reader.info.read_only
    with pytest.raises(ReadOnlyError, match=r'is read-only; open it with mode="r\+"'):
        write(reader)
    assert_same(reader[...], DATA)
    assert sorted(file.name for file in (tmp_path / "a").rglob("*")) == before


@pytest.mark.parametrize("use", [*WRITES, lambda a: a[...], lambda a: a.read(alias=True), lambda a: a.refresh()])
def test_a_closed_store_refuses_everything(use: Any, tmp_path: Path) -> None:
    array = made(tmp_path / "a", **{**RAW, "chunks": (10, 6)})
    array.source.close()
    with pytest.raises(ClosedStoreError, match="closed"):
        use(array)


def test_arrays_pickle_by_reference(tmp_path: Path) -> None:
    array = made(tmp_path / "g", path="x/a")
    again = pickle.loads(pickle.dumps(array))
    again[0] = 1
    assert_same(array[0], np.ones(6, "f4"))
    assert len(pickle.dumps(array)) < 1000
    reader = pickle.loads(pickle.dumps(tz.open_array(tmp_path / "g", path="x/a", mode="r")))
    assert reader.read_only
    code = "import pickle, sys; a = pickle.load(sys.stdin.buffer); a[1] = 5; print(float(a[...].sum()))"
    result = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(array), capture_output=True, check=True, text=False
    )
    assert float(result.stdout) == float(array[...].sum())
    assert_same(array[1], np.full(6, 5, "f4"))


def test_arrays_in_memory_refuse_to_be_pickled() -> None:
    with pytest.raises(ArgumentTypeError, match="a store in memory cannot be pickled"):
        pickle.dumps(made())


# --- stores -----------------------------------------------------------------------------------------


def stores(tmp_path: Path) -> list[Any]:
    return [
        None,
        tmp_path / "folder",
        str(tmp_path / "text"),
        tmp_path / "a.zip",
        MemoryStore(),
        LocalStore(tmp_path / "local"),
        f"memory://tenzarr-{tmp_path.name}",
        f"file://{tmp_path}/url",
    ]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(
    "options", [{}, {"zarr_format": 2}, {"shards": (8, 6)}, RAW], ids=["v3", "v2", "shards", "raw"]
)
def test_every_store_carries_an_array(number: int, options: dict[str, Any], tmp_path: Path) -> None:
    array = made(stores(tmp_path)[number], path="g/a", **options)
    expected = DATA.copy()
    array[3:5, 1] = 100
    expected[3:5, 1] = 100
    array.append(DATA[:1])
    array.attrs["n"] = 1
    expected = np.concatenate([expected, DATA[:1]])
    again = tz.open_array(array.source, path="g/a")
    assert_same(again[...], expected)
    assert_same(again.oindex[[10, 0], ::2], expected[[10, 0], ::2])
    assert_same(again.vindex[[10, 0], [1, 2]], expected[[10, 0], [1, 2]])
    assert again.attrs["n"] == 1
    assert_same(array.zarr[...], expected)
    assert array.nbytes_stored > 0
    again.resize((2, 6))
    assert_same(again[...], expected[:2])
    with pytest.raises(NodeExistsError, match="overwrite=True"):
        tz.create(array.source, path="g/a", shape=1, dtype="i1")
    replaced = tz.create(array.source, path="g/a", shape=2, dtype="i1", overwrite=True)
    assert replaced[...].tolist() == [0, 0]
    assert tz.open_group(array.source, path="g").keys() == ["a"]


def test_zarrs_own_arrays_and_groups_are_stores(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g", mode="w")
    theirs = group.create_array("x/a", shape=(4,), chunks=(2,), dtype="i4")
    theirs[...] = [1, 2, 3, 4]
    for store in (theirs, theirs.store_path):
        ours = tz.open_array(store)
        assert ours[...].tolist() == [1, 2, 3, 4]
    assert tz.open_group(group)["x/a"].shape == (4,)
    assert isinstance(ours.zarr, zarr.Array)
    with pytest.raises(ArgumentTypeError, match="`store` must be a path, a URL, None"):
        tz.open(7)


def test_durable_arrays_behave_like_others(tmp_path: Path) -> None:
    array = made(tmp_path / "a", durable=True)
    array.append(DATA)
    array.attrs["a"] = 1
    assert_same(tz.open_array(tmp_path / "a", durable=True)[...], np.concatenate([DATA, DATA]))


# --- opening, saving, loading --------------------------------------------------------------------------


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    for opener in (tz.open, tz.open_array, tz.open_group, tz.load):
        with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group at"):
            opener(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(FileNotFoundError, match="check the path"):
        tz.open(tmp_path / "a", mode="r")
    made(tmp_path / "a")
    with pytest.raises(NodeNotFoundError, match=r"there is no group at .*, there is an array; use tz.open_array"):
        tz.open_group(tmp_path / "a")
    tz.open_group(tmp_path / "g", mode="a")
    with pytest.raises(NodeNotFoundError, match=r"there is no array at .*, there is a group; use tz.open_group"):
        tz.open_array(tmp_path / "g")
    with pytest.raises(ArgumentError, match='`mode` must be "r" or "r\\+"'):
        tz.open(tmp_path / "a", mode="w")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["?", "i2", ">f4", "c16", "S3", "U2", "M8[ms]", "bfloat16"])
def test_saving_and_loading(dtype: str, tmp_path: Path) -> None:
    data: NDArray = np.arange(12).astype(tz.dtypes.normalize(dtype)).reshape(3, 4)
    saved = tz.save(tmp_path / "a", data, names=("i", "j"), chunks=(2, 2))
    assert saved.names == ("i", "j")
    assert_same(tz.load(tmp_path / "a"), data)
    with pytest.raises(NodeExistsError, match="overwrite=True"):
        tz.save(tmp_path / "a", data)
    tz.save(tmp_path / "a", data[:1], overwrite=True)
    assert_same(tz.load(tmp_path / "a"), data[:1])


def test_saving_many_things(tmp_path: Path) -> None:
    assert tz.load(tz.save(None, 3.5).source).shape == ()
    assert tz.load(tz.save(None, [[1, 2], [3, 4]]).source).tolist() == [[1, 2], [3, 4]]
    assert tz.load(tz.save(None, np.zeros((0, 3))).source).shape == (0, 3)
    assert tz.load(tz.save(tmp_path / "a.zip", np.arange(5)).source).tolist() == [0, 1, 2, 3, 4]
    assert_same(tz.load(tz.save(None, np.asfortranarray(DATA), zarr_format=2, order="F").source), DATA)
    assert_same(tz.load(tz.save(None, DATA[::-2, ::-1], compressors="lz4").source), DATA[::-2, ::-1])
    seen: list[tuple[int, int]] = []
    tz.save(None, DATA, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (240, 240)
    with pytest.raises(ArgumentError, match=r"must not be given to tz.save"):
        tz.save(None, DATA, dtype="f8")


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="`chunks`"):
        tz.save(tmp_path / "a", DATA, chunks=(1, 1, 1))
    assert not (tmp_path / "a").exists() or not list((tmp_path / "a").rglob("*"))
    tz.save(tmp_path / "a", DATA)
    with pytest.raises(ArgumentError, match="`chunks`"):
        tz.save(tmp_path / "a", DATA * 2, chunks=(1, 1, 1), overwrite=True)
    assert_same(tz.load(tmp_path / "a"), DATA)
