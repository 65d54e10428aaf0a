"""What both houses stand on: buffers, workers, byte budgets, progress and text."""

from __future__ import annotations

__all__: list[str] = []
