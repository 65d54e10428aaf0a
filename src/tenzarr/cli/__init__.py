"""The command line: ``tenzarr info``, ``tree``, ``copy``, ``verify``, ``stats``, ``demo`` and ``bench``.

A thin skin: each command calls one function of the library and prints what it returns.
"""

from __future__ import annotations

from tenzarr.cli.app import main

__all__ = ["main"]
