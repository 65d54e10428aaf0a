"""From the arguments of `create` to the metadata of an array: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from tenzarr.dtypes import StoredType, scalar_from_json, scalar_to_json, stored_type, to_scalar, zero
from tenzarr.errors import ArgumentError, ArgumentTypeError
from tenzarr.storage.codec_arguments import (
    chain_arguments,
    checks_content,
    core_codec,
    one_codec,
    to_v2,
    with_types,
)
from tenzarr.storage.foreign_types import foreign_type
from tenzarr.storage.metadata import ArrayMetadata, ChunkKeys, CodecSpec

__all__ = [
    "AUTO_CHUNK_BYTES",
    "ArrayArguments",
    "auto_chunks",
    "check_attributes",
    "check_size",
    "describe",
    "normalize_shape",
]

AUTO_CHUNK_BYTES = 2**20
"""What ``chunks="auto"`` aims at: a chunk that decodes in about a millisecond."""


BYTE_FILTERS = (
    *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3", "shuffle"),
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),
)
"""Filters that need bytes: in version 3 they follow the codec that makes bytes of elements."""


@dataclass(frozen=True, slots=True)
class ArrayArguments:
    """What `create` was asked for; see there."""

    shape: Any
    dtype: Any
    chunks: Any = "auto"
    shards: Any = None
    order: str = "C"
    compressor: Any = "zstd"
    filters: Any = None
    serializer: Any = None
    codecs: Any = None
    fill_value: Any = None
    names: Any = None
    attributes: Any = None
    chunk_key_encoding: Any = None
    zarr_format: int = 3
    checksum: bool = True


def describe(arguments: ArrayArguments) -> ArrayMetadata:
    """The metadata of the array that `arguments` ask for.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        An argument breaks a rule, or two of them do not go together.

    Examples
    --------
    >>> [codec.name for codec in describe(ArrayArguments((100,), "f4")).codecs]
    ['bytes', 'zstd', 'crc32c']
    >>> describe(ArrayArguments((100,), "f4", chunks=(10, 10)))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `chunks` must have one length for each of the 1 axes, got (10, 10)
    """
    if arguments.zarr_format not in (2, 3):
        raise ArgumentError(f"`zarr_format` must be 2 or 3, got {arguments.zarr_format!r}")
    if arguments.order not in ("C", "F"):
        raise ArgumentError(f'`order` must be "C" or "F", got {arguments.order!r}')
    shape = normalize_shape(arguments.shape)
    dtype = stored_type(arguments.dtype)
    shards = None if arguments.shards is None else _lengths("shards", arguments.shards, shape)
    chunks = _chunks(arguments.chunks, shape, dtype.dtype.itemsize, shards)
    check_size("shape", shape, dtype.dtype.itemsize)
    check_size("chunks", chunks if shards is None else shards, dtype.dtype.itemsize)
    attributes = check_attributes(arguments.attributes)
    names = _names(arguments.names, len(shape))
    if dtype.native:
        given = zero(dtype.dtype) if arguments.fill_value is None else to_scalar(arguments.fill_value, dtype.dtype)
        # As a reader will find it: version 2 has no place for the payload of a NaN.
        fill = scalar_from_json(scalar_to_json(given, dtype, arguments.zarr_format), dtype.dtype)
    else:
        foreign = foreign_type(arguments.dtype, arguments.fill_value, arguments.zarr_format)
        dtype, fill = foreign.stored, foreign.fill_value
        arguments = _with_object_codec(arguments, foreign.object_codec)
    describe_format = _describe_v3 if arguments.zarr_format == 3 else _describe_v2
    return describe_format(arguments, shape, dtype, chunks, shards, names, attributes, fill)


def _with_object_codec(arguments: ArrayArguments, codec: str | None) -> ArrayArguments:
    """With the codec that makes bytes of elements of any length, unless the user chose one."""
    if codec is None or arguments.codecs is not None or arguments.serializer is not None:
        return arguments
    if arguments.zarr_format == 3:
        return replace(arguments, serializer={"name": codec})
    return replace(arguments, filters=[{"id": codec}, *chain_arguments("filters", arguments.filters)])


def _describe_v3(
    arguments: ArrayArguments,
    shape: tuple[int, ...],
    dtype: StoredType,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    names: tuple[str | None, ...] | None,
    attributes: Mapping[str, Any],
    fill: Any,
) -> ArrayMetadata:
    if arguments.codecs is not None:
        given = (one_codec("codecs", item, dtype.dtype) for item in chain_arguments("codecs", arguments.codecs))
        # Left out, the byte order is that of the data type.
        codecs = tuple(_serializer(dtype) if codec == CodecSpec("bytes") else codec for codec in given)
    else:
        codecs = _chain_v3(arguments, dtype, chunks)
    if shards is not None:
        codecs = _sharded(codecs, chunks)
    return ArrayMetadata(
        zarr_format=3,
        shape=shape,
        chunks=chunks if shards is None else shards,
        dtype=dtype,
        fill_value=fill,
        codecs=codecs,
        keys=_keys(arguments.chunk_key_encoding, 3),
        names=names,
        attributes=attributes,
    )


def _chain_v3(arguments: ArrayArguments, dtype: StoredType, chunks: tuple[int, ...]) -> tuple[CodecSpec, ...]:
    chain: list[CodecSpec] = []
    if arguments.order == "F" and len(chunks) > 1:
        chain.append(CodecSpec("transpose", {"order": list(reversed(range(len(chunks))))}))
    given = [one_codec("filters", item, dtype.dtype) for item in chain_arguments("filters", arguments.filters)]
    filters = with_types(given, dtype.dtype)
    after = [codec for codec in filters if codec.name in BYTE_FILTERS]
    chain.extend(codec for codec in filters if codec not in after)
    if arguments.serializer is not None:
        chain.append(one_codec("serializer", arguments.serializer, dtype.dtype))
    else:
        chain.append(_serializer(dtype))
    chain.extend(after)
    compressors = [
        one_codec("compressor", item, dtype.dtype) for item in chain_arguments("compressor", arguments.compressor)
    ]
    chain.extend(compressors)
    if arguments.checksum and not any(checks_content(codec) for codec in (*after, *compressors)):
        chain.append(CodecSpec("crc32c"))
    return tuple(chain)


def _serializer(dtype: StoredType) -> CodecSpec:
    """The array-to-bytes codec of a data type."""
    if not dtype.native:
        return CodecSpec("bytes", {"endian": "little"})
    if dtype.dtype.itemsize == 1 or dtype.dtype.kind == "S" or _is_raw(dtype.dtype):
        return CodecSpec("bytes")
    big = dtype.stored.byteorder == ">" or (dtype.stored.byteorder == "=" and not np.little_endian)
    return CodecSpec("bytes", {"endian": "big" if big else "little"})


def _is_raw(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.isbuiltin != 2


def _sharded(codecs: tuple[CodecSpec, ...], chunks: tuple[int, ...]) -> tuple[CodecSpec, ...]:
    """One shard codec around the chain of the inner chunks."""
    index = [core_codec("bytes", endian="little"), core_codec("crc32c")]
    inner = [_as_json(codec) for codec in codecs]
    configuration = {"chunk_shape": list(chunks), "codecs": inner, "index_codecs": index, "index_location": "end"}
    return (CodecSpec("sharding_indexed", configuration),)


def _as_json(codec: CodecSpec) -> dict[str, Any]:
    name = f"numcodecs.{codec.name}" if codec.numcodecs else codec.name
    return core_codec(name, **codec.configuration)


def _describe_v2(
    arguments: ArrayArguments,
    shape: tuple[int, ...],
    dtype: StoredType,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    names: tuple[str | None, ...] | None,
    attributes: Mapping[str, Any],
    fill: Any,
) -> ArrayMetadata:
    for argument, value in (("shards", shards), ("serializer", arguments.serializer), ("codecs", arguments.codecs)):
        if value is not None:
            raise ArgumentError(
                f"`{argument}` must be None where `zarr_format` is 2, got {value!r}; use zarr_format=3, "
                "or `filters` and `compressor`"
            )
    filters = [
        to_v2("filters", one_codec("filters", item, dtype.dtype))
        for item in chain_arguments("filters", arguments.filters)
    ]
    specs = with_types(filters, dtype.stored)
    compressors = chain_arguments("compressor", arguments.compressor)
    if len(compressors) > 1:
        raise ArgumentError(f"`compressor` must be one codec where `zarr_format` is 2, got {len(compressors)}")
    specs.extend(to_v2("compressor", one_codec("compressor", item, dtype.dtype)) for item in compressors)
    if names is not None:
        attributes = {**attributes, "_ARRAY_DIMENSIONS": list(names)}
    return ArrayMetadata(
        zarr_format=2,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        codecs=tuple(specs),
        keys=_keys(arguments.chunk_key_encoding, 2),
        order="F" if arguments.order == "F" else "C",
        names=names,
        attributes=attributes,
    )


def normalize_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple; an integer is a shape of one axis."""
    given = _integers("shape", shape)
    if any(length < 0 for length in given):
        raise ArgumentError(f"`shape` must have no negative length, got {shape!r}")
    return given


