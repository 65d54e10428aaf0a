"""zarr-python over our stores: what the fallback engine and `Array.zarr` stand on."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal, cast

from tenzarr.dtypes import register_with_zarr
from tenzarr.storage.sources import ByteSource, LocalSource
from tenzarr.storage.sources.zarr_store import ZarrStoreSource

__all__ = ["as_zarr_store", "open_zarr_array", "with_shape"]


def open_zarr_array(
    source: ByteSource, path: str, *, ours: bool = False, read_only: bool = False, durable: bool = False
) -> Any:
    """The ``zarr.Array`` at `path`, with our data types registered.

    If `ours`, its bytes go through `source` itself, whose writes are atomic and stay below the
    root, and which never waits for a FIFO in the place of a chunk.
    """
    import zarr

    register_with_zarr()
    open_array = cast(Any, zarr.open_array)  # pyright: ignore[reportUnknownMemberType] - zarr leaves it open
    store = _store_class()(source, durable) if ours and isinstance(source, LocalSource) else as_zarr_store(source)
    return open_array(store, path=path, mode="r" if read_only or source.read_only else "r+")


def with_shape(array: Any, shape: tuple[int, ...]) -> Any:
    """A ``zarr.Array`` over the same chunks that takes them to have another shape; its document stays."""
    inner = array.async_array
    changed = type(inner)(metadata=inner.metadata.update_shape(shape), store_path=inner.store_path)
    return type(array)(changed)


def as_zarr_store(source: ByteSource) -> Any:
    """`source` as a ``zarr.abc.store.Store``."""
    if isinstance(source, ZarrStoreSource):
        return source.store
    if isinstance(source, LocalSource):
        from zarr.storage import LocalStore

        return LocalStore(source.root, read_only=source.read_only)
    return _store_class()(source)


@functools.cache
def _store_class() -> Any:
    """A zarr store over a `ByteSource`; a class made late, because zarr is imported late."""
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

    class SourceStore(Store):
        """Everything a `ByteSource` holds, for zarr-python."""

        @property
        def supports_writes(self) -> bool:
            return True

        @property
        def supports_deletes(self) -> bool:
            return True

        @property
        def supports_partial_writes(self) -> Literal[False]:
            return False

        @property
        def supports_listing(self) -> bool:
            return True

        def __init__(self, source: ByteSource, durable: bool = False) -> None:
            super().__init__(read_only=source.read_only)
            self.source = source
            self.durable = durable
            self._is_open = True

        def __eq__(self, other: object) -> bool:
            return isinstance(other, SourceStore) and other.source is self.source

        def __hash__(self) -> int:
            return hash(id(self.source))

        def with_read_only(self, read_only: bool = False) -> Any:
            """The same store; a read-only source stays so."""
            store = SourceStore(self.source, self.durable)
            store._read_only = read_only or self.source.read_only
            return store

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            data = self.source.get(key)
            if data is None:
                return None
            match byte_range:
                case RangeByteRequest(start=start, end=end):
                    data = data[start:end]
                case OffsetByteRequest(offset=offset):
                    data = data[offset:]
                case SuffixByteRequest(suffix=suffix):
                    data = data[-suffix:] if suffix else b""
                case _:
                    pass
            return prototype.buffer.from_bytes(data)

        async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> list[Any]:
            return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

        async def exists(self, key: str) -> bool:
            value = self.source.open(key)
            if value is None:
                return False
            value.close()
            return True

        async def set(self, key: str, value: Any) -> None:
            self._check_writable()
            self.source.put(key, [value.to_bytes()], durable=self.durable)

        async def delete(self, key: str) -> None:
            self._check_writable()
            self.source.delete(key)

        async def list(self) -> AsyncIterator[str]:
            async for key in self.list_prefix(""):
                yield key

        async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
            for key in _keys_below(self.source, prefix.rstrip("/")):
                yield key

        async def list_dir(self, prefix: str) -> AsyncIterator[str]:
            for entry in self.source.list(prefix.rstrip("/")):
                yield entry.name

    return SourceStore


def _keys_below(source: ByteSource, prefix: str) -> Iterable[str]:
    for entry in source.list(prefix):
        key = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.is_prefix:
            yield from _keys_below(source, key)
        else:
            yield key
