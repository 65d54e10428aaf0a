"""How an array is stored, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tenzarr.storage.codec_arguments import describe_checks, describe_codecs
from tenzarr.storage.engine import Engine, NativeEngine, ZarrEngine
from tenzarr.storage.metadata import ArrayMetadata

__all__ = ["UNVERIFIED", "ArrayInfo", "describe_array", "inner_shape"]

UNVERIFIED = "unverified"
"""What `ArrayInfo.checks` says where nothing verifies the data."""


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """How an array is stored."""

    location: str
    """The store and the path."""
    engine: str
    """``"native"``, or ``"zarr"`` where zarr-python moves the chunks."""
    checks: str
    """What verifies the data when it is read, or ``"unverified"``."""
    zarr_format: int
    """2 or 3."""
    shape: tuple[int, ...]
    """In elements."""
    dtype: str
    """In memory."""
    byte_order: str
    """Of the stored elements: ``"little"``, ``"big"`` or ``"none"`` where there is no order."""
    chunks: tuple[int, ...]
    """Of what is decoded at once, in elements."""
    shards: tuple[int, ...] | None
    """Of what is stored under one key, in elements; None without shards."""
    order: str
    """``"C"``, ``"F"``, or the stored order of the axes."""
    codecs: str
    """The chain, for a person."""
    fill_value: Any
    """What elements that were never written hold."""
    names: tuple[str | None, ...] | None
    """Of the axes."""
    separator: str
    """Between the numbers of a chunk in its key."""
    n_chunks: int
    """How many keys the array has when every chunk is stored."""
    nbytes: int
    """Of all elements in memory, in bytes."""
    read_only: bool
    """Whether this handle refuses writes."""

    def __str__(self) -> str:
        width = max(len(name) for name in self.__slots__)
        return "\n".join(f"{name:<{width}}  {getattr(self, name)}" for name in self.__slots__)


def describe_array(metadata: ArrayMetadata, engine: Engine, location: str, *, read_only: bool) -> ArrayInfo:
    """The `ArrayInfo` of an array."""
    inner = inner_shape(metadata)
    grid = [-(-length // chunk) for length, chunk in zip(metadata.shape, metadata.chunks, strict=True)]
    return ArrayInfo(
        location=location,
        engine=engine.name,
        checks=(describe_checks(metadata) if isinstance(engine, ZarrEngine) else engine.checks) or UNVERIFIED,
        zarr_format=metadata.zarr_format,
        shape=metadata.shape,
        dtype=str(engine.dtype),
        byte_order=_byte_order(metadata, engine),
        chunks=inner,
        shards=metadata.chunks if inner != metadata.chunks or _is_sharded(metadata) else None,
        order=_order(metadata, engine),
        codecs=describe_codecs(metadata),
        fill_value=engine.fill_value if isinstance(engine, ZarrEngine) else metadata.fill_value,
        names=metadata.names,
        separator=metadata.keys.separator,
        n_chunks=math.prod(grid),
        nbytes=math.prod(metadata.shape) * engine.dtype.itemsize,
        read_only=read_only,
    )


def _is_sharded(metadata: ArrayMetadata) -> bool:
    return any(codec.name == "sharding_indexed" and not codec.numcodecs for codec in metadata.codecs)


def inner_shape(metadata: ArrayMetadata) -> tuple[int, ...]:
    """The shape of the inner chunks, or of the chunks where there are no shards."""
    order = list(range(len(metadata.chunks)))
    for codec in metadata.codecs:
        if codec.name == "transpose" and not codec.numcodecs:
            permutation: list[int] = codec.configuration["order"]
            order = [order[axis] for axis in permutation]
        if codec.name == "sharding_indexed" and not codec.numcodecs:
            stored: list[int] = codec.configuration["chunk_shape"]
            return tuple(stored[order.index(axis)] for axis in range(len(order)))
    return metadata.chunks


def _byte_order(metadata: ArrayMetadata, engine: Engine) -> str:
    if metadata.zarr_format == 2:
        return {">": "big", "|": "none"}.get(metadata.dtype.stored.str[0], "little")
    if isinstance(engine, NativeEngine) and engine.dtype.itemsize == 1:
        return "none"
    return "big" if "'endian': 'big'" in str(metadata.codecs) else "little"


def _order(metadata: ArrayMetadata, engine: Engine) -> str:
    if metadata.zarr_format == 2:
        return metadata.order
    order = engine.access.codec.order if isinstance(engine, NativeEngine) else None
    if order is None:
        return "C"
    return "F" if order == tuple(reversed(range(len(order)))) else str(order)
