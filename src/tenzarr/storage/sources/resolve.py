"""What a user calls a store, as a `ByteSource`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tenzarr.errors import ArgumentError, ArgumentTypeError, ReadOnlyError
from tenzarr.storage.sources.base import ByteSource
from tenzarr.storage.sources.keys import path_text
from tenzarr.storage.sources.local import LocalSource
from tenzarr.storage.sources.memory import MemorySource
from tenzarr.storage.sources.zarr_store import ZarrStoreSource
from tenzarr.storage.sources.zip import ZipSource

__all__ = ["Mode", "resolve"]

Mode = Literal["r", "r+", "a", "w", "w-"]


def resolve(
    store: Any, *, mode: Mode = "r+", storage_options: Mapping[str, Any] | None = None, follow_symlinks: bool = True
) -> tuple[ByteSource, str]:
    """The source for `store`, and the path of the node that `store` itself stands for.

    Parameters
    ----------
    store : str, Path, None, ByteSource, zarr.abc.store.Store, zarr.Array or zarr.Group
        A path (``~`` is the home directory; a file that ends in ``.zip`` is a zip file), a URL,
        ``None`` for memory, or a store that is there already.
    mode : {"r", "r+", "a", "w", "w-"}, optional
        ``"r"`` refuses writes. What the others mean for a node is not the store's business.
    storage_options : mapping, optional
        For a URL: what fsspec passes to its file system.
    follow_symlinks : bool, optional
        For a path: whether readers follow symbolic links below it.

    Returns
    -------
    tuple of (ByteSource, str)
        The path is ``""`` except for a zarr array or group.

    Raises
    ------
    ArgumentTypeError
        If `store` is none of these.
    ArgumentError
        If `store` is an empty path, or `storage_options` comes with anything but a URL.
    ReadOnlyError
        If `store` was opened for reading and `mode` is for writing, except ``"r+"``, which
        reads what cannot be written.

    Examples
    --------
    >>> resolve(None)
    (MemorySource(<0 values>), '')
    >>> resolve(7)
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentTypeError: `store` must be a path, a URL, None, or a zarr store, array or group, not int; ...
    """
    if hasattr(store, "__fspath__"):
        store = path_text(store, "store")
    if isinstance(store, str):
        return _from_text(store, mode == "r", storage_options, follow_symlinks), ""
    if storage_options is not None:
        raise ArgumentError(
            f"`storage_options` must come with a URL, not with {type(store).__name__}; give them to the store itself"
        )
    if store is None:
        return MemorySource(), ""
    if isinstance(store, ByteSource):
        return _writable(store, mode), ""
    source, path = _from_zarr(store, mode, follow_symlinks)
    return _writable(source, mode), path


def _writable(source: ByteSource, mode: Mode) -> ByteSource:
    if source.read_only and mode in ("a", "w", "w-"):
        raise ReadOnlyError(f"`mode` must be 'r' for {source.location}, which was opened for reading, not {mode!r}")
    return source


def _from_text(
    text: str, read_only: bool, storage_options: Mapping[str, Any] | None, follow_symlinks: bool
) -> ByteSource:
    if not text or "\0" in text:
        raise ArgumentError(f"`store` must be a path, not {text!r}; '.' is the working directory")
    parts = urlsplit(text) if "://" in text else None
    if parts is not None and parts.scheme != "file":
        return ZarrStoreSource(_open_url(text, read_only, storage_options), read_only=read_only)
    if storage_options is not None:
        raise ArgumentError(f"`storage_options` must come with a URL, not with the path {text!r}; leave them out")
    if parts is not None:
        if parts.netloc not in ("", "localhost"):
            raise ArgumentError(f"`store` must be a file of this machine, not {text!r}; write file:///path")
        text = unquote(parts.path)
    path = path_text(text, "store")
    if path.lower().endswith(".zip") and not os.path.isdir(path):
        return ZipSource(path, read_only=read_only)
    return LocalSource(path, read_only=read_only, follow_symlinks=follow_symlinks)


def _open_url(url: str, read_only: bool, storage_options: Mapping[str, Any] | None) -> Any:
    from zarr.storage import FsspecStore

    options = dict(storage_options) if storage_options is not None else None
    try:
        return FsspecStore.from_url(url, storage_options=options, read_only=read_only)
    except (ImportError, ValueError) as error:
        raise ArgumentError(
            f"`store` must be a URL that fsspec knows, not {url!r}: {error}; install the package for its protocol"
        ) from error


def _from_zarr(store: Any, mode: Mode, follow_symlinks: bool) -> tuple[ByteSource, str]:
    kind = type(store).__name__
    # Nothing can be one of zarr's objects before zarr was imported, and importing it costs much.
    if "zarr" in sys.modules:
        import zarr
        from zarr.abc.store import Store
        from zarr.storage import LocalStore, StorePath

        place = store.store_path if isinstance(store, (zarr.Array, zarr.Group)) else store
        inner, path = (place.store, place.path) if isinstance(place, StorePath) else (place, "")
        if isinstance(inner, Store):
            read_only = mode == "r" or inner.read_only
            # A subclass may do more than files.
            if type(inner) is LocalStore:
                return LocalSource(inner.root, read_only=read_only, follow_symlinks=follow_symlinks), path
            return ZarrStoreSource(inner, read_only=read_only), path
    raise ArgumentTypeError(
        "`store` must be a path, a URL, None, or a zarr store, array or group, "
        f"not {kind}; wrap it in a zarr.abc.store.Store"
    )
