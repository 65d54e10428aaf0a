"""Arrays on disk for the rows: the same bytes for every engine.

Every array that is read was written by zarr-python, the reference
implementation; arrays that are written start from a document it wrote.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = ["WRITER", "Codec", "codec_words", "create", "ratio_note", "store"]

WRITER = "zarr-python"
"""Who wrote the bytes that are read."""

Codec = Literal["none", "crc32c", "zstd", "blosc"]
"""none: raw; crc32c: raw with a checksum; zstd: level 3 without checksum; blosc: lz4, level 5, byte shuffle."""


def codec_words(codec: Codec) -> str:
    """What a codec is called in the report."""
    words = {"none": "uncompressed", "crc32c": "crc32c", "zstd": "zstd 3", "blosc": "blosc lz4 shuffle"}
    assert set(words) == set(get_args(Codec))
    return words[codec]


def create(
    path: Path,
    *,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: Any,
    codec: Codec,
    shards: tuple[int, ...] | None = None,
) -> Any:
    """An empty Zarr v3 array at `path`, as a `zarr.Array`."""
    import zarr

    dtype = np.dtype(dtype)
    return zarr.create_array(
        str(path),
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        filters=None,
        compressors=_compressors(codec, dtype.itemsize),
        fill_value=0,
        zarr_format=3,
        config={"write_empty_chunks": True},
    )


def store(
    path: Path,
    data: npt.NDArray[Any],
    *,
    chunks: tuple[int, ...],
    codec: Codec,
    shards: tuple[int, ...] | None = None,
) -> Path:
    """`data` as a Zarr v3 array at `path`; returns `path`."""
    create(path, shape=data.shape, chunks=chunks, dtype=data.dtype, codec=codec, shards=shards)[...] = data
    return path


def ratio_note(path: Path, nbytes: int) -> str:
    """How much smaller than `nbytes` the files at `path` are, in words."""
    stored = sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
        if name != "zarr.json"
    )
    return f"written by {WRITER}, compression ratio {nbytes / stored:.1f}"


def _compressors(codec: Codec, itemsize: int) -> Any:
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    if codec == "crc32c":
        return (Crc32cCodec(),)
    if codec == "zstd":
        return (ZstdCodec(level=3, checksum=False),)
    if codec == "blosc":
        return (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=itemsize),)
    return None
