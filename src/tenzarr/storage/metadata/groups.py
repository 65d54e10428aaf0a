"""Groups of both versions, and the metadata that they consolidate.

Sources: Zarr v3 core spec, 'Group metadata'; zarr-python, 'Consolidated metadata', for
the ``consolidated_metadata`` member and for ``.zmetadata``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenzarr.storage.metadata import v2, v3
from tenzarr.storage.metadata.fields import Reader
from tenzarr.storage.metadata.model import ArrayMetadata, GroupMetadata
from tenzarr.storage.metadata.strict_json import Path

__all__ = [
    "below",
    "consolidated_v2_to_members",
    "group_from_members_v2",
    "group_from_members_v3",
    "group_to_members_v3",
    "node_from_members_v3",
    "users_own_in_zmetadata",
]

_GROUP_MEMBERS = frozenset({"attributes", "consolidated_metadata", "node_type", "zarr_format"})
_INLINE = {"kind": "inline", "must_understand": False}
_Node = ArrayMetadata | GroupMetadata


def below(group: GroupMetadata, path: str) -> _Node | None:
    """The node at `path` below a consolidated group, with its own share of the consolidated metadata.

    Parameters
    ----------
    group : GroupMetadata
        With ``consolidated`` set.
    path : str
        Relative to the group; ``""`` is the group itself.

    Returns
    -------
    ArrayMetadata, GroupMetadata or None
        None if the consolidated metadata has no such node.
    """
    nodes = group.consolidated or {}
    node = nodes.get(path) if path else group
    if not path or not isinstance(node, GroupMetadata):
        return node
    prefix = f"{path}/"
    share = {name.removeprefix(prefix): child for name, child in nodes.items() if name.startswith(prefix)}
    return replace(node, consolidated=share)


def _checked_path(path: str, reader: Reader, where: str) -> str:
    """A path that cannot lead out of the group."""
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path or "\\" in path:
        raise reader.error(where, f"a path must be names joined by '/', none of them '.' or '..'; it is {path!r:.80}")
    return path


# --- version 3 ---------------------------------------------------------------------------


def node_from_members_v3(members: dict[str, Any], reader: Reader) -> _Node:
    """Read the members of a ``zarr.json`` of either node type."""
    kind = reader.required(members, "node_type")
    if kind == "array":
        return v3.array_from_members(members, reader)
    if kind == "group":
        return group_from_members_v3(members, reader)
    raise reader.error("node_type", f"must be 'array' or 'group'; it is {kind!r:.80}")


def group_from_members_v3(members: dict[str, Any], reader: Reader) -> GroupMetadata:
    """Read the members of a group's ``zarr.json``."""
    reader.equal(members, "zarr_format", 3)
    reader.equal(members, "node_type", "group")
    extra = v3.extra_members(members, _GROUP_MEMBERS, reader)
    attributes = reader.attributes(members.get("attributes"), "attributes")
    value = members.get("consolidated_metadata")
    if not value:
        return GroupMetadata(3, attributes, None, extra)
    block = reader.members(value, "consolidated_metadata")
    if block.get("kind", "inline") != "inline":
        if block.get("must_understand") is not False:
            raise reader.error("consolidated_metadata.kind", f"must be 'inline'; it is {block['kind']!r:.80}")
        return GroupMetadata(3, attributes, None, {**extra, "consolidated_metadata": block})
    return GroupMetadata(3, attributes, _consolidated_v3(block, reader), extra)


def _consolidated_v3(block: dict[str, Any], reader: Reader) -> dict[str, _Node]:
    where = "consolidated_metadata.metadata"
    entries = reader.members(reader.required(block, "metadata", "consolidated_metadata"), where)
    nodes: dict[str, _Node] = {}
    for path, entry in entries.items():
        inner = replace(reader, prefix=f"{reader.prefix}{where}.{path}.")
        members = inner.members(entry)
        # A child's own block is empty by construction: what it would list is listed here.
        own = {name: value for name, value in members.items() if name != "consolidated_metadata"}
        nodes[_checked_path(path, reader, where)] = node_from_members_v3(own, inner)
    return nodes


