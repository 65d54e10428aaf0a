"""Groups and consolidated metadata, against zarr-python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zarr

from tenzarr.errors import MetadataError
from tenzarr.storage.metadata import ArrayMetadata, GroupMetadata, below, read_array, read_group, write_group

pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata is currently not part")
ATTRIBUTES = {"title": "é", "nan": float("nan"), "list": [1, {"a": None}]}


@pytest.fixture(params=[2, 3])
def hierarchy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A consolidated hierarchy, written by zarr-python."""
    root = zarr.create_group(str(tmp_path), zarr_format=request.param, attributes=ATTRIBUTES)
    root.create_array("top", shape=(4,), dtype="f4", attributes={"inf": float("inf")}, fill_value=float("nan"))
    inner = root.create_group("inner", attributes={"k": 1})
    inner.create_array("x", shape=(3, 4), chunks=(2, 2), dtype="i2")
    inner.create_group("deep").create_array("y", shape=(), dtype="u1")
    root.create_group("empty")
    zarr.consolidate_metadata(str(tmp_path))
    return tmp_path


def documents_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def same(ours: Any, theirs: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def test_we_read_what_zarr_consolidates(hierarchy: Path) -> None:
    group = read_group(documents_in(hierarchy))
    assert same(group.attributes, ATTRIBUTES)
    assert group.consolidated is not None
    assert set(group.consolidated) == {"top", "inner", "inner/x", "inner/deep", "inner/deep/y", "empty"}
    for path, node in group.consolidated.items():
        alone = documents_in(hierarchy / path)
        if isinstance(node, ArrayMetadata):
            assert repr(node) == repr(read_array(alone))
        else:
            assert node == GroupMetadata(group.zarr_format, read_group(alone).attributes)


def test_zarr_reads_what_we_consolidate(hierarchy: Path) -> None:
    group = read_group(documents_in(hierarchy))
    for name, text in write_group(group).items():
        (hierarchy / name).write_bytes(text)
    theirs = zarr.open_consolidated(str(hierarchy), mode="r")
    assert same(dict(theirs.attrs), ATTRIBUTES)
    assert theirs.metadata.consolidated_metadata is not None
    found = dict(theirs.members(max_depth=None))
    assert group.consolidated is not None
    assert set(found) == set(group.consolidated)
    for path, node in group.consolidated.items():
        assert same(dict(node.attributes), dict(found[path].attrs))
        if isinstance(node, ArrayMetadata):
            assert node.shape == found[path].shape
            assert node.chunks == found[path].chunks
    assert repr(read_group(documents_in(hierarchy))) == repr(group)


def test_consolidated_metadata_can_be_read_alone_in_version_2(tmp_path: Path) -> None:
    root = zarr.create_group(str(tmp_path), zarr_format=2, attributes={"a": 1})
    root.create_array("x", shape=(4,), dtype="f4")
    zarr.consolidate_metadata(str(tmp_path))
    documents = documents_in(tmp_path)
    assert read_group({".zmetadata": documents[".zmetadata"]}) == read_group(documents)
    assert read_group({name: text for name, text in documents.items() if name != ".zmetadata"}).consolidated is None


def test_a_node_below(hierarchy: Path) -> None:
    group = read_group(documents_in(hierarchy))
    inner = below(group, "inner")
    assert isinstance(inner, GroupMetadata)
    assert inner.attributes == {"k": 1}
    assert set(inner.consolidated or ()) == {"x", "deep", "deep/y"}
    assert isinstance(below(group, "inner/x"), ArrayMetadata)
    assert below(inner, "deep/y") == below(group, "inner/deep/y")
    assert below(group, "") is group
    assert below(group, "nothing") is None
    assert below(GroupMetadata(3), "nothing") is None


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_reads_our_plain_groups(zarr_format: int, tmp_path: Path) -> None:
    group = GroupMetadata(zarr_format, ATTRIBUTES)
    documents = write_group(group)
    for name, text in documents.items():
        (tmp_path / name).write_bytes(text)
    assert same(dict(zarr.open_group(str(tmp_path), mode="r").attrs), ATTRIBUTES)
    assert repr(read_group(documents)) == repr(group)


def v3_group(**members: Any) -> dict[str, bytes]:
    return {"zarr.json": json.dumps({"zarr_format": 3, "node_type": "group", **members}).encode()}


@pytest.mark.parametrize("value", [None, {}])
def test_no_consolidated_metadata(value: object) -> None:
    assert read_group(v3_group(consolidated_metadata=value, attributes=None)) == GroupMetadata(3)


def test_consolidated_metadata_of_another_kind_is_kept_and_ignored() -> None:
    block = {"kind": "elsewhere", "must_understand": False, "url": "x"}
    documents = v3_group(consolidated_metadata=block)
    group = read_group(documents)
    assert group.consolidated is None
    assert group.extra == {"consolidated_metadata": block}
    assert json.loads(write_group(group)["zarr.json"])["consolidated_metadata"] == block
    consolidated = GroupMetadata(3, consolidated={}, extra=group.extra)
    assert json.loads(write_group(consolidated)["zarr.json"])["consolidated_metadata"]["kind"] == "inline"


def test_unknown_members_of_groups() -> None:
    kept = {"theirs": {"must_understand": False}}
    assert read_group(v3_group(**kept)).extra == kept
    with pytest.raises(MetadataError, match="at `theirs`: is not a member that we know"):
        read_group(v3_group(theirs={"must_understand": True}))
    documents = {".zgroup": b'{"zarr_format": 2, "theirs": 5}'}
    assert read_group(documents).extra == {"theirs": 5}
    assert read_group(write_group(read_group(documents))).extra == {"theirs": 5}


CHILD = {"zarr_format": 3, "node_type": "group"}


@pytest.mark.parametrize(
    ("block", "where"),
    [
        (5, "consolidated_metadata"),
        ([1], "consolidated_metadata"),
        ({"kind": "inline"}, "consolidated_metadata"),
        ({"kind": "other"}, "consolidated_metadata.kind"),
        ({"kind": "inline", "metadata": []}, "consolidated_metadata.metadata"),
        ({"metadata": {"a": 5}}, "consolidated_metadata.metadata.a"),
        ({"metadata": {"a": {}}}, "consolidated_metadata.metadata.a"),
        ({"metadata": {"a": {"node_type": "group"}}}, "consolidated_metadata.metadata.a"),
        ({"metadata": {"a": {**CHILD, "zarr_format": 2}}}, "consolidated_metadata.metadata.a.zarr_format"),
        ({"metadata": {"a/b": {**CHILD, "attributes": 5}}}, "consolidated_metadata.metadata.a/b.attributes"),
        *[
            ({"metadata": {path: CHILD}}, "consolidated_metadata.metadata")
            for path in ("", "/a", "a/", "a//b", "..", "a/../../b", "./a", "a\0", "a\\b")
        ],
    ],
)
def test_malformed_consolidated_metadata(block: Any, where: str) -> None:
    with pytest.raises(MetadataError, match=r"^g/zarr\.json at") as caught:
        read_group(v3_group(consolidated_metadata=block), key="g")
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"metadata": {".zgroup": {"zarr_format": 2}}}, ""),
        ({"zarr_consolidated_format": 2, "metadata": {}}, "zarr_consolidated_format"),
        ({"zarr_consolidated_format": 1}, ""),
        ({"zarr_consolidated_format": 1, "metadata": {}}, "metadata"),
        ({"zarr_consolidated_format": 1, "metadata": {".zgroup": 5}}, "metadata..zgroup"),
        ({"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 3}}}, "metadata..zgroup.zarr_format"),
        (
            {"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 2}, "a/.zarray": {}}},
            "metadata.a/.zarray",
        ),
        (
            {
                "zarr_consolidated_format": 1,
                "metadata": {".zgroup": {"zarr_format": 2}, "../a/.zgroup": {"zarr_format": 2}},
            },
            "metadata",
        ),
        (
            {"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 2}, ".zattrs": []}},
            "metadata..zattrs",
        ),
    ],
)  # fmt: skip
def test_malformed_zmetadata(members: Any, where: str) -> None:
    with pytest.raises(MetadataError, match=r"^g/\.zmetadata") as caught:
        read_group({".zmetadata": json.dumps(members).encode()}, key="g")
    assert caught.value.where == where


def test_tokens_are_read_in_the_attributes_of_consolidated_nodes_only() -> None:
    group = v3_group(consolidated_metadata={"metadata": {"a": {**CHILD, "attributes": {"x": float("nan")}}}})
    assert str(read_group(group).consolidated) == str({"a": GroupMetadata(3, {"x": float("nan")})})
    with pytest.raises(MetadataError, match=r"at `consolidated_metadata\.metadata\.a\.attribute\.x`: the tokens NaN"):
        read_group({"zarr.json": group["zarr.json"].replace(b"attributes", b"attribute")})
