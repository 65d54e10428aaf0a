"""From the codec chain of a document to the compiled codec of its chunks.

Sources: Zarr v3 core specification and the codec specifications beside it
(``bytes``, ``transpose``, ``gzip``, ``zstd``, ``blosc``, ``crc32c``,
``sharding_indexed``); for version 2 and the ``numcodecs.*`` names, numcodecs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from tenzarr.errors import MetadataError
from tenzarr.storage.codecs.checksums import ChecksumStage, NumcodecsChecksumStage
from tenzarr.storage.codecs.compressors import (
    BloscStage,
    Bz2Stage,
    DeflateStage,
    LZ4Stage,
    LzmaStage,
    ZstdStage,
    library,
)
from tenzarr.storage.codecs.configuration import Configuration, UnknownCodecError
from tenzarr.storage.codecs.filters import ByteSwapStage, FilterStage, PackBitsStage, PermuteStage, ShuffleStage
from tenzarr.storage.codecs.leaf import LeafCodec
from tenzarr.storage.codecs.shard import ShardCodec
from tenzarr.storage.codecs.stage import Stage
from tenzarr.storage.metadata.model import ArrayMetadata, CodecSpec

__all__ = ["ChunkCodec", "compile_chain"]

ChunkCodec = LeafCodec | ShardCodec
"""What reads and writes the chunks of an array."""

MAXIMUM_NESTING = 8
"""Shards within shards."""

BLOSC_NAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
BLOSC_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")


@dataclass(frozen=True, slots=True)
class State:
    """How far a chain has been compiled."""

    document: str
    """The key of the document, for errors."""
    shape: tuple[int, ...]
    """Of the chunk, in elements, on the decoded side of the next codec."""
    dtype: np.dtype[Any]
    """Of the elements at this point."""
    element: np.dtype[Any]
    """Of the stored elements before any stage."""
    order: tuple[int, ...] | None = None
    """Permutation of the axes that comes before any stage."""
    stages: tuple[Stage, ...] = ()
    """Compiled so far."""
    nbytes: int | None = 0
    """Encoded size so far where it is known."""

    def then(self, stage: Stage, dtype: np.dtype[Any] | None = None) -> State:
        """With one stage more; `dtype` where the elements change."""
        nbytes = stage.encoded_bound(self.nbytes) if stage.fixed and self.nbytes is not None else None
        return replace(self, stages=(*self.stages, stage), nbytes=nbytes, dtype=dtype or self.dtype)


def compile_chain(metadata: ArrayMetadata, document: str) -> ChunkCodec:
    """Compile the chain of an array.

    Parameters
    ----------
    metadata : ArrayMetadata
        With a native data type.
    document : str
        The key of its document, for errors.

    Raises
    ------
    UnknownCodecError
        A codec is not ours; zarr-python may know it.
    MetadataError
        A codec is ours and its configuration is wrong, or the codecs do not fit one another.
    """
    if metadata.zarr_format == 3:
        return _compile_v3(metadata.codecs, metadata.chunks, metadata.dtype.dtype, document, "codecs", nesting=0)
    return _compile_v2(metadata, document)


def _compile_v2(metadata: ArrayMetadata, document: str) -> LeafCodec:
    stored = metadata.dtype.stored
    order = tuple(reversed(range(len(metadata.chunks)))) if metadata.order == "F" else None
    nbytes = math.prod(metadata.chunks) * stored.itemsize
    state = State(document, metadata.chunks, stored, stored, order, (), nbytes)
    for position, spec in enumerate(metadata.codecs):
        where = f"filters[{position}]" if position < len(metadata.codecs) - 1 else "compressor"
        configuration = Configuration(document, where, spec.name, spec.configuration)
        compiled = _byte_codec(state, spec, configuration) or _element_filter(state, configuration)
        if compiled is None:
            raise UnknownCodecError(spec.name)
        state = compiled
    return LeafCodec(metadata.chunks, metadata.dtype.dtype, order, stored, state.stages)


def _compile_v3(
    specs: Sequence[CodecSpec],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    document: str,
    where: str,
    nesting: int,
) -> ChunkCodec:
    state = State(document, shape, dtype, dtype, None, (), math.prod(shape) * dtype.itemsize)
    finish: Callable[[State], ChunkCodec] | None = None
    for position, spec in enumerate(specs):
        configuration = Configuration(document, f"{where}[{position}]", spec.name, spec.configuration)
        if finish is None:
            compiled = _transpose(state, spec, configuration) or (
                _element_filter(state, configuration) if spec.numcodecs else None
            )
            if compiled is not None:
                state = compiled
            elif spec.name == "bytes" and not spec.numcodecs:
                state = _bytes_codec(state, configuration)
                finish = _finish_leaf(shape, dtype)
            elif spec.name == "sharding_indexed" and not spec.numcodecs:
                finish = _sharding(state, shape, configuration, nesting)
                state = replace(state, stages=(), nbytes=None)
            elif _is_byte_codec(spec):
                raise MetadataError(
                    document,
                    configuration.where,
                    f"codec {spec.name!r} comes before an array-to-bytes codec (`bytes` or `sharding_indexed`)",
                )
            else:
                raise UnknownCodecError(spec.name)
        else:
            compiled = _byte_codec(state, spec, configuration)
            if compiled is None and spec.name in ("bytes", "sharding_indexed", "transpose"):
                raise MetadataError(
                    document, configuration.where, f"codec {spec.name!r} comes after the array-to-bytes codec"
                )
            if compiled is None:
                raise UnknownCodecError(spec.name)
            state = compiled
    if finish is None:
        raise MetadataError(document, where, "the chain has no array-to-bytes codec (`bytes` or `sharding_indexed`)")
    return finish(state)


def _finish_leaf(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[State], ChunkCodec]:
    return lambda state: LeafCodec(shape, dtype, state.order, state.element, state.stages)


def _transpose(state: State, spec: CodecSpec, configuration: Configuration) -> State | None:
    if spec.name != "transpose" or spec.numcodecs:
        return None
    configuration.only("order")
    order = configuration.integers("order", len(state.shape), 0)
    if sorted(order) != list(range(len(state.shape))):
        configuration.refuse("order", f"`order` must be a permutation of the {len(state.shape)} axes")
    shape = tuple(state.shape[axis] for axis in order)
    if state.stages:
        return replace(state.then(PermuteStage(state.shape, order, state.dtype)), shape=shape)
    combined = order if state.order is None else tuple(state.order[axis] for axis in order)
    return replace(state, order=combined, shape=shape)


def _bytes_codec(state: State, configuration: Configuration) -> State:
    """The ``bytes`` codec: byte order, where elements have one."""
    configuration.only("endian")
    swappable = _unit_bytes(state.dtype) > 1
    # ExZarr leaves `endian` out where it writes little-endian elements, and zarr-python reads that.
    endian = configuration.choice("endian", ("little", "big"), "little")
    if not swappable or endian == "little":
        return state if np.little_endian or not swappable else _swapped(state)
    return _swapped(state) if np.little_endian else state


def _swapped(state: State) -> State:
    if not state.stages and (state.dtype.isbuiltin == 1 or state.dtype.kind in "MmU"):
        return replace(state, element=state.element.newbyteorder())
    return state.then(ByteSwapStage(_unit_bytes(state.dtype)))


def _unit_bytes(dtype: np.dtype[Any]) -> int:
    """Bytes of the unit that byte order applies to: half a complex number, one character."""
    if dtype.kind == "c":
        return dtype.itemsize // 2
    if dtype.kind == "U":
        return 4
    if dtype.kind == "S" or (dtype.kind == "V" and dtype.isbuiltin != 2):
        return 1
    return dtype.itemsize


def _sharding(
    state: State, shape: tuple[int, ...], configuration: Configuration, nesting: int
) -> Callable[[State], ChunkCodec]:
    configuration.only("chunk_shape", "codecs", "index_codecs", "index_location")
    if nesting >= MAXIMUM_NESTING:
        configuration.refuse("", f"shards are nested more than {MAXIMUM_NESTING} deep")
    if state.stages:
        raise UnknownCodecError("a filter before sharding_indexed")
    inner_shape = configuration.integers("chunk_shape", len(shape), 1)
    if any(whole % part for whole, part in zip(state.shape, inner_shape, strict=True)):
        configuration.refuse("chunk_shape", f"`chunk_shape` must divide the shard shape {state.shape}")
    place = f"{configuration.where}.configuration"
    inner = _compile_v3(
        _specs(configuration, "codecs"), inner_shape, state.dtype, state.document, f"{place}.codecs", nesting + 1
    )
    grid = tuple(whole // part for whole, part in zip(state.shape, inner_shape, strict=True))
    index = _compile_v3(
        _specs(configuration, "index_codecs"),
        (*grid, 2),
        np.dtype(np.uint64),
        state.document,
        f"{place}.index_codecs",
        nesting + 1,
    )
    if not isinstance(index, LeafCodec) or not index.fixed:
        configuration.refuse("index_codecs", "`index_codecs` must encode to a size that does not depend on the data")
    location = "start" if configuration.choice("index_location", ("start", "end"), "end") == "start" else "end"
    return lambda state: ShardCodec(shape, inner, index, location, state.order, state.stages)


def _specs(configuration: Configuration, member: str) -> list[CodecSpec]:
    """The codecs of a nested chain."""
    specs: list[CodecSpec] = []
    for position, item in enumerate(configuration.chain(member)):
        members: dict[str, Any] = cast(dict[str, Any], item) if isinstance(item, dict) else {"name": item}
        name, values = members.get("name"), members.get("configuration", {})
        if not isinstance(name, str) or not isinstance(values, dict):
            raise MetadataError(
                configuration.document,
                f"{configuration.where}.configuration.{member}[{position}]",
                f"a codec must be a name or a mapping with `name` and `configuration`, got {item!r}",
            )
        ours = name.startswith("numcodecs.")
        specs.append(CodecSpec(name.removeprefix("numcodecs."), cast(dict[str, Any], values), ours))
    return specs


def _is_byte_codec(spec: CodecSpec) -> bool:
    return spec.name in (NUMCODECS_BYTES if spec.numcodecs else ("gzip", "zstd", "blosc", "crc32c"))


def _byte_codec(state: State, spec: CodecSpec, configuration: Configuration) -> State | None:
    """A codec from bytes to bytes, or None if it is not one of ours."""
    if spec.numcodecs:
        build = NUMCODECS_BYTES.get(spec.name)
        return None if build is None else state.then(build(state, configuration))
    match spec.name:
        case "gzip":
            configuration.only("level")
            return state.then(DeflateStage("gzip", configuration.integer("level", 0, 9)))
        case "zstd":
            configuration.only("level", "checksum")
            return state.then(ZstdStage(configuration.integer("level", -131072, 22), configuration.flag("checksum")))
        case "blosc":
            return state.then(_blosc_v3(configuration))
        case "crc32c":
            configuration.only()
            return state.then(ChecksumStage("crc32c", at_end=True))
        case _:
            return None


def _blosc_v3(configuration: Configuration) -> Stage:
    configuration.only("cname", "clevel", "shuffle", "typesize", "blocksize")
    shuffle = configuration.choice("shuffle", BLOSC_SHUFFLES)
    return BloscStage(
        configuration.choice("cname", BLOSC_NAMES),
        configuration.integer("clevel", 0, 9),
        BLOSC_SHUFFLES.index(shuffle),
        configuration.integer("blocksize", 0, 2**31 - 1, 0),
        configuration.integer("typesize", 1, 255, 1 if shuffle == "noshuffle" else None),
    )


def _numcodecs_blosc(state: State, configuration: Configuration) -> Stage:
    configuration.only("cname", "clevel", "shuffle", "blocksize", "typesize")
    plain = all(stage.fixed for stage in state.stages)
    typesize = configuration.values.get("typesize")
    return BloscStage(
        configuration.choice("cname", BLOSC_NAMES, "lz4"),
        configuration.integer("clevel", 0, 9, 5),
        configuration.integer("shuffle", -1, 2, 1),
        configuration.integer("blocksize", 0, 2**31 - 1, 0),
        (min(state.dtype.itemsize, 255) if plain else 1)
        if typesize is None
        else configuration.integer("typesize", 1, 255),
    )


def _numcodecs_zstd(state: State, configuration: Configuration) -> Stage:
    configuration.only("level", "checksum")
    return ZstdStage(configuration.integer("level", -131072, 22, 1), configuration.flag("checksum"))


def _numcodecs_lz4(state: State, configuration: Configuration) -> Stage:
    configuration.only("acceleration")
    return LZ4Stage(configuration.integer("acceleration", 1, 2**31 - 1, 1))


def _numcodecs_deflate(state: State, configuration: Configuration) -> Stage:
    configuration.only("level")
    return DeflateStage(configuration.name, configuration.integer("level", -1, 9, 1))


def _numcodecs_bz2(state: State, configuration: Configuration) -> Stage:
    configuration.only("level")
    return Bz2Stage(configuration.integer("level", 1, 9, 1))


def _numcodecs_lzma(state: State, configuration: Configuration) -> Stage:
    configuration.only("format", "check", "preset", "filters")
    preset, filters = configuration.values.get("preset"), configuration.values.get("filters")
    if preset is not None:
        configuration.integer("preset", 0, 9 | 2**31)
    if filters is not None and not (
        isinstance(filters, list) and all(isinstance(item, dict) for item in cast(list[Any], filters))
    ):
        configuration.refuse("filters", "`filters` must be null or a list of mappings")
    return LzmaStage(
        configuration.integer("format", 1, 3, 1), configuration.integer("check", -1, 16, -1), preset, filters
    )


def _numcodecs_checksum(state: State, configuration: Configuration) -> Stage:
    configuration.only("location")
    default = "end" if configuration.name == "crc32c" else "start"
    at_end = configuration.choice("location", ("start", "end"), default) == "end"
    return ChecksumStage(configuration.name, at_end)


def _numcodecs_object(state: State, configuration: Configuration) -> Any:
    """The numcodecs codec of this configuration."""
    try:
        return library("registry").get_codec({"id": configuration.name, **configuration.values})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        configuration.refuse("", f"numcodecs refuses its configuration: {error}")


def _numcodecs_other_checksum(state: State, configuration: Configuration) -> Stage:
    return NumcodecsChecksumStage(_numcodecs_object(state, configuration))


def _numcodecs_shuffle(state: State, configuration: Configuration) -> Stage:
    configuration.only("elementsize")
    if configuration.where.startswith("codecs") and configuration.values.get("elementsize") is None:
        # Where a v3 document leaves it out, zarr-python shuffles whole elements; numcodecs says 4.
        configuration = replace(configuration, values={"elementsize": state.dtype.itemsize})
    elementsize = configuration.integer("elementsize", 0, 2**31 - 1, 4)
    if elementsize > 1 and (state.nbytes is None or state.nbytes % elementsize):
        configuration.refuse("elementsize", "`elementsize` must divide the number of bytes that are shuffled")
    return ShuffleStage(_numcodecs_object(state, configuration))


NUMCODECS_BYTES: dict[str, Callable[[State, Configuration], Stage]] = {
    "adler32": _numcodecs_checksum,
    "blosc": _numcodecs_blosc,
    "bz2": _numcodecs_bz2,
    "crc32": _numcodecs_checksum,
    "crc32c": _numcodecs_checksum,
    "fletcher32": _numcodecs_other_checksum,
    "gzip": _numcodecs_deflate,
    "jenkins_lookup3": _numcodecs_other_checksum,
    "lz4": _numcodecs_lz4,
    "lzma": _numcodecs_lzma,
    "shuffle": _numcodecs_shuffle,
    "zlib": _numcodecs_deflate,
    "zstd": _numcodecs_zstd,
}

ELEMENT_FILTERS = ("astype", "bitround", "categorize", "delta", "fixedscaleoffset", "quantize")


def _element_filter(state: State, configuration: Configuration) -> State | None:
    """A numcodecs filter on elements, or None if it is not one of ours."""
    if configuration.name == "packbits":
        configuration.only()
        if state.dtype != np.bool_ or state.nbytes is None:
            configuration.refuse("", f"packbits needs elements of type bool, got {state.dtype.name}")
        return state.then(PackBitsStage(state.nbytes), np.dtype(np.uint8))
    if configuration.name not in ELEMENT_FILTERS:
        return None
    codec = _numcodecs_object(state, _with_types(state, configuration))
    decoded, encoded = _filter_types(codec, state.dtype)
    if state.nbytes is None or decoded.itemsize != state.dtype.itemsize or decoded.hasobject or encoded.hasobject:
        configuration.refuse("", f"the filter decodes to {decoded}, the elements are {state.dtype}")
    count = state.nbytes // decoded.itemsize
    return state.then(FilterStage(codec, count, decoded, encoded), encoded)


def _with_types(state: State, configuration: Configuration) -> Configuration:
    """Types that may be left out are those of the elements at this point."""
    values = dict(configuration.values)
    if configuration.name in ("fixedscaleoffset", "quantize", "delta"):
        values.setdefault("dtype", state.dtype.str)
    if configuration.name == "astype":
        values.setdefault("decode_dtype", state.dtype.str)
    return replace(configuration, values=values)


def _filter_types(codec: Any, current: np.dtype[Any]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Types of the elements before and after a filter encodes them."""
    if codec.codec_id == "astype":
        return np.dtype(codec.decode_dtype), np.dtype(codec.encode_dtype)
    if codec.codec_id == "bitround":
        return current, current
    return np.dtype(codec.dtype), np.dtype(codec.astype)
