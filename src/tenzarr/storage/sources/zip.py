"""Values as entries of a zip file.

Writing appends: the new values, then a new directory. What was there before is
never overwritten, so the old directory stays whole until the new one is, a
reader may go on with what it knows, and a kill leaves the file as it was,
followed by a useless end that the next writer cuts off (readers look for the
last whole directory). What is dead in the file is squeezed out by writing it
anew, aside, once it outweighs the living values.

Every put appends a directory of about 100 bytes for each value in the file:
`ZipSource.put_many` and stages pay for one directory a call.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from os import preadv as _preadv
from pathlib import Path
from typing import TypeAlias
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from tenzarr.core.forks import on_fork_in_child
from tenzarr.errors import ClosedStoreError, StoreError, TenzarrError
from tenzarr.storage.sources.base import DOCUMENT, MISSING, Buffer, ByteSource, Entry, Item, Stage, Value
from tenzarr.storage.sources.failures import closed, read_only, refused
from tenzarr.storage.sources.files import LocalValue, first_bytes, flat, read_rest, scatter, size_of
from tenzarr.storage.sources.keys import (
    LOCK_NAME,
    STAGE_SUFFIX,
    check_key,
    check_prefix,
    is_own_name,
    path_text,
    unique_name,
)
from tenzarr.storage.sources.locks import FileLock, shared_locks
from tenzarr.storage.sources.memory import entries_below
from tenzarr.storage.sources.trees import sync_directory
from tenzarr.storage.sources.zip_format import (
    STORED,
    Directory,
    ZipEntry,
    data_offset,
    read_end,
)
from tenzarr.storage.sources.zip_write import create_held, describe, reap, room, without, write_entries, write_values

__all__ = ["ZipSource"]

Names: TypeAlias = list[str]

_PIECE_BYTES = 1 << 18
_SLACK_BYTES = 16 << 20


class _Snapshot:
    """An open zip file and what its directory said; closed when nobody reads it any more."""

    __slots__ = ("directory", "entries", "fd", "offsets", "stamp")

    def __init__(self, fd: int, directory: Directory, stamp: tuple[int, int, int, int]) -> None:
        self.fd = fd
        self.directory = directory
        self.entries = directory.entries
        self.stamp = stamp
        # Where values begin, learnt from their local headers when they are first read.
        self.offsets: dict[str, int] = {}

    def __del__(self) -> None:
        if self.fd >= 0:
            with suppress(OSError):
                os.close(self.fd)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class ZipSource(ByteSource):
    """Values as entries of the zip file `path`, stored as they are or deflated; new ones are stored.

    The file need not exist for reading. Locks work between the threads of this process only;
    appends of several processes exclude each other.

    Parameters
    ----------
    path : str or Path
        The zip file.
    read_only : bool, optional
        Refuse every write.

    Raises
    ------
    ArgumentTypeError
        If `path` is no path.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> source = ZipSource(folder.name + "/a.zip")
    >>> source.put("a/c/0", [b"abcdef"])
    >>> into = bytearray(2)
    >>> source.fetch("a/c/0", 2, [into]), into, ZipSource(folder.name + "/a.zip", read_only=True).get("a/c/0")
    (2, bytearray(b'cd'), b'abcdef')
    >>> source.put("a/../../b", [b""])
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `key` must stay inside the store: 'a/../../b' has the segment '..'; ...
    >>> folder.cleanup()
    """

    local = True
    can_replace_tree = True

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = path_text(path, "path")
        self.read_only = read_only
        self.location = self.path
        self._closed = False
        self._snapshot: _Snapshot | None = None
        self._locks = shared_locks(("zip", os.path.realpath(self.path)))
        self._mutex = threading.Lock()
        _sources.add(self)

    def __repr__(self) -> str:
        return f"ZipSource({self.path!r}{', read_only=True' if self.read_only else ''})"

    def __reduce__(self) -> tuple[Callable[..., ZipSource], tuple[str, bool]]:
        return _remake, (self.path, self.read_only)

    def reset_after_fork(self) -> None:
        """In a child: nobody holds anything."""
        self._mutex = threading.Lock()
        self._locks.reset()

    # Reading

    def _current(self, key: str) -> _Snapshot | None:
        """The newest state of the file; None if there is no file."""
        if self._closed:
            raise closed(self.location)
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refused(error, "read", key, self.location) from error
        known = self._snapshot
        if known is not None and known.stamp == _stamp(status):
            return known
        try:
            return self._load()
        except OSError as error:
            raise error if isinstance(error, TenzarrError) else refused(error, "read", key, self.location) from error

    def _load(self) -> _Snapshot | None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            return None
        snapshot = _Snapshot(fd, Directory({}, 0), (0, 0, 0, 0))
        # The stamp first: what is appended meanwhile makes the next reader look again.
        snapshot.stamp = _stamp(os.fstat(fd))
        snapshot.directory = read_end(fd, self.path)
        snapshot.entries = snapshot.directory.entries
        self._snapshot = snapshot
        return snapshot

    def _find(self, key: str) -> tuple[_Snapshot, ZipEntry] | None:
        snapshot = self._current(key)
        entry = snapshot.entries.get(key) if snapshot is not None else None
        if snapshot is None or entry is None:
            check_key(key)
            return None
        return snapshot, entry

    def _offset(self, snapshot: _Snapshot, key: str, entry: ZipEntry) -> int:
        offset = snapshot.offsets.get(key)
        if offset is None:
            offset = snapshot.offsets[key] = data_offset(snapshot.fd, entry, key, self.path)
        return offset

    def fetch(self, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value; the number of bytes read, or -1 if there is no value."""
        found = self._find(key)
        return MISSING if found is None else self._read(*found, key, start, buffers)

    def _read(self, snapshot: _Snapshot, entry: ZipEntry, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value that `snapshot` has for `key`."""
        try:
            offset = self._offset(snapshot, key, entry)
            if entry.method != STORED:
                return scatter(memoryview(self._inflate(snapshot, key, entry, start, size_of(buffers))), buffers)
            wanted = size_of(buffers)
            if wanted > entry.size_bytes - start:
                wanted = max(entry.size_bytes - start, 0)
                buffers = first_bytes([flat(buffer) for buffer in buffers], wanted)
            if len(buffers) > 1024:
                return read_rest(snapshot.fd, offset + start, buffers, 0)
            done = _preadv(snapshot.fd, buffers, offset + start)
            return done if done == wanted or not done else read_rest(snapshot.fd, offset + start, buffers, done)
        except OSError as error:
            raise error if isinstance(error, TenzarrError) else refused(error, "read", key, self.location) from error

    def _inflate(self, snapshot: _Snapshot, key: str, entry: ZipEntry, start: int, wanted: int) -> bytes:
        """At most `wanted` bytes of a deflated value from byte `start`; never more than it claims to have.

        What comes before is unpacked a piece at a time and dropped.
        """
        limit = min(start + wanted, entry.size_bytes)
        offset = self._offset(snapshot, key, entry)
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        parts: list[bytes] = []
        done = taken = 0
        data = b""
        try:
            while done < limit and not engine.eof:
                if not data:
                    data = os.pread(snapshot.fd, min(_PIECE_BYTES, entry.stored_bytes - taken), offset + taken)
                    taken += len(data)
                part = engine.decompress(data, min(limit - done, _PIECE_BYTES))
                if not part and not data:
                    # The stream promises more than there is.
                    break
                data = engine.unconsumed_tail
                done += len(part)
                if done > start:
                    parts.append(part[max(len(part) - (done - start), 0) :])
        except zlib.error as error:
            raise StoreError(errno.EIO, f"{key!r} in {self.location} is damaged: {error}; copy it again") from error
        return b"".join(parts)

    def get(self, key: str, limit_bytes: int | None = None) -> bytes | None:
        """The whole value, or None. At most ``limit_bytes + 1`` bytes are read where a limit is given."""
        check_key(key)
        found = self._find(key)
        if found is None:
            return None
        snapshot, entry = found
        wanted = entry.size_bytes if limit_bytes is None else min(entry.size_bytes, limit_bytes + 1)
        if entry.method != STORED:
            data = self._inflate(snapshot, key, entry, 0, wanted)
        else:
            data = bytearray(wanted)
            # Of the same snapshot as its checksum: a writer may replace the value meanwhile.
            del data[self._read(snapshot, entry, key, 0, [data]) if wanted else 0 :]
            data = bytes(data)
        if len(data) < wanted or (wanted == entry.size_bytes and zlib.crc32(data) != entry.crc32):
            raise StoreError(
                errno.EIO, f"{key!r} in {self.location} is damaged: it contradicts its checksum; copy it again", key
            )
        return data

    def open(self, key: str) -> Value | None:
        """The value held open, or None if there is none."""
        check_key(key)
        found = self._find(key)
        if found is None:
            return None
        snapshot, entry = found
        if entry.method != STORED:
            return _DeflatedValue(self, key, entry)
        offset = self._offset(snapshot, key, entry)
        fd = os.dup(snapshot.fd)
        try:
            status = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        return LocalValue(fd, status, key, self.location, offset, entry.size_bytes)

    def list(self, prefix: str) -> Iterator[Entry]:
        """The names directly below `prefix` (``""`` is the root), in no order; nothing if there are none."""
        check_prefix(prefix)
        snapshot = self._current(prefix)
        if snapshot is None:
            return iter(())
        sizes = [(key, entry.size_bytes) for key, entry in snapshot.entries.items()]
        return iter([entry for entry in entries_below(prefix, sizes) if not is_own_name(entry.name)])

    # Writing

    def _check_writable(self, key: str, doing: str) -> None:
        if self._closed:
            raise closed(self.location)
        if self.read_only:
            raise read_only(self.location, doing, key)

    @contextmanager
    def _writing(self, doing: str, key: str) -> Generator[None, None, None]:
        """Exclude the other writers of the file, threads and processes, and type what goes wrong."""
        folder, name = os.path.split(self.path)
        try:
            with self._mutex:
                os.makedirs(folder, exist_ok=True)
                with FileLock(folder, DOCUMENT, DOCUMENT + 1, f".{name}{LOCK_NAME}"):
                    yield
        except OSError as error:
            raise error if isinstance(error, TenzarrError) else refused(error, doing, key, self.location) from error

    def put(self, key: str, buffers: Sequence[Buffer], *, durable: bool = False) -> None:
        """Append the concatenation of `buffers` as the value, and a new directory."""
        self.put_many([(key, buffers)], durable=durable)

    def put_many(self, items: Sequence[Item], *, durable: bool = False) -> None:
        """Append several values and one new directory: all of them appear at once."""
        for key, _ in items:
            check_key(key)
        if not items:
            return
        self._check_writable(items[0][0], "write")
        with self._writing("write", items[0][0]):
            self._change(lambda entries: entries, items, durable)

    def delete(self, key: str) -> None:
        """Leave the value out of the directory; nothing happens if there is none."""
        check_key(key)
        self._check_writable(key, "delete")
        with self._writing("delete", key):
            snapshot = self._current(key)
            if snapshot is not None and key in snapshot.entries:
                self._change(lambda entries: {k: v for k, v in entries.items() if k != key}, (), False)

    def delete_tree(self, prefix: str) -> None:
        """Leave `prefix` and everything below it out of the directory, at once."""
        check_prefix(prefix)
        self._check_writable(prefix, "delete")
        with self._writing("delete", prefix):
            if self._current(prefix) is not None:
                self._change(lambda entries: without(entries, prefix), (), False)

    def adopt(self, target: str, other: ZipSource, *, durable: bool) -> None:
        """Make the values of `other` all there is at `target`, in one step."""
        self._check_writable(target, "replace")
        lead = f"{target}/" if target else ""
        tree = other.entries()
        with self._writing("replace", target):
            items = ((lead + key, entry, other.pieces(key, entry)) for key, entry in tree.items())
            self._append(lambda entries: without(entries, target), items, durable)

    def entries(self) -> Mapping[str, ZipEntry]:
        """What the file contains."""
        snapshot = self._current("")
        return {} if snapshot is None else snapshot.entries

    def pieces(self, key: str, entry: ZipEntry) -> Iterator[bytes]:
        """The stored bytes of a value, a few at a time."""
        snapshot = self._current(key)
        if snapshot is None:
            raise refused(FileNotFoundError(errno.ENOENT, ""), "read", key, self.location)
        offset = self._offset(snapshot, key, entry)
        done = 0
        while done < entry.stored_bytes:
            piece = os.pread(snapshot.fd, min(1 << 20, entry.stored_bytes - done), offset + done)
            if not piece:
                raise StoreError(errno.EIO, f"{key!r} in {self.location} is cut off; copy it again", key)
            done += len(piece)
            yield piece

    def _change(
        self, keep: Callable[[Mapping[str, ZipEntry]], Mapping[str, ZipEntry]], items: Sequence[Item], durable: bool
    ) -> None:
        self._append(keep, ((key, describe(buffers), buffers) for key, buffers in items), durable)

    def _append(
        self,
        keep: Callable[[Mapping[str, ZipEntry]], Mapping[str, ZipEntry]],
        items: Iterable[tuple[str, ZipEntry, Iterable[Buffer]]],
        durable: bool,
    ) -> None:
        """Append values and a directory of what `keep` keeps and of them; the caller excludes other writers."""
        snapshot = self._current("")
        if snapshot is None:
            self._rewrite({}, items, durable)
            return
        end = snapshot.directory.end
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        whole = False
        try:
            # What a dead writer left behind the last directory.
            os.ftruncate(fd, end)
            os.lseek(fd, end, os.SEEK_SET)
            size = write_entries(fd, end, dict(keep(snapshot.entries)), items, durable)
            whole = True
        finally:
            if not whole:
                with suppress(OSError):
                    os.ftruncate(fd, end)
            os.close(fd)
        now = self._current("")
        if now is not None and size > 2 * sum(room(key, entry) for key, entry in now.entries.items()) + _SLACK_BYTES:
            self._rewrite(now.entries, (), durable)

    def _rewrite(
        self,
        kept: Mapping[str, ZipEntry],
        items: Iterable[tuple[str, ZipEntry, Iterable[Buffer]]],
        durable: bool,
    ) -> None:
        """Write the whole file anew, aside, and rename it."""
        folder, name = os.path.split(self.path)
        aside = f"{folder}/{unique_name(name, STAGE_SUFFIX)}"
        fd = create_held(aside)
        whole = False
        try:
            old = ((key, entry, self.pieces(key, entry)) for key, entry in kept.items())
            write_entries(fd, 0, {}, (part for parts in (old, items) for part in parts), durable)
            os.rename(aside, self.path)
            whole = True
        finally:
            if not whole:
                with suppress(OSError):
                    os.unlink(aside)
            os.close(fd)
        if durable:
            sync_directory(folder)

    def lock(self, prefix: str, first: int, last: int) -> AbstractContextManager[None]:
        """Hold units ``first <= n < last`` of the node at `prefix`, against the other threads of this process."""
        check_prefix(prefix)
        self._check_writable(prefix, "lock")
        return self._locks.hold(prefix, first, last)

    def stage(self, target: str) -> Stage:
        """A zip file aside, whose values go into this one together."""
        check_prefix(target)
        self._check_writable(target, "replace")
        try:
            return _ZipStage(self, target)
        except OSError as error:
            raise error if isinstance(error, TenzarrError) else refused(error, "stage", target, self.path) from error

    def clean(self, prefix: str, *, remove: bool) -> Names:
        """Files aside whose writers died, and what a dead writer left at the end of the file itself.

        Both are named by their paths, whatever `prefix` is.
        """
        check_prefix(prefix)
        if self._closed:
            raise closed(self.location)
        if not remove:
            return self._litter(False)
        self._check_writable(prefix, "clean")
        with self._writing("clean", prefix):
            return self._litter(True)

    def _litter(self, remove: bool) -> Names:
        folder, name = os.path.split(self.path)
        found: Names = []
        with suppress(FileNotFoundError), os.scandir(folder) as items:
            for item in items:
                if item.name.startswith(f".{name}.") and item.name.endswith(STAGE_SUFFIX) and reap(item.path, remove):
                    found.append(item.path)
        snapshot = self._current("")
        if snapshot is not None and os.fstat(snapshot.fd).st_size > snapshot.directory.end:
            found.append(self.path)
            if remove:
                os.truncate(self.path, snapshot.directory.end)
        return sorted(found)

    def close(self) -> None:
        """Refuse further use. Calling it twice is harmless."""
        self._closed = True
        self._snapshot = None


class _StagedZip(ZipSource):
    """A zip file that nobody reads before it is whole, and that has one directory, at its end."""

    def __init__(self, path: str, fd: int) -> None:
        super().__init__(path)
        self._fd = fd
        self._entries: dict[str, ZipEntry] = {}
        self._end = 0
        self._snapshot = _Snapshot(os.dup(fd), Directory(self._entries, 0), (0, 0, 0, 0))

    def _current(self, key: str) -> _Snapshot | None:
        if self._closed:
            raise closed(self.location)
        return self._snapshot

    @contextmanager
    def _writing(self, doing: str, key: str) -> Generator[None, None, None]:
        try:
            with self._mutex:
                yield
        except OSError as error:
            raise error if isinstance(error, TenzarrError) else refused(error, doing, key, self.location) from error

    def _append(
        self,
        keep: Callable[[Mapping[str, ZipEntry]], Mapping[str, ZipEntry]],
        items: Iterable[tuple[str, ZipEntry, Iterable[Buffer]]],
        durable: bool,
    ) -> None:
        kept = dict(keep(self._entries))
        os.lseek(self._fd, self._end, os.SEEK_SET)
        end = write_values(self._fd, self._end, kept, items)
        snapshot = _Snapshot(os.dup(self._fd), Directory(kept, end), (0, 0, 0, 0))
        self._entries, self._end, self._snapshot = kept, end, snapshot


class _ZipStage(Stage):
    """A zip file aside."""

    def __init__(self, owner: ZipSource, target: str) -> None:
        folder, name = os.path.split(owner.path)
        os.makedirs(folder, exist_ok=True)
        self._owner = owner
        self._target = target
        self._aside = f"{folder}/{unique_name(name, STAGE_SUFFIX)}"
        self._fd = create_held(self._aside)
        self._tree = _StagedZip(self._aside, self._fd)
        self.source = self._tree

    def commit(self, *, durable: bool = False) -> None:
        """Append the values to the zip file, with one directory that replaces what was at the target."""
        if self._fd < 0:
            raise ClosedStoreError(
                f"the stage of {self._target!r} in {self._owner.location} was used already; make a new one"
            )
        self._owner.adopt(self._target, self._tree, durable=durable)
        self.discard()

    def discard(self) -> None:
        """Remove what was written. Harmless after `commit` and when called twice."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._tree.close()
        with suppress(OSError):
            os.unlink(self._aside)
        os.close(fd)


class _DeflatedValue(Value):
    """A deflated value, unpacked anew for each call."""

    def __init__(self, source: ZipSource, key: str, entry: ZipEntry) -> None:
        self._source: ZipSource | None = source
        self._key = key
        self.size_bytes = entry.size_bytes
        self.identity = None

    def read_into(self, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> list[int]:
        """Fill the buffers of each ``(start, buffers)``; the number of bytes read for each."""
        if self._source is None:
            raise ClosedStoreError(f"the value {self._key!r} is closed; open it again")
        return [max(self._source.fetch(self._key, start, buffers), 0) for start, buffers in ranges]

    def map(self, start: int, length: int) -> npt.NDArray[np.uint8] | None:
        """None: the stored bytes are packed."""
        return None

    def close(self) -> None:
        """Release the value. Calling it twice is harmless."""
        self._source = None


_sources: WeakSet[ZipSource] = WeakSet()


def _reset_all() -> None:
    for source in _sources:
        source.reset_after_fork()


on_fork_in_child(_reset_all)


def _remake(path: str, read_only: bool) -> ZipSource:
    return ZipSource(path, read_only=read_only)
