"""What a codec says of bytes that it cannot decode; the reader adds array, chunk and key."""

from __future__ import annotations

__all__ = ["ChecksumMismatch", "UndecodableError"]


class UndecodableError(Exception):
    """The bytes are not what the codec writes, or decode to another size than declared."""


class ChecksumMismatch(UndecodableError):
    """The bytes contradict their checksum."""
