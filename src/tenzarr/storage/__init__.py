"""Stored arrays: the Zarr format, its codecs, the stores, and the data path between them.

`Array` and `Group` are what a user holds. Below them: `indexing` turns a selection into
a plan, `codecs` turns stored bytes into chunks, `sources` moves bytes, `metadata` reads and
writes documents.
"""

from __future__ import annotations

from tenzarr.storage.api import create, load, open, open_array, open_group, save
from tenzarr.storage.array import Array
from tenzarr.storage.group import Group, Tree
from tenzarr.storage.info import ArrayInfo

__all__ = ["Array", "ArrayInfo", "Group", "Tree", "create", "load", "open", "open_array", "open_group", "save"]
