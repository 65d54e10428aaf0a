"""Stored arrays, block by block, in constant memory."""

from __future__ import annotations

from tenzarr.stream.plan import BlockReadable, plan_blocks
from tenzarr.stream.stats import Statistics, statistics

__all__ = ["BlockReadable", "Statistics", "plan_blocks", "statistics"]
