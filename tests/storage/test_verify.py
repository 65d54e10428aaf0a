"""Which stored chunks are found, which are reported damaged, in which order, and under which key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenzarr as tz
from tenzarr.errors import StoreError
from tenzarr.storage.metadata.model import ChunkKeys
from tenzarr.storage.stored import chunk_index, stored_chunks
from tenzarr.storage.verify import ChunkReport, verify

LAYOUTS: dict[str, dict[str, Any]] = {
    "v3": {"chunks": (2, 2)},
    "v3 with dots": {"chunks": (2, 2), "chunk_key_encoding": {"name": "default", "separator": "."}},
    "v3 with v2 keys": {"chunks": (2, 2), "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "v2 with dots": {"chunks": (2, 2), "zarr_format": 2},
    "v2 with slashes": {"chunks": (2, 2), "zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "sharded": {"chunks": (1, 1), "shards": (2, 2)},
}


def make(path: Path | None, **options: Any) -> tz.Array:
    array = tz.create(path, shape=(6, 5), dtype="int32", **options)
    array[...] = np.arange(1, 31).reshape(6, 5)
    return array


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_stored_chunk_is_found_and_read(tmp_path: Path, layout: dict[str, Any]) -> None:
    array = make(tmp_path / "a", **layout)
    reports = list(verify(array))
    assert [report.chunk for report in reports] == [(i, j) for i in range(3) for j in range(3)]
    assert all(report.problem is None for report in reports)
    assert {tmp_path / "a" / report.key for report in reports} == {
        p for p in (tmp_path / "a").rglob("*") if p.is_file() and not p.name.startswith(("zarr.json", ".z", ".tenzarr"))
    }


def test_only_what_is_stored_is_read(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=(6, 5), chunks=(2, 2), dtype="int32")
    assert list(verify(array)) == []
    array[3, 3] = 1
    assert list(verify(array)) == [ChunkReport((1, 1), "c/1/1", None)]


def test_scalars_empty_arrays_memory_and_nested_paths(tmp_path: Path) -> None:
    for options in ({}, {"zarr_format": 2}):
        scalar = tz.create(None, shape=(), dtype="int8", **options)
        scalar[...] = 3
        assert [report.chunk for report in verify(scalar)] == [()]
        assert list(verify(tz.create(None, shape=(0, 3), dtype="int8", chunks=(1, 3), **options))) == []
    group = tz.open_group(tmp_path / "g", mode="a")
    inner = group.create_array("x/y", shape=4, chunks=2, dtype="int8")
    inner[...] = 1
    assert [report.key for report in verify(inner)] == ["x/y/c/0", "x/y/c/1"]


def test_what_lies_outside_the_grid_is_left_alone(tmp_path: Path) -> None:
    array = make(tmp_path / "a", chunks=(2, 2))
    for name in ("c/7/7", "c/00/1", "c/0/0.tmp", "c/0/x", "notes.txt"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"?")
    assert len(list(verify(array))) == 9


def test_damage_is_reported_by_chunk_and_key_and_the_rest_goes_on(tmp_path: Path) -> None:
    array = make(tmp_path / "a", chunks=(2, 2))
    flip(tmp_path / "a/c/0/2", 5)
    (tmp_path / "a/c/2/0").write_bytes(b"")
    (tmp_path / "a/c/2/1").unlink()
    (tmp_path / "a/c/2/1").mkdir()
    reports = list(verify(array))
    assert len(reports) == 9
    damaged = [report for report in reports if report.problem is not None]
    assert [(d.chunk, d.key) for d in damaged] == [((0, 2), "c/0/2"), ((2, 0), "c/2/0"), ((2, 1), "c/2/1")]
    assert "crc32c" in str(damaged[0].problem)


def test_each_damaged_inner_chunk_of_a_shard_is_reported(tmp_path: Path) -> None:
    array = make(tmp_path / "a", chunks=(1, 1), shards=(2, 2), compressor=None)
    shard = tmp_path / "a/c/1/1"
    index = np.frombuffer(shard.read_bytes()[-68:-4], "<u8").reshape(2, 2, 2)
    flip(shard, int(index[0, 1, 0]))
    flip(shard, int(index[1, 0, 0]))
    damaged = [report for report in verify(array) if report.problem is not None]
    assert [(d.chunk, d.key, d.inner) for d in damaged] == [((1, 1), "c/1/1", (2, 3)), ((1, 1), "c/1/1", (3, 2))]


def test_a_shard_damaged_as_a_whole_is_reported_once(tmp_path: Path) -> None:
    array = make(tmp_path / "a", chunks=(1, 1), shards=(2, 2))
    flip(tmp_path / "a/c/1/1", -10)
    damaged = [report for report in verify(array) if report.problem is not None]
    assert [(d.chunk, d.key, d.inner) for d in damaged] == [((1, 1), "c/1/1", None)]


def test_progress_counts_stored_chunks() -> None:
    seen: list[tuple[int, int]] = []
    list(verify(make(None, chunks=(2, 2)), progress=lambda done, total: seen.append((done, total))))
    assert seen == [(9, 9)]


@given(
    name=st.sampled_from(["default", "v2"]),
    separator=st.sampled_from(["/", "."]),
    index=st.lists(st.integers(0, 10**12), max_size=4).map(tuple),
)
def test_keys_and_indices_are_inverse(name: Any, separator: Any, index: tuple[int, ...]) -> None:
    keys = ChunkKeys(name, separator)
    assert chunk_index(keys.key(index), keys, len(index)) == index
    assert chunk_index(keys.key(index) + "x", keys, len(index)) is None
    assert chunk_index(keys.key((*index, 1)), keys, len(index)) is None


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    array = make(tmp_path / "a", chunks=(2, 2))
    for chunk in stored_chunks(array.source, array.path, array.metadata):
        assert chunk.size_bytes == (tmp_path / "a" / chunk.key).stat().st_size


def test_what_the_store_cannot_read_is_a_problem_of_that_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = make(tmp_path / "a", chunks=(2, 2))
    read = tz.Array.read

    def failing(self: tz.Array, selection: Any, **options: Any) -> Any:
        if selection == (slice(2, 4), slice(2, 4)):
            raise StoreError(5, "input/output error")
        return read(self, selection, **options)

    monkeypatch.setattr(tz.Array, "read", failing)
    damaged = [report for report in verify(array) if report.problem is not None]
    assert [(d.chunk, d.key) for d in damaged] == [((1, 1), "c/1/1")]
    assert "input/output error" in str(damaged[0].problem)
