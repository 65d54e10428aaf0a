"""``zarr.json``: Zarr version 3.

Source: Zarr v3 core spec, 'Array metadata' and 'Group metadata'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tenzarr.dtypes import StoredType, from_v3
from tenzarr.errors import ArgumentError
from tenzarr.storage.metadata.fields import Reader
from tenzarr.storage.metadata.fill_values import read_fill_value, write_fill_value
from tenzarr.storage.metadata.model import ArrayMetadata, ChunkKeys, CodecSpec
from tenzarr.storage.metadata.strict_json import Path

__all__ = ["array_from_members", "array_to_members", "codecs_from_json", "codecs_to_json", "extra_members", "users_own"]

_ARRAY_MEMBERS = frozenset(
    {
        "attributes",
        "chunk_grid",
        "chunk_key_encoding",
        "codecs",
        "data_type",
        "dimension_names",
        "fill_value",
        "node_type",
        "shape",
        "storage_transformers",
        "zarr_format",
    }
)
_NAMED = frozenset({"name", "configuration", "must_understand"})
_CODECS_LIMIT = 64
_NESTING_LIMIT = 8
"""Shards within shards."""
_PREFIX = "numcodecs."
_SEPARATORS = ("/", ".")


def users_own(path: Path) -> bool:
    """Where a ``zarr.json`` holds a user's attributes: its own, and those of consolidated metadata."""
    if len(path) == 1:
        return path[0] == "attributes"
    return len(path) == 4 and path[0] == "consolidated_metadata" and path[1] == "metadata" and path[3] == "attributes"


def array_from_members(members: dict[str, Any], reader: Reader) -> ArrayMetadata:
    """Read the members of an array's ``zarr.json``."""
    reader.equal(members, "zarr_format", 3)
    reader.equal(members, "node_type", "array")
    extra = extra_members(members, _ARRAY_MEMBERS, reader)
    shape = reader.lengths(reader.required(members, "shape"), "shape", 0)
    dtype = _data_type(reader.required(members, "data_type"), reader)
    codecs = codecs_from_json(reader.required(members, "codecs"), reader)
    chunks = _chunk_grid(reader.required(members, "chunk_grid"), shape, codecs, reader)
    reader.addressable(shape, dtype, "shape")
    reader.addressable(chunks, dtype, "chunk_grid.configuration.chunk_shape")
    if members.get("storage_transformers") not in (None, []):
        raise reader.error(
            "storage_transformers", "must be empty: no storage transformer is known, and each may move data"
        )
    return ArrayMetadata(
        zarr_format=3,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=_fill_value(reader.required(members, "fill_value"), dtype, reader),
        codecs=codecs,
        keys=_chunk_keys(reader.required(members, "chunk_key_encoding"), reader),
        names=_dimension_names(members.get("dimension_names"), len(shape), reader),
        attributes=reader.attributes(members.get("attributes"), "attributes"),
        extra=extra,
    )


def extra_members(members: Mapping[str, Any], known: frozenset[str], reader: Reader) -> dict[str, Any]:
    """The members that are not `known`; each must say that it need not be understood."""
    extra = {name: members[name] for name in members if name not in known}
    for name, value in extra.items():
        if not isinstance(value, dict) or cast("dict[str, Any]", value).get("must_understand") is not False:
            raise reader.error(name, 'is not a member that we know, and it does not say `"must_understand": false`')
    return extra


def _data_type(member: Any, reader: Reader) -> StoredType:
    try:
        return from_v3(member)
    except ArgumentError as error:
        raise reader.error("data_type", str(error)) from None


def _fill_value(raw: Any, dtype: StoredType, reader: Reader) -> Any:
    if raw is None and dtype.native:
        raise reader.error("fill_value", "must not be null in version 3")
    return read_fill_value(raw, dtype, reader)


def _named(value: Any, where: str, reader: Reader) -> tuple[str, dict[str, Any]]:
    """The name and the configuration of an extension point: an object, or its name alone."""
    members: dict[str, Any] = {"name": value} if isinstance(value, str) else reader.members(value, where)
    name = members.get("name")
    if not isinstance(name, str) or not name:
        raise reader.error(f"{where}.name", f"must be a string that is not empty; it is {name!r:.80}")
    if members.keys() - _NAMED:
        raise reader.error(
            where, f"must have the members `name` and `configuration` only; it has {sorted(members)!r:.80}"
        )
    if not isinstance(members.get("must_understand", True), bool):
        raise reader.error(f"{where}.must_understand", "must be true or false")
    configuration: Any = members.get("configuration", {})
    return name, reader.members(configuration, f"{where}.configuration")


def _chunk_grid(value: Any, shape: tuple[int, ...], codecs: tuple[CodecSpec, ...], reader: Reader) -> tuple[int, ...]:
    name, configuration = _named(value, "chunk_grid", reader)
    if name != "regular":
        raise reader.error(
            "chunk_grid.name",
            f"must be 'regular'; it is {name!r:.80}. Copy the array to a regular grid with the library that wrote it",
        )
    if configuration.keys() - {"chunk_shape"}:
        raise reader.error(
            "chunk_grid.configuration", f"must have the member `chunk_shape` only; it has {sorted(configuration)!r:.80}"
        )
    chunks = reader.required(configuration, "chunk_shape", "chunk_grid.configuration")
    return reader.grid(shape, chunks, "chunk_grid.configuration.chunk_shape", _inner_chunks(codecs))


