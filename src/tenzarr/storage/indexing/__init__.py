"""From a selection to a plan: pure arithmetic on shapes and indices."""

from __future__ import annotations

from tenzarr.storage.indexing.plan import Job, Part, Plan, PointJob, grid_index, plan_axes, plan_points
from tenzarr.storage.indexing.selection import (
    AxisSelection,
    Coordinates,
    Selection,
    basic,
    blocks,
    coordinates,
    is_basic,
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
    "basic",
    "blocks",
    "coordinates",
    "grid_index",
    "is_basic",
    "orthogonal",
    "plan_axes",
    "plan_points",
    "whole",
]
