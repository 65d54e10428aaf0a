"""Metadata documents in a store: reading those of a node, replacing them, keeping consolidated copies true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from tenzarr.errors import MetadataError, NodeExistsError, NodeNotFoundError
from tenzarr.storage.metadata import ArrayMetadata, GroupMetadata, read_node, write_array, write_group
from tenzarr.storage.sources import DOCUMENT, ByteSource

__all__ = [
    "DOCUMENTS",
    "Node",
    "ancestors",
    "document_lock",
    "identity",
    "join",
    "load",
    "make_groups",
    "refresh_consolidated",
    "require",
    "require_absent",
    "store",
    "store_group",
    "walk",
]

DOCUMENT_LIMIT_BYTES = 64 * 2**20
"""A larger document is refused unread; consolidated metadata of a million arrays is smaller."""

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
"""What makes a path a node, in the order in which they are looked for."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it was read."""

    metadata: ArrayMetadata | GroupMetadata
    """What its documents say."""
    identity: bytes
    """The main document as it was read."""


def join(parent: str, name: str) -> str:
    """The path of `name` below `parent`.

    >>> join("", "a"), join("a", "b/c")
    ('a', 'a/b/c')
    """
    return f"{parent}/{name}" if parent and name else parent or name


def ancestors(path: str) -> list[str]:
    """The paths above `path`, the root first.

    >>> ancestors("a/b/c"), ancestors("a"), ancestors("")
    (['', 'a', 'a/b'], [''], [])
    """
    parts = path.split("/") if path else []
    return ["/".join(parts[:count]) for count in range(len(parts))]


def load(source: ByteSource, path: str) -> Node | None:
    """Read the node at `path`, or None if there is none.

    Raises
    ------
    MetadataError
        A document is malformed.
    """
    for name in DOCUMENTS:
        text = _document(source, join(path, name))
        if text is None:
            continue
        documents = {name: text}
        if name != "zarr.json":
            for other in (".zattrs", ".zmetadata") if name == ".zgroup" else (".zattrs",):
                more = _document(source, join(path, other))
                if more is not None:
                    documents[other] = more
        return Node(read_node(documents, key=path), text)
    return None


def _document(source: ByteSource, key: str) -> bytes | None:
    text = source.get(key, DOCUMENT_LIMIT_BYTES)
    if text is not None:
        _check_length(key, len(text))
    return text


def _check_length(key: str, size_bytes: int) -> None:
    if size_bytes > DOCUMENT_LIMIT_BYTES:
        raise MetadataError(key, "", f"must have at most {DOCUMENT_LIMIT_BYTES} bytes, got {size_bytes}")


def identity(source: ByteSource, path: str) -> bytes | None:
    """The main document of the node at `path`, unread; None if there is none.

    What a store knows of a value's version (an inode and its times) is not enough here: a document
    may be replaced twice within one tick of the clock.
    """
    for name in DOCUMENTS:
        text = _document(source, join(path, name))
        if text is not None:
            return text
    return None


def store(source: ByteSource, path: str, metadata: ArrayMetadata | GroupMetadata, *, durable: bool = False) -> None:
    """Write the documents of a node, the one that makes it a node last, and refresh consolidated copies above."""
    documents = write_array(metadata) if isinstance(metadata, ArrayMetadata) else write_group(metadata)
    for name in sorted(documents, key=lambda name: name in DOCUMENTS):
        source.put(join(path, name), [documents[name]], durable=durable)
    refresh_consolidated(source, path, durable=durable)


def refresh_consolidated(source: ByteSource, path: str, *, durable: bool = False, leaving: bool = False) -> None:
    """Make the consolidated metadata above `path` say what is at `path` and below it now.

    What is there is read again under the lock of each group above, so that of several changes at
    once the last one to be recorded records what all of them left. Before a removal (`leaving`)
    it says that nothing is there: who is killed on the way leaves no entry without a node.
    """
    for above in ancestors(path):
        with source.lock(above, DOCUMENT, DOCUMENT + 1):
            node = load(source, above)
            if node is None or not isinstance(node.metadata, GroupMetadata) or node.metadata.consolidated is None:
                continue
            below = path[len(above) :].lstrip("/")
            kept = {
                name: member
                for name, member in node.metadata.consolidated.items()
                if name != below and not name.startswith(below + "/")
            }
            found = None if leaving else load(source, path)
            if found is not None:
                kept[below] = _alone(found.metadata)
                if isinstance(found.metadata, GroupMetadata):
                    kept.update((join(below, name), _alone(member)) for name, member in walk(source, path))
            documents = write_group(replace(node.metadata, consolidated=dict(sorted(kept.items()))))
            for name in sorted(documents, key=lambda name: name in DOCUMENTS):
                source.put(join(above, name), [documents[name]], durable=durable)


def _alone(metadata: ArrayMetadata | GroupMetadata) -> ArrayMetadata | GroupMetadata:
    """A node as consolidated metadata lists it: without a list of its own."""
    return replace(metadata, consolidated=None) if isinstance(metadata, GroupMetadata) else metadata


def document_lock(source: ByteSource, path: str) -> AbstractContextManager[None]:
    """Hold the documents of the node at `path` for writing."""
    return source.lock(path, DOCUMENT, DOCUMENT + 1)


def require_absent(source: ByteSource, path: str, location: str) -> None:
    """Raise `NodeExistsError` if there is a node at `path`."""
    for name in DOCUMENTS:
        value = source.open(join(path, name))
        if value is not None:
            value.close()
            raise NodeExistsError(
                f"`store` must not have an array or group at {location!r}, it has {name}; "
                "pass overwrite=True to replace it, or open it"
            )


def require(source: ByteSource, path: str, location: str) -> Node:
    """The node at `path`; `NodeNotFoundError` if there is none."""
    node = load(source, path)
    if node is None:
        raise NodeNotFoundError(
            f"there is no Zarr array or group at {location!r} (no zarr.json, .zarray or .zgroup); "
            "check the path, or create one with tz.create"
        )
    return node


def make_groups(source: ByteSource, path: str, zarr_format: int, *, durable: bool = False) -> None:
    """Make a group of every path above `path` that is no node yet.

    Raises `NodeExistsError` if one of them is an array.
    """
    for above in ancestors(path):
        node = load(source, above)
        if node is None:
            with document_lock(source, above):
                if load(source, above) is None:
                    store_group(source, above, zarr_format, durable=durable)
        elif isinstance(node.metadata, ArrayMetadata):
            raise NodeExistsError(f"`path` must not lie inside an array, {above!r} is one; choose another path")


def store_group(source: ByteSource, path: str, zarr_format: int, *, durable: bool = False) -> GroupMetadata:
    """Write a new group without attributes."""
    metadata = GroupMetadata(2 if zarr_format == 2 else 3)
    store(source, path, metadata, durable=durable)
    return metadata


def walk(source: ByteSource, path: str) -> Iterator[tuple[str, ArrayMetadata | GroupMetadata]]:
    """Every node below `path`, by path relative to it, parents before children; arrays are not looked into.

    Raises `MetadataError` on the first malformed document.
    """
    for entry in sorted(source.list(path), key=lambda entry: entry.name):
        if not entry.is_prefix:
            continue
        below = join(path, entry.name)
        node = load(source, below)
        if node is None:
            continue
        yield entry.name, node.metadata
        if isinstance(node.metadata, GroupMetadata):
            for name, metadata in walk(source, below):
                yield f"{entry.name}/{name}", metadata
