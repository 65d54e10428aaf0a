"""One array as the data path sees it: where its chunks lie and how they are coded."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tenzarr.core.forks import RenewedLock
from tenzarr.core.text import format_bytes
from tenzarr.errors import ChecksumError, CorruptChunkError, StoreError, TooLargeError
from tenzarr.storage.codecs import ChecksumMismatch, ChunkCodec, ShardIndex, UndecodableError
from tenzarr.storage.metadata.model import ChunkKeys
from tenzarr.storage.sources.base import ByteSource

__all__ = ["ChunkAccess", "IndexCache"]

NOT_A_VALUE = {
    errno.EISDIR: "a directory lies in its place",
    errno.ESPIPE: "it is not a regular file",
    errno.ENXIO: "it is not a regular file",
    errno.EINVAL: "it is not a regular file",
    errno.ENODEV: "it is not a regular file",
    errno.ELOOP: "a symbolic link in its place leads back to itself",
    errno.ENOLINK: "a symbolic link in its place leads nowhere; fetch what it stands for",
}
"""What the operating system says of something else in the place of a chunk."""

CACHED_INDEX_BYTES = 32 * 2**20
"""Shard indexes that one array keeps."""

LOCK_BITS = 61
"""Chunk numbers for locks lie below ``2**LOCK_BITS``, below the number of the document."""


class IndexCache:
    """Shard indexes, least recently used out first, each for one version of its shard."""

    def __init__(self) -> None:
        self.lock = RenewedLock()
        self.held: OrderedDict[Hashable, tuple[Hashable, ShardIndex]] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: Hashable, identity: Hashable | None) -> ShardIndex | None:
        """The index of `key` if it was kept for this `identity`."""
        if identity is None:
            return None
        with self.lock.mutex:
            found = self.held.get(key)
            if found is None or found[0] != identity:
                return None
            self.held.move_to_end(key)
            return found[1]

    def put(self, key: Hashable, identity: Hashable | None, index: ShardIndex) -> None:
        """Keep `index`; nothing is kept without an identity."""
        if identity is None or index.nbytes > CACHED_INDEX_BYTES:
            return
        with self.lock.mutex:
            old = self.held.pop(key, None)
            self.held_bytes += index.nbytes - (0 if old is None else old[1].nbytes)
            self.held[key] = (identity, index)
            while self.held_bytes > CACHED_INDEX_BYTES:
                self.held_bytes -= self.held.popitem(last=False)[1][1].nbytes


@dataclass(frozen=True, slots=True)
class ChunkAccess:
    """What reading and writing the chunks of one array needs, besides its shape."""

    source: ByteSource
    """Where the values are."""
    path: str
    """Of the array in the source; ``""`` is the root."""
    codec: ChunkCodec
    """The compiled chain."""
    fill: npt.NDArray[Any]
    """Of shape () and the type in memory: what a missing chunk holds."""
    keys: ChunkKeys
    """How chunks are called."""
    chunks: tuple[int, ...]
    """The chunk grid, in elements."""
    indexes: IndexCache = field(default_factory=IndexCache)
    """Shard indexes that were read."""

    @property
    def key_head(self) -> str:
        """What comes before the chunk numbers in a key; the whole key of a 0-d array."""
        lead = f"{self.path}/" if self.path else ""
        if not self.chunks:
            return lead + self.keys.key(())
        return lead + ("c" + self.keys.separator if self.keys.name == "default" else "")

    @property
    def name(self) -> str:
        """The array as a person calls it."""
        return f"{self.source.location}/{self.path}" if self.path else self.source.location

    def key(self, index: tuple[int, ...]) -> str:
        """The key of chunk `index`, relative to the source."""
        lead = f"{self.path}/" if self.path else ""
        return lead + self.keys.key(index)

    def lock_number(self, index: tuple[int, ...]) -> int:
        """The unit that stands for chunk `index` in a lock.

        It does not depend on the shape, which another process may be changing, and never
        decreases when any number in `index` grows: the units between two corners of a
        block hold all of its chunks.
        """
        bits = LOCK_BITS // max(1, len(index))
        number = 0
        for position in index:
            number = number << bits | min(position, (1 << bits) - 1)
        return number

    def corrupt(self, index: tuple[int, ...], error: UndecodableError | StoreError | str) -> NoReturn:
        """Raise `CorruptChunkError` or `ChecksumError` about chunk `index`."""
        if isinstance(error, StoreError) and error.errno not in NOT_A_VALUE:
            raise error
        kind = ChecksumError if isinstance(error, ChecksumMismatch) else CorruptChunkError
        problem = NOT_A_VALUE[error.errno or 0] if isinstance(error, StoreError) else str(error)
        cause = error if isinstance(error, Exception) else None
        raise kind(self.name, index, self.key(index), problem) from cause

    def too_large(self, index: tuple[int, ...], nbytes: int, error: MemoryError) -> NoReturn:
        """Raise `TooLargeError` about chunk `index`, whose elements take `nbytes`."""
        raise TooLargeError(
            f"chunk {index} of array {self.name!r} (key {self.key(index)!r}) is {format_bytes(nbytes)} in memory, "
            "more than this machine can hold; copy the array into smaller chunks on a larger one"
        ) from error

    def is_fill(self, chunk: npt.NDArray[Any]) -> bool:
        """Whether every element of contiguous `chunk` has the bytes of the fill value."""
        if chunk.size == 0:
            return True
        fill = self.fill.tobytes()
        flat = chunk.reshape(-1).view(np.uint8)
        if flat[: len(fill)].tobytes() != fill:
            return False
        if not any(fill):
            return not flat.any()
        return bool(np.all(flat.reshape(-1, len(fill)) == np.frombuffer(fill, np.uint8)))
