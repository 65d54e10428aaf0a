"""A chunk that holds elements: how its bytes become an array, and back.

The chain of an array is compiled once into a `LeafCodec`: an optional
permutation of the axes, the type of the stored elements, and the stages that
follow, each with the size of what it decodes to.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tenzarr.storage.codecs.checksums import CHECKSUM_BYTES, ChecksumStage
from tenzarr.storage.codecs.errors import UndecodableError
from tenzarr.storage.codecs.stage import Bytes, Stage

__all__ = ["LeafCodec"]


COPY_BYTES_PER_SECOND = 12e9
"""What an uncompressed chunk is read at, roughly."""


class LeafCodec:
    """The compiled chain of a chunk that is not divided further.

    Parameters
    ----------
    shape : tuple of int
        Of the chunk, in elements, as the array sees it.
    dtype : numpy.dtype
        In memory.
    order : tuple of int or None
        The stored axes, as a permutation of the chunk's; None for C order.
    element : numpy.dtype
        Of the stored elements, with their byte order, before any stage.
    stages : tuple of Stage
        In the order of encoding.
    """

    __slots__ = (
        "checks",
        "crc",
        "decode_seconds",
        "dtype",
        "element",
        "exact",
        "fixed",
        "inverse",
        "max_stored",
        "nbytes",
        "order",
        "plain",
        "raw",
        "shape",
        "sizes",
        "stages",
        "stored_shape",
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        order: tuple[int, ...] | None,
        element: np.dtype[Any],
        stages: tuple[Stage, ...],
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        identity = tuple(range(len(shape)))
        self.order = None if order == identity else order
        self.inverse = identity if self.order is None else tuple(int(axis) for axis in np.argsort(self.order))
        self.stored_shape = shape if self.order is None else tuple(shape[axis] for axis in self.order)
        self.element = element
        self.stages = stages
        self.nbytes = math.prod(shape) * element.itemsize
        sizes = [self.nbytes]
        exact = [True]
        for stage in stages:
            sizes.append(stage.encoded_bound(sizes[-1]))
            exact.append(exact[-1] and stage.fixed)
        self.sizes = tuple(sizes)
        self.exact = tuple(exact)
        self.max_stored = sizes[-1]
        """Upper bound of the stored size, in bytes."""
        self.fixed = exact[-1]
        """Whether every stored chunk has `max_stored` bytes."""
        self.plain = self.order is None and element == dtype
        """Whether the decoded bytes are the chunk in memory, in C order."""
        last = stages[-1] if stages else None
        self.crc = last if isinstance(last, ChecksumStage) and last.at_end else None
        """The checksum that ends the chain, if one does."""
        self.raw = self.plain and len(stages) == (0 if self.crc is None else 1)
        """Whether a stored chunk is the chunk in memory, perhaps followed by a checksum."""
        rate = min((stage.bytes_per_second for stage in stages), default=COPY_BYTES_PER_SECOND)
        self.decode_seconds = self.nbytes / rate
        """Roughly how long a chunk takes, for dealing out work."""
        self.checks = next((stage.checks for stage in reversed(stages) if stage.checks), None)
        """What verifies the data, in words, or None."""

    def decode(self, data: Bytes, out: Bytes | None = None, *, verify: bool = True) -> Bytes:
        """The stored elements as flat bytes; in `out` (of `nbytes`) if that is given.

        Raises `UndecodableError` if `data` is damaged or decodes to another size.
        """
        if data.nbytes > self.max_stored or (self.fixed and data.nbytes != self.max_stored):
            rule = "exactly" if self.fixed else "at most"
            raise UndecodableError(f"it has {data.nbytes} bytes where {rule} {self.max_stored} are expected")
        stages = self.stages
        for position in range(len(stages) - 1, -1, -1):
            stage = stages[position]
            if not verify and isinstance(stage, ChecksumStage):
                data = stage.payload(data)
                continue
            data = stage.decode(data, self.sizes[position], self.exact[position], None if position else out)
        if out is not None and data is not out and not np.shares_memory(data, out):
            out[:] = data
            return out
        return data

    def view(self, flat: Bytes) -> npt.NDArray[Any]:
        """The chunk, of `shape`, as a view of flat stored elements (the stored byte order stays)."""
        chunk = flat.view(self.element).reshape(self.stored_shape)
        return chunk if self.order is None else chunk.transpose(self.inverse)

    def encode(self, chunk: npt.NDArray[Any]) -> list[Bytes]:
        """The stored bytes of `chunk` (of `shape` and the type in memory), in parts to be written one after another."""
        if self.order is not None:
            chunk = chunk.transpose(self.order)
        data = np.ascontiguousarray(chunk, dtype=self.element).reshape(-1).view(np.uint8)
        stages = self.stages if self.crc is None else self.stages[:-1]
        for stage in stages:
            data = stage.encode(data)
        if self.crc is None:
            return [data]
        return [data, np.frombuffer(struct.pack("<I", self.crc.compute(data)), np.uint8, CHECKSUM_BYTES)]
