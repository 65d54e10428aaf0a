"""Stages that change elements rather than compress bytes: numcodecs' filters and byte order.

Each is applied to the elements of a chunk in their stored order, flat. The
sizes follow from the number of elements, so they bound the decoders before them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tenzarr.storage.codecs.errors import UndecodableError
from tenzarr.storage.codecs.stage import Bytes, Stage, expect_size, place

__all__ = ["ByteSwapStage", "FilterStage", "PackBitsStage", "PermuteStage", "ShuffleStage"]


class ByteSwapStage(Stage):
    """The other byte order, for data types that NumPy has no swapped form of."""

    name = "byteswap"
    fixed = True

    def __init__(self, itemsize: int) -> None:
        self.itemsize = itemsize

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes

    def encode(self, data: Bytes) -> Bytes:
        return data.view(f"u{self.itemsize}").byteswap().view(np.uint8)

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        expect_size(data.nbytes, size, exact)
        return place(self.encode(data), out)


class PermuteStage(Stage):
    """A ``transpose`` that does not come first in its chain; `shape` and `order` are of the decoded side."""

    name = "transpose"
    fixed = True

    def __init__(self, shape: tuple[int, ...], order: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.order = order
        self.dtype = np.dtype((np.void, dtype.itemsize))

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes

    def encode(self, data: Bytes) -> Bytes:
        chunk = data.view(self.dtype).reshape(self.shape).transpose(self.order)
        return np.ascontiguousarray(chunk).reshape(-1).view(np.uint8)

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        expect_size(data.nbytes, size, exact)
        stored_shape = tuple(self.shape[axis] for axis in self.order)
        inverse = tuple(int(axis) for axis in np.argsort(self.order))
        chunk = data.view(self.dtype).reshape(stored_shape).transpose(inverse)
        return place(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8), out)


class FilterStage(Stage):
    """A numcodecs filter that maps `count` elements of one type to as many of another."""

    name = "filter"
    bytes_per_second = 1e9
    fixed = True

    def __init__(self, codec: Any, count: int, decoded: np.dtype[Any], encoded: np.dtype[Any]) -> None:
        self.codec = codec
        self.count = count
        self.decoded = decoded
        self.encoded = encoded

    def encoded_bound(self, nbytes: int) -> int:
        return self.count * self.encoded.itemsize

    def encode(self, data: Bytes) -> Bytes:
        return _flat(self.codec.encode(data.view(self.decoded)))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        try:
            decoded = _flat(self.codec.decode(data.view(self.encoded)))
        except (ValueError, TypeError, RuntimeError) as error:
            raise UndecodableError(f"filter {self.codec.codec_id}: {error}") from None
        expect_size(decoded.nbytes, size, exact)
        return place(decoded, out)


class PackBitsStage(Stage):
    """numcodecs' packbits: one byte that counts the padding bits, then eight elements a byte."""

    name = "packbits"
    fixed = True

    def __init__(self, count: int) -> None:
        self.count = count

    def encoded_bound(self, nbytes: int) -> int:
        return 1 + (self.count + 7) // 8

    def encode(self, data: Bytes) -> Bytes:
        header = np.array([-self.count % 8], np.uint8)
        return np.concatenate([header, np.packbits(data.view(np.bool_))])

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        if data.nbytes != self.encoded_bound(size) or data[0] != -self.count % 8:
            raise UndecodableError(f"{data.nbytes} packed bytes do not hold {self.count} elements")
        return place(np.unpackbits(data[1:], count=self.count), out)


def _flat(data: Any) -> Bytes:
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)


class ShuffleStage(Stage):
    """numcodecs' byte shuffle of elements of `elementsize` bytes."""

    name = "shuffle"
    fixed = True

    def __init__(self, codec: Any) -> None:
        self.codec = codec

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes

    def encode(self, data: Bytes) -> Bytes:
        return _flat(self.codec.encode(data))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        expect_size(data.nbytes, size, exact)
        try:
            decoded = _flat(self.codec.decode(data))
        except ValueError as error:
            raise UndecodableError(f"shuffle: {error}") from None
        return place(decoded, out)
