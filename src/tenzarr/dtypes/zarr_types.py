"""The types of `EXTENSION_NAMES` as data types of zarr-python, which has none of them.

The classes are made when they are first asked for, so that importing this module does
not import zarr; `__getattr__` finds them for pickle, which looks them up by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, cast

import numpy as np

from tenzarr.dtypes.names_v3 import from_v3
from tenzarr.dtypes.scalars import scalar_from_json, scalar_to_json, to_scalar, zero
from tenzarr.dtypes.types import EXTENSION_NAMES, DType, extension_dtype
from tenzarr.errors import ArgumentError

__all__ = ["register_with_zarr"]

_CLASS_NAMES = {
    "bfloat16": "BFloat16",
    "float8_e4m3fn": "Float8E4M3FN",
    "float8_e5m2": "Float8E5M2",
    "int4": "Int4",
    "uint4": "UInt4",
}
_classes: dict[str, type] = {}


def register_with_zarr() -> None:
    """Teach zarr-python bfloat16, float8_e4m3fn, float8_e5m2, int4 and uint4.

    Afterwards `zarr.open` reads and `zarr.create_array` writes arrays of these types, in
    versions 2 and 3, as TensorStore does. A type that is registered already, by whomever,
    stays as it is; calling this twice is harmless. One thing is out of reach: zarr-python hands
    the chunks of a version 2 array to numcodecs as they are, and NumPy has no buffer of these
    types, so that it writes such arrays uncompressed only (``compressors=None``). It reads them
    compressed, and Tenzarr writes them so.

    Examples
    --------
    >>> import zarr
    >>> register_with_zarr()
    >>> zarr.create_array({}, shape=(2,), dtype="bfloat16", fill_value=1.5)[:]
    array([1.5, 1.5], dtype=bfloat16)
    """
    registry: Any = import_module("zarr.dtype").data_type_registry
    for name in EXTENSION_NAMES:
        if name not in registry.contents:
            registry.register(name, _zarr_class(name))


def __getattr__(name: str) -> type:
    for v3_name, class_name in _CLASS_NAMES.items():
        if name == class_name:
            return _zarr_class(v3_name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _zarr_class(name: str) -> type:
    if name not in _classes:
        _classes.setdefault(name, _make_class(name))
    return _classes[name]


def _make_class(name: str) -> type:
    dtype = extension_dtype(name)
    zarr: Any = import_module("zarr.dtype")
    common: Any = import_module("zarr.core.dtype.common")
    # zarr's `bytes` codec takes an `endian` for the types that have one, and swaps by it.
    ordered = (common.HasEndianness,) if dtype.itemsize > 1 else ()
    members = {
        "__module__": __name__,
        "__qualname__": _CLASS_NAMES[name],
        "_zarr_v3_name": name,
        "dtype_cls": type(dtype),
    }
    made = type(_CLASS_NAMES[name], (_ExtensionType, zarr.ZDType, *ordered, common.HasItemSize), members)
    return cast(type, dataclass(frozen=True, kw_only=True)(made))


class _ExtensionType:
    """What zarr-python asks of a data type (its ``ZDType``), by way of `tenzarr.dtypes`."""

    _zarr_v3_name: ClassVar[str]

    @classmethod
    def from_native_dtype(cls, dtype: DType) -> Any:
        if dtype != extension_dtype(cls._zarr_v3_name):
            raise _not_this_type(f"{dtype} is not {cls._zarr_v3_name}")
        return cls()

    def to_native_dtype(self) -> DType:
        dtype = extension_dtype(self._zarr_v3_name)
        return dtype.newbyteorder(">") if getattr(self, "endianness", "little") == "big" else dtype

    @classmethod
    def _from_json_v2(cls, data: Any) -> Any:
        if data != {"name": cls._zarr_v3_name, "object_codec_id": None}:
            raise _not_this_type(f"{data!r} is not {cls._zarr_v3_name!r}")
        return cls()

    @classmethod
    def _from_json_v3(cls, data: Any) -> Any:
        if data != cls._zarr_v3_name:
            raise _not_this_type(f"{data!r} is not {cls._zarr_v3_name!r}")
        return cls()

    def to_json(self, zarr_format: int) -> Any:
        if zarr_format == 2:
            return {"name": self._zarr_v3_name, "object_codec_id": None}
        return self._zarr_v3_name

    @property
    def item_size(self) -> int:
        return extension_dtype(self._zarr_v3_name).itemsize

    def _check_scalar(self, data: object) -> bool:
        try:
            self.cast_scalar(data)
        except TypeError:
            return False
        return True

    def cast_scalar(self, data: object) -> np.generic:
        try:
            return to_scalar(data, extension_dtype(self._zarr_v3_name))
        except ArgumentError as error:
            raise TypeError(str(error)) from None

    def default_scalar(self) -> np.generic:
        return zero(extension_dtype(self._zarr_v3_name))

    def from_json_scalar(self, data: Any, *, zarr_format: int) -> np.generic:
        try:
            return scalar_from_json(data, extension_dtype(self._zarr_v3_name))
        except ArgumentError as error:
            raise TypeError(str(error)) from None

    def to_json_scalar(self, data: object, *, zarr_format: int) -> Any:
        return scalar_to_json(data, from_v3(self._zarr_v3_name), zarr_format)


def _not_this_type(problem: str) -> Exception:
    """The error by which zarr-python goes on to the next data type; it moved between versions."""
    errors: Any = import_module("zarr.errors")
    if not hasattr(errors, "DataTypeValidationError"):
        errors = import_module("zarr.dtype")
    return errors.DataTypeValidationError(problem)
