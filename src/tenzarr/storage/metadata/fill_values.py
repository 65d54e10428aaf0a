"""Fill values of documents."""

from __future__ import annotations

from typing import Any

from tenzarr.dtypes import StoredType, scalar_from_json, scalar_to_json
from tenzarr.errors import ArgumentError
from tenzarr.storage.metadata.fields import Reader

__all__ = ["read_fill_value", "write_fill_value"]


def read_fill_value(raw: Any, stored: StoredType, reader: Reader) -> Any:
    """The fill value of an array as a NumPy scalar of ``stored.dtype``.

    A type that only zarr-python can read keeps its fill value as the JSON value that it was:
    zarr-python is to read it. ``None`` stays ``None``; only version 2 allows it.

    Parameters
    ----------
    raw : JSON value
        The ``fill_value`` member.
    stored : StoredType
        The data type of the array.
    reader : Reader
        Names the document in errors.

    Raises
    ------
    MetadataError
        If `raw` is no value of the type.
    """
    if raw is None or not stored.native:
        return raw
    try:
        return scalar_from_json(raw, stored.dtype)
    except ArgumentError as error:
        raise reader.error("fill_value", str(error)) from None


def write_fill_value(value: Any, stored: StoredType, zarr_format: int) -> Any:
    """The ``fill_value`` member for `value`; the inverse of `read_fill_value`."""
    if value is None or not stored.native:
        return value
    return scalar_to_json(value, stored, zarr_format)
