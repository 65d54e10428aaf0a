"""Reading chunks whose stored bytes are the chunk, perhaps followed by a checksum.

Nothing is decoded, so what counts is how often bytes are touched: whole chunks go to where they
belong, or through scratch memory that stays in the processor's cache; of large chunks only the
rows that are needed are read, in pieces that fit the cache.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tenzarr.core.buffers import Scratch
from tenzarr.errors import StoreError
from tenzarr.storage.access import ChunkAccess
from tenzarr.storage.codecs import LeafCodec, UndecodableError
from tenzarr.storage.codecs.checksums import ChecksumStage
from tenzarr.storage.codecs.stage import Bytes
from tenzarr.storage.indexing import AxisSelection, Job, as_list
from tenzarr.storage.landing import Landing
from tenzarr.storage.sources.base import Value

__all__ = ["read_raw"]

PIECE_BYTES = 1024 * 1024
"""Larger chunks are read in pieces of this size."""

LONG_ROW_BYTES = 4096
"""Rows of a matrix that are as long as this are read to their places in one call."""

RANGE_GAP_BYTES = 8 * 1024
"""Rows of a chunk that lie closer together than this are read as one range."""


def read_raw(access: ChunkAccess, codec: LeafCodec, landing: Landing, verify: bool, jobs: list[Job]) -> None:
    """Read uncompressed chunks; see `tenzarr.storage.reading.read_block`."""
    crc = codec.crc if verify else None
    small = codec.nbytes <= PIECE_BYTES
    through: list[Job] = []
    for job in jobs:
        if job[4] and landing.slabs:
            _read_slab(access, codec, landing, crc, job)
        elif small and (job[4] or crc is not None):
            through.append(job)
        else:
            _read_pieces(access, codec, landing, crc, job)
    if through:
        _read_through(access, codec, landing, crc, through)


def _read_slab(access: ChunkAccess, codec: LeafCodec, landing: Landing, crc: ChecksumStage | None, job: Job) -> None:
    """One chunk straight to where it belongs."""
    key, index, _, place, _, _ = job
    slab = landing.slab(place)
    tail = np.empty(codec.max_stored - codec.nbytes + 1, np.uint8)
    try:
        count = access.source.fetch(key, 0, (slab, tail))
    except StoreError as error:
        access.corrupt(index, error)
    if count == codec.max_stored:
        if crc is not None:
            _compare(access, crc, index, crc.compute(slab), tail[:-1])
    elif count == -1:
        landing.miss(place)
    else:
        _wrong_size(access, codec, index, count)


def _read_through(
    access: ChunkAccess, codec: LeafCodec, landing: Landing, crc: ChecksumStage | None, jobs: list[Job]
) -> None:
    """Whole chunks, one after another, through the same scratch memory."""
    with Scratch("chunk", codec.max_stored + 1) as held:
        _copy_each(access, codec, landing, crc, jobs, held)


def _copy_each(
    access: ChunkAccess,
    codec: LeafCodec,
    landing: Landing,
    crc: ChecksumStage | None,
    jobs: list[Job],
    held: Bytes,
) -> None:
    nbytes, stored, out = codec.nbytes, codec.max_stored, landing.out
    data, ending = held[:nbytes], held[nbytes:stored]
    chunk = codec.view(data)
    counts = access.source.fetch_each([job[0] for job in jobs], (held,))
    for _, index, taken, place, full, _ in jobs:
        try:
            count = next(counts)
        except StoreError as error:
            access.corrupt(index, error)
        if count != stored:
            if count != -1:
                _wrong_size(access, codec, index, count)
            landing.miss(place)
            continue
        if crc is not None:
            _compare(access, crc, index, crc.compute(data), ending)
        if full:
            out[place] = chunk
        else:
            landing.put(chunk, taken, place, full)


def _compare(access: ChunkAccess, crc: ChecksumStage, index: tuple[int, ...], computed: int, ending: Bytes) -> None:
    try:
        crc.compare(computed, ending)
    except UndecodableError as error:
        access.corrupt(index, error)


def _wrong_size(access: ChunkAccess, codec: LeafCodec, index: tuple[int, ...], count: int) -> None:
    shown = f"more than {codec.max_stored}" if count > codec.max_stored else str(count)
    access.corrupt(index, f"it has {shown} bytes where exactly {codec.max_stored} are expected")


def _read_pieces(access: ChunkAccess, codec: LeafCodec, landing: Landing, crc: ChecksumStage | None, job: Job) -> None:
    """One chunk in pieces, only the rows that are needed unless all have to be checked."""
    key, index, _, place, _, _ = job
    try:
        value = access.source.open(key)
    except StoreError as error:
        access.corrupt(index, error)
    if value is None:
        landing.miss(place)
        return
    with value:
        if value.size_bytes != codec.max_stored:
            _wrong_size(access, codec, index, value.size_bytes)
        pieces = _Pieces(access, codec, landing, value, job, fold=crc is None)
        with Scratch("piece", pieces.piece_bytes) as held:
            if crc is not None:
                pieces.read_checked(crc, held)
            elif not codec.shape:
                pieces.fill(0, landing.slab(place))
            else:
                pieces.read_needed(held)


class _Pieces:
    """The rows of one chunk, read a few at a time.

    A row is what lies at one index of the first axis; or of a later axis, if `fold` and only one
    index is taken of every axis before it, so that a corner of a large chunk costs little.
    """

    def __init__(
        self, access: ChunkAccess, codec: LeafCodec, landing: Landing, value: Value, job: Job, *, fold: bool
    ) -> None:
        self.access = access
        self.codec = codec
        self.landing = landing
        self.value = value
        _, self.index, self.taken, self.place, _, _ = job
        self.lead = _single_axes(self.taken) if fold else 0
        self.rows = codec.shape[self.lead] if codec.shape else 1
        self.row_shape = codec.shape[self.lead + 1 :]
        self.row_bytes = math.prod(self.row_shape) * codec.dtype.itemsize
        number = 0
        for length, taken in zip(codec.shape[: self.lead], self.taken, strict=False):
            number = number * length + (taken.start if isinstance(taken, slice) else 0)
        self.base = number * self.rows * self.row_bytes
        self.step = max(1, PIECE_BYTES // max(1, self.row_bytes))
        self.piece_bytes = min(self.step, self.rows) * self.row_bytes

    def fill(self, start: int, data: Bytes) -> None:
        """Fill `data` with bytes of the value from `start`."""
        if self.value.read_into(((start, (data,)),))[0] != data.nbytes:
            self.access.corrupt(self.index, "it became shorter while it was read")

    def read_needed(self, held: Bytes) -> None:
        """Rows that are taken; neighbours in one range."""
        rows, taken = self._rows_in_place(), self.taken[self.lead]
        if rows is not None and isinstance(taken, slice):
            if self.value.read_rows(taken.start * self.row_bytes, rows) != rows.size:
                self.access.corrupt(self.index, "it became shorter while it was read")
            return
        for first, last in _row_runs(taken, self.row_bytes, self.step):
            self._land(first, last, self._read(first, last, held))

    def _rows_in_place(self) -> npt.NDArray[np.uint8] | None:
        """The bytes of the rows where they belong, ``(rows, bytes)``, if whole long rows of a matrix are taken.

        They are read there at once: another copy through the cache would cost more than the list of rows.
        """
        rows, columns = self.taken if len(self.taken) == 2 and not self.lead else (None, None)
        if (
            not isinstance(rows, slice)
            or not isinstance(columns, slice)
            or rows.step != 1
            or columns.step != 1
            or columns.stop - columns.start != self.codec.shape[1]
            or self.row_bytes < LONG_ROW_BYTES
        ):
            return None
        target = self.landing.view(self.place)
        if target is None or target.strides[1] != target.itemsize:
            return None
        return target.view(np.uint8)

    def read_checked(self, crc: ChecksumStage, held: Bytes) -> None:
        """All rows, their checksum computed along the way.

        Elements land before the checksum is known; the error that follows a mismatch keeps the
        caller from taking them for data.
        """
        computed = 0
        for first in range(0, self.rows, self.step):
            last = min(first + self.step, self.rows)
            piece = self._read(first, last, held)
            computed = crc.compute(piece, computed)
            self._land(first, last, piece)
        ending = np.empty(self.codec.max_stored - self.codec.nbytes, np.uint8)
        self.fill(self.codec.nbytes, ending)
        _compare(self.access, crc, self.index, computed, ending)

    def _read(self, first: int, last: int, held: Bytes) -> Bytes:
        piece = held[: (last - first) * self.row_bytes]
        self.fill(self.base + first * self.row_bytes, piece)
        return piece

    def _land(self, first: int, last: int, piece: Bytes) -> None:
        """Put what is taken of rows ``first <= row < last`` to its place."""
        if not self.codec.shape:
            self.landing.slab(self.place)[...] = piece
            return
        lead = self.lead
        chosen = _rows_within(self.taken[lead], self.place[lead], first, last)
        if chosen is None:
            return
        block = piece.view(self.codec.dtype).reshape((*[1] * lead, last - first, *self.row_shape))
        taken = (*[slice(0, 1)] * lead, chosen[0], *self.taken[lead + 1 :])
        self.landing.put(block, taken, (*self.place[:lead], chosen[1], *self.place[lead + 1 :]), False)


def _single_axes(taken: tuple[AxisSelection, ...]) -> int:
    """Of how many axes at the front, the last one left out, a single index is taken."""
    count = 0
    for part in taken[:-1]:
        if not isinstance(part, slice) or part.stop - part.start != 1:
            break
        count += 1
    return count


def _rows_within(
    taken: AxisSelection, place: AxisSelection, first: int, last: int
) -> tuple[AxisSelection, AxisSelection] | None:
    """The part of a selection along the first axis that lies in rows ``first <= row < last``."""
    if isinstance(taken, slice) and isinstance(place, slice):
        skipped = max(0, -(-(first - taken.start) // taken.step))
        low = taken.start + skipped * taken.step
        high = min(taken.stop, last)
        if low >= high:
            return None
        count = -(-(high - low) // taken.step)
        return slice(low - first, high - first, taken.step), slice(place.start + skipped, place.start + skipped + count)
    rows, spots = as_list(taken), as_list(place)
    inside = (rows >= first) & (rows < last)
    return (rows[inside] - first, spots[inside]) if inside.any() else None


def _row_runs(taken: AxisSelection, row_bytes: int, step: int) -> list[tuple[int, int]]:
    """Runs of rows to read, each of at most `step` rows."""
    gap = RANGE_GAP_BYTES // max(1, row_bytes) + 1
    if isinstance(taken, slice):
        if taken.step <= gap:
            return [(first, min(first + step, taken.stop)) for first in range(taken.start, taken.stop, step)]
        return [(row, row + 1) for row in range(taken.start, taken.stop, taken.step)]
    runs: list[tuple[int, int]] = []
    for row in np.unique(taken).tolist():
        if runs and row - runs[-1][1] < gap and row + 1 - runs[-1][0] <= step:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs
