"""Documents as bytes, to metadata and back.

A node is given and returned as a mapping from the names of its documents, without its
path: ``"zarr.json"``, or ``".zarray"`` or ``".zgroup"`` with ``".zattrs"`` and, for a
consolidated group, ``".zmetadata"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tenzarr.errors import ArgumentError, MetadataError
from tenzarr.storage.metadata import groups, strict_json, v2, v3
from tenzarr.storage.metadata.fields import Reader
from tenzarr.storage.metadata.model import ArrayMetadata, GroupMetadata
from tenzarr.storage.metadata.strict_json import Path

__all__ = ["read_array", "read_group", "read_node", "with_attributes", "write_array", "write_group"]

_Node = ArrayMetadata | GroupMetadata

_USERS_OWN: dict[str, Callable[[Path], bool]] = {
    "zarr.json": v3.users_own,
    ".zattrs": strict_json.anywhere,
    ".zmetadata": groups.users_own_in_zmetadata,
    ".zarray": strict_json.nowhere,
    ".zgroup": strict_json.nowhere,
}


def _reader(name: str, key: str) -> Reader:
    return Reader(f"{key}/{name}" if key else name)


def _members(documents: Mapping[str, bytes], name: str, reader: Reader) -> dict[str, Any]:
    return reader.members(strict_json.parse(reader.document, documents[name], tokens=_USERS_OWN[name]))


def _attributes(documents: Mapping[str, bytes], key: str) -> dict[str, Any]:
    if ".zattrs" not in documents:
        return {}
    return _members(documents, ".zattrs", _reader(".zattrs", key))


def read_node(documents: Mapping[str, bytes], *, key: str = "") -> ArrayMetadata | GroupMetadata:
    """Read the documents of a node that may be an array or a group.

    Parameters
    ----------
    documents : mapping of str to bytes
        By name, without the path of the node. ``"zarr.json"`` is taken before
        ``".zarray"``, and that before ``".zmetadata"`` and ``".zgroup"``.
    key : str
        The path of the node, for errors.

    Returns
    -------
    ArrayMetadata or GroupMetadata

    Raises
    ------
    MetadataError
        If a document is malformed, or none of these is there.

    Examples
    --------
    >>> read_node({".zgroup": b'{"zarr_format": 2}'}).zarr_format
    2
    >>> read_node({".zgroup": b'{"zarr_format": 4}'}, key="a/b")
    Traceback (most recent call last):
    tenzarr.errors.MetadataError: a/b/.zgroup at `zarr_format`: must be 2; it is 4
    """
    if "zarr.json" in documents:
        reader = _reader("zarr.json", key)
        return groups.node_from_members_v3(_members(documents, "zarr.json", reader), reader)
    if ".zarray" in documents:
        reader = _reader(".zarray", key)
        members = _members(documents, ".zarray", reader)
        return v2.array_from_members(members, _attributes(documents, key), reader)
    if ".zgroup" in documents or ".zmetadata" in documents:
        return _group_v2(documents, key)
    raise MetadataError(key, "", f"there is no metadata document among {sorted(documents)}")


def _group_v2(documents: Mapping[str, bytes], key: str) -> GroupMetadata:
    consolidated = None
    if ".zmetadata" in documents:
        reader = _reader(".zmetadata", key)
        consolidated = groups.consolidated_v2(_members(documents, ".zmetadata", reader), reader)
        if ".zgroup" not in documents:
            return consolidated
    reader = _reader(".zgroup", key)
    group = groups.group_from_members_v2(_members(documents, ".zgroup", reader), _attributes(documents, key), reader)
    return replace(group, consolidated=consolidated.consolidated if consolidated is not None else None)


def read_array(documents: Mapping[str, bytes], *, key: str = "") -> ArrayMetadata:
    """Read the documents of an array; as `read_node`, and a group is refused with `MetadataError`.

    Examples
    --------
    >>> read_array({"zarr.json": b'{"zarr_format": 3, "node_type": "group"}'})
    Traceback (most recent call last):
    tenzarr.errors.MetadataError: zarr.json at `node_type`: must be 'array'; it is 'group'
    """
    node = read_node(documents, key=key)
    if isinstance(node, ArrayMetadata):
        return node
    raise _other_kind(documents, key, "array", "group")


def read_group(documents: Mapping[str, bytes], *, key: str = "") -> GroupMetadata:
    """Read the documents of a group; as `read_node`, and an array is refused with `MetadataError`.

    ``consolidated`` is set where the document (v3) or a given ``".zmetadata"`` (v2) has it.
    ``".zmetadata"`` alone is enough.

    Examples
    --------
    >>> read_group({"zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}'}).attributes
    {'a': 1}
    """
    node = read_node(documents, key=key)
    if isinstance(node, GroupMetadata):
        return node
    raise _other_kind(documents, key, "group", "array")


def _other_kind(documents: Mapping[str, bytes], key: str, wanted: str, found: str) -> MetadataError:
    if "zarr.json" in documents:
        return _reader("zarr.json", key).error("node_type", f"must be {wanted!r}; it is {found!r}")
    return MetadataError(key, "", f"must be the documents of an {wanted}; they are those of a {found}")


def write_array(meta: ArrayMetadata) -> dict[str, bytes]:
    """Write an array: ``{"zarr.json": ...}``, or ``{".zarray": ..., ".zattrs": ...}``.

    The same metadata always gives the same bytes, and `read_array` reads them back.

    Raises
    ------
    ArgumentError
        If an attribute has no JSON form, or one that could not be read back.
    """
    if meta.zarr_format == 3:
        return {"zarr.json": _text("zarr.json", v3.array_to_members(meta))}
    return {
        ".zarray": _text(".zarray", v2.array_to_members(meta)),
        ".zattrs": _text(".zattrs", v2.attributes_of(meta)),
    }


def write_group(meta: GroupMetadata) -> dict[str, bytes]:
    """Write a group: ``{"zarr.json": ...}``, or ``{".zgroup": ..., ".zattrs": ...}``.

    Consolidated metadata goes into ``zarr.json`` (v3) or into ``".zmetadata"`` (v2). Raises as `write_array`.
    """
    if meta.zarr_format == 3:
        return {"zarr.json": _text("zarr.json", groups.group_to_members_v3(meta))}
    documents = {
        ".zgroup": _text(".zgroup", {"zarr_format": 2, **meta.extra}),
        ".zattrs": _text(".zattrs", dict(meta.attributes)),
    }
    if meta.consolidated is not None:
        documents[".zmetadata"] = _text(".zmetadata", groups.consolidated_v2_to_members(meta))
    return documents


def _text(name: str, members: dict[str, Any]) -> bytes:
    """The document, after a look at whether it can be read back."""
    try:
        text = strict_json.write(members)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"`attributes` must be what JSON can say: {error}. Convert it to numbers and strings"
        ) from None
    try:
        strict_json.parse(name, text, tokens=_USERS_OWN[name])
    except MetadataError as error:
        raise ArgumentError(f"`attributes` must be what can be read back: {error}") from None
    return text


def with_attributes(meta: ArrayMetadata, attributes: Mapping[str, Any]) -> ArrayMetadata:
    """`meta` with other attributes; in version 2 the names of the axes follow from them."""
    names = v2.names_in(attributes, len(meta.shape)) if meta.zarr_format == 2 else meta.names
    return replace(meta, attributes=dict(attributes), names=names)
