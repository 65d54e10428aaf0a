"""Data types that only zarr-python has: their names, their zero and their fill values are its affair."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tenzarr.dtypes import StoredType, register_with_zarr, stored_type
from tenzarr.errors import ArgumentError, ArgumentTypeError

__all__ = ["ForeignType", "foreign_type"]


@dataclass(frozen=True, slots=True)
class ForeignType:
    """What a new array needs of a data type of zarr-python's."""

    stored: StoredType
    """Its names in both versions."""
    fill_value: Any
    """The fill value, as the document has it."""
    object_codec: str | None
    """What turns elements of any length into bytes, by its numcodecs id; None where they have a fixed size."""


def foreign_type(dtype: Any, fill_value: Any, zarr_format: int) -> ForeignType:
    """Ask zarr-python for a data type that is not ours.

    Parameters
    ----------
    dtype : dtype_like
        A NumPy type, a name, a mapping, or a data type object of zarr-python.
    fill_value : scalar or None
        None is the default of the type.
    zarr_format : {2, 3}
        Of the document.

    Raises
    ------
    ArgumentTypeError
        zarr-python does not know the type.
    ArgumentError
        The type has no such value, or no name in this version.

    Examples
    --------
    >>> foreign_type(str, None, 2).object_codec
    'vlen-utf8'
    >>> foreign_type(object, None, 3)
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentTypeError: `dtype` must be a type that Tenzarr or zarr-python knows, got <class 'object'>...
    """
    register_with_zarr()
    known = dtype.dtype if isinstance(dtype, StoredType) else dtype
    try:
        found: Any = import_module("zarr.dtype").parse_dtype(known, zarr_format=zarr_format)
    except (ValueError, TypeError, KeyError) as error:
        raise ArgumentTypeError(
            f"`dtype` must be a type that Tenzarr or zarr-python knows, got {dtype!r}: {error}. "
            "Give the array a type of fixed size, or register this one with zarr"
        ) from error
    try:
        scalar = found.default_scalar() if fill_value is None else found.cast_scalar(fill_value)
        fill = found.to_json_scalar(scalar, zarr_format=zarr_format)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"`fill_value` must be a value of {found}, got {fill_value!r}: {error}") from error
    codec = found.to_json(zarr_format=2).get("object_codec_id")
    return ForeignType(stored_type(found), fill, codec)
