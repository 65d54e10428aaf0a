"""The zip format, as far as a store of values needs it: the directory, local headers, and both written anew.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12
(directory), 4.3.14 to 4.3.16 (end records) and 4.5.3 (the zip64 extra field).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tenzarr.errors import ConfinementError, StoreError, UnsupportedError
from tenzarr.storage.sources.keys import check_key

__all__ = ["DEFLATED", "STORED", "Directory", "ZipEntry", "data_offset", "directory_bytes", "header_bytes", "read_end"]

STORED = 0
DEFLATED = 8

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s4B4H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_UTF8, _ENCRYPTED = 0x800, 0x1
_MADE_BY_UNIX = 3
# The first of January 1980, so that the same values always make the same file.
_DATE = (1 << 5) | 1
# Deflate cannot do better than 258 bytes from two bits, plus the end of a block.
_DEFLATE_RATIO = 1032
_ALIGNMENT_EXTRA = 0xD935


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """Where one value lies."""

    header_offset: int
    """Of the local header, in bytes from the start of the file."""
    stored_bytes: int
    size_bytes: int
    """Of the value itself."""
    crc32: int
    method: int
    """`STORED` or `DEFLATED`."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The values of a zip file, and where its last whole directory ends."""

    entries: Mapping[str, ZipEntry]
    end: int
    """Bytes up to and including the end record: the size of the file, unless a writer died."""


def _damaged(path: str, problem: str) -> StoreError:
    return StoreError(0, f"{path} is not a whole zip file: {problem}; copy it again, or repair it with `zip -FF`")


def read_end(fd: int, path: str) -> Directory:
    """Read the directory of the open file `fd`.

    A file whose writer died has its last whole directory somewhere before its end. It is
    looked for backwards; one that lies inside a stored value that is a zip file itself is
    told from ours by its offsets, which do not count from the start of this file.

    Raises
    ------
    StoreError
        If there is no whole directory, or it contradicts itself.
    ConfinementError
        If a name in it could leave the store.
    UnsupportedError
        If an entry is encrypted, or compressed by anything but deflate.
    """
    size = os.fstat(fd).st_size
    if not size:
        return Directory({}, 0)
    tail_start = max(0, size - _END.size - _MAX16)
    tail = os.pread(fd, size - tail_start, tail_start)
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            found = _read_directory(fd, tail_start + at, path)
            if found is not None:
                return found
    return _recover(fd, size, path)


def _recover(fd: int, size: int, path: str) -> Directory:
    """The last whole directory of a file that ends in something else."""
    step = 1 << 20
    stop = size
    while stop > 0:
        start = max(0, stop - step)
        # The overlap finds a signature that lies across the border.
        block = os.pread(fd, stop - start + 3, start)
        at = len(block)
        while (at := block.rfind(b"PK\5\6", 0, at)) >= 0:
            with suppress(StoreError):
                found = _read_directory(fd, start + at, path)
                if found is not None and found.end <= size:
                    return found
        stop = start
    raise _damaged(path, "it has no directory")


def _read_directory(fd: int, at: int, path: str) -> Directory | None:
    """The directory whose end record is at byte `at`; None if its offsets do not count from the start of the file."""
    record = os.pread(fd, _END.size, at)
    if len(record) < _END.size:
        raise _damaged(path, "its end record is cut off")
    _, _, _, _, count, length, offset, comment = _END.unpack(record)
    stop = at
    if _MAX32 in (length, offset) or count == _MAX16:
        count, length, offset, stop = _read_end64(fd, at, path) or (count, length, offset, stop)
    if offset + length != stop:
        return None
    raw = os.pread(fd, length, offset)
    if len(raw) < length:
        raise _damaged(path, "its directory is cut off")
    return Directory(_parse(raw, count, offset, path), at + _END.size + comment)


def _read_end64(fd: int, at: int, path: str) -> tuple[int, int, int, int] | None:
    """Count, length and offset of the directory and where it must stop, from the zip64 records before byte `at`."""
    locator = os.pread(fd, _END64_LOCATOR.size, max(0, at - _END64_LOCATOR.size))
    if locator[:4] != b"PK\6\7":
        return None
    place = at - _END64_LOCATOR.size - _END64.size
    record = os.pread(fd, _END64.size, max(0, place))
    if record[:4] != b"PK\6\6":
        raise _damaged(path, "its zip64 end record is not where it must be")
    *_, count, length, offset = _END64.unpack(record)
    return count, length, offset, place


