"""Whole directories: written aside and exchanged, removed, synced, and cleaned of what dead writers left.

A stage lies beside its target, under a hidden name, so that a rename reaches
it. Its writer holds a lock in it for as long as it lives; that is how `clean`
tells a living writer from a dead one. The exchange is one system call, so a
kill leaves the old tree or the new one at the target, whole, and the other one
under the hidden name.

Where the file system cannot exchange two names, the old tree is renamed aside
first; a kill between the two renames leaves it under a name from which `clean`
puts it back.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress

from tenzarr.errors import ClosedStoreError
from tenzarr.storage.sources.base import ByteSource, Stage
from tenzarr.storage.sources.failures import refused
from tenzarr.storage.sources.keys import LOCK_NAME, OLD_SUFFIX, STAGE_SUFFIX, TEMPORARY_SUFFIX, join, unique_name
from tenzarr.storage.sources.libc import exchange
from tenzarr.storage.sources.locks import EVERYTHING, STAGE, FileLock, is_held

__all__ = ["LocalStage", "clean_tree", "remove_tree", "sync_directory", "sync_tree"]

_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")
_OLD_NAME = re.compile(r"\.(.+)\.[0-9a-f]{12}-[0-9a-f]+" + re.escape(OLD_SUFFIX)).fullmatch


class LocalStage(Stage):
    """A directory beside the one that it will replace.

    Parameters
    ----------
    target : str
        The path of the directory to replace; it need not exist.
    key, location : str
        What errors call the target and its store.
    make_source : callable
        Makes a writable source from a directory.
    """

    def __init__(self, target: str, key: str, location: str, make_source: Callable[[str], ByteSource]) -> None:
        self._target = target
        self._key = key
        self._location = location
        folder, name = os.path.split(target)
        self._parent = folder or "/"
        os.makedirs(self._parent, exist_ok=True)
        self._done = False
        while not self._begin(f"{self._parent.rstrip('/')}/{unique_name(name, STAGE_SUFFIX)}"):
            pass
        self.source = make_source(self._path)

    def _begin(self, path: str) -> bool:
        """Make the directory and show that its writer lives; False if somebody cleaned up between the two."""
        self._path = path
        self._lock = FileLock(path, STAGE, STAGE + 1)
        begun = False
        try:
            os.mkdir(path)
            self._lock.__enter__()
            begun = True
        except FileNotFoundError:
            if os.path.isdir(self._parent):
                return False
            raise
        finally:
            # Also on an interrupt, wherever it struck.
            if not begun:
                with suppress(OSError):
                    remove_tree(path)
                self._lock.release()
        return True

    def commit(self, *, durable: bool = False) -> None:
        """Put the tree in the place of whatever is at the target, and remove the latter."""
        if self._done:
            raise ClosedStoreError(f"the stage of {self._key!r} in {self._location} was used already; make a new one")
        old = None
        try:
            if durable:
                sync_tree(self._path)
            old = _take_place(self._path, self._target)
            self._done = True
            # The lock file moved with the tree, and is removed from where it is now.
            self._lock.directory = self._target
            if durable:
                sync_directory(self._parent)
        except OSError as error:
            raise refused(error, "replace", self._key or ".", self._location) from error
        finally:
            if self._done:
                self._finish()
                if old:
                    with suppress(OSError):
                        remove_tree(old)

    def _finish(self) -> None:
        self.source.close()
        self._lock.release()

    def discard(self) -> None:
        """Remove what was written. Harmless after `commit` and when called twice."""
        if self._done:
            return
        self._done = True
        with suppress(OSError):
            remove_tree(self._path)
        self._finish()


def _take_place(staged: str, target: str) -> str | None:
    """Make `staged` the tree at `target`; the path where the old tree is now, if there was one."""
    for _ in range(100):
        try:
            os.rename(staged, target)
            return None
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        try:
            if exchange(staged, target):
                return staged
        except FileNotFoundError:
            # The target went away between the two calls.
            continue
        folder, name = os.path.split(target)
        aside = f"{folder.rstrip('/')}/{unique_name(name, OLD_SUFFIX)}"
        os.rename(target, aside)
        os.rename(staged, target)
        return aside
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), target)


def remove_tree(path: str) -> None:
    """Remove a directory with its contents, or a file or link; links are not followed. Missing parts are no error."""
    try:
        if not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    for _ in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
    shutil.rmtree(path)


def sync_directory(path: str) -> None:
    """Make the entries of a directory survive a power loss."""
    fd = os.open(path or "/", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems cannot sync a directory; they order its changes themselves.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(fd)


def sync_tree(path: str) -> None:
    """Make a whole tree survive a power loss: every file, then every directory from the leaves up."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            fd = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_directory(folder)


