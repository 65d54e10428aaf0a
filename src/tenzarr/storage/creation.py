"""Putting a new array in a store, whole or not at all.

One commit protocol for `create`, overwriting, `save` and `copy_to`: stage beside the target and
rename where the store can; elsewhere chunks first, the document last.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from tenzarr.errors import NodeExistsError, ReadOnlyError
from tenzarr.storage import nodes
from tenzarr.storage.codecs import UnknownCodecError, compile_chain
from tenzarr.storage.engine import Engine, choose_engine
from tenzarr.storage.metadata import ArrayMetadata
from tenzarr.storage.sources import EVERYTHING, ByteSource

__all__ = ["Target", "create_array", "is_native", "placing", "remove_node", "require_free", "require_writable"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a new array is being written."""

    engine: Engine
    """Writes its chunks."""
    metadata: ArrayMetadata
    """Of the array."""


def create_array(source: ByteSource, path: str, metadata: ArrayMetadata, *, overwrite: bool, durable: bool) -> None:
    """Create an array without any chunk.

    Raises
    ------
    NodeExistsError
        There is something at `path` and `overwrite` is false.
    ReadOnlyError
        The store is read-only.
    MetadataError
        A codec is unknown, or its configuration is wrong.
    """
    location = nodes.join(source.location, path)
    require_writable(source, location)
    if overwrite and _occupied(source, path) is not None:
        with placing(source, path, metadata, overwrite=True, durable=durable):
            return
    native = is_native(metadata, path)
    nodes.make_groups(source, path, metadata.zarr_format, durable=durable)
    with nodes.document_lock(source, path):
        require_free(source, path)
        nodes.store(source, path, metadata, durable=durable)
    if not native:
        with removed_on_error(source, path):
            choose_engine(source, path, metadata, path)


def is_native(metadata: ArrayMetadata, document: str) -> bool:
    """Whether our own data path carries the array; raises `MetadataError` where a codec is wrong."""
    if not metadata.dtype.native:
        return False
    try:
        compile_chain(metadata, document)
    except UnknownCodecError:
        return False
    return True


@contextmanager
def removed_on_error(source: ByteSource, path: str) -> Generator[None]:
    """Remove the node at `path` again if the block fails."""
    try:
        yield
    except BaseException:
        remove_node(source, path)
        raise


def require_writable(source: ByteSource, location: str) -> None:
    """Raise `ReadOnlyError` if `source` refuses writes."""
    if source.read_only:
        raise ReadOnlyError(f'`store` must be open for writing, {location!r} is read-only; open it with mode="r+"')


def require_free(source: ByteSource, path: str) -> None:
    """Raise `NodeExistsError` if there is a node at `path`, or what is left of one."""
    found = _occupied(source, path)
    if found is not None:
        raise NodeExistsError(
            f"`store` must be free where an array is created, {nodes.join(source.location, path)!r} has {found}; "
            "pass overwrite=True to replace what is there, or open it"
        )


def _occupied(source: ByteSource, path: str) -> str | None:
    """The document or the first chunk at `path`, or None if a new array finds neither."""
    for name in nodes.DOCUMENTS:
        value = source.open(nodes.join(path, name))
        if value is not None:
            value.close()
            return name
    for entry in source.list(path):
        if entry.name == "c" or entry.name.startswith("c.") or entry.name[:1].isdigit():
            return f"chunks ({entry.name}) without a document"
    return None


@contextmanager
def placing(
    source: ByteSource, path: str, metadata: ArrayMetadata, *, overwrite: bool, durable: bool
) -> Generator[Target]:
    """Write a new array; it appears at `path` when the block ends without an error.

    Where the store can replace a tree in one step, a reader finds what was at `path` before, or
    the new array, whole. Elsewhere the old node is removed first, and the document of the new one
    is written after its chunks.
    """
    location = nodes.join(source.location, path)
    require_writable(source, location)
    if not overwrite:
        require_free(source, path)
    nodes.make_groups(source, path, metadata.zarr_format, durable=durable)
    if source.can_replace_tree:
        with source.stage(path) as stage:
            nodes.store(stage.source, "", metadata)
            yield Target(choose_engine(stage.source, "", metadata, path), metadata)
            with source.lock(path, 0, EVERYTHING):
                if not overwrite:
                    require_free(source, path)
                stage.commit(durable=durable)
        nodes.refresh_consolidated(source, path, metadata, durable=durable)
        return
    if overwrite:
        remove_node(source, path)
    with removed_on_error(source, path):
        if not is_native(metadata, path):
            # zarr-python writes no chunk before there is a document.
            nodes.store(source, path, metadata, durable=durable)
        yield Target(choose_engine(source, path, metadata, path), metadata)
        with nodes.document_lock(source, path):
            nodes.store(source, path, metadata, durable=durable)


def remove_node(source: ByteSource, path: str) -> None:
    """Remove the node at `path` and everything below it; its documents first, so that no reader finds half of it."""
    for name in (*nodes.DOCUMENTS, ".zattrs", ".zmetadata"):
        source.delete(nodes.join(path, name))
    source.delete_tree(path)
    nodes.refresh_consolidated(source, path, None)
