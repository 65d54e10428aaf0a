"""What a stored data type is, and how the NumPy types are stored.

Sources: Zarr v3 core spec, 'Core data types'; zarr-extensions, 'data-types'; Zarr v2
spec, 'Data type encoding'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from tenzarr.errors import ArgumentError

__all__ = [
    "BY_DTYPE",
    "BY_NAME",
    "EXTENSION_NAMES",
    "LENGTH_LIMIT",
    "UNITS",
    "DType",
    "StoredType",
    "describe",
    "extension",
    "extension_dtype",
    "family",
    "foreign",
    "is_extension",
    "struct_or_object",
]

DType: TypeAlias = np.dtype[Any]

EXTENSION_NAMES = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")
"""The types of ml_dtypes that are stored as themselves.

Their v2 and v3 names are the same, and those of TensorStore's two drivers and of the
zarr-extensions registry (the v2 spec has none). With the ``bytes`` codec, and in v2,
an int4 or uint4 element takes one byte: its value is in the low four bits, in two's
complement, and a reader ignores the upper four, which writers set as they please
(ml_dtypes clears them, TensorStore extends the sign). bfloat16 in v2 is little-endian.
"""


@dataclass(frozen=True, slots=True)
class StoredType:
    """The data type of an array, in memory and in its document."""

    dtype: DType
    """In memory; native byte order."""
    stored: DType
    """With the byte order that the v2 document, or the user, asked for. From v3 it equals `dtype`."""
    v3: str | Mapping[str, Any]
    """The ``data_type`` member of a v3 document."""
    v2: Any
    """The ``dtype`` member of a v2 document: a string, or a list where the type is structured."""
    native: bool = True
    """False: only zarr-python can read it. `dtype` is then structured where it can be, otherwise object or string."""


_CORE = {
    "bool": "|b1",
    "int8": "|i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "|u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "complex64": "<c8",
    "complex128": "<c16",
}


def _core_types() -> dict[str, StoredType]:
    types = {name: (np.dtype(v2).newbyteorder("="), v2) for name, v2 in _CORE.items()}
    return {name: StoredType(dtype, dtype, name, v2) for name, (dtype, v2) in types.items()}


BY_NAME = _core_types()
BY_DTYPE = {stored.dtype: stored for stored in BY_NAME.values()}

UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic")
LENGTH_LIMIT = 2**31
"""NumPy keeps the size of an element in a C int."""

_FAMILIES = {
    "b": "bool",
    "i": "int",
    "u": "int",
    "f": "float",
    "c": "complex",
    "S": "bytes",
    "V": "raw",
    "U": "text",
    "M": "time",
    "m": "time",
}
_EXTENSION_FAMILIES = {
    "bfloat16": "float",
    "float8_e4m3fn": "float",
    "float8_e5m2": "float",
    "int4": "int",
    "uint4": "int",
}


def family(dtype: DType) -> str:
    """What kind of scalar `dtype` has; ``"other"`` for what only zarr-python can read.

    >>> family(np.dtype("f2")), family(extension_dtype("int4")), family(np.dtype("O"))
    ('float', 'int', 'other')
    """
    if is_extension(dtype):
        return _EXTENSION_FAMILIES[dtype.name]
    if dtype.names is not None or (dtype.kind in "fc" and dtype not in BY_DTYPE):
        return "other"
    return _FAMILIES.get(dtype.kind, "other")


def extension_dtype(name: str) -> DType:
    """The ml_dtypes type called `name`, one of `EXTENSION_NAMES`."""
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


def is_extension(dtype: DType) -> bool:
    """Whether `dtype` is one of `EXTENSION_NAMES`; imports nothing."""
    return dtype.kind in "Vf" and dtype.name in EXTENSION_NAMES


def extension(name: str) -> StoredType:
    """How the type called `name`, one of `EXTENSION_NAMES`, is stored."""
    dtype = extension_dtype(name)
    return StoredType(dtype, dtype, name, name)


def foreign(dtype: DType, v3: str | Mapping[str, Any], v2: Any) -> StoredType:
    """A type that only zarr-python can read."""
    return StoredType(dtype, dtype, v3, v2, native=False)


def describe(dtype: DType) -> StoredType:
    """The stored type of a NumPy type."""
    if is_extension(dtype):
        return extension(dtype.name)
    if dtype.subdtype is not None:
        raise ArgumentError(f"`dtype` must be a scalar type; {dtype} has a shape. Give that shape to the array instead")
    if dtype.names is not None:
        return foreign(dtype, _struct_v3(dtype), _struct_v2(dtype))
    if dtype.kind == "T":
        return foreign(dtype, "string", "|O")
    native = dtype.newbyteorder("=")
    known = BY_DTYPE.get(native)
    if known is not None:
        return known if dtype.isnative else replace(known, stored=dtype, v2=dtype.str)
    if dtype.type.__module__ != "numpy":
        return foreign(dtype, dtype.name, dtype.name)
    if dtype.kind in "SUV":
        return _describe_flexible(dtype, native)
    if dtype.kind in "mM":
        return _describe_time(dtype, native)
    return foreign(dtype, dtype.name, dtype.str)


def _describe_flexible(dtype: DType, native: DType) -> StoredType:
    if dtype.itemsize == 0:
        raise ArgumentError(
            f"`dtype` must have a length of at least 1; {dtype.str!r} has none. Write for example '{dtype.kind}8'"
        )
    name = {"S": "null_terminated_bytes", "U": "fixed_length_utf32", "V": "raw_bytes"}[dtype.kind]
    v3 = {"name": name, "configuration": {"length_bytes": dtype.itemsize}}
    return StoredType(native, dtype, v3, _little(dtype))


def _describe_time(dtype: DType, native: DType) -> StoredType:
    unit, count = np.datetime_data(dtype)
    name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
    v3 = {"name": name, "configuration": {"unit": unit, "scale_factor": count}}
    # NumPy's own text leaves out the scale of a generic unit.
    v2 = f"{_little(dtype)}[{count}generic]" if unit == "generic" and count != 1 else _little(dtype)
    return StoredType(native, dtype, v3, v2)


def _little(dtype: DType) -> str:
    """The v2 name: a byte order that was asked for is kept, the machine's own is written as little-endian."""
    return (dtype.newbyteorder("<") if dtype.isnative else dtype).str


def _struct_v3(dtype: DType) -> dict[str, Any]:
    assert dtype.names is not None
    fields = [{"name": name, "data_type": _describe_field(dtype[name]).v3} for name in dtype.names]
    return {"name": "struct", "configuration": {"fields": fields}}


def _struct_v2(dtype: DType) -> list[list[Any]]:
    assert dtype.names is not None
    return [[name, _describe_field(dtype[name]).v2, *_field_shape(dtype[name])] for name in dtype.names]


def _describe_field(dtype: DType) -> StoredType:
    return describe(dtype.base)


def _field_shape(dtype: DType) -> list[list[int]]:
    return [list(dtype.shape)] if dtype.shape else []


def struct_or_object(fields: list[Any]) -> DType:
    """The structured type with `fields`, or object where NumPy has none (a name given twice, an offset too large)."""
    try:
        return np.dtype(fields)
    except (TypeError, ValueError, OverflowError):
        return np.dtype(object)
