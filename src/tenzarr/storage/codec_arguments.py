"""From what a user calls a codec to the codec as a document names it.

A name, a name with a level, a mapping in numcodecs' or in Zarr v3's form, a
numcodecs codec and a zarr-python codec all become a `CodecSpec`. Codecs that
the v3 specification has under a name of its own get that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tenzarr.errors import ArgumentError, ArgumentTypeError
from tenzarr.storage.metadata import ArrayMetadata, CodecSpec

__all__ = [
    "BIG_ENDIAN",
    "CHECKED",
    "ELEMENT_FILTERS",
    "OBJECT_CODECS",
    "chain_arguments",
    "checks_content",
    "core_codec",
    "decompose",
    "describe_checks",
    "describe_codecs",
    "inner_chain",
    "one_codec",
    "to_v2",
    "with_types",
]

CHECKED = ("bz2", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "gzip", "zlib")
"""Codecs that verify their content whatever their configuration."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "zstd": {"level": 3},
    "gzip": {"level": 5},
    "zlib": {"level": 5},
    "bz2": {"level": 5},
    "lz4": {"acceleration": 1},
    "lzma": {"format": 1, "check": -1, "preset": None, "filters": None},
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    "crc32c": {},
}
"""What a bare name means."""

OBJECT_CODECS = ("vlen-utf8", "vlen-bytes")
"""What turns elements of any length into bytes: a filter in version 2, the array-to-bytes codec in version 3."""

BIG_ENDIAN = CodecSpec("bytes", {"endian": "big"})

BARE_NAMES = ("bytes", *OBJECT_CODECS)
"""Codecs of version 3 that need no configuration and have no level."""

LEVELS = {"zstd": "level", "gzip": "level", "zlib": "level", "bz2": "level", "lz4": "acceleration", "blosc": "clevel"}
"""What the number in ``"name:number"`` sets."""

FILTER_TYPES = {
    "astype": ("decode_dtype", "encode_dtype"),
    "categorize": (None, "astype"),
    "delta": ("dtype", "astype"),
    "fixedscaleoffset": ("dtype", "astype"),
    "quantize": ("dtype", "astype"),
    "shuffle": ("elementsize", None),
}
"""The members that say what type a filter takes, and what type it makes of it."""

SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")


def core_codec(name: str, **configuration: Any) -> dict[str, Any]:
    """A codec in the form of a v3 document.

    >>> core_codec("gzip", level=1), core_codec("crc32c")
    ({'name': 'gzip', 'configuration': {'level': 1}}, {'name': 'crc32c'})
    """
    if configuration or name.startswith("numcodecs."):
        return {"name": name, "configuration": configuration}
    return {"name": name}


def chain_arguments(argument: str, value: Any) -> tuple[Any, ...]:
    """The codecs that `argument` lists; one codec alone is a list of one, None is none."""
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return tuple(cast(tuple[Any, ...], value))
    if argument == "codecs":
        raise ArgumentTypeError(f"`codecs` must be a list of codecs, got {value!r}")
    return (value,)


def one_codec(argument: str, value: Any, dtype: np.dtype[Any]) -> CodecSpec:
    """The codec that `value` means in a v3 document.

    Parameters
    ----------
    argument : str
        What the user's argument is called, for errors.
    value : str, mapping, numcodecs codec or zarr codec
        The codec.
    dtype : numpy.dtype
        Of the array: Blosc shuffles elements of its size.

    Raises
    ------
    ArgumentError
        The name or the level cannot be understood.
    ArgumentTypeError
        `value` is no codec.

    Examples
    --------
    >>> one_codec("compressor", "zstd:7", np.dtype("f4"))
    CodecSpec(name='zstd', configuration={'level': 7, 'checksum': False}, numcodecs=False)
    >>> one_codec("compressor", {"id": "lz4"}, np.dtype("f4"))
    CodecSpec(name='lz4', configuration={'acceleration': 1}, numcodecs=True)
    >>> one_codec("compressor", "zst", np.dtype("f4"))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `compressor` must be one of blosc, bz2, crc32c, gzip, lz4, lzma, zlib, zstd, ...
    """
    if isinstance(value, CodecSpec):
        return value
    if isinstance(value, str) and value in BARE_NAMES:
        return CodecSpec(value)
    if isinstance(value, str):
        return _from_numcodecs(_from_text(argument, value), dtype)
    if isinstance(value, Mapping):
        return _from_mapping(argument, cast(Mapping[str, Any], value), dtype)
    if hasattr(value, "to_dict"):
        return _from_mapping(argument, value.to_dict(), dtype)
    if hasattr(value, "get_config"):
        return _from_numcodecs(value.get_config(), dtype)
    raise ArgumentTypeError(
        f'`{argument}` must be None, a name such as "zstd:3", a mapping, or a zarr or numcodecs codec, got {value!r}'
    )


def _from_text(argument: str, text: str) -> dict[str, Any]:
    name, _, level = text.partition(":")
    if name in DEFAULTS and not level:
        return {"id": name, **DEFAULTS[name]}
    if name in LEVELS and level.lstrip("-").isdigit():
        return {"id": name, **DEFAULTS[name], LEVELS[name]: int(level)}
    raise ArgumentError(
        f"`{argument}` must be one of {', '.join(sorted(DEFAULTS))}, with a level after a colon if wanted "
        f'("zstd:3"), got {text!r}; other codecs go as a mapping or an object'
    )


