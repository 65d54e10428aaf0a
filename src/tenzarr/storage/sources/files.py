"""Regular files: whole reads, scattered reads, whole writes, and a file held open as a `Value`."""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Sequence
from os import preadv as _preadv

import numpy as np
import numpy.typing as npt

from tenzarr.storage.sources.base import Buffer, Value
from tenzarr.storage.sources.failures import closed, refused
from tenzarr.storage.sources.libc import is_local

__all__ = [
    "READ",
    "SPARE",
    "LocalValue",
    "first_bytes",
    "flat",
    "map_file",
    "read_file",
    "read_rest",
    "scatter",
    "size_of",
    "write_all",
]

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Flags that open any kind of file without waiting: a FIFO is found out by the first read."""

_IOV_MAX = 1024
# Linux moves at most 0x7ffff000 bytes a call; a smaller step keeps every system content.
_STEP_BYTES = 1 << 30
SPARE = bytearray(1)
"""Where a byte goes that tells whether a file goes on; nobody looks at it."""

# A file system stamps changes with a clock of up to 10 ms (FAT: 2 s, but FAT has no inodes to reuse). A file
# younger than this could be replaced by one with the same inode, size and stamp.
_SETTLED_NS = 50_000_000


def flat(buffer: Buffer) -> memoryview:
    """The bytes of `buffer`, in its own memory."""
    view = memoryview(buffer)
    # A view with no elements cannot be cast, and has nothing to show.
    return view.cast("B") if view.nbytes else memoryview(b"")


def size_of(buffers: Sequence[Buffer]) -> int:
    """How many bytes the buffers hold together."""
    total = 0
    for buffer in buffers:
        total += memoryview(buffer).nbytes
    return total


def scatter(data: memoryview, buffers: Sequence[Buffer]) -> int:
    """Copy `data` into the buffers, one after another; the number of bytes copied."""
    done = 0
    for buffer in buffers:
        view = flat(buffer)
        part = data[done : done + view.nbytes]
        if part.nbytes:
            view[: part.nbytes] = part
        done += part.nbytes
        if part.nbytes < view.nbytes:
            break
    return done


def read_rest(fd: int, start: int, buffers: Sequence[Buffer], done: int) -> int:
    """Go on after the first `done` bytes until the buffers are full or the file ends; the bytes read in all.

    A read may stop early without being at the end: after 2 GiB, or on a network file system.
    """
    if len(buffers) > 8 and done and not _preadv(fd, (SPARE,), start + done):
        return done
    views = _after([flat(buffer) for buffer in buffers], done)
    while views:
        batch, views = _batch(views)
        wanted = sum(view.nbytes for view in batch)
        got = _preadv(fd, batch, start + done)
        done += got
        if not got:
            break
        views = [*_after(batch, got), *views] if got < wanted else views
    return done


def _after(views: list[memoryview], done: int) -> list[memoryview]:
    """What is left of `views` behind the first `done` bytes, the empty ones left out."""
    left: list[memoryview] = []
    for view in views:
        if done >= view.nbytes:
            done -= view.nbytes
            continue
        left.append(view[done:])
        done = 0
    return left


def _batch(views: list[memoryview]) -> tuple[list[memoryview], list[memoryview]]:
    """The first views, as much as one call takes, and the rest; neither loses a byte."""
    batch: list[memoryview] = []
    room = _STEP_BYTES
    for number, view in enumerate(views[:_IOV_MAX]):
        if view.nbytes > room:
            return [*batch, view[:room]], [view[room:], *views[number + 1 :]]
        batch.append(view)
        room -= view.nbytes
        if not room:
            break
    return batch, views[len(batch) :]


def read_file(fd: int, limit_bytes: int | None) -> bytes | None:
    """The whole of an open file, at most ``limit_bytes + 1`` bytes; None if it is not a regular file."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return None
    # One more than there should be: the file may be growing.
    step = status.st_size + 1
    ceiling = step if limit_bytes is None else limit_bytes + 1
    parts: list[bytes] = []
    done = 0
    while True:
        wanted = min(step, _STEP_BYTES) if limit_bytes is None else min(step, _STEP_BYTES, ceiling - done)
        part = os.read(fd, wanted) if wanted else b""
        if not part:
            break
        parts.append(part)
        done += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_all(fd: int, buffers: Sequence[Buffer]) -> None:
    """Write every byte of the buffers at the place where `fd` stands."""
    done = 0
    if 0 < len(buffers) <= _IOV_MAX:
        done = os.writev(fd, buffers)
        if done == size_of(buffers):
            return
    views = _after([flat(buffer) for buffer in buffers], done)
    while views:
        batch, views = _batch(views)
        wanted = sum(view.nbytes for view in batch)
        done = os.writev(fd, batch)
        if done < wanted:
            views = [*_after(batch, done), *views]


