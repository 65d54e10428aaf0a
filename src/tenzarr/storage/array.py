"""The stored array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import aligned_empty
from tenzarr.core.progress import Progress
from tenzarr.errors import (
    ArgumentError,
    ArgumentTypeError,
    NodeNotFoundError,
    SelectionError,
    ShapeMismatchError,
)
from tenzarr.storage import nodes
from tenzarr.storage.aliasing import alias_block
from tenzarr.storage.arguments import check_size, normalize_shape
from tenzarr.storage.cards import array_card
from tenzarr.storage.copying import CopyArguments, copy_array
from tenzarr.storage.display import array_html, array_text
from tenzarr.storage.handle import ArrayHandle
from tenzarr.storage.indexing import Coordinates, Selection, as_items, basic, coordinates, is_basic, mask_of, whole
from tenzarr.storage.metadata import ArrayMetadata
from tenzarr.storage.resizing import clear_outside
from tenzarr.storage.sources import DOCUMENT, EVERYTHING, ByteSource, check_node_path
from tenzarr.storage.sources.resolve import resolve
from tenzarr.storage.values import arrange_value, block_view, cast_value
from tenzarr.storage.views import BlockView, CoordinateView, OrthogonalView

__all__ = ["Array", "open_at"]

NDArray = npt.NDArray[Any]


class Array(ArrayHandle):
    """An array in a store: chunks of numbers, read and written by selection.

    Made by `tenzarr.create`, `tenzarr.open` and the methods of `Group`, not directly. Several
    handles, threads and processes may use one array: writers of disjoint parts lose nothing,
    and a reader sees each chunk before or after a write, never in between.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(4, 6), dtype="float32", chunks=(2, 3), names=("time", "x"))
    >>> a[1, 2:4] = [1.5, 2.5]
    >>> a[1]
    array([0. , 0. , 1.5, 2.5, 0. , 0. ], dtype=float32)
    >>> a[9]
    Traceback (most recent call last):
        ...
    tenzarr.errors.BoundsError: `selection` must be from -4 to 3 on axis 0 (length 4), got 9
    """

    __slots__ = ()

    # --- reading ------------------------------------------------------------------------

    def __getitem__(self, selection: Any) -> NDArray:
        state = self._state
        rows = state.engine.rows
        if rows is not None and type(selection) is slice:
            try:
                start, stop, step = selection.indices(state.metadata.shape[0])
            except (TypeError, ValueError):
                start = stop = step = 0
            if step == 1 and stop - start == rows.rows and start % rows.rows == 0:
                return rows.read(start // rows.rows)
        if is_basic(selection):
            chosen = basic(selection, state.metadata.shape)
            if chosen.flips is None:
                return state.engine.read(chosen, state.metadata.shape, None, True).reshape(chosen.result_shape)
            return self._read(chosen, None, True)
        return self.read_points(self._as_coordinates(selection))

    def _as_coordinates(self, selection: Any) -> Coordinates:
        """Lists, arrays and masks between the brackets, where NumPy and a mask of the array agree."""
        items = as_items(selection)
        if mask_of(items) is None and len(items) != self.ndim:
            raise SelectionError(
                "`selection` must have only integers, slices, an ellipsis and None, or one mask of the array's shape, "
                f"or one array for each of the {self.ndim} axes; use a.oindex for lists along single axes, "
                f"got {selection!r}"
            )
        return coordinates(selection, self.shape)

    def _read(self, selection: Selection, out: NDArray | None, verify: bool) -> NDArray:
        state = self._state
        if selection.flips is None and out is None:
            block = state.engine.read(selection, state.metadata.shape, None, verify)
            return block.reshape(selection.result_shape)
        result = aligned_empty(selection.result_shape, state.engine.dtype) if out is None else out
        state.engine.read(selection, state.metadata.shape, block_view(result, selection), verify)
        return result

    def read_selection(self, selection: Selection) -> NDArray:
        """Read what an already normalised selection says; for the views."""
        return self._read(selection, None, True)

    def read_points(self, points: Coordinates) -> NDArray:
        """Read single elements; for the views."""
        return self._state.engine.read_points(points, self.shape, True).reshape(points.result_shape)

    def read(
        self,
        selection: Any = None,
        *,
        out: NDArray | None = None,
        alias: bool | None = None,
        verify: bool = True,
    ) -> NDArray:
        """Read a selection, into a buffer of yours or as a view of the stored bytes where that is possible.

        Parameters
        ----------
        selection : int, slice, Ellipsis, None or a tuple of them
            As in ``a[...]``; None is the whole array.
        out : ndarray, optional
            Where to put the elements: of the selected shape and the array's dtype, writable, any strides.
        alias : bool, optional
            True returns a read-only view of the stored bytes, without a copy, or raises and says
            why that is not possible. False copies. None takes a view where it is free and safe:
            uncompressed, unchecked, on a local disk, one chunk or neighbouring inner chunks.
        verify : bool
            Whether checksums are compared. Sizes always are.

        Returns
        -------
        ndarray
            Of the selected shape; `out` itself where that was given.

        Raises
        ------
        AliasError
            ``alias=True`` and the bytes cannot be shown as they are.
        ShapeMismatchError, ArgumentError
            `out` does not fit.
        CorruptChunkError
            A chunk is damaged.

        Examples
        --------
        >>> import numpy as np, tenzarr as tz
        >>> a = tz.create(None, shape=(4,), dtype="int16")
        >>> a.read(slice(1, 3), out=np.empty(2, "int16"))
        array([0, 0], dtype=int16)
        >>> a.read(out=np.empty(3, "int16"))
        Traceback (most recent call last):
            ...
        tenzarr.errors.ShapeMismatchError: `out` must have the selected shape (4,), got (3,)
        """
        if selection is None or selection is Ellipsis:
            chosen = whole(self.shape)
        elif is_basic(selection):
            chosen = basic(selection, self.shape)
        else:
            raise ArgumentTypeError(
                "`selection` must have only integers, slices, an ellipsis and None in a.read, "
                f"got {selection!r}; use a.oindex or a.vindex for lists, arrays and masks"
            )
        if out is not None:
            if alias:
                raise ArgumentError("`alias` must not be True where `out` is given: a view has its own memory")
            self._check_out(out, chosen)
            return self._read(chosen, out, verify)
        if alias is not False:
            view = alias_block(self._state.engine, chosen, self.shape, verify=verify, required=alias is True)
            if view is not None:
                return view
        return self._read(chosen, None, verify)

    def _check_out(self, out: NDArray, selection: Selection) -> None:
        if not isinstance(out, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance] - users have no types
            raise ArgumentTypeError(f"`out` must be a numpy.ndarray, got {type(out).__name__}")
        if out.shape != selection.result_shape:
            raise ShapeMismatchError(f"`out` must have the selected shape {selection.result_shape}, got {out.shape}")
        if out.dtype != self.dtype:
            raise ArgumentTypeError(f"`out` must have the array's dtype {self.dtype}, got {out.dtype}")
        if not out.flags.writeable:
            raise ArgumentError("`out` must be writable, got a read-only array")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("`copy` must not be False: a stored array has no memory to share; use a.read(alias=True)")
        data = self[...]
        return data if dtype is None else data.astype(dtype, copy=False)

    def isel(self, selection: Mapping[str, Any] | None = None, /, **by_name: Any) -> NDArray:
        """Read by axis name.

        Parameters
        ----------
        selection : mapping, optional
            Integers, slices or lists by axis name, for names that are no Python identifiers.
        **by_name
            The same as keywords; axes that are not named are read whole.

        Returns
        -------
        ndarray
            As from ``a.oindex``.

        Raises
        ------
        SelectionError
            There is no axis of that name.

        Examples
        --------
        >>> import tenzarr as tz
        >>> a = tz.create(None, shape=(4, 6), dtype="int8", names=("time", "x"))
        >>> a.isel(time=slice(0, 2), x=0).shape
        (2,)
        >>> a.isel(y=0)
        Traceback (most recent call last):
            ...
        tenzarr.errors.SelectionError: `isel` must name axes of the array ('time', 'x'), got 'y'
        """
        given = {**(selection or {}), **by_name}
        chosen: list[Any] = [slice(None)] * self.ndim
        for name, part in given.items():
            chosen[self._axis_called("isel", name)] = part
        return self.oindex[tuple(chosen)]

    @property
    def oindex(self) -> OrthogonalView:
        """Reading and writing by an integer, slice, list or mask along each axis on its own."""
        return OrthogonalView(self)

    @property
    def vindex(self) -> CoordinateView:
        """Reading and writing of single elements, by arrays of coordinates or by a mask."""
        return CoordinateView(self)

    @property
    def blocks(self) -> BlockView:
        """Reading and writing of whole chunks (shards, where there are any) by their place on the chunk grid."""
        return BlockView(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray]:
        if not self.shape:
            raise TypeError("an array without axes cannot be iterated over")
        step = self._state.metadata.chunks[0]
        for first in range(0, self.shape[0], step):
            yield from self[first : first + step]

    # --- writing ------------------------------------------------------------------------

    def __setitem__(self, selection: Any, value: Any) -> None:
        if is_basic(selection):
            self.write_selection(basic(selection, self.shape), value)
        else:
            self.write_points(self._as_coordinates(selection), value)

    def write_selection(self, selection: Selection, value: Any) -> None:
        """Write to what an already normalised selection says; for the views."""
        self._check_writable()
        block = arrange_value(value, selection, self.dtype)
        if 0 in selection.block_shape:
            return
        with self._lock_block(selection):
            self._recheck(selection.axes)
            state = self._state
            state.engine.write(selection, state.metadata.shape, block, self._durable)

    def write_points(self, points: Coordinates, value: Any) -> None:
        """Write single elements; for the views."""
        self._check_writable()
        cast = cast_value(value, self.dtype)
        try:
            given = np.broadcast_to(cast, points.result_shape).reshape(-1)
        except ValueError:
            raise ShapeMismatchError(
                f"`value` must broadcast to the selected shape {points.result_shape}, got shape {np.shape(value)}"
            ) from None
        if given.size == 0:
            return
        with self._source.lock(self._path, 0, DOCUMENT):
            self._recheck(points.indices)
            self._state.engine.write_points(points, self.shape, given, self._durable)

    def resize(self, shape: int | tuple[int, ...]) -> None:
        """Change the shape; chunks that lie outside afterwards are removed, new elements hold the fill value.

        Parameters
        ----------
        shape : tuple of int
            The new length of each axis, in elements.

        Raises
        ------
        ArgumentError
            Another number of axes, or a negative length.
        ReadOnlyError
            The array is open for reading.

        Examples
        --------
        >>> import tenzarr as tz
        >>> a = tz.create(None, shape=(4,), dtype="int8", fill_value=7)
        >>> a.resize((6,))
        >>> a[...]
        array([7, 7, 7, 7, 7, 7], dtype=int8)
        >>> a.resize((2, 2))
        Traceback (most recent call last):
            ...
        tenzarr.errors.ArgumentError: `shape` must have one length for each of the 1 axes, got (2, 2)
        """
        self._check_writable()
        with self._source.lock(self._path, 0, EVERYTHING):
            self.refresh()
            new = _checked_shape(shape, self._state.metadata)
            self._reshape(new)

    def _reshape(self, new: tuple[int, ...]) -> None:
        """Change the shape; the caller holds the lock of everything.

        The document says the smaller shape before anything outside it is touched, and the larger
        one after: who is interrupted in between leaves no element half gone.
        """
        metadata, engine = self._state.metadata, self._state.engine
        old = metadata.shape
        kept = tuple(min(lengths) for lengths in zip(old, new, strict=True))
        reach = tuple(max(lengths) for lengths in zip(old, new, strict=True))
        if kept != old:
            self._replace_metadata(replace(metadata, shape=kept))
        clear_outside(self._source, self._path, metadata, engine, kept, reach, durable=self._durable)
        if kept != new:
            self._replace_metadata(replace(metadata, shape=new))

    def append(self, value: Any, axis: int | str = 0) -> tuple[int, ...]:
        """Add elements at the end of one axis; concurrent appends each find their own place.

        Parameters
        ----------
        value : array_like
            Of the array's shape, any length along `axis`.
        axis : int or str
            The axis, by number or name.

        Returns
        -------
        tuple of int
            The new shape. A reader sees it only after the elements are stored.

        Raises
        ------
        ShapeMismatchError
            `value` does not have the array's shape along the other axes.
        SelectionError
            There is no such axis.

        Examples
        --------
        >>> import tenzarr as tz
        >>> a = tz.create(None, shape=(0, 2), dtype="int8", chunks=(8, 2))
        >>> a.append([[1, 2], [3, 4]])
        (2, 2)
        >>> a.append([1, 2, 3])
        Traceback (most recent call last):
            ...
        tenzarr.errors.ShapeMismatchError: `value` must have shape (any, 2), got (3,)
        """
        self._check_writable()
        number = self._axis_number(axis)
        given = np.asarray(value)
        with self._source.lock(self._path, 0, EVERYTHING):
            self.refresh()
            old = self.shape
            if given.ndim != len(old) or any(
                have != want for at, (have, want) in enumerate(zip(given.shape, old, strict=True)) if at != number
            ):
                wanted = ", ".join("any" if at == number else str(length) for at, length in enumerate(old))
                raise ShapeMismatchError(f"`value` must have shape ({wanted}), got {given.shape}")
            new = tuple(length + given.shape[at] if at == number else length for at, length in enumerate(old))
            _checked_shape(new, self._state.metadata)
            self._grow(old, new, number, value)
        return new

    def _grow(self, old: tuple[int, ...], new: tuple[int, ...], axis: int, value: Any) -> None:
        """Write the new elements, then the document; the caller holds the lock of everything."""
        metadata = replace(self._state.metadata, shape=new)
        place = tuple(slice(old[at], None) if at == axis else slice(None) for at in range(len(new)))
        selection = basic(place, new)
        block = arrange_value(value, selection, self.dtype)
        if 0 not in selection.block_shape:
            self._state.engine.write(selection, new, block, self._durable)
        self._replace_metadata(metadata)

    def _axis_number(self, axis: int | str) -> int:
        if isinstance(axis, str):
            return self._axis_called("axis", axis)
        if not self.ndim:
            raise SelectionError(f"`axis` must be an axis of the array, which has no axes, got {axis}")
        if not -self.ndim <= axis < self.ndim:
            raise SelectionError(f"`axis` must be from {-self.ndim} to {self.ndim - 1}, got {axis}")
        return axis % self.ndim

    def _axis_called(self, argument: str, name: object) -> int:
        names = self.names
        if not isinstance(name, str) or name not in names:
            raise SelectionError(f"`{argument}` must name axes of the array {names}, got {name!r}")
        if names.count(name) > 1:
            raise SelectionError(f"`{argument}` must name one axis, more than one axis is called {name!r} in {names}")
        return names.index(name)

    def copy_to(
        self,
        store: Any,
        *,
        path: str | None = None,
        chunks: Any = "same",
        shards: Any = "same",
        compressor: Any = "same",
        zarr_format: int | None = None,
        checksum: bool = True,
        overwrite: bool = False,
        durable: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        progress: Progress = False,
    ) -> Array:
        """Copy the array, with other chunks, another compressor or in the other format where asked.

        Elements are decoded and encoded again block by block, in constant memory. The copy
        appears as a whole or not at all where the store can do that (local paths).

        Parameters
        ----------
        store, path, storage_options
            Where to, as in `tenzarr.create`.
        chunks, shards, compressor
            As in `tenzarr.create`; ``"same"`` keeps what the array has.
        zarr_format : {2, 3}, optional
            The format of the copy; by default that of the array.
        checksum, overwrite, durable
            As in `tenzarr.create`.
        progress : bool or callable
            Whether to show a bar; a callable gets ``(done, total)`` in bytes.

        Returns
        -------
        Array
            The copy.

        Raises
        ------
        NodeExistsError
            There is something at the target and `overwrite` is false.
        ArgumentError
            The array's codecs do not exist in the other format.

        Examples
        --------
        >>> import tenzarr as tz
        >>> a = tz.create(None, shape=(4, 4), dtype="int8", chunks=(4, 1))
        >>> b = a.copy_to(None, chunks=(1, 4), compressor="gzip:1")
        >>> b.chunks, b.info.checks
        ((1, 4), 'gzip checksum')
        >>> a.copy_to(None, chunks=(1,))
        Traceback (most recent call last):
            ...
        tenzarr.errors.ArgumentError: `chunks` must have one length for each of the 2 axes, got (1,)
        """
        state = self._state
        arguments = CopyArguments(chunks, shards, compressor, zarr_format, checksum)
        source, root = resolve(store, mode="a", storage_options=storage_options)
        target = nodes.join(root, check_node_path(path or ""))
        if overwrite and not source.can_replace_tree and self._lies_in(source, target):
            raise ArgumentError(
                f"`path` must not be that of the array itself or of a group around it, got {target!r}: the store "
                f"{source.location} cannot replace it in one step; copy it somewhere else first"
            )
        copy_array(
            state.metadata,
            state.engine,
            arguments,
            source,
            target,
            overwrite=overwrite,
            durable=durable,
            progress=progress,
        )
        return open_at(source, target, durable=durable)

    def _lies_in(self, source: ByteSource, path: str) -> bool:
        same = self._source is source or self._source.location == source.location
        return same and (not path or self._path == path or self._path.startswith(f"{path}/"))

    # --- showing and sending -------------------------------------------------------------

    def __repr__(self) -> str:
        return array_text(array_card(self.info, self.dtype.itemsize))

    def _repr_html_(self) -> str:
        return array_html(array_card(self.info, self.dtype.itemsize))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._source, self._path, self._read_only, self._durable)


def _checked_shape(shape: Any, metadata: ArrayMetadata) -> tuple[int, ...]:
    new = normalize_shape(shape)
    if len(new) != len(metadata.shape):
        raise ArgumentError(f"`shape` must have one length for each of the {len(metadata.shape)} axes, got {shape!r}")
    check_size("shape", new, metadata.dtype.dtype.itemsize)
    return new


def _reopen(source: ByteSource, path: str, read_only: bool, durable: bool) -> Array:
    """What a pickled array is made of."""
    return open_at(source, path, read_only=read_only, durable=durable)


def open_at(source: ByteSource, path: str, *, read_only: bool = False, durable: bool = False) -> Array:
    """The array at `path` of an open store.

    Raises
    ------
    NodeNotFoundError
        There is no array.
    MetadataError
        Its document is malformed.
    """
    node = nodes.require(source, path, nodes.join(source.location, path))
    if not isinstance(node.metadata, ArrayMetadata):
        raise NodeNotFoundError(f"there is no array at {nodes.join(source.location, path)!r}, there is a group")
    return Array(source, path, node.metadata, node.identity, read_only=read_only, durable=durable)
