"""Copying: between formats, chunks, shards, codecs and stores; whole or not at all."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import tenzarr as tz
from tenzarr.errors import (
    ArgumentError,
    ConfinementError,
    CorruptChunkError,
    NodeExistsError,
    NodeNotFoundError,
    ReadOnlyError,
)
from tenzarr.storage.copying import regions
from tests.storage.oracles import QUIET, NDArray, assert_same, sample

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

SHAPE = (11, 7)

SOURCES: dict[str, dict[str, Any]] = {
    "v3": {},
    "v3-raw-F": {"compressor": None, "order": "F", "checksum": False},
    "v3-shards": {"chunks": (2, 2), "shards": (6, 4)},
    "v3-dots": {"chunk_key_encoding": "."},
    "v3-big": {"dtype": ">i4", "compressor": None},
    "v3-crc32": {"compressor": {"id": "crc32"}},
    "v3-shuffled": {"filters": [{"id": "delta"}, {"id": "shuffle"}], "compressor": "gzip:1"},
    "v2": {"zarr_format": 2},
    "v2-raw-F-big": {"zarr_format": 2, "order": "F", "compressor": None, "dtype": ">i4"},
    "v2-slashes": {"zarr_format": 2, "chunk_key_encoding": "/", "compressor": "blosc"},
    "v2-filters": {"zarr_format": 2, "filters": [{"id": "delta"}, {"id": "crc32"}], "compressor": "lzma"},
    "v2-filters-only": {"zarr_format": 2, "filters": [{"id": "fletcher32"}], "compressor": None},
}
TARGETS: dict[str, dict[str, Any]] = {
    "same": {},
    "v2": {"zarr_format": 2},
    "v3": {"zarr_format": 3},
    "chunks": {"chunks": (5, 3)},
    "one-chunk": {"chunks": -1},
    "v2-chunks": {"zarr_format": 2, "chunks": (1, 7), "compressor": "bz2"},
    "shards": {"zarr_format": 3, "chunks": (2, 3), "shards": (4, 6)},
    "no-shards": {"shards": None},
    "raw": {"compressor": None, "checksum": False},
    "zstd": {"zarr_format": 3, "compressor": "zstd:7"},
}


def source_of(name: str, place: Any, **more: Any) -> tuple[tz.Array, NDArray]:
    options = {"shape": SHAPE, "dtype": "i4", "chunks": (4, 3), **SOURCES[name], **more}
    array = tz.create(place, fill_value=-3, names=("y", "x"), attributes={"units": "K", "n": [1]}, **options)
    array[:9, 2:] = sample(array.dtype, (9, 5))
    return array, array[...]


@pytest.mark.parametrize(("source", "target"), list(product(SOURCES, TARGETS)))
def test_every_copy_has_the_same_elements(source: str, target: str, tmp_path: Path) -> None:
    array, expected = source_of(source, tmp_path / "a")
    wanted = TARGETS[target]
    copy = array.copy_to(tmp_path / "b", **wanted)
    assert_same(copy[...], expected)
    assert_same(zarr.open_array(tmp_path / "b", mode="r")[...], expected)
    assert copy.info.engine == "native"
    assert copy.names == ("y", "x")
    assert (copy.attrs["units"], copy.attrs["n"]) == ("K", [1])
    assert copy.fill_value == -3
    zarr_format = wanted.get("zarr_format", array.metadata.zarr_format)
    assert copy.metadata.zarr_format == zarr_format
    if wanted.get("chunks", -1) != -1:
        assert copy.chunks == wanted["chunks"]
    if "shards" in wanted:
        assert copy.shards == wanted["shards"]
    if target == "same":
        assert copy.chunks == array.chunks
        assert copy.shards == array.shards
        assert copy.metadata.keys == array.metadata.keys
        assert copy.info.order == array.info.order
        assert copy.info.byte_order == array.info.byte_order
        assert copy.info.codecs.removesuffix("crc32c") == array.info.codecs.removesuffix("crc32c")
    assert_same(array[...], expected)


@pytest.mark.parametrize(
    "dtype", ["bool", "f2", "c16", "bfloat16", "int4", "S4", "U3", "V3", "M8[s]", ">f8", ">U2", ">M8[s]"]
)
@pytest.mark.parametrize(("start", "end"), [(2, 3), (3, 2)])
def test_every_type_goes_from_format_to_format(dtype: str, start: Any, end: Any, tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=SHAPE, chunks=(4, 3), dtype=dtype, zarr_format=start)
    array[2:9] = sample(array.dtype, (7, 7))
    copy = array.copy_to(tmp_path / "b", zarr_format=end)
    back = copy.copy_to(tmp_path / "c", zarr_format=start)
    assert_same(copy[...], array[...])
    assert_same(back[...], array[...])
    assert (back.dtype, back.metadata.dtype.v2) == (array.dtype, array.metadata.dtype.v2)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    array = tz.create(None, shape=shape, dtype="f4", fill_value=2)
    for zarr_format in (2, 3):
        copy = array.copy_to(None, zarr_format=zarr_format)
        assert_same(copy[...], array[...])


def test_a_null_fill_value_stays_null_in_version_2(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=4, dtype="f4", zarr_format=2)
    document = tmp_path / "a" / ".zarray"
    document.write_text(document.read_text().replace('"fill_value": 0.0', '"fill_value": null'))
    array = tz.open_array(tmp_path / "a")
    assert array.fill_value is None
    assert array.copy_to(tmp_path / "b").fill_value is None
    assert tz.open_array(tmp_path / "b").fill_value is None
    assert array.copy_to(tmp_path / "c", zarr_format=3).fill_value == 0


def test_copies_go_to_other_stores(tmp_path: Path) -> None:
    array, expected = source_of("v3", tmp_path / "a")
    group = tz.open_group(tmp_path / "g", mode="a")
    for store, path in (
        (None, None),
        (tmp_path / "b.zip", "x/y"),
        (MemoryStore(), "x"),
        (f"memory://copy-{tmp_path.name}", None),
        (group.source, "in/group"),
        (tmp_path / "b", "in/folder"),
    ):
        copy = array.copy_to(store, path=path, chunks=(3, 3))
        assert_same(copy[...], expected)
        assert_same(copy.copy_to(None)[...], expected)
        assert copy.path == (path or "")
    assert "in/group" in group
    with pytest.raises(ConfinementError, match=r"path|segment"):
        array.copy_to(tmp_path / "b", path="../c")
    with pytest.raises(NodeExistsError, match="must not lie inside an array"):
        array.copy_to(tmp_path / "a", path="x")


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    array, expected = source_of("v3", tmp_path / "a")
    other = tz.save(tmp_path / "b", np.arange(5))
    with pytest.raises(NodeExistsError, match="pass overwrite=True"):
        array.copy_to(tmp_path / "b")
    assert other[...].tolist() == [0, 1, 2, 3, 4]
    assert_same(array.copy_to(tmp_path / "b", overwrite=True)[...], expected)
    with pytest.raises(ReadOnlyError, match=r"read-only|opened for reading"):
        array.copy_to(tz.open_array(tmp_path / "b", mode="r").source, path="c")


def test_an_array_may_be_copied_over_itself(tmp_path: Path) -> None:
    for store in (tmp_path / "a", tmp_path / "a.zip", None):
        array, expected = source_of("v3", store)
        target = array.source if store is None else store
        again = array.copy_to(target, overwrite=True, chunks=(11, 1), zarr_format=2)
        assert again.chunks == (11, 1)
        assert_same(again[...], expected)
        assert_same(tz.load(target), expected)


def test_a_copy_over_itself_is_refused_where_it_would_lose_the_array() -> None:
    for store, path in ((MemoryStore(), "g/a"), ("memory://copy-over-itself", "g/a")):
        array, expected = source_of("v3", store, path=path)
        for place in (path, "g"):
            with pytest.raises(ArgumentError, match=r"must not be that of the array itself.*copy it somewhere else"):
                array.copy_to(array.source, path=place, overwrite=True)
            assert_same(array[...], expected)
            assert_same(tz.open_array(array.source, path=path)[...], expected)


class BreakDownError(Exception):
    """What a test raises in the middle of a copy."""


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    array, _ = source_of("v3-raw-F", tmp_path / "a")
    (tmp_path / "a" / "c" / "1" / "1").write_bytes(b"short")

    for store in (tmp_path / "b", tmp_path / "b.zip", MemoryStore()):
        with pytest.raises(CorruptChunkError, match="'c/1/1'"):
            array.copy_to(store, chunks=(1, 7))
        with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group"):
            tz.open(store, mode="r")
    assert not [file for file in (tmp_path / "b").rglob("*") if file.is_file() and not file.name.startswith(".")]


def test_a_failed_overwrite_leaves_the_old_array(tmp_path: Path) -> None:
    array, _ = source_of("v3-raw-F", tmp_path / "a")
    (tmp_path / "a" / "c" / "1" / "1").write_bytes(b"short")
    for store in (tmp_path / "b", tmp_path / "b.zip"):
        tz.save(store, np.arange(5))
        with pytest.raises(CorruptChunkError, match="'c/1/1'"):
            array.copy_to(store, overwrite=True)
        assert tz.load(store).tolist() == [0, 1, 2, 3, 4]


def test_a_copy_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    array, _ = source_of("v3", tmp_path / "a")

    def stop(done: int, total: int) -> None:
        raise BreakDownError(f"after {done} of {total}")

    with pytest.raises(BreakDownError, match="after 308 of 308"):
        array.copy_to(tmp_path / "b", progress=stop)
    assert not (tmp_path / "b").exists() or not list((tmp_path / "b").rglob("[!.]*"))
    with pytest.raises(ArgumentError, match="`chunks` must have one length"):
        array.copy_to(tmp_path / "b", chunks=(1, 2, 3))


def test_what_the_other_format_lacks_is_refused() -> None:
    array = tz.create(None, shape=4, dtype="f4", codecs=["bytes"])
    with pytest.raises(ArgumentError, match="`shards` must be None where `zarr_format` is 2"):
        array.copy_to(None, zarr_format=2, shards=(4,))
    with pytest.raises(ArgumentError, match="`zarr_format` must be 2 or 3"):
        array.copy_to(None, zarr_format=4)


def test_progress_counts_bytes(tmp_path: Path) -> None:
    array, _ = source_of("v3", tmp_path / "a")
    seen: list[tuple[int, int]] = []
    array.copy_to(None, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (array.nbytes, array.nbytes)


@pytest.mark.parametrize("seed", range(30))
def test_regions_cover_everything_once_and_hold_whole_chunks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(0, 4))
    shape = tuple(int(n) for n in rng.integers(0, 30, ndim))
    read = tuple(int(n) for n in rng.integers(1, 12, ndim))
    write = tuple(int(n) for n in rng.integers(1, 12, ndim))
    count = np.zeros(shape, int)
    for region in regions(shape, read, write, 8):
        count[(*region.axes, ...)] += 1
        for axis, side, length in zip(region.axes, write, shape, strict=True):
            assert isinstance(axis, slice)
            assert axis.start % side == 0
            assert axis.stop % side == 0 or axis.stop == length
    assert (count == 1).all()


def test_regions_stay_small_however_large_the_chunks_that_are_read() -> None:
    first = next(regions((10**6, 10**4), (10**6, 10**4), (1000, 10), 8))
    assert np.prod(first.block_shape) * 8 <= 128 * 2**20
