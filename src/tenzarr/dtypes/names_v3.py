"""The ``data_type`` member of v3 documents.

Sources: Zarr v3 core spec, 'Core data types'; zarr-extensions, 'data-types', for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tenzarr.dtypes.types import (
    BY_NAME,
    EXTENSION_NAMES,
    LENGTH_LIMIT,
    UNITS,
    DType,
    StoredType,
    describe,
    extension,
    foreign,
    struct_or_object,
)
from tenzarr.errors import ArgumentError

__all__ = ["RAW", "from_v3"]

RAW = re.compile(r"r([0-9]{1,12})", re.ASCII)


def from_v3(member: object) -> StoredType:
    """Read the ``data_type`` member of a v3 document.

    Parameters
    ----------
    member : str or mapping
        A name, or ``{"name": ..., "configuration": {...}}``.

    Returns
    -------
    StoredType
        ``native`` is False for variable-length and structured types, and for every name
        that we do not know: zarr-python, where the user may have registered it, is to judge.

    Raises
    ------
    ArgumentError
        If it is neither, or a type that we know has a configuration that it cannot have.

    Examples
    --------
    >>> from_v3("float32").dtype, from_v3("r24").dtype, from_v3("string").native
    (dtype('float32'), dtype('V3'), False)
    >>> from_v3("r7")
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: a raw `data_type` must have a positive multiple of 8 bits; 'r7' does not

    Notes
    -----
    Zarr v3 core spec, 'Core data types'; zarr-extensions, 'data-types', for the rest.
    """
    if isinstance(member, str):
        return BY_NAME.get(member) or _from_v3_name(member)
    if isinstance(member, Mapping):
        return _from_v3_object(cast("Mapping[str, Any]", member))
    raise ArgumentError(f"a v3 `data_type` must be a string or an object with a name; it is {member!r:.80}")


def _from_v3_name(name: str) -> StoredType:
    if name in EXTENSION_NAMES:
        return extension(name)
    if name == "string":
        return describe(cast(DType, np.dtypes.StringDType()))
    match = RAW.fullmatch(name)
    if match is None:
        return foreign(np.dtype(object), name, "|O")
    bits = int(match[1])
    if bits == 0 or bits % 8 or bits // 8 >= LENGTH_LIMIT:
        raise ArgumentError(f"a raw `data_type` must have a positive multiple of 8 bits; {name!r} does not")
    return replace(describe(np.dtype(f"V{bits // 8}")), v3=name)


def _from_v3_object(member: Mapping[str, Any]) -> StoredType:
    name, configuration = member.get("name"), member.get("configuration", {})
    if not isinstance(name, str) or not isinstance(configuration, Mapping):
        raise ArgumentError(f"a v3 `data_type` object must have a name and a configuration; it is {member!r:.80}")
    if member.keys() - {"name", "configuration", "must_understand"}:
        raise ArgumentError(f"a v3 `data_type` object has only a name and a configuration; it is {member!r:.80}")
    settings = cast("Mapping[str, Any]", configuration)
    reader = _V3_READERS.get(name)
    if reader is not None:
        return replace(reader(name, settings), v3=member)
    if settings:
        return foreign(np.dtype(object), member, "|O")
    plain = from_v3(name)
    return plain if plain.native else replace(plain, v3=member)


def _from_v3_flexible(name: str, settings: Mapping[str, Any]) -> StoredType:
    length: Any = settings.get("length_bytes")
    unit = 4 if name == "fixed_length_utf32" else 1
    if set(settings) != {"length_bytes"} or not _is_count(length, LENGTH_LIMIT) or length % unit:
        raise ArgumentError(
            f"`data_type` {name!r} must be configured by a `length_bytes` that is a positive multiple of {unit}; "
            f"it is {dict(settings)!r:.80}"
        )
    kind = {"null_terminated_bytes": "S", "fixed_length_utf32": "U", "raw_bytes": "V"}[name]
    return describe(np.dtype(f"{kind}{length // unit}"))


def _from_v3_time(name: str, settings: Mapping[str, Any]) -> StoredType:
    unit, count = settings.get("unit"), settings.get("scale_factor")
    if set(settings) != {"unit", "scale_factor"} or unit not in UNITS or not _is_count(count, 2**31):
        raise ArgumentError(
            f"`data_type` {name!r} must be configured by a `unit` of NumPy's and a `scale_factor` of 1 to 2147483647; "
            f"it is {dict(settings)!r:.80}"
        )
    return describe(np.dtype(f"{name.removeprefix('numpy.')}[{count}{unit}]"))


def _from_v3_struct(name: str, settings: Mapping[str, Any]) -> StoredType:
    """The fields as ``struct`` writes them (objects) or as ``structured`` did (pairs)."""
    fields: Any = settings.get("fields")
    if not isinstance(fields, list) or not fields:
        raise ArgumentError(f"`data_type` {name!r} must be configured by a list of `fields`; it is {settings!r:.80}")
    pairs = [_v3_field(name, field) for field in cast("list[Any]", fields)]
    dtype = struct_or_object([(field, member.dtype) for field, member in pairs])
    return foreign(dtype, name, [[field, member.v2] for field, member in pairs])


def _v3_field(name: str, field: Any) -> tuple[str, StoredType]:
    pair: Any = field
    if isinstance(field, Mapping):
        parts = cast("Mapping[str, Any]", field)
        pair = [parts.get("name"), parts.get("data_type")]
    if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2 or not isinstance(pair[0], str):
        raise ArgumentError(f"a field of `data_type` {name!r} must have a name and a data type; it is {field!r:.80}")
    return str(pair[0]), from_v3(cast(Any, pair[1]))


def _is_count(value: Any, limit: int) -> bool:
    return type(value) is int and 0 < value < limit


_V3_READERS = {
    "fixed_length_utf32": _from_v3_flexible,
    "null_terminated_bytes": _from_v3_flexible,
    "numpy.datetime64": _from_v3_time,
    "numpy.timedelta64": _from_v3_time,
    "raw_bytes": _from_v3_flexible,
    "struct": _from_v3_struct,
    "structured": _from_v3_struct,
}
