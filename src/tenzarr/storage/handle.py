"""What an open array is, whichever way its elements are then read and written."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tenzarr.core.forks import RenewedLock
from tenzarr.errors import NodeNotFoundError, ReadOnlyError, SelectionError
from tenzarr.storage import nodes
from tenzarr.storage.attributes import Attributes
from tenzarr.storage.engine import Engine, NativeEngine, ZarrEngine, choose_engine
from tenzarr.storage.indexing import AxisSelection, Selection
from tenzarr.storage.info import ArrayInfo, describe_array, inner_shape
from tenzarr.storage.metadata import ArrayMetadata, with_attributes, write_array
from tenzarr.storage.sources import DOCUMENT, ByteSource
from tenzarr.storage.zarr_arrays import open_zarr_array

__all__ = ["ArrayHandle", "State"]


@dataclass(frozen=True, slots=True)
class State:
    """What a handle knows of its array; replaced as a whole."""

    metadata: ArrayMetadata
    """As it was read last."""
    identity: bytes | None
    """The document as it was read; None where it was not."""
    engine: Engine
    """What moves the chunks."""


class ArrayHandle:
    """An open array without its elements: properties, attributes, locks, and keeping up with other writers."""

    __slots__ = ("__weakref__", "_durable", "_mutex", "_path", "_read_only", "_source", "_state")

    def __init__(
        self,
        source: ByteSource,
        path: str,
        metadata: ArrayMetadata,
        identity: bytes | None,
        *,
        read_only: bool = False,
        durable: bool = False,
    ) -> None:
        self._source = source
        self._path = path
        self._read_only = read_only or source.read_only
        self._durable = durable
        self._mutex = RenewedLock()
        self._state = State(metadata, identity, choose_engine(source, path, metadata, self._document(metadata)))

    def _document(self, metadata: ArrayMetadata) -> str:
        return nodes.join(self._path, "zarr.json" if metadata.zarr_format == 3 else ".zarray")

    @property
    def shape(self) -> tuple[int, ...]:
        """In elements."""
        return self._state.metadata.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements in memory, in native byte order."""
        return self._state.engine.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of what is decoded at once, in elements: of the inner chunks where there are shards."""
        return inner_shape(self._state.metadata)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """The shape of what is stored under one key, in elements; None without shards."""
        return self.info.shards

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of all elements in memory, in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def nbytes_stored(self) -> int:
        """The size of everything stored for the array, documents included, in bytes."""
        return sum(size for _, size in self.stored_values())

    @property
    def names(self) -> tuple[str | None, ...]:
        """The name of each axis, or None for an axis without one."""
        return self._state.metadata.names or (None,) * self.ndim

    @property
    def fill_value(self) -> Any:
        """What elements that were never written hold: a NumPy scalar; None only where a v2 document says null."""
        state = self._state
        return state.engine.fill_value if isinstance(state.engine, ZarrEngine) else state.metadata.fill_value

    @property
    def attrs(self) -> MutableMapping[str, Any]:
        """The user's attributes: JSON values by name. Every change is stored at once."""
        return Attributes(self)

    @property
    def path(self) -> str:
        """Where the array lies in its store; ``""`` is the root."""
        return self._path

    @property
    def source(self) -> ByteSource:
        """The store."""
        return self._source

    @property
    def location(self) -> str:
        """The array as a person calls it: its store and path."""
        return nodes.join(self._source.location, self._path)

    @property
    def metadata(self) -> ArrayMetadata:
        """What the document says."""
        return self._state.metadata

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self._read_only

    @property
    def fingerprint(self) -> str:
        """Changes when the document does or when the array is another one: hexadecimal digits.

        The data of the chunks is not part of it.
        """
        document = b"".join(text for _, text in sorted(write_array(self._state.metadata).items()))
        place = self.location.encode()
        return f"{hashlib.sha256(document).hexdigest()[:32]}-{hashlib.sha256(place).hexdigest()[:16]}"

    @property
    def info(self) -> ArrayInfo:
        """Everything about how the array is stored, as one value that prints well."""
        state = self._state
        return describe_array(state.metadata, state.engine, self.location, read_only=self._read_only)

    @property
    def engine(self) -> Engine:
        """What moves the chunks."""
        return self._state.engine

    @property
    def zarr(self) -> Any:
        """The same array as a ``zarr.Array``, opened anew."""
        return open_zarr_array(self._source, self._path, read_only=self._read_only)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(f'`a` must be open for writing, {self.location!r} is read-only; open it with mode="r+"')

    def _lock_block(self, selection: Selection) -> AbstractContextManager[None]:
        """Hold the chunks of a block for writing."""
        engine = self._state.engine
        first, last = 0, DOCUMENT
        if isinstance(engine, NativeEngine):
            chunks = engine.access.chunks
            low = tuple(_lowest(axis) // chunk for axis, chunk in zip(selection.axes, chunks, strict=True))
            high = tuple(_highest(axis) // chunk for axis, chunk in zip(selection.axes, chunks, strict=True))
            first, last = engine.access.lock_number(low), engine.access.lock_number(high) + 1
        # The lock itself: an interrupt that strikes in a generator around it would leave it held.
        return self._source.lock(self._path, first, last)

    def _recheck(self, axes: tuple[AxisSelection, ...]) -> None:
        """Take up a change of shape by another handle, now that the lock is held."""
        before = self._state
        now = nodes.identity(self._source, self._path)
        if now is not None and now == before.identity:
            return
        self.refresh()
        if self._state.metadata.chunks != before.metadata.chunks or self._state.metadata.dtype != before.metadata.dtype:
            raise NodeNotFoundError(f"the array {self.location!r} was replaced by another one; open it again")
        for number, (axis, length) in enumerate(zip(axes, self.shape, strict=True)):
            if _highest(axis) >= length:
                raise SelectionError(
                    f"`selection` must lie inside the array, axis {number} has been cut to length {length} "
                    "by another writer; call a.refresh() and select again"
                )

    def refresh(self) -> None:
        """Read the metadata again: the shape and attributes as other writers left them.

        Raises `NodeNotFoundError` if the array is gone.
        """
        node = nodes.load(self._source, self._path)
        if node is None or not isinstance(node.metadata, ArrayMetadata):
            raise NodeNotFoundError(f"the array {self.location!r} is gone: it was removed or replaced by a group")
        self._adopt(node.metadata, node.identity)

    def _adopt(self, metadata: ArrayMetadata, identity: bytes | None) -> None:
        """Go on with `metadata`; the engine is kept where only shape or attributes changed."""
        with self._mutex.mutex:
            old = self._state
            same = replace(old.metadata, shape=metadata.shape, attributes=metadata.attributes, names=metadata.names)
            keep = (
                same == metadata
                and old.metadata.shape[1:] == metadata.shape[1:]
                and not isinstance(old.engine, ZarrEngine)
            )
            engine = old.engine if keep else choose_engine(self._source, self._path, metadata, self._document(metadata))
            self._state = State(metadata, identity, engine)

    def _replace_metadata(self, metadata: ArrayMetadata) -> None:
        """Store changed metadata; the caller holds the lock of the document."""
        nodes.store(self._source, self._path, metadata, durable=self._durable)
        self._adopt(metadata, nodes.identity(self._source, self._path))

    def read_attributes(self) -> Mapping[str, Any]:
        """The attributes as they were read last; for `attrs`."""
        return self._state.metadata.attributes

    def change_attributes(self, changes: Mapping[str, Any], removed: tuple[str, ...]) -> None:
        """Change attributes in the document as it is now; for `attrs`."""
        self._check_writable()
        with nodes.document_lock(self._source, self._path):
            self.refresh()
            kept = {name: value for name, value in self._state.metadata.attributes.items() if name not in removed}
            self._replace_metadata(with_attributes(self._state.metadata, {**kept, **changes}))

    def stored_values(self) -> Iterator[tuple[str, int]]:
        """Key, relative to the store, and size in bytes of everything that is stored for the array."""
        yield from _values_below(self._source, self._path)


def _values_below(source: ByteSource, prefix: str) -> Iterator[tuple[str, int]]:
    for entry in source.list(prefix):
        key = nodes.join(prefix, entry.name)
        if entry.is_prefix:
            yield from _values_below(source, key)
        else:
            yield key, entry.size_bytes


def _lowest(axis: AxisSelection) -> int:
    return int(axis.start) if isinstance(axis, slice) else int(axis.min(initial=2**62))


def _highest(axis: AxisSelection) -> int:
    if isinstance(axis, slice):
        return int(axis.stop) - 1 - (int(axis.stop) - 1 - int(axis.start)) % int(axis.step)
    return int(axis.max(initial=-1))
