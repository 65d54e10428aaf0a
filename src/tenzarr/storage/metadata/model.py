"""What a metadata document says, as values.

Both formats are read into the same `ArrayMetadata`: the codec chain is always
written in the order of encoding, version 2's ``filters`` and ``compressor``
included, so that everything behind the parser knows one shape of array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tenzarr.dtypes import StoredType

__all__ = ["ArrayMetadata", "ChunkKeys", "CodecSpec", "GroupMetadata"]


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """One codec as the document names it."""

    name: str
    """Zarr v3: ``name``. Zarr v2: the numcodecs ``id``."""
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Zarr v3: ``configuration``. Zarr v2: everything beside ``id``."""
    numcodecs: bool = False
    """Whether `name` is a numcodecs id (a v2 document, or a v3 ``numcodecs.*`` name without its prefix)."""


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """How the index of a chunk becomes the key of its value."""

    name: Literal["default", "v2"]
    """``default`` puts ``c`` first; ``v2`` does not, and calls the chunk of a 0-d array ``0``."""
    separator: Literal["/", "."]

    def key(self, index: tuple[int, ...]) -> str:
        """The key of chunk `index`, relative to the array.

        >>> ChunkKeys("default", "/").key((1, 23)), ChunkKeys("v2", ".").key((1, 23))
        ('c/1/23', '1.23')
        >>> ChunkKeys("default", "/").key(()), ChunkKeys("v2", ".").key(())
        ('c', '0')
        """
        parts = [str(i) for i in index]
        if self.name == "default":
            return self.separator.join(["c", *parts])
        return self.separator.join(parts) if parts else "0"


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """An array as its document declares it."""

    zarr_format: Literal[2, 3]
    shape: tuple[int, ...]
    """In elements."""
    chunks: tuple[int, ...]
    """The chunk grid, in elements: the shard shape where the array is sharded."""
    dtype: StoredType
    """The type in memory and on disk."""
    fill_value: Any
    """A NumPy scalar of the type in memory; ``None`` only where a v2 document says ``null``."""
    codecs: tuple[CodecSpec, ...]
    """The chain in the order of encoding. v2: the filters, then the compressor; no ``bytes`` codec."""
    keys: ChunkKeys
    order: Literal["C", "F"] = "C"
    """Version 2's memory layout of a chunk; v3 says it with a ``transpose`` codec and is always C here."""
    names: tuple[str | None, ...] | None = None
    """v3 ``dimension_names``; v2: xarray's ``_ARRAY_DIMENSIONS`` attribute."""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The user's attributes (v2: of ``.zattrs``). ``_ARRAY_DIMENSIONS`` stays in them."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Members of the document that we do not know and need not understand; written back as they came."""


@dataclass(frozen=True, slots=True)
class GroupMetadata:
    """A group as its document declares it."""

    zarr_format: Literal[2, 3]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    consolidated: Mapping[str, ArrayMetadata | GroupMetadata] | None = None
    """Metadata of every node below, by path relative to this group; None where not consolidated."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
