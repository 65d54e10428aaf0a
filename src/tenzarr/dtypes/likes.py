"""The data type that a user means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from tenzarr.dtypes.names_v3 import RAW, from_v3
from tenzarr.dtypes.types import BY_NAME, EXTENSION_NAMES, DType, StoredType, describe, foreign
from tenzarr.errors import ArgumentTypeError

__all__ = ["normalize", "stored_type"]


def normalize(dtype: object) -> DType:
    """The NumPy type that `dtype` means, in native byte order.

    Parameters
    ----------
    dtype : dtype_like
        A NumPy or ml_dtypes type, anything `numpy.dtype` takes, a Zarr v3 data type name
        or object, or a data type object of zarr-python.

    Returns
    -------
    numpy.dtype

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If there is no such type, or it lacks a length.

    Examples
    --------
    >>> normalize("float32"), normalize(">i2"), normalize("bfloat16")
    (dtype('float32'), dtype('int16'), dtype(bfloat16))
    >>> normalize("float33")
    Traceback (most recent call last):
    tenzarr.errors.ArgumentTypeError: `dtype` must name a data type; 'float33' does not. Give...
    """
    return stored_type(dtype).dtype


def stored_type(dtype: object) -> StoredType:
    """How an array of `dtype` is stored, for creating one.

    Parameters
    ----------
    dtype : dtype_like
        As for `normalize`. A byte order that is not the machine's goes into `StoredType.stored`.

    Returns
    -------
    StoredType

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If there is no such type, or it lacks a length.

    Examples
    --------
    >>> stored_type(">f4").v2, stored_type("M8[10s]").v3["configuration"], stored_type(object).native
    ('>f4', {'unit': 's', 'scale_factor': 10}, False)
    >>> stored_type("S")
    Traceback (most recent call last):
    tenzarr.errors.ArgumentError: `dtype` must have a length of at least 1; '|S0' has none. Write for example 'S8'
    """
    if isinstance(dtype, StoredType):
        return dtype
    if isinstance(dtype, Mapping):
        return from_v3(cast("Mapping[str, Any]", dtype))
    if hasattr(dtype, "to_native_dtype"):
        return _from_zarr_type(dtype)
    if dtype is str:
        return from_v3("string")
    if isinstance(dtype, str) and (dtype in BY_NAME or dtype in EXTENSION_NAMES or dtype == "string"):
        return from_v3(dtype)
    if isinstance(dtype, str) and RAW.fullmatch(dtype):
        return from_v3(dtype)
    return describe(_numpy_dtype(dtype))


def _numpy_dtype(dtype: object) -> DType:
    if isinstance(dtype, np.dtype):
        return cast(DType, dtype)
    try:
        if dtype is None:
            raise TypeError
        return np.dtype(cast(Any, dtype))
    except (TypeError, ValueError, SyntaxError, KeyError):
        raise ArgumentTypeError(
            f"`dtype` must name a data type; {dtype!r} does not. Give a NumPy type such as 'float32', "
            f"or one of {', '.join(EXTENSION_NAMES)}"
        ) from None


def _from_zarr_type(dtype: Any) -> StoredType:
    native: DType = dtype.to_native_dtype()
    known = describe(native) if native.kind != "O" else None
    # A type of the user's may have the elements of one of ours and mean something else.
    if known is not None and known.native and getattr(dtype, "_zarr_v3_name", None) == _name(known):
        return known
    v2 = dtype.to_json(zarr_format=2)
    return foreign(native, dtype.to_json(zarr_format=3), v2["name"] if isinstance(v2, dict) else v2)


def _name(stored: StoredType) -> str:
    return stored.v3 if isinstance(stored.v3, str) else stored.v3["name"]