def _parse(raw: bytes, count: int, limit: int, path: str) -> dict[str, ZipEntry]:
    """The entries of a directory; of several with one name, the last."""
    entries: dict[str, ZipEntry] = {}
    at = 0
    for _ in range(count):
        if len(raw) - at < _CENTRAL.size or raw[at : at + 4] != b"PK\1\2":
            raise _damaged(path, f"its directory promises {count} entries and breaks off after {len(entries)}")
        fields = _CENTRAL.unpack_from(raw, at)
        flags, method = fields[5], fields[6]
        crc, stored, size, name_length, extra_length, comment_length = fields[9:15]
        header = fields[18]
        at += _CENTRAL.size
        name = _name(raw[at : at + name_length], flags, path)
        extra = raw[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if at > len(raw):
            raise _damaged(path, f"the directory entry of {name!r} is cut off")
        size, stored, header = _wide(extra, size, stored, header)
        if name.endswith("/"):
            _check_name(name[:-1], path)
            continue
        _check_name(name, path)
        entry = ZipEntry(header, stored, size, crc, method)
        _check_entry(name, entry, flags, limit, path)
        entries[name] = entry
    return entries


def _name(raw: bytes, flags: int, path: str) -> str:
    try:
        # Without the flag a name is in code page 437, which agrees with UTF-8 on ASCII.
        return raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise _damaged(path, f"the name {raw!r} is not in UTF-8") from None


def _check_name(name: str, path: str) -> None:
    try:
        # Only what could leave the store: a name of Tenzarr's own is harmless here, and is not shown.
        check_key(name.replace(".tenzarr", "tenzarr"))
    except ConfinementError:
        raise ConfinementError(
            f"{path} has an entry that would leave the store: {name!r}; do not trust this file, or pack it again"
        ) from None


def _check_entry(name: str, entry: ZipEntry, flags: int, limit: int, path: str) -> None:
    if flags & _ENCRYPTED:
        raise UnsupportedError(f"{name!r} in {path} is encrypted; unpack the file and open the folder")
    if entry.method not in (STORED, DEFLATED):
        raise UnsupportedError(
            f"{name!r} in {path} is compressed by zip method {entry.method}; pack the file again with `zip -0`"
        )
    if entry.header_offset + _LOCAL.size + entry.stored_bytes > limit:
        raise _damaged(path, f"{name!r} reaches beyond the place where values may lie")
    if entry.method == STORED and entry.size_bytes != entry.stored_bytes:
        raise _damaged(path, f"{name!r} is stored as it is and yet has two sizes")
    if entry.size_bytes > (entry.stored_bytes + 16) * _DEFLATE_RATIO:
        raise _damaged(path, f"{name!r} claims to unpack to {entry.size_bytes} bytes, which deflate cannot do")


def _wide(extra: bytes, size: int, stored: int, header: int) -> tuple[int, int, int]:
    """The zip64 extra field's numbers in the place of those that do not fit."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            size = next(numbers, size) if size == _MAX32 else size
            stored = next(numbers, stored) if stored == _MAX32 else stored
            header = next(numbers, header) if header == _MAX32 else header
        at += 4 + length
    return size, stored, header


def data_offset(fd: int, entry: ZipEntry, key: str, path: str) -> int:
    """Where the bytes of a value begin: only its local header says."""
    header = os.pread(fd, _LOCAL.size, entry.header_offset)
    if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
        raise _damaged(path, f"the header of {key!r} is missing")
    name_length, extra_length = _LOCAL.unpack(header)[-2:]
    return entry.header_offset + _LOCAL.size + name_length + extra_length


def header_bytes(key: str, entry: ZipEntry, alignment: int = 64) -> bytes:
    """The local header of an entry, filled up so that the value begins at a multiple of `alignment`."""
    name = key.encode()
    wide = max(entry.size_bytes, entry.stored_bytes) >= _MAX32
    extra = struct.pack("<HHQQ", 1, 16, entry.size_bytes, entry.stored_bytes) if wide else b""
    gap = -(entry.header_offset + _LOCAL.size + len(name) + len(extra) + 4) % alignment
    extra += struct.pack("<HH", _ALIGNMENT_EXTRA, gap) + bytes(gap)
    size, stored = (_MAX32, _MAX32) if wide else (entry.size_bytes, entry.stored_bytes)
    return (
        _LOCAL.pack(
            b"PK\3\4",
            45 if wide else 20,
            _UTF8,
            entry.method,
            0,
            _DATE,
            entry.crc32,
            stored,
            size,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def directory_bytes(entries: Iterable[tuple[str, ZipEntry]], offset: int) -> bytes:
    """A whole directory with its end records, to be written at byte `offset`."""
    parts = [_central(key, entry) for key, entry in entries]
    body = b"".join(parts)
    count, length = len(parts), len(body)
    if count < _MAX16 and offset < _MAX32 and length < _MAX32:
        return body + _END.pack(b"PK\5\6", 0, 0, count, count, length, offset, 0)
    end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, count, count, length, offset)
    locator = _END64_LOCATOR.pack(b"PK\6\7", 0, offset + length, 1)
    return body + end64 + locator + _END.pack(b"PK\5\6", 0, 0, _MAX16, _MAX16, _MAX32, _MAX32, 0)


def _central(key: str, entry: ZipEntry) -> bytes:
    name = key.encode()
    numbers = [entry.size_bytes, entry.stored_bytes, entry.header_offset]
    wide = [number for number in numbers if number >= _MAX32]
    size, stored, header = (min(number, _MAX32) for number in numbers)
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if wide else 20
    mode = 0o100644 << 16
    return (
        _CENTRAL.pack(
            b"PK\1\2", version, _MADE_BY_UNIX, version, 0, _UTF8, entry.method, 0, _DATE, entry.crc32, stored, size,
            len(name), len(extra), 0, 0, 0, mode, header,
        )
        + name
        + extra
    )  # fmt: skip
