"""Values in the memory of this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NoReturn, TypeAlias
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from tenzarr.core.forks import on_fork_in_child
from tenzarr.errors import ArgumentTypeError, ClosedStoreError
from tenzarr.storage.sources.base import MISSING, Buffer, ByteSource, Entry, Stage, Value
from tenzarr.storage.sources.failures import closed, read_only
from tenzarr.storage.sources.files import flat, scatter
from tenzarr.storage.sources.keys import check_key, check_prefix
from tenzarr.storage.sources.locks import ThreadLocks

__all__ = ["MemorySource", "MemoryValue", "entries_below", "is_below"]

Names: TypeAlias = list[str]

_versions = itertools.count(1)


class MemoryValue(Value):
    """A value that lies in memory, and cannot change.

    Parameters
    ----------
    data : bytes or memoryview
        The value.
    identity : hashable, optional
        Other for other data; None if that cannot be promised.
    location : str
        What errors call the store.
    """

    def __init__(self, data: bytes | memoryview, identity: Hashable | None, location: str) -> None:
        self._data: memoryview | None = memoryview(data)
        self._location = location
        self.size_bytes = self._data.nbytes
        self.identity = identity

    def _view(self) -> memoryview:
        if self._data is None:
            raise closed(self._location)
        return self._data

    def read_into(self, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> list[int]:
        """Fill the buffers of each ``(start, buffers)``; the number of bytes read for each."""
        data = self._view()
        return [scatter(data[start:], buffers) for start, buffers in ranges]

    def map(self, start: int, length: int) -> npt.NDArray[np.uint8] | None:
        """A read-only view of the bytes without a copy, or None where the value is too short."""
        data = self._view()
        if length <= 0 or start < 0 or start + length > data.nbytes:
            return None
        view = np.frombuffer(data, dtype=np.uint8, count=length, offset=start)
        view.setflags(write=False)
        return view

    def close(self) -> None:
        """Release the value. Calling it twice is harmless."""
        self._data = None


class MemorySource(ByteSource):
    """Values in a dictionary of this process.

    It cannot be pickled: another process would see its own copy and lose what it writes.

    Examples
    --------
    >>> source = MemorySource()
    >>> source.put("a/zarr.json", [b"{}"])
    >>> source.get("a/zarr.json"), source.get("b"), [entry.name for entry in source.list("")]
    (b'{}', None, ['a'])
    >>> source.put("/a", [b""])
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `key` must stay inside the store: '/a' has the segment ''; ...
    """

    local = True
    can_replace_tree = True
    location = "memory"

    def __init__(self, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self._closed = False
        # Readers take whatever dictionary they find here; writers change it under the mutex.
        self._values: dict[str, tuple[bytes, int]] = {}
        self._mutex = threading.Lock()
        self._locks = ThreadLocks()
        _sources.add(self)

    def __repr__(self) -> str:
        return f"MemorySource(<{len(self._values)} values>)"

    def __reduce__(self) -> NoReturn:
        raise ArgumentTypeError(
            "a store in memory cannot be pickled: another process would change a copy of its own; "
            "save the array to a path, and pickle that"
        )

    def reset_after_fork(self) -> None:
        """In a child: nobody holds anything."""
        self._mutex = threading.Lock()
        self._locks.reset()

    def _check(self, key: str) -> None:
        check_key(key)
        if self._closed:
            raise closed(self.location)

    def _check_writable(self, key: str, doing: str) -> None:
        if self._closed:
            raise closed(self.location)
        if self.read_only:
            raise read_only(self.location, doing, key)

    def fetch(self, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value; the number of bytes read, or -1 if there is no value."""
        found = self._values.get(key)
        if found is None or self._closed:
            self._check(key)
            return MISSING
        return scatter(memoryview(found[0])[start:], buffers)

    def get(self, key: str, limit_bytes: int | None = None) -> bytes | None:
        """The whole value, or None; at most ``limit_bytes + 1`` bytes of it where a limit is given."""
        self._check(key)
        found = self._values.get(key)
        if found is None:
            return None
        return found[0] if limit_bytes is None or len(found[0]) <= limit_bytes else found[0][: limit_bytes + 1]

    def open(self, key: str) -> Value | None:
        """The value held open, or None if there is none."""
        self._check(key)
        found = self._values.get(key)
        return None if found is None else MemoryValue(found[0], found[1], self.location)

    def put(self, key: str, buffers: Sequence[Buffer], *, durable: bool = False) -> None:
        """Replace the value by the concatenation of `buffers`, atomically. Nothing here is durable."""
        check_key(key)
        self._check_writable(key, "write")
        data = bytes(buffers[0]) if len(buffers) == 1 and isinstance(buffers[0], bytes) else _joined(buffers)
        with self._mutex:
            self._values[key] = (data, next(_versions))

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens if there is none."""
        check_key(key)
        self._check_writable(key, "delete")
        with self._mutex:
            self._values.pop(key, None)

    def list(self, prefix: str) -> Iterator[Entry]:
        """The names directly below `prefix` (``""`` is the root), in no order; nothing if there are none."""
        check_prefix(prefix)
        if self._closed:
            raise closed(self.location)
        return iter(entries_below(prefix, [(key, len(data)) for key, (data, _) in self._values.copy().items()]))

    def delete_tree(self, prefix: str) -> None:
        """Remove `prefix` and everything below it, at once."""
        check_prefix(prefix)
        self._check_writable(prefix, "delete")
        with self._mutex:
            self._values = {key: value for key, value in self._values.items() if not is_below(key, prefix)}

    def lock(self, prefix: str, first: int, last: int) -> AbstractContextManager[None]:
        """Hold units ``first <= n < last`` of the node at `prefix`, against the other threads of this process."""
        check_prefix(prefix)
        self._check_writable(prefix, "lock")
        return self._locks.hold(prefix, first, last)

    def stage(self, target: str) -> Stage:
        """A new, empty tree that becomes the tree at `target` (``""`` is the root) in one step."""
        check_prefix(target)
        self._check_writable(target, "replace")
        return _MemoryStage(self, target)

    def replace_below(self, target: str, tree: MemorySource) -> None:
        """Make the values of `tree` all there is at `target`, in one step."""
        self._check_writable(target, "replace")
        lead = f"{target}/" if target else ""
        with self._mutex:
            kept = {key: value for key, value in self._values.items() if not is_below(key, target)}
            self._values = kept | {lead + key: value for key, value in tree._values.items()}

    def clean(self, prefix: str, *, remove: bool) -> Names:
        """Nothing: a dead writer leaves nothing in memory."""
        check_prefix(prefix)
        if self._closed:
            raise closed(self.location)
        if remove:
            self._check_writable(prefix, "clean")
        return []

    def close(self) -> None:
        """Refuse further use. Calling it twice is harmless."""
        self._closed = True


class _MemoryStage(Stage):
    """Values that go into the source together."""

    def __init__(self, owner: MemorySource, target: str) -> None:
        self._owner = owner
        self._target = target
        self._done = False
        self._tree = MemorySource()
        self.source = self._tree

    def commit(self, *, durable: bool = False) -> None:
        """Put the tree in the place of whatever is at the target."""
        if self._done:
            raise ClosedStoreError(f"the stage of {self._target!r} in memory was used already; make a new one")
        self._done = True
        self._owner.replace_below(self._target, self._tree)
        self._tree.close()

    def discard(self) -> None:
        """Forget what was written."""
        self._done = True
        self._tree.close()


_sources: WeakSet[MemorySource] = WeakSet()


def _reset_all() -> None:
    for source in _sources:
        source.reset_after_fork()


on_fork_in_child(_reset_all)


def _joined(buffers: Sequence[Buffer]) -> bytes:
    return b"".join([flat(buffer) for buffer in buffers])


def is_below(key: str, prefix: str) -> bool:
    """Whether `key` is `prefix` or lies below it.

    >>> is_below("a/b", "a"), is_below("ab", "a"), is_below("a", "")
    (True, False, True)
    """
    return not prefix or key == prefix or key.startswith(f"{prefix}/")


def entries_below(prefix: str, sizes: Sequence[tuple[str, int]]) -> Sequence[Entry]:
    """The entries directly below `prefix` among ``(key, size in bytes)``.

    >>> [(e.name, e.is_prefix) for e in entries_below("a", [("a/b/c", 1), ("a/d", 2), ("e", 3)])]
    [('b', True), ('d', False)]
    """
    lead = f"{prefix}/" if prefix else ""
    found: dict[str, Entry] = {}
    for key, size_bytes in sizes:
        if key.startswith(lead):
            name, slash, _ = key[len(lead) :].partition("/")
            if slash or name not in found:
                found[name] = Entry(name, bool(slash), 0 if slash else size_bytes)
    return [*found.values()]
