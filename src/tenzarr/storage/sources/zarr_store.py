"""Values in any store that zarr-python can open: object stores, HTTP, and what users wrote themselves."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from tenzarr.core.forks import on_fork_in_child
from tenzarr.errors import StoreError, TenzarrError
from tenzarr.storage.sources.base import MISSING, Buffer, ByteSource, Entry, Request, Value
from tenzarr.storage.sources.failures import closed, read_only
from tenzarr.storage.sources.files import flat, scatter, size_of
from tenzarr.storage.sources.keys import check_key, check_prefix, is_own_name, join
from tenzarr.storage.sources.locks import shared_locks

if TYPE_CHECKING:
    import asyncio

    from zarr.abc.store import Store

__all__ = ["ZarrStoreSource"]

Names: TypeAlias = list[str]
Answer = TypeVar("Answer")

_AT_ONCE = 64


class ZarrStoreSource(ByteSource):
    """The values of a `zarr.abc.store.Store`; its coroutines run on zarr's own event loop.

    Locks work between the threads of this process only, and how atomic a `put` is, the
    store decides. The store stays open when the source is closed: it is the caller's.

    Parameters
    ----------
    store : zarr.abc.store.Store
        The store.
    path : str, optional
        Keys are relative to this place in it; ``""`` is its root.
    read_only : bool, optional
        Refuse every write; a store that is read-only itself refuses in any case.

    Examples
    --------
    >>> from zarr.storage import MemoryStore
    >>> source = ZarrStoreSource(MemoryStore())
    >>> source.put("a/c/0", [b"abcdef"])
    >>> into = bytearray(9)
    >>> source.fetch("a/c/0", 4, [into]), into[:2], source.get("b")
    (2, bytearray(b'ef'), None)
    >>> source.get("a//b")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `key` must stay inside the store: 'a//b' has the segment ''; ...
    """

    local = False

    def __init__(self, store: Store, path: str = "", *, read_only: bool = False) -> None:
        check_prefix(path)
        self.store = store
        self.path = path
        self.read_only = read_only or store.read_only
        self.location = f"{store}/{path}" if path else str(store)
        self._lead = f"{path}/" if path else ""
        self._closed = False
        place, lead = _place_of(store)
        self._locks = shared_locks(place)
        self._lock_lead = f"{lead}/{self._lead}"
        _sources.add(self)

    def __repr__(self) -> str:
        return f"ZarrStoreSource({self.location!r}{', read_only=True' if self.read_only else ''})"

    def __reduce__(self) -> tuple[Callable[..., ZarrStoreSource], tuple[Any, ...]]:
        return _remake, (self.store, self.path, self.read_only)

    def reset_after_fork(self) -> None:
        """In a child: nobody holds anything."""
        self._locks.reset()

    def _check(self, key: str) -> str:
        """The key in the store."""
        check_key(key)
        if self._closed:
            raise closed(self.location)
        return self._lead + key

    def _check_writable(self, key: str, doing: str) -> None:
        if self._closed:
            raise closed(self.location)
        if self.read_only:
            raise read_only(self.location, doing, key)

    def _run(self, work: Coroutine[Any, Any, Answer], doing: str, key: str) -> Answer:
        from zarr.core.sync import sync

        try:
            return sync(work)
        except TenzarrError:
            raise
        except Exception as error:
            number = (error.errno or 0) if isinstance(error, OSError) else 0
            raise StoreError(
                number or errno.EIO,
                f"cannot {doing} {key!r} in {self.location}: {type(error).__name__}: {error}; "
                "look at the store, its credentials and the network",
                key,
            ) from error

    # Reading

    async def _read(self, key: str, start: int, length: int) -> bytes | None:
        """Bytes ``start <= n < start + length`` of the value, as far as it goes; None if there is none."""
        from zarr.abc.store import RangeByteRequest
        from zarr.core.buffer import default_buffer_prototype

        prototype = default_buffer_prototype()
        if length <= 0:
            return b"" if await self.store.exists(key) else None
        try:
            found = await self.store.get(key, prototype, RangeByteRequest(start, start + length))
        except Exception:
            # Some stores refuse a range that begins at or behind the end.
            whole = await self.store.get(key, prototype) if start or length else None
            if whole is None or len(whole) > start:
                raise
            return b""
        return None if found is None else found.to_bytes()

    async def _fill(self, request: Request, gate: asyncio.Semaphore) -> int:
        key, start, buffers = request
        async with gate:
            data = await self._read(key, start, size_of(buffers))
        return MISSING if data is None else scatter(memoryview(data), buffers)

    async def _fill_all(self, requests: Sequence[Request]) -> list[int]:
        import asyncio

        gate = asyncio.Semaphore(_AT_ONCE)
        return await asyncio.gather(*(self._fill(request, gate) for request in requests))

    def fetch(self, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value; the number of bytes read, or -1 if there is no value."""
        return self.read_into([(key, start, buffers)])[0]

    def read_into(self, requests: Sequence[Request]) -> list[int]:
        """`fetch` for many requests at once, up to 64 of them side by side."""
        if not requests:
            return []
        inner = [(self._check(key), start, buffers) for key, start, buffers in requests]
        return self._run(self._fill_all(inner), "read", requests[0][0])

    def get(self, key: str, limit_bytes: int | None = None) -> bytes | None:
        """The whole value, or None. At most ``limit_bytes + 1`` bytes are read where a limit is given."""
        inner = self._check(key)
        if limit_bytes is not None:
            return self._run(self._read(inner, 0, limit_bytes + 1), "read", key)
        return self._run(self._get(inner), "read", key)

    async def _get(self, key: str) -> bytes | None:
        from zarr.core.buffer import default_buffer_prototype

        found = await self.store.get(key, default_buffer_prototype())
        return None if found is None else found.to_bytes()

    def open(self, key: str) -> Value | None:
        """The value, or None if there is none. Nothing holds it: each range is asked of the store anew."""
        inner = self._check(key)
        size_bytes = self._run(self._size(inner), "read", key)
        return None if size_bytes is None else _RemoteValue(self, key, size_bytes)

    async def _size(self, key: str) -> int | None:
        """The size of a value in bytes; None for a folder, or if there is nothing."""
        inspect = getattr(getattr(self.store, "fs", None), "_info", None)
        if inspect is not None:
            return await self._size_by_fsspec(key, inspect)
        if not await self._is_value(key):
            return None
        try:
            return await self.store.getsize(key)
        except (FileNotFoundError, KeyError):
            return None

    async def _is_value(self, key: str) -> bool:
        """Whether there is a value; some stores say that a folder exists, too, or has a size."""
        return await self._read(key, 0, 1) is not None

    async def _size_by_fsspec(self, key: str, inspect: Callable[[str], Awaitable[dict[str, Any]]]) -> int | None:
        root = str(getattr(self.store, "path", "")).rstrip("/")
        try:
            info = await inspect(f"{root}/{key}" if root else key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if info.get("type") == "directory":
            return None
        size = info.get("size")
        return int(size) if size is not None else await self.store.getsize(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """The names directly below `prefix` (``""`` is the root), in no order; nothing if there are none."""
        check_prefix(prefix)
        if self._closed:
            raise closed(self.location)
        return iter(self._run(self._list(join(self.path, prefix) if prefix else self.path), "list", prefix))

    async def _list(self, prefix: str) -> Sequence[Entry]:
        import asyncio

        found = {name.strip("/") async for name in self.store.list_dir(prefix)}
        names = [name for name in found if name and "/" not in name and not is_own_name(name)]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def describe(name: str) -> Entry:
            async with gate:
                size_bytes = await self._size(join(prefix, name))
            return Entry(name, size_bytes is None, size_bytes or 0)

        return await asyncio.gather(*(describe(name) for name in names))

    # Writing

    async def _put(self, items: Sequence[tuple[str, Sequence[Buffer]]]) -> None:
        import asyncio

        from zarr.core.buffer import default_buffer_prototype

        prototype = default_buffer_prototype()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(key: str, buffers: Sequence[Buffer]) -> None:
            async with gate:
                data = b"".join([flat(buffer) for buffer in buffers])
                await self.store.set(key, prototype.buffer.from_bytes(data))

        await asyncio.gather(*(one(key, buffers) for key, buffers in items))

    def put(self, key: str, buffers: Sequence[Buffer], *, durable: bool = False) -> None:
        """Replace the value by the concatenation of `buffers`; how durable it then is, the store decides."""
        self.put_many([(key, buffers)], durable=durable)

    def put_many(self, items: Sequence[tuple[str, Sequence[Buffer]]], *, durable: bool = False) -> None:
        """`put` for several values, side by side."""
        inner = [(self._check(key), buffers) for key, buffers in items]
        if inner:
            self._check_writable(items[0][0], "write")
            self._run(self._put(inner), "write", items[0][0])

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens if there is none."""
        inner = self._check(key)
        self._check_writable(key, "delete")
        self._run(self._delete(inner), "delete", key)

    async def _delete(self, key: str) -> None:
        if await self._size(key) is not None:
            await self.store.delete(key)

    def delete_tree(self, prefix: str) -> None:
        """Remove `prefix` and everything below it."""
        check_prefix(prefix)
        self._check_writable(prefix, "delete")
        self._run(self._delete_tree(join(self.path, prefix) if prefix else self.path), "delete", prefix)

    async def _delete_tree(self, prefix: str) -> None:
        if not prefix:
            # Not `clear`: some stores leave empty folders then.
            for name in [name async for name in self.store.list_dir("")]:
                await self._delete_tree(name.strip("/"))
            return
        if await self._size(prefix) is not None:
            await self.store.delete(prefix)
            return
        await self.store.delete_dir(prefix)

    def lock(self, prefix: str, first: int, last: int) -> AbstractContextManager[None]:
        """Hold units ``first <= n < last`` of the node at `prefix`, against the other threads of this process."""
        check_prefix(prefix)
        self._check_writable(prefix, "lock")
        return self._locks.hold(f"{self._lock_lead}{prefix}".strip("/"), first, last)

    def clean(self, prefix: str, *, remove: bool) -> Names:
        """Nothing: what a dead writer left, if anything, only the store knows."""
        check_prefix(prefix)
        if self._closed:
            raise closed(self.location)
        if remove:
            self._check_writable(prefix, "clean")
        return []

    def close(self) -> None:
        """Refuse further use. Calling it twice is harmless."""
        self._closed = True


class _RemoteValue(Value):
    """A value of a store that may change between two ranges."""

    def __init__(self, source: ZarrStoreSource, key: str, size_bytes: int) -> None:
        self._source: ZarrStoreSource | None = source
        self._key = key
        self.size_bytes = size_bytes
        self.identity = None

    def read_into(self, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> list[int]:
        """Fill the buffers of each ``(start, buffers)``; the number of bytes read for each."""
        if self._source is None:
            raise closed(f"of the value {self._key!r}")
        done = self._source.read_into([(self._key, start, buffers) for start, buffers in ranges])
        return [max(count, 0) for count in done]

    def map(self, start: int, length: int) -> npt.NDArray[np.uint8] | None:
        """None: the value is not a local file."""
        return None

    def close(self) -> None:
        """Release the value. Calling it twice is harmless."""
        self._source = None


_sources: WeakSet[ZarrStoreSource] = WeakSet()


def _place_of(store: Any) -> tuple[Hashable, str]:
    """What two stores have in common that hold the same values, and where in it the store begins.

    The object behind the store stands for it: it lives as long as the store does, and stores of one place
    share it (fsspec keeps one file system for each set of options).
    """
    for attribute in ("fs", "_store_dict"):
        behind = getattr(store, attribute, None)
        if behind is not None:
            return (attribute, id(behind)), str(getattr(store, "path", "")).strip("/")
    return ("store", id(store)), ""


def _reset_all() -> None:
    for source in _sources:
        source.reset_after_fork()


on_fork_in_child(_reset_all)


def _remake(store: Store, path: str, read_only: bool) -> ZarrStoreSource:
    return ZarrStoreSource(store, path, read_only=read_only)
