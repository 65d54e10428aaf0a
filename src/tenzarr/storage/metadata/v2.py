"""``.zarray``: Zarr version 2.

Source: Zarr v2 spec, 'Metadata'. A member that the specification does not have is kept
and ignored, as zarr-python does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tenzarr.dtypes import StoredType, from_v2
from tenzarr.errors import ArgumentError
from tenzarr.storage.metadata.fields import Reader
from tenzarr.storage.metadata.fill_values import read_fill_value, write_fill_value
from tenzarr.storage.metadata.model import ArrayMetadata, ChunkKeys, CodecSpec

__all__ = ["array_from_members", "array_to_members", "attributes_of", "names_in"]

_MEMBERS = frozenset(
    {
        "chunks",
        "compressor",
        "dimension_separator",
        "dtype",
        "fill_value",
        "filters",
        "order",
        "shape",
        "zarr_format",
    }
)
_FILTERS_LIMIT = 64
_FILTERS = frozenset(
    {
        "adler32",
        "astype",
        "base64",
        "bitround",
        "categorize",
        "crc32",
        "crc32c",
        "delta",
        "fixedscaleoffset",
        "fletcher32",
        "jenkins_lookup3",
        "json2",
        "msgpack2",
        "packbits",
        "quantize",
        "shuffle",
        "vlen-array",
        "vlen-bytes",
        "vlen-utf8",
    }
)
"""Codecs that are written as filters even where they come last; any other last codec is the compressor."""
_DIMENSIONS = "_ARRAY_DIMENSIONS"
"""xarray's name for the attribute that holds the names of the axes."""


def array_from_members(members: dict[str, Any], attributes: dict[str, Any], reader: Reader) -> ArrayMetadata:
    """Read the members of an array's ``.zarray``."""
    reader.equal(members, "zarr_format", 2)
    shape = reader.lengths(reader.required(members, "shape"), "shape", 0)
    chunks = reader.grid(shape, reader.required(members, "chunks"), "chunks", None)
    dtype = _dtype(reader.required(members, "dtype"), reader)
    reader.addressable(shape, dtype, "shape")
    reader.addressable(chunks, dtype, "chunks")
    return ArrayMetadata(
        zarr_format=2,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=read_fill_value(reader.required(members, "fill_value"), dtype, reader),
        codecs=_filters(members.get("filters"), reader) + _compressor(members.get("compressor"), reader),
        keys=ChunkKeys(
            "v2", _choice(members.get("dimension_separator", "."), "dimension_separator", ("/", "."), reader)
        ),
        order=_choice(reader.required(members, "order"), "order", ("C", "F"), reader),
        names=names_in(attributes, len(shape)),
        attributes=attributes,
        extra={name: members[name] for name in members if name not in _MEMBERS},
    )


def _dtype(member: Any, reader: Reader) -> StoredType:
    try:
        return from_v2(member)
    except ArgumentError as error:
        raise reader.error("dtype", str(error)) from None


def _choice(value: Any, where: str, choices: tuple[str, str], reader: Reader) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise reader.error(where, f"must be {choices[0]!r} or {choices[1]!r}; it is {value!r:.80}")
    return value


def _filters(value: Any, reader: Reader) -> tuple[CodecSpec, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise reader.error("filters", f"must be a list of codecs or null; it is {value!r:.80}")
    items = cast("list[Any]", value)
    if len(items) > _FILTERS_LIMIT:
        raise reader.error("filters", f"must have at most {_FILTERS_LIMIT} codecs; it has {len(items)}")
    return tuple(_codec(item, f"filters[{i}]", reader) for i, item in enumerate(items))


def _compressor(value: Any, reader: Reader) -> tuple[CodecSpec, ...]:
    return () if value is None else (_codec(value, "compressor", reader),)


def _codec(value: Any, where: str, reader: Reader) -> CodecSpec:
    members = reader.members(value, where)
    name = members.get("id")
    if not isinstance(name, str) or not name:
        raise reader.error(f"{where}.id", f"must be a string that is not empty; it is {name!r:.80}")
    reader.sane(members, where)
    return CodecSpec(name, {key: item for key, item in members.items() if key != "id"}, numcodecs=True)


def names_in(attributes: Mapping[str, Any], ndim: int) -> tuple[str | None, ...] | None:
    """The names of the axes that `attributes` give, or None where they give none that fit.

    >>> names_in({"_ARRAY_DIMENSIONS": ["x", "y"]}, 2), names_in({"_ARRAY_DIMENSIONS": ["x"]}, 2)
    (('x', 'y'), None)
    """
    names: Any = attributes.get(_DIMENSIONS)
    if not isinstance(names, (list, tuple)):
        return None
    items = tuple(cast("list[Any]", names))
    if len(items) != ndim or not all(name is None or isinstance(name, str) for name in items):
        return None
    return items


def attributes_of(meta: ArrayMetadata) -> dict[str, Any]:
    """The content of ``.zattrs``: the attributes, with the names of the axes where they lack them."""
    if meta.names is None or _DIMENSIONS in meta.attributes:
        return dict(meta.attributes)
    return {_DIMENSIONS: list(meta.names), **meta.attributes}


def _split(codecs: tuple[CodecSpec, ...]) -> tuple[list[dict[str, Any]] | None, dict[str, Any] | None]:
    """The filters and the compressor of a chain; a reader applies them in the same order."""
    members = [{"id": codec.name, **codec.configuration} for codec in codecs]
    compressor = members.pop() if codecs and codecs[-1].name not in _FILTERS else None
    return members or None, compressor


def array_to_members(meta: ArrayMetadata) -> dict[str, Any]:
    """Write an array's ``.zarray``; the inverse of `array_from_members`."""
    filters, compressor = _split(meta.codecs)
    return {
        "zarr_format": 2,
        "shape": list(meta.shape),
        "chunks": list(meta.chunks),
        "dtype": meta.dtype.v2,
        "compressor": compressor,
        "fill_value": write_fill_value(meta.fill_value, meta.dtype, 2),
        "order": meta.order,
        "filters": filters,
        "dimension_separator": meta.keys.separator,
        **meta.extra,
    }
