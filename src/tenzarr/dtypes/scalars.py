"""One element of a data type: as JSON in a document, as a NumPy scalar, as what a user gives.

Sources: Zarr v3 core spec, 'Fill value'; Zarr v2 spec, 'Fill value encoding';
zarr-extensions, 'data-types', for the types that the core does not have.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, cast

import numpy as np

from tenzarr.dtypes.types import DType, StoredType, family
from tenzarr.errors import ArgumentError

__all__ = ["scalar_from_json", "scalar_to_json", "to_scalar", "zero"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NARROW_RANGES = {"int4": (-8, 7), "uint4": (0, 15)}
_NAN_BITS = {
    "float16": 0x7E00,
    "float32": 0x7FC00000,
    "float64": 0x7FF8000000000000,
    "bfloat16": 0x7FC0,
    "float8_e4m3fn": 0x7F,
    "float8_e5m2": 0x7E,
}
"""The one NaN of each type that is written ``"NaN"``; every other NaN is written in hexadecimal."""
_WITHOUT_INFINITY = frozenset({"float8_e4m3fn"})


def zero(dtype: DType) -> Any:
    """The zero of `dtype`: the fill value of an array that was given none.

    >>> zero(np.dtype("f4")), zero(np.dtype("S3")), zero(np.dtype("M8[s]"))
    (np.float32(0.0), np.bytes_(b''), np.datetime64('1970-01-01T00:00:00'))
    """
    return np.zeros((), dtype)[()]


def scalar_from_json(raw: Any, dtype: DType) -> Any:
    """Read a fill value.

    Parameters
    ----------
    raw : JSON value
        Numbers; ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` and ``"0x..."`` (the bits, as many
        digits as the type has) for floats; pairs of these for complex numbers; base64 or a
        list of bytes for byte strings; an integer or ``"NaT"`` for times. As zarr-python does,
        integers are also read from ``1.0`` and ``"1"``, and floats from ``"1.5"``.
    dtype : numpy.dtype
        A native type, in native byte order.

    Returns
    -------
    numpy.generic
        A scalar of `dtype`; the payload of a NaN in hexadecimal is kept.

    Raises
    ------
    ArgumentError
        If `raw` is not a value of that type.

    Examples
    --------
    >>> scalar_from_json("0x7fc00001", np.dtype("f4")).tobytes().hex()
    '0100c07f'
    >>> scalar_from_json(300, np.dtype("u1"))
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: a fill value of uint8 must lie in 0..255; it is 300
    """
    return _READERS[family(dtype)](raw, dtype)


def _read_bool(raw: Any, dtype: DType) -> Any:
    if type(raw) in (bool, int, float) and raw in (0, 1):
        return np.bool_(raw)
    raise _refused(raw, dtype, "be true or false")


def _read_int(raw: Any, dtype: DType) -> Any:
    value = raw
    if (type(value) is float and value.is_integer()) or (type(value) is str and _INTEGER.fullmatch(value)):
        value = int(value)
    if type(value) is not int:
        raise _refused(raw, dtype, "be an integer")
    low, high = _NARROW_RANGES.get(dtype.name) or _integer_range(dtype)
    if not low <= value <= high:
        raise _refused(raw, dtype, f"lie in {low}..{high}")
    return dtype.type(value)


def _integer_range(dtype: DType) -> tuple[int, int]:
    bits = 8 * dtype.itemsize
    return (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _read_float(raw: Any, dtype: DType) -> Any:
    if type(raw) is str:
        if raw == "NaN":
            return _from_bits(_NAN_BITS[dtype.name], dtype)
        if raw.startswith("0x"):
            return _read_hex(raw, dtype)
    if type(raw) not in (int, float, str):
        raise _refused(raw, dtype, "be a number, 'NaN', 'Infinity', '-Infinity' or '0x' and its bits")
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        raise _refused(raw, dtype, "be a number, 'NaN', 'Infinity', '-Infinity' or '0x' and its bits") from None
    if np.isinf(value) and dtype.name in _WITHOUT_INFINITY:
        raise _refused(raw, dtype, "be finite or NaN")
    return _rounded(raw, value, dtype)


def _rounded(raw: Any, value: float, dtype: DType) -> Any:
    if dtype.itemsize == 8:
        return np.float64(value)
    with np.errstate(over="ignore"):
        scalar = dtype.type(value)
    if np.isnan(scalar) and not np.isnan(value):
        raise _refused(raw, dtype, "be a number that the type can hold")
    return scalar


def _read_hex(raw: str, dtype: DType) -> Any:
    digits = 2 * dtype.itemsize
    if re.fullmatch(f"0x[0-9a-fA-F]{{{digits}}}", raw) is None:
        raise _refused(raw, dtype, f"have {digits} hexadecimal digits after '0x'")
    return _from_bits(int(raw, 16), dtype)


def _from_bits(bits: int, dtype: DType) -> Any:
    return np.array(bits, f"u{dtype.itemsize}").view(dtype)[()]


def _read_complex(raw: Any, dtype: DType) -> Any:
    if not isinstance(raw, (list, tuple)) or len(cast("list[Any]", raw)) != 2:
        raise _refused(raw, dtype, "be a list of two numbers")
    part = np.dtype(f"f{dtype.itemsize // 2}")
    parts = np.array([_read_float(item, part) for item in cast("list[Any]", raw)], part)
    return parts.view(dtype)[0]


def _read_bytes(raw: Any, dtype: DType) -> Any:
    data = _byte_string(raw, dtype)
    if len(data) > dtype.itemsize:
        raise _refused(raw, dtype, f"have at most {dtype.itemsize} bytes")
    return np.array(data.ljust(dtype.itemsize, b"\0"), f"V{dtype.itemsize}").view(dtype)[()]


def _byte_string(raw: Any, dtype: DType) -> bytes:
    try:
        if type(raw) is str:
            return base64.b64decode(raw.encode("ascii"), validate=True)
        if type(raw) is list and all(type(item) is int for item in cast("list[Any]", raw)):
            return bytes(cast("list[int]", raw))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        pass
    raise _refused(raw, dtype, "be base64 or a list of integers in 0..255")


def _read_text(raw: Any, dtype: DType) -> Any:
    if type(raw) is not str or len(raw) * 4 > dtype.itemsize:
        raise _refused(raw, dtype, f"be a string of at most {dtype.itemsize // 4} code points")
    return np.array(raw, dtype)[()]


def _read_time(raw: Any, dtype: DType) -> Any:
    value = -(2**63) if raw == "NaT" else raw
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _refused(raw, dtype, "be a 64-bit integer or 'NaT'")
    return np.array(value, "i8").view(dtype)[()]


def _read_other(raw: Any, dtype: DType) -> Any:
    raise AssertionError(f"a fill value of {dtype} is kept as it came; this is a bug in tenzarr")


_READERS = {
    "bool": _read_bool,
    "int": _read_int,
    "float": _read_float,
    "complex": _read_complex,
    "bytes": _read_bytes,
    "raw": _read_bytes,
    "text": _read_text,
    "time": _read_time,
    "other": _read_other,
}


def _refused(raw: Any, dtype: DType, rule: str) -> ArgumentError:
    return ArgumentError(f"a fill value of {dtype} must {rule}; it is {raw!r:.80}")


def scalar_to_json(value: Any, stored: StoredType, zarr_format: int) -> Any:
    """Write a fill value, such that `scalar_from_json` and zarr-python read it back.

    Parameters
    ----------
    value : numpy.generic
        A scalar of ``stored.dtype``.
    stored : StoredType
        A native type.
    zarr_format : {2, 3}
        Version 2 has no place for the payload of a NaN: every NaN is written ``"NaN"``.

    Returns
    -------
    JSON value

    Raises
    ------
    ArgumentError
        If `value` is not a value of that type.

    Examples
    --------
    >>> from tenzarr.dtypes import stored_type
    >>> scalar_to_json(np.float32("nan"), stored_type("f4"), 3), scalar_to_json(2 + 1j, stored_type("c8"), 2)
    ('NaN', [2.0, 1.0])
    >>> scalar_to_json("x", stored_type("u1"), 3)
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: a fill value of uint8 must be an integer; it is 'x'
    """
    dtype = stored.dtype
    scalar = to_scalar(value, dtype)
    kind = family(dtype)
    if kind == "float":
        return _float_to_json(scalar, dtype, zarr_format)
    if kind == "complex":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        return [_float_to_json(item, part, zarr_format) for item in np.array([scalar], dtype).view(part)]
    if kind == "time":
        return int(np.array(scalar, dtype).view("i8"))
    if kind == "raw" and isinstance(stored.v3, str) and zarr_format == 3:
        return list(scalar.tobytes())
    if kind in ("bytes", "raw"):
        return base64.b64encode(bytes(scalar)).decode("ascii")
    return {"bool": bool, "int": int, "text": str}[kind](scalar)


def _float_to_json(scalar: Any, dtype: DType, zarr_format: int) -> float | str:
    value = float(scalar)
    if np.isnan(value):
        bits = int(np.array(scalar, dtype).view(f"u{dtype.itemsize}"))
        if zarr_format == 2 or bits == _NAN_BITS[dtype.name]:
            return "NaN"
        return f"0x{bits:0{2 * dtype.itemsize}x}"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def to_scalar(value: Any, dtype: DType) -> Any:
    """The scalar of `dtype` that a user means by `value`; zero where `value` is None.

    Parameters
    ----------
    value : scalar or None
        A Python or NumPy scalar, or anything that `scalar_from_json` takes.
    dtype : numpy.dtype
        A native type, in native byte order.

    Returns
    -------
    numpy.generic

    Raises
    ------
    ArgumentError
        If `dtype` has no such value.

    Examples
    --------
    >>> to_scalar(None, np.dtype("f8")), to_scalar(7, np.dtype("u1")), to_scalar("NaN", np.dtype("f2"))
    (np.float64(0.0), np.uint8(7), np.float16(nan))
    >>> to_scalar(-1, np.dtype("u1"))
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: a fill value of uint8 must lie in 0..255; it is -1
    """
    if value is None:
        return zero(dtype)
    if isinstance(value, np.ndarray) and cast("np.ndarray[Any, Any]", value).ndim == 0:
        value = cast(Any, value)[()]
    if isinstance(value, np.generic) and cast(Any, value).dtype == dtype:
        return cast(Any, value)
    kind = family(dtype)
    if kind == "time":
        return _time_scalar(value, dtype)
    if isinstance(value, np.generic):
        value = cast(Any, value).item()
    if kind in ("bytes", "raw") and isinstance(value, (bytes, bytearray)):
        return _read_bytes(list(value), dtype)
    if kind == "complex" and isinstance(value, (int, float, complex)):
        value = [complex(value).real, complex(value).imag]
    if kind in ("int", "float") and isinstance(value, bool):
        value = int(value)
    return scalar_from_json(value, dtype)


def _time_scalar(value: Any, dtype: DType) -> Any:
    if type(value) is int:
        return _read_time(value, dtype)
    try:
        return np.array(value, dtype)[()]
    except (TypeError, ValueError, OverflowError):
        raise _refused(value, dtype, "be a time, an integer or 'NaT'") from None
