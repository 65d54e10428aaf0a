"""Data types: one `StoredType` for what a program sees and what a document says.

Types are `numpy.dtype` objects everywhere, those of ml_dtypes included. ml_dtypes
and zarr are imported when a type of theirs turns up, not before.
"""

from __future__ import annotations

from tenzarr.dtypes.likes import normalize, stored_type
from tenzarr.dtypes.names_v2 import from_v2
from tenzarr.dtypes.names_v3 import from_v3
from tenzarr.dtypes.scalars import scalar_from_json, scalar_to_json, to_scalar, zero
from tenzarr.dtypes.types import EXTENSION_NAMES, StoredType
from tenzarr.dtypes.zarr_types import register_with_zarr

__all__ = [
    "EXTENSION_NAMES",
    "StoredType",
    "from_v2",
    "from_v3",
    "normalize",
    "register_with_zarr",
    "scalar_from_json",
    "scalar_to_json",
    "stored_type",
    "to_scalar",
    "zero",
]