def clean_tree(root: str, prefix: str, *, remove: bool) -> list[str]:
    """What dead writers left below `prefix` of the store at `root`; removed if `remove` is true.

    A temporary file is left alone while anybody holds a lock of the node it belongs to; a
    writer without a lock whose file is taken away writes it again.
    """
    start = f"{root.rstrip('/')}/{prefix}" if prefix else root
    found: list[str] = []
    if not prefix:
        found += [path for path in _beside(root) if _reap(path, remove)]
    for folder, folders, files in os.walk(start):
        key = os.path.relpath(folder, root)
        key = "" if key == "." else key
        own = [name for name in folders if name.startswith(".") and name.endswith((STAGE_SUFFIX, OLD_SUFFIX))]
        folders[:] = [name for name in folders if name not in own]
        found += [join(key, name) for name in own if _reap(f"{folder}/{name}", remove)]
        found += [join(key, name) for name in files if _is_litter(root, folder, name) and _drop(folder, name, remove)]
    return sorted(found)


def _beside(root: str) -> Iterator[str]:
    """Stages that would have become the root."""
    folder, base = os.path.split(os.path.realpath(root))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f".{base}.") and entry.name.endswith((STAGE_SUFFIX, OLD_SUFFIX)):
                yield entry.path


def _reap(path: str, remove: bool) -> bool:
    """Whether nobody writes the stage at `path`, and it is gone if `remove` is true."""
    try:
        names = os.listdir(path)
        if LOCK_NAME not in names:
            # A living stage has its lock before its first value. Without: what is left of an old tree, or a
            # stage in its first instant, whose writer notices an `rmdir` and makes another one.
            if remove and not names:
                os.rmdir(path)
            return not remove or _dispose(path)
        lock = FileLock(path, 0, EVERYTHING)
        if not lock.attempt():
            return False
    except OSError:
        return False
    try:
        return not remove or _dispose(path)
    finally:
        lock.release()


def _dispose(path: str) -> bool:
    """Remove a dead stage, or put back an old tree whose successor never came; True if that was possible."""
    match = _OLD_NAME(os.path.basename(path))
    if match and path.endswith(OLD_SUFFIX):
        target = os.path.join(os.path.dirname(path), match.group(1))
        if not os.path.lexists(target):
            with suppress(OSError):
                os.rename(path, target)
                return True
    with suppress(OSError):
        remove_tree(path)
    return not os.path.lexists(path)


def _is_litter(root: str, folder: str, name: str) -> bool:
    if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX):
        node = _node_of(root, folder)
        return node is None or not is_held(node)
    if name != LOCK_NAME:
        return False
    return not _is_array(folder) and not is_held(folder)


def _node_of(root: str, folder: str) -> str | None:
    """The nearest directory at or above `folder` that is a node or has a lock file."""
    while len(folder) >= len(root.rstrip("/")):
        if any(os.path.lexists(f"{folder}/{name}") for name in (*_DOCUMENTS, LOCK_NAME)):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    return None


def _is_array(folder: str) -> bool:
    """Whether the directory holds an array, whose lock file stays."""
    if os.path.lexists(f"{folder}/.zarray"):
        return True
    try:
        with open(f"{folder}/zarr.json", "rb") as document:
            return re.search(rb'"node_type"\s*:\s*"array"', document.read(1 << 20)) is not None
    except OSError:
        return False


def _drop(folder: str, name: str, remove: bool) -> bool:
    """Remove one file; a lock file only while every unit of it is held. True if it is gone, or may go."""
    if not remove:
        return True
    path = f"{folder}/{name}"
    if name != LOCK_NAME:
        with suppress(OSError):
            os.unlink(path)
        return not os.path.lexists(path)
    lock = FileLock(folder, 0, EVERYTHING)
    try:
        if not lock.attempt():
            return False
        with suppress(OSError):
            os.unlink(path)
    except OSError:
        return False
    lock.release()
    return not os.path.lexists(path)
