"""The page about zarr-python is true: a case for each line of its first two tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec

import tenzarr as tz
from tenzarr.errors import CorruptChunkError, MetadataError

DATA = np.array([1, 2, 3, 4], dtype="int32")


def written(folder: Path, shape: int = 4, **options: Any) -> Path:
    array = zarr.create_array(str(folder / "a"), shape=(shape,), chunks=(shape,), dtype="int32", **options)
    array[:] = DATA[:shape]
    return folder / "a"


def deep(levels: int) -> str:
    return '"attributes": {"a": ' + "[" * levels + "]" * levels + "}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace('"zarr_format": 3,', '"zarr_format": 3, "zarr_format": 3,'), "member twice"),
        (lambda text: "\ufeff" + text, "byte order mark"),
        (lambda text: text.replace('"attributes": {}', '"attributes": {"a": "\\ud800"}'), "surrogate"),
        (lambda text: text.replace('"attributes": {}', deep(90)), "64 deep"),
    ],
    ids=["twice", "byte order mark", "surrogate", "deep"],
)
def test_documents_that_only_zarr_python_reads(tmp_path: Path, change: Callable[[str], str], problem: str) -> None:
    document = written(tmp_path) / "zarr.json"
    changed = change(document.read_text())
    assert changed != document.read_text()
    document.write_text(changed, encoding="utf-8")
    assert np.array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[:], DATA)
    with pytest.raises(MetadataError, match=problem):
        tz.open_array(tmp_path / "a")


def test_true_is_no_length(tmp_path: Path) -> None:
    document = written(tmp_path, shape=1) / "zarr.json"
    members = json.loads(document.read_text())
    document.write_text(json.dumps({**members, "shape": [True]}))
    assert np.array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[:], [1])
    with pytest.raises(MetadataError, match=r"shape\[0\]"):
        tz.open_array(tmp_path / "a")


@pytest.mark.parametrize(
    ("options", "key", "tail"),
    [
        ({"compressors": BloscCodec()}, "c/0", b"xx"),
        ({"compressors": GzipCodec()}, "c/0", b"\0\0"),
        ({"compressors": numcodecs.Zlib(), "zarr_format": 2}, "0", b"xx"),
        ({"compressors": numcodecs.BZ2(), "zarr_format": 2}, "0", b"xx"),
    ],
    ids=["blosc", "gzip", "zlib", "bz2"],
)
def test_bytes_after_the_compressed_data(tmp_path: Path, options: dict[str, Any], key: str, tail: bytes) -> None:
    chunk = written(tmp_path, **options) / key
    chunk.write_bytes(chunk.read_bytes() + tail)
    assert np.array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[:], DATA)
    with pytest.raises(CorruptChunkError, match="is damaged"):
        tz.open_array(tmp_path / "a")[...]


def test_a_directory_in_the_place_of_a_chunk(tmp_path: Path) -> None:
    chunk = written(tmp_path) / "c/0"
    chunk.unlink()
    chunk.mkdir()
    assert np.array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[:], np.zeros(4))
    with pytest.raises(CorruptChunkError, match="a directory lies in its place"):
        tz.open_array(tmp_path / "a")[...]


def test_default_codecs(tmp_path: Path) -> None:
    theirs = written(tmp_path)
    tz.create(tmp_path / "b", shape=4, dtype="int32")
    chains = [json.loads((path / "zarr.json").read_text())["codecs"] for path in (theirs, tmp_path / "b")]
    assert [[codec["name"] for codec in chain] for chain in chains] == [["bytes", "zstd"], ["bytes", "zstd", "crc32c"]]
    assert [chain[1]["configuration"]["level"] for chain in chains] == [0, 3]
    assert tz.open_array(theirs).info.checks == "unverified"


def test_consolidated_metadata_is_used_for_reading_only(tmp_path: Path) -> None:
    group = tz.open_group(tmp_path / "g", mode="a")
    group.create_array("a", shape=4, dtype="int8")
    group.consolidate()
    document = tmp_path / "g/a/zarr.json"
    document.write_text(document.read_text().replace("4", "5", 1))
    assert zarr.open_group(str(tmp_path / "g"), mode="r+")["a"].shape == (4,)
    assert tz.open_group(tmp_path / "g", mode="r")["a"].shape == (4,)
    assert tz.open_group(tmp_path / "g", mode="r+")["a"].shape == (5,)


def test_memory_is_fresh_and_aligned() -> None:
    array = tz.create(None, shape=(33, 7), dtype="float64", chunks=(5, 7))
    for _ in range(8):
        got = array[1:]
        assert got.ctypes.data % 64 == 0
        assert got.flags.writeable
        assert got.flags.owndata or got.base is not None