def _integers(name: str, value: Any) -> tuple[int, ...]:
    items: Iterable[Any] = (cast(Any, value),) if isinstance(value, int | np.integer) else value
    try:
        given = tuple(items)
    except TypeError:
        raise ArgumentTypeError(f"`{name}` must be a tuple of integers, got {value!r}") from None
    if any(isinstance(item, bool) or not isinstance(item, int | np.integer) for item in given):
        raise ArgumentTypeError(f"`{name}` must be a tuple of integers, got {value!r}")
    return tuple(int(item) for item in given)


def _lengths(name: str, value: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Lengths along each axis; one integer goes for all of them, -1 for the whole axis."""
    given = _integers(name, value)
    if isinstance(value, int | np.integer):
        given = given * len(shape)
    if len(given) != len(shape):
        raise ArgumentError(f"`{name}` must have one length for each of the {len(shape)} axes, got {value!r}")
    if any(length < 1 and length != -1 for length in given):
        raise ArgumentError(f"`{name}` must have lengths of at least 1, or -1 for a whole axis, got {value!r}")
    return tuple(max(1, whole) if length == -1 else length for length, whole in zip(given, shape, strict=True))


def _chunks(value: Any, shape: tuple[int, ...], itemsize: int, shards: tuple[int, ...] | None) -> tuple[int, ...]:
    if value is None or (isinstance(value, str) and value == "auto"):
        chunks = auto_chunks(shape if shards is None else shards, itemsize)
        if shards is not None:
            chunks = tuple(_divisor(whole, part) for whole, part in zip(shards, chunks, strict=True))
        return chunks
    if isinstance(value, str):
        raise ArgumentError(f'`chunks` must be "auto", an integer or a tuple of integers, got {value!r}')
    chunks = _lengths("chunks", value, shape)
    if shards is not None and any(whole % part for whole, part in zip(shards, chunks, strict=True)):
        raise ArgumentError(f"`shards` must be a multiple of `chunks` along every axis, got {shards} and {chunks}")
    return chunks


def _divisor(whole: int, part: int) -> int:
    """The largest divisor of `whole` that is not above `part`."""
    return next(length for length in range(min(part, whole), 0, -1) if whole % length == 0)


def auto_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of about `AUTO_CHUNK_BYTES`: the longest axis is halved until they fit.

    >>> auto_chunks((10000, 1000), 8), auto_chunks((10,), 4), auto_chunks((), 8)
    ((313, 250), (10,), ())
    """
    chunks = [max(1, length) for length in shape]
    while math.prod(chunks) * itemsize > AUTO_CHUNK_BYTES and max(chunks) > 1:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return tuple(chunks)


def check_size(name: str, lengths: tuple[int, ...], itemsize: int) -> None:
    """Refuse a shape that no document may have: 2**63 bytes or more, a length of 0 counted as 1."""
    if math.prod(length or 1 for length in lengths) * max(1, itemsize) >= 2**63:
        raise ArgumentError(f"`{name}` must be of less than 2**63 bytes, got {lengths} of {itemsize} bytes each")
    if len(lengths) > 64:
        raise ArgumentError(f"`{name}` must have at most 64 axes, as in NumPy, got {len(lengths)}")


def check_attributes(value: Any) -> Mapping[str, Any]:
    """`value` as attributes: a mapping from strings; None is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ArgumentTypeError(f"`attributes` must be a mapping from names to JSON values, got {type(value).__name__}")
    mapping = cast(Mapping[Any, Any], value)
    if any(not isinstance(name, str) for name in mapping):
        raise ArgumentTypeError(f"`attributes` must have names that are strings, got {list(mapping)!r}")
    return dict(mapping)


def _names(value: Any, ndim: int) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    given = (value,) if isinstance(value, str) else tuple(value)
    if len(given) != ndim or any(not isinstance(name, str) and name is not None for name in given):
        raise ArgumentError(f"`names` must have a string or None for each of the {ndim} axes, got {value!r}")
    known = [name for name in given if name is not None]
    if len(set(known)) != len(known):
        raise ArgumentError(f"`names` must differ from each other, got {value!r}")
    return given


def _keys(value: Any, zarr_format: Literal[2, 3]) -> ChunkKeys:
    """The chunk key encoding: a separator, a name, or a mapping with both."""
    name, separator = ("default", "/") if zarr_format == 3 else ("v2", ".")
    if isinstance(value, Mapping):
        mapping = cast(Mapping[str, Any], value)
        name = mapping.get("name", name)
        inside = cast(Mapping[str, Any], mapping.get("configuration", mapping))
        separator = inside.get("separator", "/" if name == "default" else ".")
    elif value in ("/", "."):
        separator = value
    elif value in ("default", "v2"):
        name, separator = value, "/" if value == "default" else "."
    elif value is not None:
        name = value
    if name not in ("default", "v2") or separator not in ("/", ".") or (zarr_format == 2 and name != "v2"):
        raise ArgumentError(
            "`chunk_key_encoding` must be '/', '.', \"default\", \"v2\" or a mapping with `name` and `separator` "
            f'("v2" only where `zarr_format` is 2), got {value!r}'
        )
    return ChunkKeys(name, separator)
