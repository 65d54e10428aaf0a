"""Two ways to move the chunks of an array: our own data path, and zarr-python.

An `Engine` is chosen once, when an array is opened. `NativeEngine` carries every
codec and data type of ours; `ZarrEngine` asks zarr-python for everything else and
gives its answer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty
from tenzarr.errors import MetadataError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import UnknownCodecError, compile_chain
from tenzarr.storage.indexing import AxisSelection, Coordinates, Selection
from tenzarr.storage.metadata import ArrayMetadata
from tenzarr.storage.reading import read_block, read_points
from tenzarr.storage.rows import RowReader, row_reader
from tenzarr.storage.sources import ByteSource
from tenzarr.storage.writing import write_block, write_points
from tenzarr.storage.zarr_arrays import open_zarr_array, with_shape
from tenzarr.storage.zarr_damage import naming_damage

__all__ = ["Engine", "NativeEngine", "ZarrEngine", "choose_engine"]

Array = npt.NDArray[Any]


class Engine(Protocol):
    """Moves blocks and single elements of one array. The shape is the array's, as it is now."""

    @property
    def name(self) -> str:
        """What `info.engine` says."""
        ...

    @property
    def checks(self) -> str | None:
        """What verifies the data, or None."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """In memory."""
        ...

    @property
    def fill(self) -> Array:
        """What elements hold that were never written, of shape ()."""
        ...

    @property
    def rows(self) -> RowReader | None:
        """The short way for single chunks of whole rows, or None."""
        ...

    def read(self, selection: Selection, shape: tuple[int, ...], out: Array | None, verify: bool) -> Array:
        """The selected block, of ``selection.block_shape`` and not reversed; in `out` where given."""
        ...

    def read_points(self, points: Coordinates, shape: tuple[int, ...], verify: bool) -> Array:
        """The selected elements, of shape ``(number of elements,)``."""
        ...

    def write(self, selection: Selection, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        """Write a block; `value` has ``selection.block_shape`` and is not reversed."""
        ...

    def write_points(self, points: Coordinates, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        """Write single elements; `value` has shape ``(number of elements,)``."""
        ...


class NativeEngine:
    """Our own data path."""

    name = "native"

    def __init__(self, access: ChunkAccess, shape: tuple[int, ...]) -> None:
        self.access = access
        self.fill = access.fill
        self.rows = row_reader(access, shape)
        """The short way, which holds as long as the shape differs along the first axis only."""
        self.checks = access.codec.checks
        self.dtype = access.codec.dtype

    def read(self, selection: Selection, shape: tuple[int, ...], out: Array | None, verify: bool) -> Array:
        if out is None and self.rows is not None and _lists_rows(selection, shape):
            return self.rows.read_listed(cast(Any, selection.axes[0]))
        block = aligned_empty(selection.block_shape, self.dtype) if out is None else out
        read_block(self.access, selection.axes, shape, block, verify=verify)
        return block

    def read_points(self, points: Coordinates, shape: tuple[int, ...], verify: bool) -> Array:
        count = points.indices[0].size if points.indices else int(np.prod(points.result_shape))
        out = aligned_empty((count,), self.dtype)
        read_points(self.access, points, shape, out, verify=verify)
        return out

    def write(self, selection: Selection, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        write_block(self.access, selection.axes, shape, value, durable=durable)

    def write_points(self, points: Coordinates, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        write_points(self.access, points, shape, value, durable=durable)


class ZarrEngine:
    """zarr-python, for what is not ours."""

    name = "zarr"
    rows = None

    def __init__(self, source: ByteSource, path: str) -> None:
        self.source = source
        self.path = path
        self.checks = None
        self.location = f"{source.location}/{path}" if path else source.location
        self.array = open_zarr_array(source, path, ours=True)
        found: np.dtype[Any] = np.dtype(self.array.dtype)
        self.dtype = found if found.isnative else found.newbyteorder("=")

    @property
    def fill(self) -> Array:
        """What elements hold that were never written, of shape ()."""
        return _null_fill(self.dtype) if self.fill_value is None else np.array(self.fill_value, self.dtype)

    @property
    def data_type(self) -> Any:
        """zarr-python's object for the data type."""
        return self.array.metadata.dtype

    @property
    def fill_value(self) -> Any:
        """What elements hold that were never written, as zarr-python has it; None where a v2 document says null."""
        return self.array.fill_value

    def refresh(self) -> None:
        """Read the document again."""
        self.array = open_zarr_array(self.source, self.path, ours=True)

    def read(self, selection: Selection, shape: tuple[int, ...], out: Array | None, verify: bool) -> Array:
        if 0 in selection.block_shape:
            block = np.empty(selection.block_shape, self.dtype)
        else:
            array = self._at(shape)
            with self._naming(array, selection.axes):
                chosen = array.get_orthogonal_selection(selection.axes) if shape else array[()]
            block = np.asarray(chosen).reshape(selection.block_shape).astype(self.dtype, copy=False)
        if out is None:
            return block
        out[...] = block
        return out

    def read_points(self, points: Coordinates, shape: tuple[int, ...], verify: bool) -> Array:
        if not points.indices:
            count = int(np.prod(points.result_shape))
            with self._naming(self.array, ()):
                only = np.asarray(self.array[()]).reshape(1)
            return np.repeat(only, count).astype(self.dtype, copy=False)
        if points.indices[0].size == 0:
            return np.empty(0, self.dtype)
        array = self._at(shape)
        with self._naming(array, points.indices, points=True):
            chosen = array.get_coordinate_selection(points.indices)
        return np.asarray(chosen).astype(self.dtype, copy=False)

    def write(self, selection: Selection, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        if 0 in selection.block_shape:
            return
        self._sync_writes(durable)
        array = self._at(shape)
        with self._naming(array, selection.axes):
            if array.shards is not None and not all(isinstance(axis, slice) for axis in selection.axes):
                _write_around(array, selection, value)
            elif shape:
                array.set_orthogonal_selection(selection.axes, np.array(value, dtype=self.dtype))
            else:
                array[()] = np.array(value, dtype=self.dtype)[()]

    def _at(self, shape: tuple[int, ...]) -> Any:
        """zarr-python's array, with this shape whatever its document says: elements may come before it does."""
        return self.array if self.array.shape == shape else with_shape(self.array, shape)

    def _sync_writes(self, durable: bool) -> None:
        """Say whether values have to survive a power loss; a store of the user's own decides that itself."""
        if hasattr(self.array.store, "durable"):
            self.array.store.durable = durable

    def write_points(self, points: Coordinates, shape: tuple[int, ...], value: Array, durable: bool) -> None:
        self._sync_writes(durable)
        if not points.indices:
            if value.size:
                self.array[()] = value[-1]
        elif value.size:
            array = self._at(shape)
            with self._naming(array, points.indices, points=True):
                array.set_coordinate_selection(points.indices, np.array(value, dtype=self.dtype))

    def _naming(
        self, array: Any, axes: tuple[AxisSelection, ...], *, points: bool = False
    ) -> AbstractContextManager[None]:
        return naming_damage(array, self.location, axes, points=points)


def _write_around(array: Any, selection: Selection, value: Array) -> None:
    """Write lists of indices by way of the box around them: zarr 3.1 cannot put them into shards."""
    around: list[slice] = []
    within: list[npt.NDArray[Any]] = []
    for axis, length in zip(selection.axes, array.shape, strict=True):
        listed: npt.NDArray[np.int64] = np.arange(length, dtype=np.int64)[cast(Any, axis)]
        around.append(slice(int(listed.min()), int(listed.max()) + 1))
        within.append(listed - listed.min())
    box = tuple(around)
    block = np.array(array[box])
    block[np.ix_(*within)] = value
    array[box] = block


ROW_LIST_LENGTH = 4096
"""Longer lists of rows are planned chunk by chunk, since many of them share a chunk."""


def _lists_rows(selection: Selection, shape: tuple[int, ...]) -> bool:
    """Whether a selection is a short list of whole rows."""
    first = selection.axes[0]
    return (
        not isinstance(first, slice)
        and first.size <= ROW_LIST_LENGTH
        and selection.block_shape[1:] == shape[1:]
        and all(isinstance(axis, slice) for axis in selection.axes[1:])
    )


def choose_engine(source: ByteSource, path: str, metadata: ArrayMetadata, document: str) -> Engine:
    """The engine for the array that `metadata` describes.

    Raises
    ------
    MetadataError
        A codec's configuration is wrong; or a codec or data type is neither ours nor zarr-python's.
    """
    if metadata.dtype.native:
        try:
            return NativeEngine(native_access(source, path, metadata, document), metadata.shape)
        except UnknownCodecError:
            pass
    try:
        return ZarrEngine(source, path)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        kind = metadata.dtype.v3 if metadata.zarr_format == 3 else metadata.dtype.v2
        names = ", ".join(codec.name for codec in metadata.codecs)
        raise MetadataError(
            document,
            "codecs",
            f"neither Tenzarr nor zarr-python can read data type {kind!r} "
            f"with codecs [{names}]: {error}. Register the missing codec or data type with zarr",
        ) from error


def native_access(source: ByteSource, path: str, metadata: ArrayMetadata, document: str) -> ChunkAccess:
    """What the data path needs of the array that `metadata` describes."""
    codec = compile_chain(metadata, document)
    dtype = metadata.dtype.dtype
    fill = _null_fill(dtype) if metadata.fill_value is None else np.array(metadata.fill_value, dtype)
    return ChunkAccess(source, path, codec, fill, metadata.keys, metadata.chunks)


def _null_fill(dtype: np.dtype[Any]) -> Array:
    """What a v2 fill value of null leaves undefined: what zarr-python reads, zero, and NaT for times."""
    return np.array("NaT", dtype) if dtype.kind in "mM" else np.zeros((), dtype)
