"""The one seam for bytes: what the data path asks of a store.

A `ByteSource` maps keys to values. Keys are relative paths with ``/`` between
the parts (``"group/array/c/0/1"``); the source refuses every key that could
leave it. Values are whole byte strings that are replaced atomically: a reader
sees the old value or the new one, never a mixture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tenzarr.core.workers import drain
from tenzarr.errors import UnsupportedError

__all__ = ["DOCUMENT", "MISSING", "Buffer", "ByteSource", "Entry", "Item", "Request", "Stage", "Value"]

Buffer: TypeAlias = Any
"""Anything with the buffer protocol: bytes, bytearray, memoryview, a C-contiguous ndarray."""

Item: TypeAlias = tuple[str, Sequence[Buffer]]
"""``(key, buffers)``: the concatenation of `buffers` is the value."""

Job = TypeVar("Job")

Request: TypeAlias = tuple[str, int, Sequence[Buffer]]
"""``(key, start, buffers)``: fill `buffers`, one after another, from byte `start` of the value."""

MISSING = -1
"""What `ByteSource.read_into` and `ByteSource.fetch` answer for a key that has no value."""

DOCUMENT = 2**62
"""The unit of `ByteSource.lock` that stands for the metadata of the node."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name directly below a prefix."""

    name: str
    is_prefix: bool
    """True for a folder, False for a value."""
    size_bytes: int
    """Of a value; 0 for a prefix."""


