"""Writing the parts of a zip file: values, a directory, and files aside that show whether their writer lives."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

from tenzarr.storage.sources.base import Buffer
from tenzarr.storage.sources.files import flat, write_all
from tenzarr.storage.sources.memory import is_below
from tenzarr.storage.sources.zip_format import STORED, ZipEntry, directory_bytes, header_bytes

__all__ = ["create_held", "describe", "reap", "room", "without", "write_entries", "write_values"]


def describe(buffers: Iterable[Buffer]) -> ZipEntry:
    """The entry of a value that is not written yet."""
    crc = size = 0
    for buffer in buffers:
        view = flat(buffer)
        crc = zlib.crc32(view, crc)
        size += view.nbytes
    return ZipEntry(0, size, size, crc, STORED)


def write_values(
    fd: int, end: int, entries: dict[str, ZipEntry], items: Iterable[tuple[str, ZipEntry, Iterable[Buffer]]]
) -> int:
    """Write values from byte `end` on, where `fd` stands, and enter them; where they end."""
    for key, described, buffers in items:
        entry = ZipEntry(end, described.stored_bytes, described.size_bytes, described.crc32, described.method)
        header = header_bytes(key, entry)
        write_all(fd, [header])
        for buffer in buffers:
            write_all(fd, [buffer])
        end += len(header) + entry.stored_bytes
        entries[key] = entry
    return end


def write_entries(
    fd: int,
    end: int,
    entries: dict[str, ZipEntry],
    items: Iterable[tuple[str, ZipEntry, Iterable[Buffer]]],
    durable: bool,
) -> int:
    """Write values and the directory from byte `end` on, where `fd` stands; the new size of the file."""
    end = write_values(fd, end, entries, items)
    if durable:
        # The directory must not reach the disk before the values it leads to.
        os.fsync(fd)
    directory = directory_bytes(entries.items(), end)
    write_all(fd, [directory])
    if durable:
        os.fsync(fd)
    return end + len(directory)


def room(key: str, entry: ZipEntry) -> int:
    """About how many bytes an entry needs, its part of the directory included."""
    return entry.stored_bytes + 2 * len(key) + 200


def without(entries: Mapping[str, ZipEntry], prefix: str) -> dict[str, ZipEntry]:
    """The entries that do not lie at or below `prefix`."""
    return {key: entry for key, entry in entries.items() if not is_below(key, prefix)}


def create_held(path: str) -> int:
    """A new file that is locked as long as this process lives; its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    # Without locks a living writer cannot be told from a dead one, and `clean`, which fails alike, removes nothing.
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def reap(path: str, remove: bool) -> bool:
    """Whether the writer of the file at `path` is dead, and it is gone if `remove` is true."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
