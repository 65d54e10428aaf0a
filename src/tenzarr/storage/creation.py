"""Putting a new array in a store, whole or not at all.

One commit protocol for `create`, overwriting, `save` and `copy_to`: stage beside the target and
rename where the store can; elsewhere chunks first, the document last.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tenzarr.errors import MetadataError, NodeExistsError, ReadOnlyError
from tenzarr.storage import nodes
from tenzarr.storage.codecs import UnknownCodecError, compile_chain
from tenzarr.storage.engine import Engine, choose_engine
from tenzarr.storage.metadata import ArrayMetadata, GroupMetadata
from tenzarr.storage.sources import DOCUMENT, EVERYTHING, ByteSource
from tenzarr.storage.stored import stored_chunks

__all__ = [
    "Target",
    "create_array",
    "is_native",
    "placing",
    "remove_node",
    "replace_node",
    "require_free",
    "require_writable",
]


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
        with removed_on_error(source, path, metadata):
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
def removed_on_error(source: ByteSource, path: str, metadata: ArrayMetadata) -> Generator[None]:
    """Remove what was written of the new array at `path` if the block fails, and nothing else."""
    try:
        yield
    except BaseException:
        for name in (*nodes.DOCUMENTS, ".zattrs"):
            source.delete(nodes.join(path, name))
        for chunk in stored_chunks(source, path, metadata):
            source.delete(chunk.key)
        nodes.refresh_consolidated(source, path)
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


def require_empty(source: ByteSource, path: str) -> None:
    """Raise `NodeExistsError` if there is anything at `path`: what is built beside it takes its whole place."""
    entry = next(iter(source.list(path)), None)
    if entry is not None:
        raise NodeExistsError(
            f"`store` must be free where an array is put, {nodes.join(source.location, path)!r} has {entry.name!r}; "
            "choose another path, or pass overwrite=True to replace an array or group"
        )


def require_replaceable(source: ByteSource, path: str) -> None:
    """Raise `NodeExistsError` if there is something at `path` that is neither an array nor a group."""
    if _occupied(source, path) is None:
        require_empty(source, path)


@contextmanager
def placing(
    source: ByteSource, path: str, metadata: ArrayMetadata, *, overwrite: bool, durable: bool
) -> Generator[Target]:
    """Write a new array; it appears at `path` when the block ends without an error.

    Where the store can replace a tree in one step, a reader finds what was at `path` before, or
    the new array, whole. Elsewhere the old node is removed first, and the document of the new one
    is written after its chunks.

    Raises `NodeExistsError` if there is anything at `path` and `overwrite` is false, or if what is
    there is no array or group: files of somebody else's are never removed.
    """
    location = nodes.join(source.location, path)
    require_writable(source, location)
    require = require_replaceable if overwrite else require_empty
    require(source, path)
    nodes.make_groups(source, path, metadata.zarr_format, durable=durable)
    if source.can_replace_tree:
        with source.stage(path) as stage:
            nodes.store(stage.source, "", metadata)
            yield Target(choose_engine(stage.source, "", metadata, path), metadata)
            with locked_tree(source, path):
                require(source, path)
                stage.commit(durable=durable)
        nodes.refresh_consolidated(source, path, durable=durable)
        return
    if overwrite:
        remove_node(source, path)
    with removed_on_error(source, path, metadata):
        if not is_native(metadata, path):
            # zarr-python writes no chunk before there is a document.
            nodes.store(source, path, metadata, durable=durable)
        yield Target(choose_engine(source, path, metadata, path), metadata)
        with nodes.document_lock(source, path):
            nodes.store(source, path, metadata, durable=durable)


@contextmanager
def locked_tree(source: ByteSource, path: str) -> Generator[None]:
    """Hold everything of the node at `path` and of every node below it, children before parents."""
    with ExitStack() as held:
        for name, metadata in reversed(list(_nodes_below(source, path))):
            first, last = _units(metadata)
            held.enter_context(source.lock(nodes.join(path, name), first, last))
        held.enter_context(source.lock(path, *_units(_metadata_at(source, path))))
        yield


def _units(metadata: ArrayMetadata | GroupMetadata | None) -> tuple[int, int]:
    """What there is to lock of a node: a group has a document and nothing else."""
    return (DOCUMENT, DOCUMENT + 1) if isinstance(metadata, GroupMetadata) else (0, EVERYTHING)


def _metadata_at(source: ByteSource, path: str) -> ArrayMetadata | GroupMetadata | None:
    try:
        node = nodes.load(source, path)
    except MetadataError:
        # What nobody can read may still be replaced.
        return None
    return None if node is None else node.metadata


def _nodes_below(source: ByteSource, path: str) -> Iterator[tuple[str, ArrayMetadata | GroupMetadata]]:
    if not isinstance(_metadata_at(source, path), GroupMetadata):
        return
    try:
        yield from nodes.walk(source, path)
    except MetadataError:
        return


def replace_node(source: ByteSource, path: str, metadata: GroupMetadata, *, durable: bool) -> None:
    """Put an empty group in the place of the node at `path`; in one step where the store can."""
    if source.can_replace_tree:
        with source.stage(path) as stage:
            nodes.store(stage.source, "", metadata)
            with locked_tree(source, path):
                stage.commit(durable=durable)
        nodes.refresh_consolidated(source, path, durable=durable)
        return
    remove_node(source, path)
    with nodes.document_lock(source, path):
        nodes.store(source, path, metadata, durable=durable)


def remove_node(source: ByteSource, path: str) -> None:
    """Remove the node at `path` and everything below it; its documents first, so that no reader finds half of it.

    Writers below are waited for, and find the node gone when it is their turn.
    """
    nodes.refresh_consolidated(source, path, leaving=True)
    try:
        with locked_tree(source, path):
            for name in (*nodes.DOCUMENTS, ".zattrs", ".zmetadata"):
                source.delete(nodes.join(path, name))
            source.delete_tree(path)
    finally:
        nodes.refresh_consolidated(source, path)
