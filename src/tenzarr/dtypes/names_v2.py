"""The ``dtype`` member of v2 documents.

Source: Zarr v2 spec, 'Data type encoding'.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tenzarr.dtypes.types import (
    EXTENSION_NAMES,
    LENGTH_LIMIT,
    UNITS,
    DType,
    StoredType,
    describe,
    extension,
    foreign,
    is_extension,
    struct_or_object,
)
from tenzarr.errors import ArgumentError

__all__ = ["from_v2"]

_TYPESTR = re.compile(r"([<>|=])([a-zA-Z?])([0-9]*)(?:\[([0-9]*)([a-z]+|[A-Z])\])?", re.ASCII)


def from_v2(member: object) -> StoredType:
    """Read the ``dtype`` member of a v2 document.

    Parameters
    ----------
    member : str or list
        A NumPy type string, a list of fields, or one of `EXTENSION_NAMES`.

    Returns
    -------
    StoredType
        ``native`` is False for structured and object types, and for a name that neither
        NumPy nor we know: a data type that the user registered with zarr may have it.

    Raises
    ------
    ArgumentError
        If it has the form of a NumPy type string and is none, or is neither string nor list of fields.

    Examples
    --------
    >>> from_v2(">f4").dtype, from_v2(">f4").stored, from_v2("|O").native
    (dtype('float32'), dtype('>f4'), False)
    >>> from_v2("<f3")
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: a v2 `dtype` must be a NumPy type string; '<f3' is none

    Notes
    -----
    Zarr v2 spec, 'Data type encoding'. A single-byte type and raw bytes may carry any byte
    order (netCDF-C writes ``<i1``).
    """
    if isinstance(member, list):
        return _from_v2_fields(cast("list[Any]", member))
    if not isinstance(member, str):
        raise ArgumentError(f"a v2 `dtype` must be a string or a list of fields; it is {member!r:.80}")
    if member in EXTENSION_NAMES:
        return extension(member)
    match = _TYPESTR.fullmatch(member.replace("μs", "us"))
    if match is None:
        return foreign(np.dtype(object), member, member)
    return _from_typestr(member, *match.groups(default=""))


def _from_typestr(text: str, order: str, kind: str, size: str, count: str, unit: str) -> StoredType:
    if kind == "O":
        return foreign(np.dtype(object), "object", text)
    if kind in "mM":
        return _time(text, order, kind, size, count, unit)
    if kind not in "biufcSUV":
        return foreign(np.dtype(object), text, text)
    ordered = kind == "U" or (kind in "iufc" and size != "1")
    dtype = _dtype_or_none(order if ordered else "|", kind, size)
    if unit or dtype is None or (ordered and order not in "<>") or is_extension(dtype):
        raise _not_a_typestr(text)
    return replace(describe(dtype), v2=text)


def _dtype_or_none(order: str, kind: str, size: str) -> DType | None:
    """The NumPy type, if there is one: without a length, or with one of 0, there is none."""
    if not size or len(size) > 10 or not 0 < int(size) * (4 if kind == "U" else 1) < LENGTH_LIMIT:
        return None
    try:
        return np.dtype(f"{order}{kind}{size}")
    except TypeError:
        return None


def _time(text: str, order: str, kind: str, size: str, count: str, unit: str) -> StoredType:
    scale = int(count or 1) if len(count) <= 10 else 0
    if order not in "<>" or size != "8" or (unit and unit not in UNITS) or not 0 < scale < 2**31:
        raise _not_a_typestr(text)
    return replace(describe(np.dtype(f"{order}{kind}8[{scale}{unit or 'generic'}]")), v2=text)


def _not_a_typestr(text: str) -> ArgumentError:
    return ArgumentError(f"a v2 `dtype` must be a NumPy type string; {text!r:.80} is none")


def _from_v2_fields(fields: list[Any]) -> StoredType:
    if not fields or not all(_is_v2_field(field) for field in fields):
        raise ArgumentError(f"a structured v2 `dtype` must be a list of [name, dtype] pairs; it is {fields!r:.80}")
    members = [(field[0], from_v2(field[1]), *map(tuple, field[2:])) for field in fields]
    dtype = struct_or_object([(name, member.stored, *shape) for name, member, *shape in members])
    pairs = [{"name": name, "data_type": member.v3} for name, member, *_ in members]
    return foreign(dtype, {"name": "struct", "configuration": {"fields": pairs}}, fields)


def _is_v2_field(field: Any) -> bool:
    if not (isinstance(field, list) and len(cast("list[Any]", field)) in (2, 3) and isinstance(field[0], str)):
        return False
    shape = cast("list[Any]", field)[2:]
    return all(isinstance(item, list) for item in shape)
