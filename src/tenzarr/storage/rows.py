"""The short way for one chunk of whole rows: what a training loop asks for again and again.

Where a chunk spans every axis but the first, ``a[first:last]`` on a chunk boundary is one value
that is decoded into one piece of memory. Finding that out takes a few arithmetic operations;
planning it like any other block would take longer than reading it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import Scratch, aligned_empty
from tenzarr.core.workers import drain, worker_count
from tenzarr.errors import StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import LeafCodec, UndecodableError
from tenzarr.storage.codecs.stage import Bytes

__all__ = ["RowReader", "row_reader"]

BYTE = np.dtype(np.uint8)

LARGEST_CHUNK_BYTES = 64 * 2**20
"""For larger chunks it is looked first whether they are there at all, before memory is set aside."""

Group: TypeAlias = tuple[int, list[tuple[int, int]]]
"""A chunk, and for each row that is wanted of it the place in the result and the row within the chunk."""

FREE_SECONDS = 20e-6
"""A second thread pays where decoding a chunk takes longer than this; see `tenzarr.storage.reading`."""


class RowReader:
    """Reads single chunks of whole rows of one array; the array's shape beyond its first axis is fixed."""

    __slots__ = (
        "_access",
        "_codec",
        "_dtype",
        "_fetch",
        "_head",
        "_nbytes",
        "_shape",
        "_spare",
        "_stored",
        "_tail",
        "rows",
    )

    def __init__(self, access: ChunkAccess, codec: LeafCodec) -> None:
        self._access = access
        self._codec = codec
        self._dtype = codec.dtype
        self._fetch = access.source.fetch
        self._head = access.key_head
        self._tail = (access.keys.separator + "0") * (len(codec.shape) - 1)
        self._shape = codec.shape
        self._nbytes = codec.nbytes
        self._stored = codec.max_stored
        self._spare = codec.max_stored - codec.nbytes + 1
        self.rows = codec.shape[0]
        """In one chunk."""

    def read(self, number: int) -> npt.NDArray[Any]:
        """Chunk `number` along the first axis, of the chunk's shape, in fresh aligned memory."""
        data = aligned_empty((self._nbytes,), BYTE)
        codec = self._codec
        try:
            if not codec.raw:
                found = self._read_coded(number, data)
            else:
                found = self._read_raw(number, data)
        except StoreError as error:
            self._access.corrupt(self._index(number), error)
        except UndecodableError as error:
            self._access.corrupt(self._index(number), error)
        block = data.view(self._dtype).reshape(self._shape)
        if not found:
            block[...] = self._access.fill
        return block

    def read_listed(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows by number, of shape ``(len(rows), *row shape)``, each chunk decoded once."""
        out = aligned_empty((rows.size, *self._shape[1:]), self._dtype)
        if rows.size == 0:
            return out
        codec = self._codec
        if codec.raw and codec.crc is None:
            self._read_single(rows, out)
            return out
        groups: dict[int, list[tuple[int, int]]] = {}
        numbers, within = np.divmod(rows, self.rows)
        for place, (number, row) in enumerate(zip(numbers.tolist(), within.tolist(), strict=True)):
            groups.setdefault(number, []).append((place, row))
        batch = -(-len(groups) // (2 * worker_count()))
        parallel = len(groups) > 1 and codec.decode_seconds > FREE_SECONDS
        drain(groups.items(), partial(self._read_groups, out), batch=max(1, batch), parallel=parallel)
        return out

    def _read_single(self, rows: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        """Rows of uncompressed chunks without a checksum: only the rows themselves are read."""
        row_bytes = self._nbytes // self.rows
        slots = out.reshape(rows.size, -1).view(np.uint8)
        fetch, head, tail, stored = self._access.source.fetch_ranges, self._head, self._tail, self._stored
        numbers = (rows // self.rows).tolist()
        starts = (rows % self.rows * row_bytes).tolist()
        for place, (number, start) in enumerate(zip(numbers, starts, strict=True)):
            try:
                size, filled = fetch(f"{head}{number}{tail}", ((start, (slots[place],)),))
            except StoreError as error:
                self._access.corrupt(self._index(number), error)
            if size == -1:
                out[place] = self._access.fill
            elif size != stored or not filled:
                self._access.corrupt(self._index(number), f"it has {size} bytes where exactly {stored} are expected")

    def _read_groups(self, out: npt.NDArray[Any], groups: list[Group]) -> None:
        """Rows of chunks that have to be decoded or compared; each group is a chunk, with places and rows."""
        with Scratch("stored", self._stored + 1) as held, Scratch("chunk", self._nbytes) as flat:
            self._decode_groups(out, groups, held, flat)

    def _decode_groups(self, out: npt.NDArray[Any], groups: list[Group], held: Bytes, flat: Bytes) -> None:
        codec, access = self._codec, self._access
        counts = access.source.fetch_each([f"{self._head}{number}{self._tail}" for number, _ in groups], (held,))
        for number, entries in groups:
            try:
                count = next(counts)
                chunk = None if count == -1 else codec.view(codec.decode(held[:count], flat))
            except (StoreError, UndecodableError) as error:
                access.corrupt(self._index(number), error)
            for place, row in entries:
                out[place] = access.fill if chunk is None else chunk[row]

    def _read_raw(self, number: int, data: npt.NDArray[np.uint8]) -> bool:
        ending = np.empty(self._spare, np.uint8)
        count = self._fetch(f"{self._head}{number}{self._tail}", 0, [data, ending])
        if count != self._stored:
            if count == -1:
                return False
            shown = f"more than {self._stored}" if count > self._stored else str(count)
            raise UndecodableError(f"it has {shown} bytes where exactly {self._stored} are expected")
        crc = self._codec.crc
        if crc is not None:
            crc.compare(crc.compute(data), ending[:-1])
        return True

    def _read_coded(self, number: int, data: npt.NDArray[np.uint8]) -> bool:
        with Scratch("stored", self._stored + 1) as held:
            count = self._fetch(f"{self._head}{number}{self._tail}", 0, [held])
            if count == -1:
                return False
            self._codec.decode(held[:count], data)
        return True

    def _index(self, number: int) -> tuple[int, ...]:
        return (number, *[0] * (len(self._shape) - 1))


def row_reader(access: ChunkAccess, shape: tuple[int, ...]) -> RowReader | None:
    """The short way for an array of this `shape`, or None if its chunks do not span whole rows."""
    codec = access.codec
    if not isinstance(codec, LeafCodec) or not codec.plain or not access.source.local or not shape:
        return None
    return RowReader(access, codec) if codec.shape[1:] == shape[1:] and codec.nbytes <= LARGEST_CHUNK_BYTES else None
