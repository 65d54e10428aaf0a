"""Copying an array with other chunks, codecs or format: decoded and encoded again, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from tenzarr.core.progress import Progress, track
from tenzarr.dtypes import stored_type
from tenzarr.dtypes.types import is_extension
from tenzarr.storage.arguments import ArrayArguments, describe
from tenzarr.storage.codec_arguments import BIG_ENDIAN, OBJECT_CODECS, decompose
from tenzarr.storage.creation import placing
from tenzarr.storage.engine import Engine, ZarrEngine
from tenzarr.storage.indexing import Selection
from tenzarr.storage.info import inner_shape
from tenzarr.storage.metadata import ArrayMetadata
from tenzarr.storage.sources import ByteSource

__all__ = ["CopyArguments", "copy_array", "copy_metadata", "regions"]

REGION_BYTES = 128 * 2**20
"""What is held decoded at once, unless one chunk of the copy is larger."""


BATCH_BYTES = 32 * 2**20
"""So much is held although fewer chunks would do: several chunks are decoded and encoded at once."""


@dataclass(frozen=True, slots=True)
class CopyArguments:
    """What is to be different in the copy; ``"same"`` keeps what the array has."""

    chunks: Any = "same"
    shards: Any = "same"
    compressor: Any = "same"
    zarr_format: int | None = None
    checksum: bool = True


def copy_metadata(metadata: ArrayMetadata, engine: Engine, arguments: CopyArguments) -> ArrayMetadata:
    """The metadata of the copy.

    Raises `ArgumentError` where the codecs of the array do not exist in the format of the copy.
    """
    zarr_format = metadata.zarr_format if arguments.zarr_format is None else arguments.zarr_format
    chunks, shards = _layout(metadata, arguments, zarr_format)
    attributes = {name: value for name, value in metadata.attributes.items() if name != "_ARRAY_DIMENSIONS"}
    dtype, fill_value = metadata.dtype, metadata.fill_value
    chain = _chain(metadata, arguments, zarr_format)
    if isinstance(engine, ZarrEngine) and not metadata.dtype.native:
        dtype, fill_value = engine.data_type, engine.fill_value
    elif chain["serializer"] == BIG_ENDIAN and (zarr_format == 2 or not is_extension(dtype.dtype)):
        # Version 2 says it with the data type, where that has a byte order.
        chain["serializer"] = None
        dtype = dtype if is_extension(dtype.dtype) else stored_type(dtype.dtype.newbyteorder(">"))
    same_format = zarr_format == metadata.zarr_format
    keys = {"name": metadata.keys.name, "separator": metadata.keys.separator} if same_format else None
    wanted = describe(
        ArrayArguments(
            metadata.shape,
            dtype,
            chunks=chunks,
            shards=shards,
            fill_value=fill_value,
            names=metadata.names,
            attributes=attributes,
            chunk_key_encoding=keys,
            zarr_format=zarr_format,
            checksum=arguments.checksum,
            **chain,
        )
    )
    if not same_format:
        return wanted
    kept = None if metadata.fill_value is None else wanted.fill_value
    return replace(wanted, fill_value=kept, extra=metadata.extra)


def _chain(metadata: ArrayMetadata, arguments: CopyArguments, zarr_format: int) -> dict[str, Any]:
    """The codecs of the copy."""
    chain = decompose(metadata)
    if arguments.compressor != "same":
        chain["compressor"] = arguments.compressor
    elif zarr_format == 2:
        # Version 2 has one compressor; what comes before it is a filter.
        chain["filters"], chain["compressor"] = (
            [
                *chain["filters"],
                *chain["compressor"][:-1],
            ],
            chain["compressor"][-1:],
        )
    if not metadata.dtype.native:
        # The other format has them elsewhere, and `describe` knows where.
        chain["filters"] = [codec for codec in chain["filters"] if codec.name not in OBJECT_CODECS]
        if chain["serializer"] is not None and chain["serializer"].name in OBJECT_CODECS:
            chain["serializer"] = None
    return chain


def _layout(metadata: ArrayMetadata, arguments: CopyArguments, zarr_format: int) -> tuple[Any, Any]:
    inner = inner_shape(metadata)
    sharded = inner != metadata.chunks
    chunks = inner if isinstance(arguments.chunks, str) and arguments.chunks == "same" else arguments.chunks
    if not (isinstance(arguments.shards, str) and arguments.shards == "same"):
        return chunks, arguments.shards
    keep = sharded and zarr_format == 3 and chunks == inner
    return chunks, metadata.chunks if keep else None


def copy_array(
    metadata: ArrayMetadata,
    engine: Engine,
    arguments: CopyArguments,
    source: ByteSource,
    path: str,
    *,
    overwrite: bool,
    durable: bool,
    progress: Progress,
) -> None:
    """Write a copy of an array to `path` of `source`; it appears whole or not at all."""
    wanted = copy_metadata(metadata, engine, arguments)
    total = math.prod(metadata.shape) * engine.dtype.itemsize
    with (
        placing(source, path, wanted, overwrite=overwrite, durable=durable) as target,
        track(progress, total, label="copy") as advance,
    ):
        for region in regions(metadata.shape, metadata.chunks, wanted.chunks, engine.dtype.itemsize):
            block = engine.read(region, metadata.shape, None, True)
            target.engine.write(region, metadata.shape, block, durable and not source.can_replace_tree)
            advance(block.nbytes)


def regions(
    shape: tuple[int, ...], read_chunks: tuple[int, ...], write_chunks: tuple[int, ...], itemsize: int
) -> Iterator[Selection]:
    """Blocks that cover `shape`, each a whole number of `write_chunks`, so that none is written twice.

    They grow towards `read_chunks`, so that little is read twice, as long as they stay below
    `REGION_BYTES`; and then towards `shape`, so that there is work for every thread, as long as
    they stay below `BATCH_BYTES`.

    >>> [region.axes for region in regions((5,), (4,), (2,), 2**23)]
    [(slice(0, 4, 1),), (slice(4, 5, 1),)]
    """
    sides = [max(1, chunk) for chunk in write_chunks]
    for targets, limit in ((read_chunks, REGION_BYTES), (shape, BATCH_BYTES)):
        for axis in reversed(range(len(sides))):
            wanted = -(-targets[axis] // sides[axis])
            room = limit // (math.prod(sides) * max(1, itemsize))
            sides[axis] *= max(1, min(wanted, room))
    for corner in product(*(range(0, length, side) for length, side in zip(shape, sides, strict=True))):
        axes = tuple(
            slice(start, min(start + side, length), 1) for start, side, length in zip(corner, sides, shape, strict=True)
        )
        counts = tuple(part.stop - part.start for part in axes)
        yield Selection(axes, counts, counts, None, tuple(range(len(shape))))