def _inner_chunks(codecs: tuple[CodecSpec, ...]) -> tuple[int, ...] | None:
    for codec in codecs:
        inner: Any = codec.configuration.get("chunk_shape")
        if codec.name == "sharding_indexed" and isinstance(inner, list):
            lengths = cast("list[Any]", inner)
            return tuple(lengths) if all(type(length) is int and length > 0 for length in lengths) else None
    return None


def _chunk_keys(value: Any, reader: Reader) -> ChunkKeys:
    name, configuration = _named(value, "chunk_key_encoding", reader)
    if name not in ("default", "v2"):
        raise reader.error("chunk_key_encoding.name", f"must be 'default' or 'v2'; it is {name!r:.80}")
    separator = configuration.get("separator", "/" if name == "default" else ".")
    if separator not in _SEPARATORS or configuration.keys() - {"separator"}:
        raise reader.error(
            "chunk_key_encoding.configuration", f"must be a `separator` of '/' or '.'; it is {configuration!r:.80}"
        )
    return ChunkKeys(name, separator)


def _dimension_names(value: Any, ndim: int, reader: Reader) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise reader.error("dimension_names", f"must be a list of strings and nulls; it is {value!r:.80}")
    names = cast("list[Any]", value)
    for axis, name in enumerate(names):
        if name is not None and not isinstance(name, str):
            raise reader.error(f"dimension_names[{axis}]", f"must be a string or null; it is {name!r:.80}")
    if len(names) != ndim:
        raise reader.error("dimension_names", f"must have one name per axis, {ndim}; it has {len(names)}")
    return tuple(names)


def codecs_from_json(value: Any, reader: Reader, where: str = "codecs", depth: int = 0) -> tuple[CodecSpec, ...]:
    """Read a list of codecs: their structure, not what their names and configurations mean.

    The chains within a sharding codec are checked here as well, and stay JSON in its
    configuration; read them with this function.

    Parameters
    ----------
    value : JSON value
        A list of objects with ``name`` and ``configuration``, or of names.
    reader : Reader
        Names the document in errors.
    where : str
        The place of the list.
    depth : int
        How many sharding codecs it lies in.

    Raises
    ------
    MetadataError
        If it is malformed, has no codec or more than 64, nests shards more than 8 deep, or
        names a codec that unpickles data.
    """
    if not isinstance(value, list) or not value:
        raise reader.error(where, f"must be a list of at least one codec; it is {value!r:.80}")
    items = cast("list[Any]", value)
    if len(items) > _CODECS_LIMIT:
        raise reader.error(where, f"must have at most {_CODECS_LIMIT} codecs; it has {len(items)}")
    if depth > _NESTING_LIMIT:
        raise reader.error(where, f"shards must be nested at most {_NESTING_LIMIT} deep")
    return tuple(_codec(item, f"{where}[{i}]", depth, reader) for i, item in enumerate(items))


def _codec(value: Any, where: str, depth: int, reader: Reader) -> CodecSpec:
    name, configuration = _named(value, where, reader)
    reader.refuse_pickle(name, f"{where}.name")
    if configuration:
        reader.sane(configuration, f"{where}.configuration")
    if name == "sharding_indexed":
        for chain in ("codecs", "index_codecs"):
            if chain in configuration:
                codecs_from_json(configuration[chain], reader, f"{where}.configuration.{chain}", depth + 1)
    if name.startswith(_PREFIX):
        return CodecSpec(name.removeprefix(_PREFIX), configuration, numcodecs=True)
    return CodecSpec(name, configuration)


def codecs_to_json(codecs: tuple[CodecSpec, ...]) -> list[dict[str, Any]]:
    """Write a chain of codecs; the inverse of `codecs_from_json`."""
    return [_codec_to_json(codec) for codec in codecs]


def _codec_to_json(codec: CodecSpec) -> dict[str, Any]:
    name = f"{_PREFIX}{codec.name}" if codec.numcodecs else codec.name
    # zarr-python takes the short form of its own codecs only.
    if not codec.configuration and not codec.numcodecs:
        return {"name": name}
    return {"name": name, "configuration": dict(codec.configuration)}


def array_to_members(meta: ArrayMetadata) -> dict[str, Any]:
    """Write an array's ``zarr.json``; the inverse of `array_from_members`."""
    members: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(meta.shape),
        "data_type": meta.dtype.v3,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(meta.chunks)}},
        "chunk_key_encoding": {"name": meta.keys.name, "configuration": {"separator": meta.keys.separator}},
        "fill_value": write_fill_value(meta.fill_value, meta.dtype, 3),
        "codecs": codecs_to_json(meta.codecs),
        "attributes": dict(meta.attributes),
    }
    if meta.names is not None:
        members["dimension_names"] = list(meta.names)
    return {**members, **meta.extra}
