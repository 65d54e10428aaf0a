"""What the displays show of an array."""

from __future__ import annotations

from tenzarr.storage.codec_arguments import describe_codecs
from tenzarr.storage.display import ArrayCard
from tenzarr.storage.info import ArrayInfo, inner_shape
from tenzarr.storage.metadata import ArrayMetadata

__all__ = ["array_card", "metadata_card"]


def array_card(info: ArrayInfo, itemsize_bytes: int, stored_bytes: int | None = None) -> ArrayCard:
    """The card of an array.

    Parameters
    ----------
    info : ArrayInfo
        How it is stored.
    itemsize_bytes : int
        Of one element in memory.
    stored_bytes : int, optional
        What its values take in the store, where that was looked up.
    """
    return ArrayCard(
        name=info.location,
        shape=info.shape,
        dtype=info.dtype,
        itemsize_bytes=itemsize_bytes,
        chunks=info.chunks,
        shards=info.shards,
        names=info.names,
        codecs=info.codecs,
        checks=info.checks,
        zarr_format=info.zarr_format,
        read_only=info.read_only,
        stored_bytes=stored_bytes,
    )


def metadata_card(name: str, metadata: ArrayMetadata) -> ArrayCard:
    """The card of an array called `name` that was not opened."""
    inner = inner_shape(metadata)
    return ArrayCard(
        name=name,
        shape=metadata.shape,
        dtype=str(metadata.dtype.dtype),
        itemsize_bytes=metadata.dtype.dtype.itemsize,
        chunks=inner,
        shards=None if inner == metadata.chunks else metadata.chunks,
        names=metadata.names,
        codecs=describe_codecs(metadata),
        checks="",
        zarr_format=metadata.zarr_format,
    )
