"""Arrays and groups as facts for programs, and the same facts in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from tenzarr.core.text import format_axes, format_bytes, format_count, format_ints, printable
from tenzarr.storage import Array, Group
from tenzarr.storage.stored import stored_chunks

__all__ = ["as_mapping", "drawn", "facts", "in_words", "nested"]


def facts(node: Array | Group) -> dict[str, Any]:
    """Everything that `tenzarr info` knows, as JSON values."""
    return _array_facts(node) if isinstance(node, Array) else _group_facts(node)


def _array_facts(array: Array) -> dict[str, Any]:
    info = as_mapping(array.info)
    stored = [chunk.size_bytes for chunk in stored_chunks(array.source, array.path, array.metadata)]
    return {
        "kind": "array",
        **info,
        "fill_value": _plain(array.fill_value),
        "n_chunks_stored": len(stored),
        "nbytes_stored": sum(stored),
        "attributes": dict(array.attrs),
    }


def _group_facts(group: Group) -> dict[str, Any]:
    below = [node for _, node in group.walk()]
    arrays = [node for node in below if isinstance(node, Array)]
    return {
        "kind": "group",
        "location": group.location,
        "zarr_format": group.zarr_format,
        "arrays": len(arrays),
        "groups": len(below) - len(arrays),
        "nbytes": sum(array.nbytes for array in arrays),
        "attributes": dict(group.attrs),
    }


def in_words(values: Mapping[str, Any]) -> dict[str, str]:
    """What `facts` found, by label."""
    return _array_words(values) if values["kind"] == "array" else _group_words(values)


def _array_words(f: Mapping[str, Any]) -> dict[str, str]:
    stored, nbytes = f["nbytes_stored"], f["nbytes"]
    ratio = f", 1 : {nbytes / stored:.2f}" if stored else ""
    noun = "shard" if f["shards"] else "chunk"
    words = {
        "array": printable(f["location"]),
        "shape": format_axes(f["shape"], f["names"]),
        "type": f["dtype"] + (", big-endian" if f["byte_order"] == "big" else ""),
        "chunks": format_ints(f["chunks"]),
        "shards": format_ints(f["shards"]) if f["shards"] else "",
        "order": "" if f["order"] == "C" else f["order"],
        "codecs": f["codecs"] or "none",
        "checked by": f["checks"],
        "fill value": str(f["fill_value"]),
        "in memory": format_bytes(nbytes),
        "stored": f"{format_bytes(stored)}{ratio}, {f['n_chunks_stored']:,} of {format_count(f['n_chunks'], noun)}",
        "format": f"Zarr v{f['zarr_format']}" + ("" if f["engine"] == "native" else ", through zarr-python"),
        "attributes": _attribute_words(f["attributes"]),
    }
    return {label: word for label, word in words.items() if word}


def _group_words(f: Mapping[str, Any]) -> dict[str, str]:
    words = {
        "group": printable(f["location"]),
        "below": f"{format_count(f['arrays'], 'array')}, {format_count(f['groups'], 'group')}",
        "in memory": format_bytes(f["nbytes"]),
        "format": f"Zarr v{f['zarr_format']}",
        "attributes": _attribute_words(f["attributes"]),
    }
    return {label: word for label, word in words.items() if word}


def _attribute_words(attributes: Mapping[str, Any]) -> str:
    names = ", ".join(printable(name) for name in list(attributes)[:8])
    more = f" and {len(attributes) - 8:,} more" if len(attributes) > 8 else ""
    return names + more


def nested(node: Array | Group) -> dict[str, Any]:
    """A node and everything below it, as JSON values."""
    if isinstance(node, Array):
        return {"kind": "array", "shape": node.shape, "dtype": str(node.dtype), "chunks": node.chunks}
    return {"kind": "group", "members": {name: nested(member) for name, member in node.members()}}


def drawn(node: Array | Group) -> str:
    """A node and everything below it, one line each."""
    return repr(node) if isinstance(node, Array) else repr(node.tree())


def as_mapping(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name."""
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python has it; what JSON has no word for as text."""
    plain: Any = cast("np.generic[Any]", value).item() if isinstance(value, np.generic) else value
    return str(plain) if isinstance(plain, complex | bytes) else plain
