"""Contracts as test suites: subclass one, and pytest runs it against your own implementation."""

from __future__ import annotations

from tenzarr.testing.stores import HOSTILE_KEYS, StoreTests

__all__ = ["HOSTILE_KEYS", "StoreTests"]
