"""Values as files below a directory."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from os import close as _close
from os import lseek as _lseek
from os import open as _open
from os import preadv as _preadv
from pathlib import Path
from typing import TypeAlias

from tenzarr.errors import ConfinementError, TenzarrError, UnsupportedError
from tenzarr.storage.sources.base import MISSING, Buffer, ByteSource, Entry, Item, Job, Stage, Value
from tenzarr.storage.sources.failures import closed, not_a_file, read_only, refused, unencodable
from tenzarr.storage.sources.files import READ, SPARE, LocalValue, read_file, read_rest, size_of, write_all
from tenzarr.storage.sources.keys import (
    STAGE_SUFFIX,
    TEMPORARY_SUFFIX,
    check_key,
    check_prefix,
    is_own_name,
    path_text,
    unique_name,
)
from tenzarr.storage.sources.links import Fence, open_without_links
from tenzarr.storage.sources.locks import FileLock
from tenzarr.storage.sources.syncing import side_by_side
from tenzarr.storage.sources.trees import LocalStage, clean_tree, remove_tree, sync_directory

__all__ = ["LocalSource"]

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_ATTEMPTS = 100

Names: TypeAlias = list[str]


class LocalSource(ByteSource):
    """Values as regular files below the directory `root`.

    Symbolic links are followed on the way to a read, because data disks, DVC and git-annex
    are made of them; a write never leaves the root through one. A value is written to a
    temporary file beside its place and renamed.

    Parameters
    ----------
    root : str or Path
        The directory. It need not exist for reading, and is made by the first write.
    read_only : bool, optional
        Refuse every write.
    follow_symlinks : bool, optional
        If false, a link anywhere below the root is an error for readers too.

    Raises
    ------
    ArgumentTypeError
        If `root` is no path.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> source = LocalSource(folder.name)
    >>> source.put("a/c/0", [b"abc", b"def"])
    >>> into = bytearray(4)
    >>> source.fetch("a/c/0", 2, [into]), into, source.fetch("a/c/1", 0, [into])
    (4, bytearray(b'cdef'), -1)
    >>> source.get("../secret")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `key` must stay inside the store: '../secret' has the segment '..'; ...
    >>> folder.cleanup()
    """

    local = True
    can_replace_tree = True

    def __init__(self, root: str | Path, *, read_only: bool = False, follow_symlinks: bool = True) -> None:
        self.root = path_text(root, "root")
        self.read_only = read_only
        self.location = self.root
        self._follow = follow_symlinks
        self._prefix = self.root.rstrip("/") + "/"
        self.fence = Fence(self.root)
        """Keeps writes below the root."""
        self._synced: dict[str, tuple[int, int]] = {}
        self._closed = False
        # One attribute that is replaced on closing, so that the hot path asks nothing.
        self._open: Callable[[str, int], int] = _open if follow_symlinks else self._open_strictly

    def __repr__(self) -> str:
        return f"LocalSource({self.root!r}{', read_only=True' if self.read_only else ''})"

    def __reduce__(self) -> tuple[Callable[..., LocalSource], tuple[str, bool, bool]]:
        return _remake, (self.root, self.read_only, self._follow)

    # Reading

    def fetch(self, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` from byte `start` of the value; the number of bytes read, or -1 if there is no value."""
        # Only these two can leave the root; every other odd key fails to open and is looked at then.
        if ".." in key or key[:1] == "/":
            check_key(key)
        try:
            fd = self._open(self._prefix + key, READ)
        except (OSError, ValueError) as error:
            return self._absent(key, error)
        try:
            done = _preadv(fd, buffers, start)
            # One byte short of full is the end: whoever asks for a spare byte does not expect it. So is any
            # place within a page, because a read that is cut short is cut between pages.
            inside_page = (start + done) & 4095
            short = done and not inside_page and (len(buffers) > 8 or done + 1 < size_of(buffers))
            if short and _preadv(fd, (SPARE,), start + done):
                return read_rest(fd, start, buffers, done)
        except OSError as error:
            if error.errno == errno.EINVAL and len(buffers) > 1024:
                return self._fetch_many(fd, key, start, buffers)
            check_key(key)
            raise refused(error, "read", key, self.location) from error
        finally:
            _close(fd)
        return done

    def fetch_each(self, keys: Sequence[str], buffers: Sequence[Buffer]) -> Iterator[int]:
        """`fetch` the values of `keys` one after another, each into the same `buffers`."""
        prefix, total, few = self._prefix, size_of(buffers), len(buffers) <= 8
        for key in keys:
            if ".." in key or key[:1] == "/":
                check_key(key)
            try:
                fd = self._open(prefix + key, READ)
            except (OSError, ValueError) as error:
                yield self._absent(key, error)
                continue
            try:
                done = _preadv(fd, buffers, 0)
                if not few or (done + 1 < total and done and not done & 4095):
                    done = read_rest(fd, 0, buffers, done)
            except OSError as error:
                raise refused(error, "read", key, self.location) from error
            finally:
                _close(fd)
            yield done

    def fetch_ranges(self, key: str, ranges: Sequence[tuple[int, Sequence[Buffer]]]) -> tuple[int, bool]:
        """Fill the buffers of each ``(start, buffers)``; the size of the value and whether all were filled."""
        if ".." in key or key[:1] == "/":
            check_key(key)
        try:
            fd = self._open(self._prefix + key, READ)
        except (OSError, ValueError) as error:
            return self._absent(key, error), False
        try:
            size = _lseek(fd, 0, os.SEEK_END)
            filled = True
            for start, buffers in ranges:
                wanted = size_of(buffers)
                done = _preadv(fd, buffers, start)
                if done < wanted:
                    filled = read_rest(fd, start, buffers, done) == wanted and filled
        except OSError as error:
            check_key(key)
            raise refused(error, "read", key, self.location) from error
        finally:
            _close(fd)
        return size, filled

    def _fetch_many(self, fd: int, key: str, start: int, buffers: Sequence[Buffer]) -> int:
        """`fetch` into more buffers than the system takes at once."""
        try:
            return read_rest(fd, start, buffers, 0)
        except OSError as error:
            raise refused(error, "read", key, self.location) from error

    def _absent(self, key: str, error: OSError | ValueError) -> int:
        """What to answer when a value could not be opened."""
        check_key(key)
        if isinstance(error, TenzarrError):
            raise error
        if not isinstance(error, OSError):
            raise unencodable(key) from None
        if error.errno in _ABSENT:
            if self._leads_nowhere(key):
                raise refused(OSError(errno.ENOLINK, ""), "read", key, self.location) from error
            return MISSING
        raise refused(error, "read", key, self.location) from error

    def _leads_nowhere(self, key: str) -> bool:
        """Whether a link on the way to `key` stands for something that is not there, such as an unmounted disk."""
        path = self._prefix + key
        while len(path) > len(self.root):
            if os.path.lexists(path):
                return os.path.islink(path) and not os.path.exists(path)
            path = os.path.dirname(path)
        return False

    def _open_to_read(self, key: str) -> int:
        """A descriptor, or -1 if there is no value."""
        check_key(key)
        try:
            return self._open(self._prefix + key, READ)
        except (OSError, ValueError) as error:
            return self._absent(key, error)

    def _open_strictly(self, path: str, flags: int) -> int:
        return open_without_links(self.root, path[len(self._prefix) :], flags)

    def get(self, key: str, limit_bytes: int | None = None) -> bytes | None:
        """The whole value, or None. At most ``limit_bytes + 1`` bytes are read where a limit is given."""
        fd = self._open_to_read(key)
        if fd < 0:
            return None
        try:
            data = read_file(fd, limit_bytes)
        except OSError as error:
            raise refused(error, "read", key, self.location) from error
        finally:
            _close(fd)
        if data is None:
            raise self._irregular(key)
        return data

    def open(self, key: str) -> Value | None:
        """The value held open, or None if there is none."""
        fd = self._open_to_read(key)
        if fd < 0:
            return None
        try:
            status = os.fstat(fd)
            regular = stat.S_ISREG(status.st_mode)
        except BaseException:
            _close(fd)
            raise
        if regular:
            # From here on the value closes it; nobody else may, because by then it can be another file's.
            return LocalValue(fd, status, key, self.location)
        _close(fd)
        raise self._irregular(key)

    def _irregular(self, key: str) -> OSError:
        if os.path.isdir(self._prefix + key):
            return refused(IsADirectoryError(errno.EISDIR, ""), "read", key, self.location)
        return not_a_file(key, self.location)

    def list(self, prefix: str) -> Iterator[Entry]:
        """The names directly below `prefix` (``""`` is the root), in no order; nothing if there are none."""
        check_prefix(prefix)
        self._check_open()
        if not self._follow and prefix and not self._exists_without_links(prefix):
            return iter(())
        try:
            with os.scandir(self._prefix + prefix) as found:
                return iter([self._entry(item) for item in found if not is_own_name(item.name)])
        except OSError as error:
            if error.errno in _ABSENT:
                return iter(())
            raise refused(error, "list", prefix, self.location) from error

    def _exists_without_links(self, prefix: str) -> bool:
        try:
            _close(open_without_links(self.root, prefix, READ))
        except ConfinementError:
            raise
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise refused(error, "list", prefix, self.location) from error
        return True

    def _entry(self, item: os.DirEntry[str]) -> Entry:
        try:
            if item.is_dir(follow_symlinks=self._follow):
                return Entry(item.name, True, 0)
            return Entry(item.name, False, item.stat(follow_symlinks=self._follow).st_size)
        except OSError:
            # A dangling link, or a file that went away: a name without a value.
            return Entry(item.name, False, 0)

    # Writing

    def put(self, key: str, buffers: Sequence[Buffer], *, durable: bool = False) -> None:
        """Replace the value by the concatenation of `buffers`, atomically."""
        folder = self._put(key, buffers, durable)
        if durable:
            try:
                self._sync_folder(folder)
            except OSError as error:
                raise refused(error, "write", key, self.location) from error

    def _put(self, key: str, buffers: Sequence[Buffer], sync: bool) -> str:
        """`put` without syncing the directory, which is what comes back."""
        folder = self._folder_to_write(key, "write")
        try:
            for attempt in range(_ATTEMPTS):
                if self._put_once(folder, key, buffers, sync):
                    return folder
                _give_way(attempt)
        except OSError as error:
            raise refused(error, "write", key, self.location) from error
        raise refused(FileNotFoundError(errno.ENOENT, ""), "write", key, self.location)

    def _put_once(self, folder: str, key: str, buffers: Sequence[Buffer], durable: bool) -> bool:
        """Write and rename; False if somebody removed the directory or the temporary file meanwhile."""
        temporary = f"{folder}/{unique_name('', TEMPORARY_SUFFIX)}"
        renamed = False
        try:
            self._write_temporary(folder, temporary, buffers, durable)
            renamed = _rename(temporary, self._prefix + key)
            return renamed
        finally:
            # Also on an interrupt, wherever it struck.
            if not renamed:
                _remove_quietly(temporary)

    def _write_temporary(self, folder: str, temporary: str, buffers: Sequence[Buffer], durable: bool) -> None:
        """A new file in `folder`, whole and closed."""
        fd = self._create(folder, temporary)
        try:
            write_all(fd, buffers)
            if durable:
                os.fsync(fd)
        finally:
            # An error that only closing tells is an error of the write, too.
            _close(fd)

    def _create(self, folder: str, temporary: str) -> int:
        for attempt in range(_ATTEMPTS):
            try:
                return _open(temporary, _WRITE, 0o666)
            except FileNotFoundError:
                _give_way(attempt)
                _make_folders(folder)
        return _open(temporary, _WRITE, 0o666)

    def put_many(self, items: Sequence[Item], *, durable: bool = False) -> None:
        """`put` for several values; with `durable` the directories are synced once, and the files side by side."""
        # Of two values with one key the last counts.
        self.put_made(dict(items).items(), lambda item: item, durable=durable)

    def put_made(self, jobs: Iterable[Job], make: Callable[[Job], Item | None], *, durable: bool = False) -> None:
        """`put_many` of what `make` gives for each of `jobs`; values are made while others wait for the disk."""
        folders: dict[str, str] = {}

        def store(some: list[Job]) -> None:
            for key, buffers in filter(None, map(make, some)):
                folders[self._put(key, buffers, durable)] = key

        if not durable:
            store(list(jobs))
            return
        side_by_side(jobs, store)
        for folder, key in folders.items():
            try:
                self._sync_folder(folder)
            except OSError as error:
                raise refused(error, "sync", key, self.location) from error

    def _folder_to_write(self, key: str, doing: str) -> str:
        """The directory of `key`, which need not exist, once it is clear that `key` may be written."""
        check_key(key)
        self._check_writable(key, doing)
        folder = (self._prefix + key).rpartition("/")[0] or "/"
        self.fence.check(folder, key)
        return folder

    def _check_writable(self, key: str, doing: str) -> None:
        self._check_open()
        if self.read_only:
            raise read_only(self.location, doing, key)

    def _check_open(self) -> None:
        if self._closed:
            raise closed(self.location)

    def _sync_folder(self, folder: str) -> None:
        """Make the entries in `folder`, and those that lead to it, survive a power loss."""
        sync_directory(folder)
        self._sync_ancestors(folder)

    def _sync_ancestors(self, folder: str) -> None:
        """Sync what leads to `folder`, up to the parent of the root, once for each directory."""
        synced: dict[str, tuple[int, int]] = {}
        while len(folder) >= len(self.root) and folder != "/":
            status = os.stat(folder)
            if self._synced.get(folder) == (status.st_dev, status.st_ino):
                break
            synced[folder] = (status.st_dev, status.st_ino)
            folder = os.path.dirname(folder)
            sync_directory(folder)
        self._synced.update(synced)

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens if there is none."""
        self._folder_to_write(key, "delete")
        try:
            os.unlink(self._prefix + key)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise refused(error, "delete", key, self.location) from error

    def delete_tree(self, prefix: str) -> None:
        """Remove `prefix` and everything below it: the name at once, the contents after."""
        check_prefix(prefix)
        self._check_writable(prefix, "delete")
        for key in [prefix] if prefix else [entry.name for entry in self.list("")]:
            self._delete_one_tree(key)

    def _delete_one_tree(self, key: str) -> None:
        folder = self._folder_to_write(key, "delete")
        doomed = f"{folder}/{unique_name(key.rpartition('/')[2], STAGE_SUFFIX)}"
        try:
            os.rename(self._prefix + key, doomed)
            remove_tree(doomed)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise refused(error, "delete", key, self.location) from error

    # Locks, whole trees, and what dead writers leave

    def lock(self, prefix: str, first: int, last: int) -> AbstractContextManager[None]:
        """Hold units ``first <= n < last`` of the node at `prefix`, against other threads and processes."""
        check_prefix(prefix)
        self._check_writable(prefix, "lock")
        return _NodeLock(self._prefix + prefix if prefix else self.root, first, last, prefix, self)

    def stage(self, target: str) -> Stage:
        """A new, empty tree that becomes the tree at `target` (``""`` is the root) in one step."""
        check_prefix(target)
        self._check_writable(target, "replace")
        if self.root == "/":
            raise UnsupportedError("the tree at '/' cannot be replaced; choose a directory as the root of the store")
        if target:
            self.fence.check((self._prefix + target).rpartition("/")[0], target)
        # The root may be a link of the user's own: what it leads to is replaced, not the link.
        path = self._prefix + target if target else os.path.realpath(self.root)
        try:
            return LocalStage(path, target, self.location, LocalSource)
        except OSError as error:
            if isinstance(error, TenzarrError):
                raise
            raise refused(error, "stage", target, self.location) from error

    def clean(self, prefix: str, *, remove: bool) -> Names:
        """What dead writers left below `prefix` (temporary files, stages), removed if `remove` is true.

        What lies beside the root, because it would have become the root, is included if
        `prefix` is ``""``, and named by its path.
        """
        check_prefix(prefix)
        self._check_open()
        if remove:
            self._check_writable(prefix, "clean")
            self.fence.check(self._prefix + prefix, prefix)
        try:
            return clean_tree(self.root, prefix, remove=remove)
        except OSError as error:
            raise refused(error, "clean", prefix, self.location) from error

    def close(self) -> None:
        """Refuse further use. Calling it twice is harmless."""
        self._closed = True
        self._open = self._open_closed

    def _open_closed(self, path: str, flags: int) -> int:
        raise closed(self.location)


class _NodeLock(FileLock):
    """A lock whose directory is made on demand, and whose failures are typed."""

    __slots__ = ("_key", "_source")

    def __init__(self, directory: str, first: int, last: int, key: str, source: LocalSource) -> None:
        super().__init__(directory, first, last)
        self._key = key
        self._source = source

    def __enter__(self) -> None:
        for _ in range(_ATTEMPTS):
            try:
                return super().__enter__()
            except ConfinementError:
                raise
            except OSError as error:
                self._mend(error)
            except BaseException:
                self._undo()
                raise
        raise refused(FileNotFoundError(errno.ENOENT, ""), "lock", self._key, self._source.location)

    def prepare(self) -> None:
        self._source.fence.check(self.directory, self._key)

    def _mend(self, error: OSError) -> None:
        """Make the directory if that is what is missing."""
        try:
            if error.errno != errno.ENOENT:
                raise error
            _make_folders(self.directory)
        except OSError as other:
            raise refused(other, "lock", self._key, self._source.location) from other


def _give_way(attempt: int) -> None:
    """Out of step with somebody who removes what this thread makes."""
    if attempt > 2:
        time.sleep(1e-4 * attempt)


def _make_folders(path: str) -> None:
    """Make a directory and what leads to it; the caller tries again where somebody removes them meanwhile."""
    with suppress(FileNotFoundError):
        os.makedirs(path, exist_ok=True)


def _rename(old: str, new: str) -> bool:
    """Whether there was something to rename."""
    try:
        os.rename(old, new)
    except FileNotFoundError:
        return False
    return True


def _remove_quietly(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _remake(root: str, read_only: bool, follow_symlinks: bool) -> LocalSource:
    return LocalSource(root, read_only=read_only, follow_symlinks=follow_symlinks)
