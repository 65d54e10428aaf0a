"""Which chunks of an array have a stored value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tenzarr.storage.metadata.model import ArrayMetadata, ChunkKeys
from tenzarr.storage.sources.base import ByteSource

__all__ = ["StoredChunk", "chunk_index", "stored_chunks"]

_NUMBER = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A value in the place of a chunk or, where there are shards, of a shard."""

    index: tuple[int, ...]
    """On the chunk grid of the document: that of the shards, where there are any."""
    key: str
    """Relative to the store."""
    size_bytes: int
    """As it is stored; 0 where a folder is in its place."""


def stored_chunks(source: ByteSource, path: str, metadata: ArrayMetadata) -> Iterator[StoredChunk]:
    """The stored values of an array that lie on its chunk grid, folder by folder, in order within each.

    A folder in the place of a chunk is among them: reading it says what is wrong.

    Parameters
    ----------
    source : ByteSource
        The store.
    path : str
        Of the array in it; ``""`` is the root.
    metadata : ArrayMetadata
        Its chunk grid and chunk keys.
    """
    grid = tuple(math.ceil(length / chunk) for length, chunk in zip(metadata.shape, metadata.chunks, strict=True))
    if 0 not in grid:
        yield from _below(source, path, "", metadata.keys, grid)


def _below(source: ByteSource, path: str, prefix: str, keys: ChunkKeys, grid: tuple[int, ...]) -> Iterator[StoredChunk]:
    found: list[StoredChunk] = []
    folders: list[str] = []
    for entry in source.list(_join(path, prefix)):
        relative = _join(prefix, entry.name)
        index = chunk_index(relative, keys, len(grid))
        if index is not None and all(i < n for i, n in zip(index, grid, strict=True)):
            found.append(StoredChunk(index, _join(path, relative), entry.size_bytes))
        elif entry.is_prefix and (prefix or _begins_a_key(entry.name, keys)):
            folders.append(relative)
    yield from sorted(found, key=lambda chunk: chunk.index)
    for folder in sorted(folders, key=_natural):
        yield from _below(source, path, folder, keys, grid)


def chunk_index(relative: str, keys: ChunkKeys, ndim: int) -> tuple[int, ...] | None:
    """The index of the chunk whose key is `relative`, or None where that is no key of a chunk.

    >>> chunk_index("c/1/23", ChunkKeys("default", "/"), 2), chunk_index("1.23", ChunkKeys("v2", "."), 2)
    ((1, 23), (1, 23))
    >>> chunk_index("c/01/23", ChunkKeys("default", "/"), 2), chunk_index("zarr.json", ChunkKeys("default", "/"), 2)
    (None, None)
    """
    parts = relative.split(keys.separator)
    if keys.name == "default":
        head, parts = parts[0], parts[1:]
        if head != "c":
            return None
    elif ndim == 0:
        return () if relative == "0" else None
    if len(parts) != ndim or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return tuple(int(part) for part in parts)


def _begins_a_key(name: str, keys: ChunkKeys) -> bool:
    """Whether a folder directly below the array can hold chunks; a group's child nodes are left alone."""
    if keys.separator == ".":
        return False
    return name == "c" if keys.name == "default" else _NUMBER.fullmatch(name) is not None


def _natural(folder: str) -> tuple[int, str]:
    return len(folder), folder


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent and name else parent or name
