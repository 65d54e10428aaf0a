"""Creating and opening arrays and groups: what `tenzarr` itself offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tenzarr.core.progress import Progress, track
from tenzarr.errors import ArgumentError, NodeExistsError, NodeNotFoundError
from tenzarr.storage import nodes
from tenzarr.storage.arguments import ArrayArguments, describe
from tenzarr.storage.array import Array, open_at
from tenzarr.storage.copying import regions
from tenzarr.storage.creation import create_array, placing
from tenzarr.storage.group import Group, create_group_at, open_node
from tenzarr.storage.sources import check_node_path
from tenzarr.storage.sources.resolve import resolve
from tenzarr.storage.values import arrange_value

__all__ = ["create", "load", "open", "open_array", "open_group", "save"]

StorageOptions = Mapping[str, Any] | None
GroupMode = Literal["r", "r+", "a", "w", "w-"]


def create(
    store: Any,
    *,
    path: str | None = None,
    shape: Any,
    dtype: Any,
    chunks: Any = "auto",
    shards: Any = None,
    order: Literal["C", "F"] = "C",
    compressor: Any = "zstd",
    compressors: Any = "zstd",
    filters: Any = None,
    serializer: Any = None,
    codecs: Any = None,
    fill_value: Any = None,
    names: Any = None,
    attributes: Mapping[str, Any] | None = None,
    chunk_key_encoding: Any = None,
    zarr_format: Literal[2, 3] = 3,
    checksum: bool = True,
    durable: bool = False,
    overwrite: bool = False,
    storage_options: StorageOptions = None,
) -> Array:
    """Create an array.

    Parameters
    ----------
    store : path, None, URL, zarr store or ByteSource
        Where: a directory, a file that ends in ``.zip``, None for memory, a URL (through
        fsspec), or any ``zarr.abc.store.Store``.
    path : str, optional
        Of the array within the store; groups on the way are made.
    shape : tuple of int
        In elements. An integer is a shape of one axis.
    dtype : dtype_like
        A NumPy or ml_dtypes type, or a name such as ``"bfloat16"``. Its byte order is stored.
    chunks : "auto", int or tuple of int
        The part that is compressed at once, in elements; -1 is a whole axis. ``"auto"`` makes
        chunks of about 1 MiB.
    shards : tuple of int, optional
        The part that is stored under one key, a multiple of `chunks`, in elements. Zarr v3 only.
    order : {"C", "F"}
        The order of the elements in a stored chunk.
    compressor, compressors : None, str, mapping, codec, or a list of them
        ``"zstd"``, ``"zstd:3"``, ``{"id": "zstd", "level": 3}``, any zarr or numcodecs codec;
        None stores the elements as they are.
    filters : list, optional
        numcodecs filters (delta, quantize, ...) that come before the compressor.
    serializer : codec, optional
        Another array-to-bytes codec than ``bytes``. Zarr v3 only.
    codecs : list, optional
        The whole chain of codecs; overrides `order`, `filters`, `serializer`, `compressor` and
        `checksum`. Zarr v3 only.
    fill_value : scalar, optional
        What elements hold that were never written; the zero of `dtype` by default.
    names : sequence of str or None, optional
        Of the axes.
    attributes : mapping, optional
        JSON values by name.
    chunk_key_encoding : {"/", ".", "default", "v2"} or mapping, optional
        How chunks are called.
    zarr_format : {2, 3}
        The version of the format.
    checksum : bool
        End the chain with crc32c unless a codec checks its content already. Zarr v3 only.
    durable : bool
        Every write through the returned array survives a power loss once it has returned.
    overwrite : bool
        Replace what is there. On a local path the old node stays whole until the new one is there.
    storage_options : mapping, optional
        For a URL.

    Returns
    -------
    Array
        Open for reading and writing.

    Raises
    ------
    NodeExistsError
        There is something and `overwrite` is false.
    ArgumentError, ArgumentTypeError
        An argument breaks a rule, or two do not go together.
    MetadataError
        A codec is unknown, or its configuration is wrong.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(1000, 1000), dtype="float32", chunks=(100, 1000), names=("y", "x"))
    >>> a[:2, :3] = 1
    >>> float(a[...].sum()), a.info.checks
    (6.0, 'crc32c')
    >>> tz.create(None, shape=(-1,), dtype="float32")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `shape` must have no negative length, got (-1,)
    """
    source, root = resolve(store, mode="a", storage_options=storage_options)
    place = _join(root, path)
    arguments = ArrayArguments(
        shape,
        dtype,
        chunks=chunks,
        shards=shards,
        order=order,
        compressor=_either(compressor, compressors),
        filters=filters,
        serializer=serializer,
        codecs=codecs,
        fill_value=fill_value,
        names=names,
        attributes=attributes,
        chunk_key_encoding=chunk_key_encoding,
        zarr_format=zarr_format,
        checksum=checksum,
    )
    create_array(source, place, describe(arguments), overwrite=overwrite, durable=durable)
    return open_at(source, place, durable=durable)


def _either(compressor: Any, compressors: Any) -> Any:
    """`compressor`, under either of its names."""
    given = [value for value in (compressor, compressors) if not (isinstance(value, str) and value == "zstd")]
    if len(given) > 1:
        raise ArgumentError("`compressors` must not be given beside `compressor`: they are two names of one argument")
    return given[0] if given else "zstd"


def _join(root: str, path: str | None) -> str:
    if not path:
        return root
    check_node_path(path)
    return nodes.join(root, path)


def open(
    store: Any,
    mode: Literal["r", "r+"] = "r+",
    *,
    path: str | None = None,
    durable: bool = False,
    follow_symlinks: bool = True,
    storage_options: StorageOptions = None,
) -> Array | Group:
    """Open the array or group that is there.

    Parameters
    ----------
    store : path, URL, zarr store, zarr.Array, zarr.Group or ByteSource
        As in `create`.
    mode : {"r", "r+"}
        ``"r"`` refuses writes, creates nothing, and uses consolidated metadata.
    path : str, optional
        Within the store.
    durable : bool
        Every write survives a power loss once it has returned.
    follow_symlinks : bool
        Whether symbolic links below a local path are followed when reading.
    storage_options : mapping, optional
        For a URL.

    Raises
    ------
    NodeNotFoundError
        There is nothing.
    MetadataError
        A document is malformed.

    Examples
    --------
    >>> import tempfile, tenzarr as tz
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = tz.create(folder.name + "/a.zarr", shape=(3,), dtype="int8")
    >>> tz.open(folder.name + "/a.zarr", mode="r")[...]
    array([0, 0, 0], dtype=int8)
    >>> tz.open(folder.name + "/b.zarr")
    Traceback (most recent call last):
        ...
    tenzarr.errors.NodeNotFoundError: there is no Zarr array or group at ...
    >>> folder.cleanup()
    """
    if mode not in ("r", "r+"):
        raise ArgumentError(
            f'`mode` must be "r" or "r+", got {mode!r}; use tz.create or tz.open_group to make something'
        )
    source, root = resolve(store, mode=mode, storage_options=storage_options, follow_symlinks=follow_symlinks)
    return open_node(source, _join(root, path), read_only=mode == "r", durable=durable)


def open_array(
    store: Any,
    mode: Literal["r", "r+"] = "r+",
    *,
    path: str | None = None,
    durable: bool = False,
    follow_symlinks: bool = True,
    storage_options: StorageOptions = None,
) -> Array:
    """Open an array; as `open`, and a group is refused.

    Raises
    ------
    NodeNotFoundError
        There is no array.
    MetadataError
        Its document is malformed.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(3,), dtype="int8")
    >>> tz.open_array(a.source).shape
    (3,)
    >>> tz.open_array(None)
    Traceback (most recent call last):
        ...
    tenzarr.errors.NodeNotFoundError: there is no Zarr array or group at 'memory' ...
    """
    found = open(
        store,
        mode,
        path=path,
        durable=durable,
        follow_symlinks=follow_symlinks,
        storage_options=storage_options,
    )
    if isinstance(found, Array):
        return found
    raise NodeNotFoundError(f"there is no array at {found.location!r}, there is a group; use tz.open_group")


def open_group(
    store: Any,
    mode: GroupMode = "r+",
    *,
    path: str | None = None,
    zarr_format: Literal[2, 3] = 3,
    attributes: Mapping[str, Any] | None = None,
    durable: bool = False,
    follow_symlinks: bool = True,
    storage_options: StorageOptions = None,
) -> Group:
    """Open or create a group.

    Parameters
    ----------
    store, path, durable, follow_symlinks, storage_options
        As in `open`.
    mode : {"r", "r+", "a", "w", "w-"}
        ``"r"`` and ``"r+"`` open what is there; ``"a"`` creates what is not; ``"w"`` replaces
        what is there; ``"w-"`` creates and refuses what is there.
    zarr_format : {2, 3}
        Of a group that is created.
    attributes : mapping, optional
        Of a group that is created.

    Raises
    ------
    NodeNotFoundError
        There is no group (modes ``"r"`` and ``"r+"``).
    NodeExistsError
        There is a node (mode ``"w-"``), or an array (mode ``"a"``).

    Examples
    --------
    >>> import tenzarr as tz
    >>> tz.open_group(None, mode="a").keys()
    []
    >>> tz.open_group(None)
    Traceback (most recent call last):
        ...
    tenzarr.errors.NodeNotFoundError: there is no Zarr array or group at 'memory' ...
    """
    if mode not in ("r", "r+", "a", "w", "w-"):
        raise ArgumentError(f'`mode` must be "r", "r+", "a", "w" or "w-", got {mode!r}')
    source, root = resolve(store, mode=mode, storage_options=storage_options, follow_symlinks=follow_symlinks)
    place = _join(root, path)
    if mode in ("w", "w-") or (mode == "a" and nodes.load(source, place) is None):
        return create_group_at(
            source, place, zarr_format, attributes=attributes, overwrite=mode == "w", durable=durable
        )
    found = open_node(source, place, read_only=mode == "r", durable=durable)
    if isinstance(found, Group):
        return found
    kind = NodeExistsError if mode == "a" else NodeNotFoundError
    raise kind(f"there is no group at {found.location!r}, there is an array; use tz.open_array")


def save(
    store: Any,
    data: npt.ArrayLike,
    *,
    path: str | None = None,
    overwrite: bool = False,
    durable: bool = False,
    storage_options: StorageOptions = None,
    progress: Progress = False,
    **options: Any,
) -> Array:
    """Write an array that is in memory; on a local path it appears whole or not at all.

    Parameters
    ----------
    store, path, overwrite, durable, storage_options
        As in `create`.
    data : array_like
        What to write.
    progress : bool or callable
        Whether to show a bar; a callable gets ``(done, total)`` in bytes.
    **options
        Other arguments of `create`; `shape` and `dtype` are those of `data`.

    Returns
    -------
    Array

    Raises
    ------
    NodeExistsError
        There is something and `overwrite` is false.

    Examples
    --------
    >>> import numpy as np, tenzarr as tz
    >>> tz.save(None, np.eye(2), names=("i", "j")).names
    ('i', 'j')
    >>> tz.save(None, np.eye(2), shape=(2,))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `shape` and `dtype` must not be given to tz.save: they are those of `data`
    """
    if "shape" in options or "dtype" in options:
        raise ArgumentError("`shape` and `dtype` must not be given to tz.save: they are those of `data`")
    values = np.asarray(data)
    source, root = resolve(store, mode="a", storage_options=storage_options)
    place = _join(root, path)
    options["compressor"] = _either(options.get("compressor", "zstd"), options.pop("compressors", "zstd"))
    metadata = describe(ArrayArguments(values.shape, values.dtype, **options))
    with (
        placing(source, place, metadata, overwrite=overwrite, durable=durable) as target,
        track(progress, values.nbytes, label="save") as advance,
    ):
        for region in regions(values.shape, values.shape, metadata.chunks, values.itemsize):
            part = values[(*region.axes, ...)]
            block = arrange_value(part, region, target.engine.dtype)
            target.engine.write(region, values.shape, block, durable and not source.can_replace_tree)
            advance(part.nbytes)
    return open_at(source, place, durable=durable)


def load(store: Any, *, path: str | None = None, storage_options: StorageOptions = None) -> npt.NDArray[Any]:
    """Read a whole array into memory.

    Returns
    -------
    ndarray
        Of the array's shape and dtype, fresh and writable.

    Raises
    ------
    NodeNotFoundError
        There is no array.
    CorruptChunkError
        A chunk is damaged.

    Examples
    --------
    >>> import numpy as np, tenzarr as tz
    >>> tz.load(tz.save(None, np.arange(3)).source)
    array([0, 1, 2])
    >>> tz.load(None)
    Traceback (most recent call last):
        ...
    tenzarr.errors.NodeNotFoundError: there is no Zarr array or group at 'memory' ...
    """
    return open_array(store, "r", path=path, storage_options=storage_options)[...]
