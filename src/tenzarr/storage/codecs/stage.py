"""A stage: one step of a codec chain that turns bytes into bytes.

Every stage knows how large its output can be before it runs. That is what
keeps a hostile chunk cheap: a decoder gets a buffer of the declared size, or a
bound that follows from it, and never learns the size from the data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tenzarr.storage.codecs.errors import UndecodableError

__all__ = ["Bytes", "Stage", "expect_size", "place"]

Bytes = npt.NDArray[np.uint8]
"""One-dimensional, contiguous."""


class Stage(ABC):
    """One step of a chain. Instances are immutable and shared between threads."""

    name: ClassVar[str]
    checks: str | None = None
    """What the stage verifies when it decodes, in words, or None."""
    bytes_per_second: float = 12e9
    """Roughly how fast it decodes, in decoded bytes; it only decides how work is dealt out."""
    fixed: bool = False
    """Whether `encoded_bound` is the encoded size itself."""

    @abstractmethod
    def encoded_bound(self, nbytes: int) -> int:
        """The largest size, in bytes, that `nbytes` can encode to."""

    @abstractmethod
    def encode(self, data: Bytes) -> Bytes:
        """Encode `data`. The result may share memory with it."""

    @abstractmethod
    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        """Decode `data` to exactly `size` bytes, or to at most `size` where `exact` is false.

        With `out` (of exactly `size` bytes, and `exact`), the result lies in it if the stage
        can decode in place; a stage may return other memory instead. Raises `UndecodableError`.
        """


def expect_size(got: int, size: int, exact: bool) -> None:
    """Refuse a decoded size that contradicts the declared one."""
    if got == size or (not exact and got < size):
        return
    rule = "exactly" if exact else "at most"
    raise UndecodableError(f"it decodes to {got} bytes where the array declares {rule} {size}")


def place(data: Bytes, out: Bytes | None) -> Bytes:
    """Copy `data` into `out` if there is one."""
    if out is None:
        return data
    out[:] = data
    return out