class Value(ABC):
    """One value, held open: several ranges of it are read from the same version.

    Use it as a context manager. It is used by one thread at a time.
    """

    size_bytes: int
    identity: Hashable | None
    """Changes whenever the value does; None where the store cannot promise that (then nothing is cached by it)."""

    @abstractmethod
    def read_into(self, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> list[int]:
        """Fill the buffers of each ``(start, buffers)``; the number of bytes read for each.

        A number below the sum of the buffers' lengths means that the value ended.
        """

    def read_rows(self, start: int, rows: npt.NDArray[np.uint8]) -> int:
        """Fill the rows of `rows`, of shape ``(rows, bytes)``, one after another from byte `start`; the bytes read.

        Each row is contiguous; between rows there may be anything.
        """
        return self.read_into([(start, list(rows))])[0]

    @abstractmethod
    def map(self, start: int, length: int) -> npt.NDArray[np.uint8] | None:
        """A read-only view of the stored bytes without a copy, or None where that is not possible or not safe.

        The view stays valid after the value is closed. ``None`` for a value that is not
        a local file, lies on a network file system, or is shorter than ``start + length``.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what holds the value open. Calling it twice is harmless."""

    def __enter__(self) -> Value:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stage(ABC):
    """A tree being written that nobody else sees until it is whole.

    Use it as a context manager: without a `commit` everything that was written is removed.
    A stage whose process died is removed by `ByteSource.clean`.
    """

    source: ByteSource
    """Where the tree is written: its root is what becomes the target."""

    @abstractmethod
    def commit(self, *, durable: bool = False) -> None:
        """Put the tree in the place of whatever is at the target, and remove the latter.

        A reader finds the old tree or the new one, whole; so does who comes after a kill. With
        `durable`, the whole tree and its place survive a power loss once the call has
        returned; the values need not have been put with `durable` for that.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written. Harmless after `commit` and when called twice."""

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class ByteSource(ABC):
    """A store of values by key. Safe to use from several threads, and after a fork.

    Errors: `ConfinementError` for a key that could leave the store, `ClosedStoreError` after
    `close`, `ReadOnlyError` for a write to a read-only source, `StoreError` (with the errno,
    the key and what to do) for everything the operating system refuses, a directory or a FIFO
    in the place of a value included. A missing value is never an error here.
    """

    read_only: bool
    """Whether `put` and `delete` are refused. Reading creates nothing, in either case."""
    local: bool
    """Whether one request costs microseconds (files, memory), so that asking one by one is best."""
    location: str
    """What a person calls the store: a path, a URL, ``"memory"``."""

    @abstractmethod
    def fetch(self, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value; the number of bytes read, or -1 if there is no value.

        The hot call of the data path. Ask for one byte more than you expect to learn that a value is too long.
        """

    def fetch_each(self, keys: Sequence[str], buffers: Sequence[Buffer]) -> Iterator[int]:
        """`fetch` the values of `keys` from their start, one after another, each into the same `buffers`.

        Take what you need of the buffers before you ask for the next number. After an error there is no next.
        """
        for key in keys:
            yield self.fetch(key, 0, buffers)

    def fetch_ranges(self, key: str, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> tuple[int, bool]:
        """Fill the buffers of each ``(start, buffers)``; the size of the value and whether all were filled.

        The size is -1 if there is no value. All ranges are of the same version of the value.
        """
        value = self.open(key)
        if value is None:
            return MISSING, False
        with value:
            counts = value.read_into(ranges)
            wanted = [sum(memoryview(buffer).nbytes for buffer in buffers) for _, buffers in ranges]
            return value.size_bytes, counts == wanted

    def read_into(self, requests: Sequence[Request]) -> list[int]:
        """`fetch` for many requests at once; the source decides about order, concurrency and coalescing."""
        return [self.fetch(key, start, buffers) for key, start, buffers in requests]

    @abstractmethod
    def get(self, key: str, limit_bytes: int | None = None) -> bytes | None:
        """The whole value, or None. At most ``limit_bytes + 1`` bytes are read where a limit is given."""

    @abstractmethod
    def open(self, key: str) -> Value | None:
        """The value held open, or None if there is none."""

    @abstractmethod
    def put(self, key: str, buffers: Sequence[Buffer], *, durable: bool = False) -> None:
        """Replace the value by the concatenation of `buffers`, atomically.

        With `durable`, the value and the directory entries that lead to it survive a power
        loss once the call has returned.
        """

    def put_many(self, items: Sequence[Item], *, durable: bool = False) -> None:
        """`put` for several values, in any order; with `durable` the source may share the cost of the syncs.

        Each value is replaced atomically, not all of them together. Of two with one key the last counts.
        """
        for key, buffers in items:
            self.put(key, buffers, durable=durable)

    def put_made(self, jobs: Iterable[Job], make: Callable[[Job], Item | None], *, durable: bool = False) -> None:
        """`put_many` of what `make` gives for each of `jobs`, leaving out None; all keys differ.

        `make` is called in several threads; a source may store some values while others are made.
        """
        made: list[Item | None] = []
        drain(jobs, lambda some: made.extend(map(make, some)), batch=1, parallel=True)
        self.put_many([item for item in made if item is not None], durable=durable)

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the value; nothing happens if there is none."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Entry]:
        """The names directly below `prefix` (``""`` is the root), in no order; nothing if there are none.

        Files that only Tenzarr uses (lock files, temporary files, stages) are not listed.
        """

    @abstractmethod
    def delete_tree(self, prefix: str) -> None:
        """Remove `prefix` and everything below it."""

    @abstractmethod
    def lock(self, prefix: str, first: int, last: int) -> AbstractContextManager[None]:
        """Hold units ``first <= n < last`` of the node at `prefix` for writing, against other threads and processes.

        Units are chunk numbers (row-major on the chunk grid); `DOCUMENT` stands for the
        metadata. Not reentrant. Where a store has no locks between processes (memory, remote
        stores), the lock works between the threads of this process only.
        """

    def stage(self, target: str) -> Stage:
        """A new, empty tree that becomes the tree at `target` (``""`` is the root) in one step.

        Raises `UnsupportedError` where the store cannot do that; `can_replace_tree` says so beforehand.
        The caller holds what locks of `target` it wants; a stage takes none of them.
        """
        raise UnsupportedError(
            f"the store {self.location} cannot replace the tree at {target!r} in one step; write the chunks "
            "first and the document last, or write to a local path and copy"
        )

    can_replace_tree: bool = False

    @abstractmethod
    def clean(self, prefix: str, *, remove: bool) -> list[str]:
        """What dead writers left below `prefix` (temporary files, stages), removed if `remove` is true."""

    @abstractmethod
    def close(self) -> None:
        """Refuse further use. Calling it twice is harmless."""