def _from_mapping(argument: str, value: Mapping[str, Any], dtype: np.dtype[Any]) -> CodecSpec:
    if "id" in value:
        defaults = DEFAULTS.get(value["id"], {})
        return _from_numcodecs({**defaults, **value}, dtype)
    name = value.get("name")
    if not isinstance(name, str):
        raise ArgumentError(f"`{argument}` must have an `id` or a `name`, got {dict(value)!r}")
    configuration = {key: _plain(item) for key, item in dict(value.get("configuration") or {}).items()}
    if name == "bytes" and configuration.get("endian") is None:
        configuration.pop("endian", None)
    if name.startswith("numcodecs."):
        return CodecSpec(name.removeprefix("numcodecs."), configuration, True)
    return CodecSpec(name, configuration)


def _plain(value: Any) -> Any:
    """Tuples as lists and nested codecs as mappings, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(list[Any], value)]
    return _plain(value.to_dict()) if hasattr(value, "to_dict") else value


def _from_numcodecs(config: Mapping[str, Any], dtype: np.dtype[Any]) -> CodecSpec:
    """A numcodecs configuration under its v3 name."""
    name = str(config["id"])
    values = {key: _plain(item) for key, item in config.items() if key != "id"}
    match name:
        case "zstd":
            return CodecSpec(name, {"level": values.get("level", 3), "checksum": values.get("checksum", False)})
        case "gzip":
            return CodecSpec(name, {"level": values.get("level", 5)})
        case "crc32c" if values.get("location", "end") == "end":
            return CodecSpec(name)
        case "blosc":
            return CodecSpec(name, _blosc_v3(values, dtype))
        case _:
            return CodecSpec(name, values, True)


def _blosc_v3(values: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    shuffle = values.get("shuffle", 1)
    typesize = values.get("typesize") or min(max(1, dtype.itemsize), 255)
    if shuffle == -1:
        shuffle = 2 if typesize == 1 else 1
    return {
        "cname": values.get("cname", "lz4"),
        "clevel": values.get("clevel", 5),
        "shuffle": SHUFFLES[shuffle] if isinstance(shuffle, int) and 0 <= shuffle <= 2 else shuffle,
        "typesize": typesize,
        "blocksize": values.get("blocksize", 0),
    }


def with_types(filters: list[CodecSpec], dtype: np.dtype[Any]) -> list[CodecSpec]:
    """Filters that say the types of their elements, which readers need; left out, they are what comes in.

    Parameters
    ----------
    filters : list of CodecSpec
        numcodecs filters, in the order of encoding.
    dtype : numpy.dtype
        Of the elements that the first of them gets.

    Examples
    --------
    >>> with_types([CodecSpec("delta", {}, True), CodecSpec("shuffle", {}, True)], np.dtype("i2"))[0].configuration
    {'dtype': '<i2'}
    """
    typed: list[CodecSpec] = []
    for codec in filters:
        values = dict(codec.configuration)
        given, taken = FILTER_TYPES.get(codec.name, (None, None))
        if given is not None and values.get(given) is None:
            values[given] = dtype.itemsize if codec.name == "shuffle" else dtype.str
        typed.append(replace(codec, configuration=values))
        dtype = _type_after(values.get(taken or "") or values.get("dtype"), dtype)
    return typed


def _type_after(name: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type called `name`; `dtype` where there is none, which is reported when the chain is compiled."""
    try:
        return dtype if name is None else np.dtype(name)
    except TypeError:
        return dtype


def to_v2(argument: str, codec: CodecSpec) -> CodecSpec:
    """A codec under its numcodecs id.

    >>> to_v2("compressor", CodecSpec("gzip", {"level": 1}))
    CodecSpec(name='gzip', configuration={'level': 1}, numcodecs=True)
    >>> to_v2("compressor", CodecSpec("transpose", {"order": [1, 0]}))
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `compressor` must be a codec that Zarr v2 has, got 'transpose'; use zarr_format=3
    """
    if codec.numcodecs:
        return codec
    values = dict(codec.configuration)
    match codec.name:
        case "zstd":
            kept = values if values.get("checksum") else {"level": values.get("level", 3)}
            return CodecSpec("zstd", kept, True)
        case "gzip" | "crc32c":
            return CodecSpec(codec.name, values, True)
        case "blosc":
            shuffle = values.get("shuffle", "noshuffle")
            values["shuffle"] = SHUFFLES.index(shuffle) if shuffle in SHUFFLES else shuffle
            values.pop("typesize", None)
            return CodecSpec("blosc", values, True)
        case _:
            raise ArgumentError(f"`{argument}` must be a codec that Zarr v2 has, got {codec.name!r}; use zarr_format=3")


