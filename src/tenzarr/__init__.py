"""Tensors, and the arrays they live in, as one system.

Stored arrays in the Zarr format: `create`, `open` and `save` give an `Array` or a `Group`.
"""

from __future__ import annotations

from tenzarr import dtypes
from tenzarr.errors import TenzarrError
from tenzarr.storage import Array, Group, create, load, open, open_array, open_group, save
from tenzarr.stream import Statistics, statistics

__all__ = [
    "Array",
    "Group",
    "Statistics",
    "TenzarrError",
    "__version__",
    "create",
    "dtypes",
    "load",
    "open",
    "open_array",
    "open_group",
    "save",
    "statistics",
]

__version__ = "0.1.0"