def group_to_members_v3(meta: GroupMetadata) -> dict[str, Any]:
    """Write a group's ``zarr.json``; the inverse of `group_from_members_v3`."""
    members: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": dict(meta.attributes)}
    if meta.consolidated is not None:
        entries = {path: _entry_v3(node) for path, node in _in_order(meta.consolidated)}
        members["consolidated_metadata"] = {**_INLINE, "metadata": entries}
    return {**members, **{name: value for name, value in meta.extra.items() if name not in members}}


def _entry_v3(node: _Node) -> dict[str, Any]:
    if isinstance(node, ArrayMetadata):
        return v3.array_to_members(node)
    return group_to_members_v3(replace(node, consolidated={}))


def _in_order(nodes: Mapping[str, _Node]) -> list[tuple[str, _Node]]:
    """Parents before children: zarr-python's reader needs it."""
    return sorted(nodes.items(), key=lambda item: (item[0].count("/"), item[0]))


# --- version 2 ---------------------------------------------------------------------------


def users_own_in_zmetadata(path: Path) -> bool:
    """Where a ``.zmetadata`` holds users' attributes."""
    return len(path) == 2 and path[0] == "metadata" and str(path[1]).rpartition("/")[2] == ".zattrs"


def group_from_members_v2(members: dict[str, Any], attributes: dict[str, Any], reader: Reader) -> GroupMetadata:
    """Read the members of a group's ``.zgroup``."""
    reader.equal(members, "zarr_format", 2)
    ours = ("zarr_format", "attributes", "consolidated_metadata", "node_type")
    return GroupMetadata(2, attributes, None, {name: members[name] for name in members if name not in ours})


def consolidated_v2(members: dict[str, Any], reader: Reader) -> GroupMetadata:
    """Read the members of a ``.zmetadata``: the group and every node below it."""
    reader.equal(members, "zarr_consolidated_format", 1)
    entries = reader.members(reader.required(members, "metadata"), "metadata")
    nodes: dict[str, _Node] = {}
    for key in entries:
        path, _, name = key.rpartition("/")
        if name in (".zarray", ".zgroup"):
            nodes[path] = _node_v2(entries, path, name, reader)
    root = nodes.pop("", None)
    if not isinstance(root, GroupMetadata):
        raise reader.error("metadata", "must have the member `.zgroup`")
    for path in nodes:
        _checked_path(path, reader, "metadata")
    return replace(root, consolidated=nodes)


def _node_v2(entries: dict[str, Any], path: str, name: str, reader: Reader) -> _Node:
    base = f"{path}/" if path else ""
    inner = replace(reader, prefix=f"metadata.{base}{name}.")
    attributes = reader.attributes(entries.get(f"{base}.zattrs"), f"metadata.{base}.zattrs")
    members = inner.members(entries[f"{base}{name}"])
    if name == ".zarray":
        return v2.array_from_members(members, attributes, inner)
    return group_from_members_v2(members, attributes, inner)


def consolidated_v2_to_members(meta: GroupMetadata) -> dict[str, Any]:
    """Write a ``.zmetadata``; the inverse of `consolidated_v2`."""
    entries: dict[str, Any] = {".zgroup": {"zarr_format": 2, **meta.extra}, ".zattrs": dict(meta.attributes)}
    for path, node in _in_order(meta.consolidated or {}):
        if isinstance(node, ArrayMetadata):
            entries[f"{path}/.zarray"] = v2.array_to_members(node)
            entries[f"{path}/.zattrs"] = v2.attributes_of(node)
        else:
            entries[f"{path}/.zgroup"] = {"zarr_format": 2, **node.extra}
            entries[f"{path}/.zattrs"] = dict(node.attributes)
    return {"metadata": entries, "zarr_consolidated_format": 1}