def decompose(metadata: ArrayMetadata) -> dict[str, Any]:
    """The chain of an array as arguments of `create`: order, filters, serializer, compressor.

    Shards are taken apart: what is returned is the chain of the inner chunks. The crc32c of v3 is
    left out, since `create` adds it.
    """
    if metadata.zarr_format == 2:
        filters, compressors = _split_v2(metadata)
        return {"order": metadata.order, "filters": filters, "serializer": None, "compressor": compressors}
    chain = inner_chain(metadata.codecs)
    at = _serializer_position(chain)
    order: str = "C"
    before: list[CodecSpec] = []
    for codec in chain[:at]:
        if codec.name == "transpose" and not codec.numcodecs:
            order = "F" if codec.configuration.get("order") == list(reversed(range(len(metadata.shape)))) else "C"
        else:
            before.append(codec)
    serializer = chain[at] if chain[at].name != "bytes" or chain[at] == BIG_ENDIAN else None
    after = [codec for codec in chain[at + 1 :] if codec.numcodecs or codec.name != "crc32c"]
    return {"order": order, "filters": before, "serializer": serializer, "compressor": after}


def _serializer_position(chain: list[CodecSpec]) -> int:
    """Where in a v3 chain elements become bytes: a known codec, or else the first that is no filter of ours."""
    for at, codec in enumerate(chain):
        if codec.name in (("pcodec", "zfpy") if codec.numcodecs else ("bytes", *OBJECT_CODECS)):
            return at
    return next(at for at, codec in enumerate(chain) if not codec.numcodecs and codec.name != "transpose")


def inner_chain(codecs: tuple[CodecSpec, ...]) -> list[CodecSpec]:
    """The chain of the innermost chunks: what is around a shard codec, and what is in it."""
    chain: list[CodecSpec] = []
    for codec in codecs:
        if codec.name == "sharding_indexed" and not codec.numcodecs:
            nested = cast(list[Any], codec.configuration.get("codecs", []))
            chain.extend(
                inner_chain(tuple(_from_mapping("codecs", _as_mapping(item), np.dtype("u1")) for item in nested))
            )
        else:
            chain.append(codec)
    return chain


def _as_mapping(item: Any) -> Mapping[str, Any]:
    return {"name": item} if isinstance(item, str) else item


ELEMENT_FILTERS = ("astype", "bitround", "categorize", "delta", "fixedscaleoffset", "packbits", "quantize")
"""numcodecs filters that come before the elements become bytes."""

FILTERS = (
    *ELEMENT_FILTERS,
    *OBJECT_CODECS,
    "adler32",
    "crc32",
    "crc32c",
    "fletcher32",
    "jenkins_lookup3",
    "shuffle",
)
"""Codecs of version 2 that are filters even where they come last."""


def _split_v2(metadata: ArrayMetadata) -> tuple[list[CodecSpec], list[CodecSpec]]:
    """Filters and compressor of a v2 chain, under their v3 names."""
    codecs = [
        _from_numcodecs({"id": codec.name, **codec.configuration}, metadata.dtype.dtype) for codec in metadata.codecs
    ]
    if codecs and codecs[-1].name not in FILTERS:
        return codecs[:-1], codecs[-1:]
    return codecs, []


def checks_content(codec: CodecSpec) -> bool:
    """Whether a codec verifies what it decodes.

    >>> checks_content(CodecSpec("gzip", {"level": 1})), checks_content(CodecSpec("zstd", {"level": 1}))
    (True, False)
    """
    if codec.name == "zstd":
        return bool(codec.configuration.get("checksum", False))
    if codec.name == "lzma":
        return codec.configuration.get("format", 1) == 1 and codec.configuration.get("check", -1) != 0
    return codec.name in CHECKED


def describe_checks(metadata: ArrayMetadata) -> str | None:
    """What verifies the data according to its chain, as a person names it, or None."""
    found = next((codec.name for codec in reversed(inner_chain(metadata.codecs)) if checks_content(codec)), None)
    return f"{found} checksum" if found in LEVELS or found == "lzma" else found


def describe_codecs(metadata: ArrayMetadata) -> str:
    """The compressors, filters and checksums of an array as a person names them.

    >>> from tenzarr.storage.arguments import ArrayArguments, describe
    >>> describe_codecs(describe(ArrayArguments((8,), "f4", compressor="blosc")))
    'blosc(lz4, 5, shuffle) + crc32c'
    >>> describe_codecs(describe(ArrayArguments((8,), "f4", compressor=None, checksum=False)))
    ''
    """
    shown = [_describe_codec(codec) for codec in inner_chain(metadata.codecs) if not _is_layout(codec)]
    return " + ".join(shown)


def _is_layout(codec: CodecSpec) -> bool:
    return not codec.numcodecs and codec.name in ("bytes", "transpose")


def _describe_codec(codec: CodecSpec) -> str:
    values = codec.configuration
    if codec.name == "blosc":
        shuffle = values.get("shuffle", "")
        shuffle = SHUFFLES[shuffle] if isinstance(shuffle, int) and 0 <= shuffle <= 2 else shuffle
        return f"blosc({values.get('cname')}, {values.get('clevel')}, {shuffle})"
    level = values.get(LEVELS.get(codec.name, "level"))
    return codec.name if level is None else f"{codec.name}:{level}"
