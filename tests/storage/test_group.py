"""Groups: finding, creating and removing what is in them, and consolidated metadata that stays true."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

import tenzarr as tz
from tenzarr.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConfinementError,
    MetadataError,
    NodeExistsError,
    NodeNotFoundError,
    ReadOnlyError,
    TenzarrError,
)
from tests.storage.oracles import QUIET

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def filled(store: Any, zarr_format: Any = 3) -> tz.Group:
    root = tz.open_group(store, mode="a", zarr_format=zarr_format, attributes={"title": "all"})
    root.create_array("a", shape=(4,), dtype="i4", chunks=2)[...] = [1, 2, 3, 4]
    root.create_array("x/b", shape=(2, 2), dtype="f8", names=("i", "j"))
    root.create_group("x/empty", attributes={"n": 1})
    root.create_array("x/deep/c", shape=(), dtype="bool")
    return root


def stores(tmp_path: Path) -> list[Any]:
    return [
        None,
        tmp_path / "g",
        tmp_path / "g.zip",
        MemoryStore(),
        LocalStore(tmp_path / "l"),
        "memory://" + tmp_path.name,
    ]


EVERYTHING = ["a", "x", "x/b", "x/deep", "x/deep/c", "x/empty"]


@FORMATS
@pytest.mark.parametrize("number", range(6))
def test_what_is_in_a_group(number: int, zarr_format: Any, tmp_path: Path) -> None:
    root = filled(stores(tmp_path)[number], zarr_format)
    for group in (root, tz.open_group(root.source), tz.open_group(root.source, mode="r")):
        assert group.zarr_format == zarr_format
        assert group.keys() == list(group) == ["a", "x"]
        assert len(group) == 2
        assert [path for path, _ in group.walk()] == EVERYTHING
        assert [name for name, _ in group.arrays()] == ["a"]
        assert [name for name, _ in group.groups()] == ["x"]
        assert {name: type(node) for name, node in group.members()} == {"a": tz.Array, "x": tz.Group}
        assert all(path in group for path in EVERYTHING)
        assert "b" not in group
        assert "x/b/c" not in group
        assert 7 not in group
        array = group["a"]
        assert isinstance(array, tz.Array)
        assert array[...].tolist() == [1, 2, 3, 4]
        assert array.path == "a"
        inner = group["x"]
        assert isinstance(inner, tz.Group)
        assert (inner.path, inner.name) == ("x", "x")
        assert inner["deep/c"].path == "x/deep/c"
        assert group["x/empty"].attrs["n"] == 1
        assert dict(group.attrs) == {"title": "all"}
    theirs = zarr.open_group(root.source.root, mode="r") if hasattr(root.source, "root") else None
    if theirs is not None:
        assert sorted(path for path, _ in theirs.members(max_depth=None)) == EVERYTHING


def test_pictures(tmp_path: Path) -> None:
    root = filled(tmp_path / "run")
    drawn = str(root.tree())
    assert drawn.splitlines()[0].endswith("run")
    for part in ("a (4,) int32", "b (i: 2, j: 2) float64", "deep", "c () bool"):
        assert part in drawn
    assert "1 array, 1 group" in repr(root)
    assert "read-only" in repr(tz.open_group(tmp_path / "run", mode="r"))
    assert "<details" in root.tree()._repr_html_()
    assert root._repr_html_() == root.tree()._repr_html_()


def test_arrays_take_the_format_of_their_group() -> None:
    root = tz.open_group(None, mode="a", zarr_format=2)
    assert root.create_array("a", shape=3, dtype="i4").metadata.zarr_format == 2
    assert root.create_group("b").zarr_format == 2
    assert root.create_array("c/d", shape=3, dtype="i4", compressors="lz4").info.codecs == "lz4:1"
    assert isinstance(root["c"], tz.Group)
    assert root["c"].zarr_format == 2


def test_creating(tmp_path: Path) -> None:
    root = filled(tmp_path / "g")
    with pytest.raises(NodeExistsError, match="pass overwrite=True"):
        root.create_array("a", shape=1, dtype="i1")
    with pytest.raises(NodeExistsError, match="overwrite=True"):
        root.create_group("a")
    with pytest.raises(NodeExistsError, match="overwrite=True"):
        root.create_array("x", shape=1, dtype="i1")
    with pytest.raises(NodeExistsError, match="must not lie inside an array"):
        root.create_group("a/b")
    assert root.create_array("a", shape=1, dtype="i1", overwrite=True).shape == (1,)
    assert root.create_group("a", overwrite=True).keys() == []
    assert root.create_array("x", shape=1, dtype="i1", overwrite=True).shape == (1,)
    assert [path for path, _ in root.walk()] == ["a", "x"]


def test_requiring() -> None:
    root = filled(None)
    assert root.require_group("x").keys() == ["b", "deep", "empty"]
    assert root.require_group("new/er").keys() == []
    assert "new/er" in root
    with pytest.raises(NodeExistsError, match=r"`name` must be a group or free, .* is an array"):
        root.require_group("a")


@pytest.mark.parametrize("number", range(6))
def test_removing(number: int, tmp_path: Path) -> None:
    root = filled(stores(tmp_path)[number])
    del root["x"]
    assert [path for path, _ in root.walk()] == ["a"]
    del root["a"]
    assert len(root) == 0
    with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group at"):
        del root["a"]
    assert tz.open_group(root.source).keys() == []


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "", ".", "a//b", "a\0b", "x/"])
def test_names_stay_in_the_group(name: str, tmp_path: Path) -> None:
    root = tz.open_group(tmp_path / "g", mode="a")
    for use in (
        lambda: root[name],
        lambda: root.create_group(name),
        lambda: root.create_array(name, shape=1, dtype="i1"),
        lambda: root.require_group(name),
        lambda: root.__delitem__(name),
    ):
        with pytest.raises((ConfinementError, ArgumentError), match=r"path|segment|name"):
            use()
    assert name not in root
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file() and file.name[0] != ".") == ["zarr.json"]


def test_what_is_not_a_name() -> None:
    root = filled(None)
    with pytest.raises(ArgumentTypeError, match="`name` must be a string, got int"):
        root[0]  # type: ignore[index]
    with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group at 'memory/rain'"):
        root["rain"]


# --- opening ------------------------------------------------------------------------------------------


@FORMATS
def test_modes(zarr_format: Any, tmp_path: Path) -> None:
    place = tmp_path / "g"
    for mode in ("r", "r+"):
        with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group"):
            tz.open_group(place, mode=mode)
    made = tz.open_group(place, mode="w-", zarr_format=zarr_format, attributes={"a": 1})
    made.create_group("x")
    with pytest.raises(NodeExistsError, match="must not have an array or group"):
        tz.open_group(place, mode="w-")
    assert tz.open_group(place, mode="a", attributes={"b": 2}).attrs["a"] == 1
    assert tz.open_group(place, mode="r+").keys() == ["x"]
    fresh = tz.open_group(place, mode="w", zarr_format=zarr_format)
    assert fresh.keys() == []
    assert dict(tz.open_group(place).attrs) == {}
    with pytest.raises(ArgumentError, match='`mode` must be "r"'):
        tz.open_group(place, mode="x")  # type: ignore[arg-type]


def test_an_array_is_no_group(tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=1, dtype="i1")
    with pytest.raises(NodeNotFoundError, match="there is no group at"):
        tz.open_group(tmp_path / "a")
    with pytest.raises(NodeExistsError, match="there is an array"):
        tz.open_group(tmp_path / "a", mode="a")
    assert tz.open_group(tmp_path / "a", mode="w").keys() == []


WRITES = [
    lambda g: g.create_array("n", shape=1, dtype="i1"),
    lambda g: g.create_group("n"),
    lambda g: g.require_group("n"),
    lambda g: g.__delitem__("a"),
    lambda g: g.attrs.__setitem__("n", 1),
    lambda g: g.consolidate(),
    lambda g: g["a"].__setitem__(0, 1),
    lambda g: g["x"].create_group("n"),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("consolidated", [False, True])
def test_a_reader_refuses_writes(write: Any, consolidated: bool, tmp_path: Path) -> None:
    root = filled(tmp_path / "g")
    if consolidated:
        root.consolidate()
    reader = tz.open_group(tmp_path / "g", mode="r")
    assert reader.read_only
    with pytest.raises(ReadOnlyError, match="is read-only"):
        write(reader)
    assert [path for path, _ in root.walk()] == EVERYTHING


def test_groups_pickle_by_reference(tmp_path: Path) -> None:
    inner = filled(tmp_path / "g")["x"]
    again = pickle.loads(pickle.dumps(inner))
    again.create_group("more")
    assert "more" in inner
    assert pickle.loads(pickle.dumps(tz.open_group(tmp_path / "g", mode="r"))).read_only
    with pytest.raises(ArgumentTypeError, match="a store in memory cannot be pickled"):
        pickle.dumps(filled(None))


@FORMATS
def test_attributes_persist(zarr_format: Any, tmp_path: Path) -> None:
    root = filled(tmp_path / "g", zarr_format)
    other = tz.open_group(tmp_path / "g")
    root.attrs["one"] = {"nested": [1, None]}
    other.attrs["two"] = 2
    del other.attrs["title"]
    expected = {"one": {"nested": [1, None]}, "two": 2}
    assert dict(tz.open_group(tmp_path / "g").attrs) == expected
    assert dict(zarr.open_group(tmp_path / "g").attrs) == expected
    root.refresh()
    assert dict(root.attrs) == expected
    with pytest.raises(ArgumentError, match="`attributes` must be what JSON can say"):
        root.attrs["bad"] = object()
    for attributes in ({"bad": object()}, {1: 2}, [1]):
        with pytest.raises((ArgumentError, ArgumentTypeError), match="`attributes` must"):
            root.create_group("bad", attributes=attributes)
        with pytest.raises((ArgumentError, ArgumentTypeError), match="`attributes` must"):
            root.create_group("x", attributes=attributes, overwrite=True)
    assert "bad" not in root
    assert "x/b" in root
    with pytest.raises(ArgumentError, match="`zarr_format` must be 2 or 3"):
        tz.open_group(None, mode="w", zarr_format=4)  # type: ignore[arg-type]


# --- consolidated metadata ------------------------------------------------------------------------------


def metadata_of(place: Path) -> dict[str, Any]:
    return {path: dict(node.attrs) for path, node in tz.open_group(place, mode="r").walk()}


@FORMATS
def test_consolidated_metadata_is_zarrs(zarr_format: Any, tmp_path: Path) -> None:
    root = filled(tmp_path / "g", zarr_format)
    root.consolidate()
    reader = tz.open_group(tmp_path / "g", mode="r")
    assert reader.metadata.consolidated is not None
    assert sorted(reader.metadata.consolidated) == EVERYTHING
    theirs = zarr.open_consolidated(tmp_path / "g", zarr_format=zarr_format)
    assert sorted(path for path, _ in theirs.members(max_depth=None)) == EVERYTHING
    assert theirs["x/b"].shape == (2, 2)
    zarr.consolidate_metadata(tmp_path / "g", zarr_format=zarr_format)
    again = tz.open_group(tmp_path / "g", mode="r")
    assert sorted(again.metadata.consolidated or {}) == EVERYTHING
    assert [path for path, _ in again.walk()] == EVERYTHING


@FORMATS
def test_readers_use_it_and_writers_do_not(zarr_format: Any, tmp_path: Path) -> None:
    filled(tmp_path / "g", zarr_format).consolidate()
    zarr.open_group(tmp_path / "g", mode="r+", use_consolidated=False).create_group("unseen")
    assert "unseen" not in tz.open_group(tmp_path / "g", mode="r")
    assert "unseen" in tz.open_group(tmp_path / "g")
    reader = tz.open_group(tmp_path / "g", mode="r")
    with pytest.raises(NodeNotFoundError, match="in the consolidated metadata of its group; it may be out of date"):
        reader["unseen"]
    for document in (tmp_path / "g" / "x").rglob("zarr.json" if zarr_format == 3 else ".z*"):
        document.unlink()
    assert [path for path, _ in reader.walk()] == EVERYTHING
    assert reader["x/empty"].attrs["n"] == 1
    assert reader["x/b"][...].shape == (2, 2)  # type: ignore[index]


CHANGES: list[tuple[str, Any]] = [
    ("create array", lambda root: root.create_array("x/new", shape=3, dtype="i1")),
    ("create group", lambda root: root.create_group("x/deep/new", attributes={"k": 1})),
    ("overwrite", lambda root: root.create_array("x", shape=3, dtype="i1", overwrite=True)),
    ("remove array", lambda root: root.__delitem__("a")),
    ("remove group", lambda root: root.__delitem__("x")),
    ("attribute", lambda root: root["x/b"].attrs.__setitem__("k", 1)),
    ("group attribute", lambda root: root["x"].attrs.__setitem__("k", 1)),
    ("own attribute", lambda root: root.attrs.__setitem__("k", 1)),
    ("resize", lambda root: root["a"].resize(9)),
    ("append", lambda root: root["a"].append([5])),
    ("copy", lambda root: root["a"].copy_to(root.source, path="x/copy")),
    ("save", lambda root: tz.save(root.source, np.arange(3), path="x/saved")),
]


@FORMATS
@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[name for name, _ in CHANGES])
def test_our_writes_keep_it_true(name: str, change: Any, zarr_format: Any, tmp_path: Path) -> None:
    root = filled(tmp_path / "g", zarr_format)
    root.consolidate()
    tz.open_group(tmp_path / "g", path="x").consolidate()
    change(tz.open_group(tmp_path / "g"))
    for place in ("g", "g/x"):
        if not (tmp_path / place / ("zarr.json" if zarr_format == 3 else ".zgroup")).exists():
            continue
        if isinstance(tz.open(tmp_path / place), tz.Array):
            continue
        reader = tz.open_group(tmp_path / place, mode="r")
        assert reader.metadata.consolidated is not None
        seen = {path: node.metadata for path, node in reader.walk()}
        real = {path: node.metadata for path, node in tz.open_group(tmp_path / place).walk()}
        assert list(seen) == list(real)
        for path, metadata in real.items():
            assert dict(seen[path].attributes) == dict(metadata.attributes)
            assert getattr(seen[path], "shape", None) == getattr(metadata, "shape", None)
        assert dict(reader.attrs) == dict(tz.open_group(tmp_path / place).attrs)


def test_malformed_consolidated_metadata_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "g").consolidate()
    document = tmp_path / "g" / "zarr.json"
    members = json.loads(document.read_text())
    members["consolidated_metadata"]["metadata"]["../out"] = members["consolidated_metadata"]["metadata"]["a"]
    document.write_text(json.dumps(members))
    with pytest.raises(MetadataError, match="consolidated_metadata"):
        tz.open_group(tmp_path / "g", mode="r")


def test_errors_are_of_one_tree() -> None:
    with pytest.raises(TenzarrError, match="there is no"):
        filled(None)["no"]
    with pytest.raises(FileNotFoundError, match="there is no"):
        filled(None)["no"]
