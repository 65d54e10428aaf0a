"""From a selection to a plan: pure arithmetic on shapes and indices."""

from __future__ import annotations

from tenzarr.storage.indexing.plan import Job, Part, Plan, PointJob, as_list, grid_index, plan_axes, plan_points
from tenzarr.storage.indexing.selection import (
    AxisSelection,
    Coordinates,
    Selection,
    as_items,
    basic,
    blocks,
    coordinates,
    is_basic,
    mask_of,
    orthogonal,
    whole,
)

__all__ = [
    "AxisSelection",
    "Coordinates",
    "Job",
    "Part",
    "Plan",
    "PointJob",
    "Selection",
    "as_items",
    "as_list",
    "basic",
    "blocks",
    "coordinates",
    "grid_index",
    "is_basic",
    "mask_of",
    "orthogonal",
    "plan_axes",
    "plan_points",
    "whole",
]
