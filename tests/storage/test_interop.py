"""Arrays that other implementations wrote: we read what zarr-python reads, and the sets agree among themselves."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

import tenzarr as tz
from tenzarr.dtypes import register_with_zarr
from tenzarr.errors import MetadataError
from tests.storage.oracles import QUIET, NDArray, assert_same

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "interop"

pytestmark = [
    *(pytest.mark.filterwarnings(text) for text in QUIET),
    pytest.mark.skipif(not FOLDER.is_dir(), reason="arrays of other implementations are not part of the repository"),
]

DOCUMENTS = ("zarr.json", ".zarray")
UNREADABLE = "1d.contiguous.json2.O"
"""Objects as JSON: neither zarr-python 3 nor we read them."""
WITHOUT_ENDIAN = {"exzarr/v3none", "exzarr/v3zlib"}
"""They leave out the byte order of float64: zarr-python reads them as little-endian up to 3.1, and refuses since."""


@dataclass(frozen=True)
class Found:
    """An array somewhere below `FOLDER`."""

    store: str
    """A folder or a zip file, relative to `FOLDER`."""
    path: str
    """Within the zip file; ``""`` for a folder."""

    @property
    def id(self) -> str:
        return f"{self.store}/{self.path}".rstrip("/")


def in_folders() -> list[Found]:
    found: list[Found] = []
    for folder, _, files in os.walk(FOLDER):
        documents = [Path(folder, name) for name in DOCUMENTS if name in files]
        if documents and is_array(documents[0].read_text()):
            found.append(Found(str(Path(folder).relative_to(FOLDER)), ""))
    return sorted(found, key=lambda one: one.id)


def in_zips() -> list[Found]:
    found: list[Found] = []
    for file in sorted(FOLDER.rglob("*.zip")):
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                path, _, name = member.rpartition("/")
                if name in DOCUMENTS and is_array(archive.read(member).decode()):
                    found.append(Found(str(file.relative_to(FOLDER)), path))
    return found


def is_array(document: str) -> bool:
    return json.loads(document).get("node_type", "array") == "array"


def of_zarr(found: Found) -> NDArray:
    register_with_zarr()
    store: Any = FOLDER / found.store
    if found.store.endswith(".zip"):
        store = ZipStore(store, mode="r")
    try:
        return np.asarray(zarr.open_array(store, path=found.path, mode="r")[...])
    finally:
        if isinstance(store, ZipStore):
            store.close()


def read(name: str) -> NDArray:
    return tz.open_array(FOLDER / name, mode="r")[...]


def readable(found: list[Found]) -> list[Found]:
    return [one for one in found if not one.id.endswith(UNREADABLE)]


@pytest.mark.parametrize("found", readable([*in_folders(), *in_zips()]), ids=lambda found: found.id)
def test_we_read_what_zarr_python_reads(found: Found) -> None:
    array = tz.open_array(FOLDER / found.store, mode="r", path=found.path)
    text = array.dtype.kind in "OT"
    assert array.info.engine == ("zarr" if text else "native")
    if found.id in WITHOUT_ENDIAN and tuple(map(int, zarr.__version__.split(".")[:2])) > (3, 1):
        expected = of_zarr(Found(found.id.replace("v3", "v2"), ""))
    else:
        expected = of_zarr(found)
    assert_same(array[...], expected)
    assert_same(array[...], array.oindex[(...,)])
    if array.ndim:
        assert_same(array[::-2], expected[::-2])
        rows = [array.shape[0] - 1, 0]
        assert_same(array.oindex[rows], expected[rows])


def test_they_are_many() -> None:
    assert len(in_folders()) >= 85
    assert len(in_zips()) >= 150


def test_what_zarr_python_cannot_read_is_refused() -> None:
    with pytest.raises(MetadataError, match="neither Tenzarr nor zarr-python can read data type"):
        read(f"zarrita/v2/data.zarr/{UNREADABLE}")


def test_exzarr_wrote_one_array_four_times() -> None:
    first = read("exzarr/v2none")
    assert first.shape == (250, 130)
    assert first.std() > 0
    for other in ("v2zlib", "v3none", "v3zlib"):
        assert_same(read(f"exzarr/{other}"), first)


def test_zarr_java_wrote_shards_with_the_index_at_either_end() -> None:
    assert_same(read("zarr-java/sharding_index_location/start"), read("zarr-java/sharding_index_location/end"))


SAME = [
    ("v2", "1d.contiguous.i4", "v3", "1d.contiguous.i4"),
    ("v2", "1d.contiguous.u1", "v3", "1d.contiguous.u1"),
    ("v2", "1d.contiguous.b1", "v3", "1d.contiguous.b1"),
    ("v2", "1d.contiguous.f8", "v3", "1d.contiguous.f8"),
    ("v2", "1d.contiguous.f4.le", "v2", "1d.contiguous.f4.be"),
    ("v3", "1d.contiguous.f4.le", "v3", "1d.contiguous.f4.be"),
    ("v2", "1d.contiguous.U13.le", "v2", "1d.contiguous.U13.be"),
    ("v2", "3d.chunked.mixed.i2.C", "v2", "3d.chunked.mixed.i2.F"),
    ("v3", "3d.chunked.mixed.i2.C", "v3", "3d.chunked.mixed.i2.F"),
    ("v2", "3d.chunked.i2", "v3", "3d.chunked.i2"),
    ("v2", "2d.chunked.ragged.i2", "v3", "2d.chunked.ragged.i2"),
    ("v3", "1d.contiguous.raw.i2", "v3", "1d.contiguous.compressed.sharded.i2"),
    ("v3", "2d.contiguous.i2", "v3", "2d.contiguous.compressed.sharded.i2"),
    ("v3", "3d.contiguous.i2", "v3", "3d.contiguous.compressed.sharded.i2"),
    ("v2", "1d.contiguous.raw.i2", "v2", "1d.contiguous.lz4.i2"),
    ("v2", "1d.contiguous.zlib.i2", "v2", "1d.contiguous.zstd.i2"),
]


@pytest.mark.parametrize(("one_format", "one", "other_format", "other"), SAME)
def test_zarrita_wrote_the_same_in_several_ways(one_format: str, one: str, other_format: str, other: str) -> None:
    first = read(f"zarrita/{one_format}/data.zarr/{one}")
    assert first.size
    assert_same(first, read(f"zarrita/{other_format}/data.zarr/{other}"))


GROUPS = [
    "zarrita/v3/data.zarr",
    "zarrita/v3/data.zarr/consolidated",
    "zarr-java/v2_sample",
    "zarr-java/ome/v0.5",
    "zarrita/v3/data.zipped_from_within.zarr.zip",
]


@pytest.mark.parametrize("name", GROUPS)
def test_groups_have_the_members_that_zarr_python_lists(name: str) -> None:
    ours = tz.open_group(FOLDER / name, mode="r")
    store: Any = ZipStore(FOLDER / name, mode="r") if name.endswith(".zip") else FOLDER / name
    theirs = zarr.open_group(store, mode="r")
    expected = {path: isinstance(node, zarr.Array) for path, node in theirs.members(max_depth=None)}
    assert expected
    assert {path: isinstance(node, tz.Array) for path, node in ours.walk()} == expected
    assert dict(ours.attrs) == dict(theirs.attrs)
    for path, node in ours.walk():
        assert dict(node.attrs) == dict(theirs[path].attrs)
    if isinstance(store, ZipStore):
        store.close()


@pytest.mark.parametrize("name", ["data.zarr", "data.zipped_from_within.zarr.zip"])
def test_one_unreadable_member_does_not_hide_the_others(name: str) -> None:
    group = tz.open_group(FOLDER / "zarrita" / "v2" / name, mode="r")
    assert UNREADABLE in group.keys()  # noqa: SIM118 - a list of names, not a test of membership
    assert group["1d.contiguous.i4"].shape == (4,)
    assert "1d.contiguous.i4" in str(group.tree())
    assert UNREADABLE in str(group.tree())
    with pytest.raises(MetadataError, match="neither Tenzarr nor zarr-python"):
        group[UNREADABLE]
