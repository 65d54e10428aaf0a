"""Where bytes come from and go to: local files, memory, zip files, and any zarr store."""

from __future__ import annotations

from tenzarr.storage.sources.base import DOCUMENT, MISSING, Buffer, ByteSource, Entry, Request, Stage, Value
from tenzarr.storage.sources.keys import check_key, check_node_path
from tenzarr.storage.sources.local import LocalSource
from tenzarr.storage.sources.locks import EVERYTHING
from tenzarr.storage.sources.memory import MemorySource
from tenzarr.storage.sources.resolve import Mode, resolve
from tenzarr.storage.sources.zarr_store import ZarrStoreSource
from tenzarr.storage.sources.zip import ZipSource

__all__ = [
    "DOCUMENT",
    "EVERYTHING",
    "MISSING",
    "Buffer",
    "ByteSource",
    "Entry",
    "LocalSource",
    "MemorySource",
    "Mode",
    "Request",
    "Stage",
    "Value",
    "ZarrStoreSource",
    "ZipSource",
    "check_key",
    "check_node_path",
    "resolve",
]
