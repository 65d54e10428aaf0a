"""Stages that add a checksum of 32 bits and compare it when they decode.

crc32c is the Zarr v3 codec (the checksum last, little-endian); the others are
numcodecs' ids. `verify=False` on a read skips the comparison, never the sizes.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from crc32c import crc32c

from tenzarr.storage.codecs.errors import ChecksumMismatch, UndecodableError
from tenzarr.storage.codecs.stage import Bytes, Stage, expect_size, place

__all__ = ["CHECKSUM_BYTES", "ChecksumStage", "NumcodecsChecksumStage"]

CHECKSUM_BYTES = 4

ALGORITHMS: dict[str, Any] = {"crc32c": crc32c, "crc32": zlib.crc32, "adler32": zlib.adler32}


class ChecksumStage(Stage):
    """crc32c, crc32 or adler32 of the bytes, stored as a little-endian uint32 at their start or end."""

    name = "checksum"
    fixed = True

    def __init__(self, algorithm: str, at_end: bool) -> None:
        self.algorithm = algorithm
        self.at_end = at_end
        self.checks = algorithm
        self.compute = ALGORITHMS[algorithm]

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + CHECKSUM_BYTES

    def encode(self, data: Bytes) -> Bytes:
        encoded = np.empty(data.nbytes + CHECKSUM_BYTES, np.uint8)
        stored = np.frombuffer(struct.pack("<I", self.compute(data)), np.uint8)
        payload, place_of = self._split(encoded)
        payload[:] = data
        place_of[:] = stored
        return encoded

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        payload, stored = self._split(data)
        self.compare(self.compute(payload), stored)
        expect_size(payload.nbytes, size, exact)
        return place(payload, out)

    def payload(self, data: Bytes) -> Bytes:
        """The bytes without their checksum, which is not looked at."""
        return self._split(data)[0]

    def compare(self, computed: int, stored: Bytes) -> None:
        """Raise `ChecksumMismatch` unless the four bytes `stored` are the checksum `computed`."""
        expected = int.from_bytes(stored.tobytes(), "little")
        if computed != expected:
            raise ChecksumMismatch(f"its {self.algorithm} is {computed:08x}, the stored one is {expected:08x}")

    def _split(self, data: Bytes) -> tuple[Bytes, Bytes]:
        if data.nbytes < CHECKSUM_BYTES:
            raise UndecodableError(f"{data.nbytes} bytes are too few for a {self.algorithm}")
        if self.at_end:
            return data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
        return data[CHECKSUM_BYTES:], data[:CHECKSUM_BYTES]


class NumcodecsChecksumStage(Stage):
    """Checksums that only numcodecs computes: fletcher32 and jenkins_lookup3."""

    name = "numcodecs checksum"
    fixed = True

    def __init__(self, codec: Any) -> None:
        self.codec = codec
        self.checks = str(codec.codec_id)

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + CHECKSUM_BYTES

    def encode(self, data: Bytes) -> Bytes:
        return np.frombuffer(self.codec.encode(data), np.uint8)

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        try:
            payload = np.frombuffer(self.codec.decode(data.copy()), np.uint8)
        except (RuntimeError, ValueError) as error:
            raise ChecksumMismatch(f"its {self.checks} does not match: {error}") from None
        expect_size(payload.nbytes, size, exact)
        return place(payload, out)