def map_file(fd: int, start: int, length: int, size_bytes: int) -> npt.NDArray[np.uint8] | None:
    """Bytes ``start <= n < start + length`` of an open file as a read-only view, or None.

    The map is private and copy-on-write beneath a view that refuses writes: an engine that
    writes through the view's address changes its own copy and does not crash.
    """
    if length <= 0 or start < 0 or start + length > size_bytes or not is_local(fd):
        return None
    skip = start % mmap.ALLOCATIONGRANULARITY
    try:
        pages = mmap.mmap(
            fd, length + skip, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=start - skip
        )
    except (OSError, ValueError, OverflowError):
        return None
    view = np.frombuffer(pages, dtype=np.uint8, count=length, offset=skip)
    view.setflags(write=False)
    return view


class LocalValue(Value):
    """A regular file, or a part of one, held open.

    Parameters
    ----------
    fd : int
        The open file, which now belongs to the value.
    status : os.stat_result
        Of `fd`.
    key, location : str
        What errors call the value and its store.
    start, size_bytes : int, optional
        Which bytes of the file are the value; all of them by default.
    """

    def __init__(
        self, fd: int, status: os.stat_result, key: str, location: str, start: int = 0, size_bytes: int | None = None
    ) -> None:
        self._fd = fd
        self._key = key
        self._location = location
        self._start = start
        self._file_bytes = status.st_size
        self.size_bytes = status.st_size if size_bytes is None else size_bytes
        self.identity = identity_of(status)

    def read_into(self, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> list[int]:
        """Fill the buffers of each ``(start, buffers)``; the number of bytes read for each."""
        if self._fd < 0:
            raise closed(self._location)
        try:
            return [self._read(start, buffers) for start, buffers in ranges]
        except OSError as error:
            raise refused(error, "read", self._key, self._location) from error

    def read_rows(self, start: int, rows: npt.NDArray[np.uint8]) -> int:
        """Fill the rows of `rows` one after another from byte `start`; the number of bytes read."""
        whole_file = self._fd >= 0 and not self._start and self.size_bytes == self._file_bytes
        if not whole_file or not 0 < rows.size <= _STEP_BYTES:
            return super().read_rows(start, rows)
        total = 0
        try:
            for first in range(0, len(rows), _IOV_MAX):
                part = rows[first : first + _IOV_MAX]
                done = _preadv(self._fd, list(part), start + total)
                if 0 < done < part.size:
                    done = read_rest(self._fd, start + total, list(part), done)
                total += done
                if done < part.size:
                    break
        except OSError as error:
            raise refused(error, "read", self._key, self._location) from error
        return total

    def _read(self, start: int, buffers: Sequence[Buffer]) -> int:
        wanted = size_of(buffers)
        if self._start or self.size_bytes != self._file_bytes:
            wanted = min(wanted, max(self.size_bytes - start, 0))
            buffers = first_bytes([flat(buffer) for buffer in buffers], wanted)
        if len(buffers) > _IOV_MAX:
            return read_rest(self._fd, self._start + start, buffers, 0)
        done = _preadv(self._fd, buffers, self._start + start)
        return done if done == wanted or not done else read_rest(self._fd, self._start + start, buffers, done)

    def map(self, start: int, length: int) -> npt.NDArray[np.uint8] | None:
        """A read-only view of the stored bytes without a copy, or None where that is not possible or not safe."""
        if self._fd < 0:
            raise closed(self._location)
        if start < 0 or start + length > self.size_bytes:
            return None
        return map_file(self._fd, self._start + start, length, self._file_bytes)

    def close(self) -> None:
        """Release what holds the value open. Calling it twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


def first_bytes(views: list[memoryview], size_bytes: int) -> list[memoryview]:
    """The first `size_bytes` bytes of `views`."""
    kept: list[memoryview] = []
    for view in views:
        if size_bytes <= 0:
            break
        kept.append(view[:size_bytes])
        size_bytes -= view.nbytes
    return kept


def identity_of(status: os.stat_result) -> tuple[int, int, int, int, int] | None:
    """What changes when the file does; None while the stamps are too young to be trusted."""
    if time.time_ns() - status.st_ctime_ns < _SETTLED_NS:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
