"""Locks for writers: between the threads of a process and between processes.

A node has one lock file in its directory, and unit *n* is byte *n* of it, held
by an open-file-description lock (Linux ``fcntl(2)``, "Open file description
locks"; POSIX record locks where the system has no others). Such a lock belongs
to the description, so all threads of a process share one description for each
file and a mutex over ranges separates them.

A child that is forked shares its parent's descriptions, and an unlock through
one of them would free the parent's lock. So a child closes its copies, which
frees nothing while the parent lives, and opens its own.

A lock file may vanish while somebody waits for it: the tree was replaced or
deleted, or the file was a passing one. Whoever gets a lock therefore looks
whether the path still leads to the locked file, and starts again if not. Only
who holds every unit of a file may remove it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from types import TracebackType

from tenzarr.core.forks import RenewedLock, on_fork_in_child
from tenzarr.storage.sources.base import DOCUMENT
from tenzarr.storage.sources.keys import LOCK_NAME

__all__ = ["EVERYTHING", "STAGE", "FileLock", "RangeMutex", "ThreadLock", "ThreadLocks", "is_held", "shared_locks"]

STAGE = DOCUMENT + 1
"""The unit that the writer of a stage holds for as long as it lives."""
EVERYTHING = 2**63 - 1
"""One more than the last unit."""

_MAX_IDLE = 64
_LOOK_SECONDS = 0.5
_POLITE_SECONDS = 1e-3
_NOTE = b"Tenzarr: the writer of chunk n holds a lock on byte n of this file. Remove it only while nobody writes.\n"
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

_SET: int = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
_WAIT: int = getattr(fcntl, "F_OFD_SETLKW", fcntl.F_SETLKW)
_WRITE: int = fcntl.F_WRLCK
_FREE: int = fcntl.F_UNLCK

# struct flock: on Linux type and whence come first, on the BSDs and macOS last.
_LINUX = sys.platform.startswith("linux")
_pack = struct.Struct("hhqqi4x" if _LINUX else "qqihh").pack


def _flock(kind: int, first: int, last: int) -> bytes:
    # A length of 0 means "up to the end, however far": the way to say EVERYTHING.
    length = last - first if last < EVERYTHING else 0
    return _pack(kind, 0, first, length, 0) if _LINUX else _pack(first, length, 0, kind, 0)


class RangeMutex:
    """A mutex over half-open ranges of integers, for the threads of one process.

    Who holds a range is an object, so that letting go twice, or of nothing, is harmless. One that
    is gone holds nothing: an interrupt (Ctrl-C) may strike where the code that lets go begins.

    Parameters
    ----------
    lost : callable, optional
        Called with the range of a holder that was found to be gone.

    Examples
    --------
    >>> mutex, mine, yours = RangeMutex(), {1}, {2}
    >>> mutex.acquire(mine, 0, 5), mutex.acquire(yours, 4, 6, wait=False), mutex.acquire(yours, 5, 6)
    (True, False, True)
    >>> mutex.release(mine)
    >>> del yours
    >>> mutex.acquire(mine, 0, 9, wait=False)
    True
    """

    __slots__ = ("gates", "held", "lost", "mutex", "waiting")

    def __init__(self, lost: Callable[[int, int], object] | None = None) -> None:
        self.mutex = threading.Lock()
        # One for each thread that waits. A condition does the same in Python, where an interrupt can strike.
        self.gates: list[threading.Lock] = []
        self.waiting: dict[int, tuple[int, int]] = {}
        self.held: dict[int, tuple[int, int, Callable[[], object | None]]] = {}
        self.lost = lost

    def acquire(self, holder: object, first: int, last: int, *, wait: bool = True) -> bool:
        """Hold ``first <= n < last``; False if `wait` is false and somebody else holds a part of it.

        Who comes while others wait lets them go first, but not for long: they may wait for
        something else that it holds.
        """
        key = id(holder)
        polite = wait
        try:
            while True:
                with self.mutex:
                    taken = bool(self.held) and self._overlaps(first, last)
                    if not taken and not (polite and self._awaited(first, last)):
                        self.held[key] = (first, last, _reference(holder))
                        return True
                    if not wait:
                        return False
                    gate = threading.Lock()
                    gate.acquire()
                    self.gates.append(gate)
                    if taken:
                        self.waiting[key] = (first, last)
                # Nobody says that a holder is gone.
                gate.acquire(timeout=_LOOK_SECONDS if taken else _POLITE_SECONDS)
                polite = False
        finally:
            if key in self.waiting:
                with self.mutex:
                    self.waiting.pop(key, None)

    def _awaited(self, first: int, last: int) -> bool:
        return any(first < end and begin < last for begin, end in self.waiting.values())

    def _overlaps(self, first: int, last: int) -> bool:
        for key, (begin, end, holder) in list(self.held.items()):
            if holder() is None:
                del self.held[key]
                if self.lost is not None:
                    self.lost(begin, end)
            elif first < end and begin < last:
                return True
        return False

    def holds(self, holder: object) -> bool:
        """Whether `holder` holds something."""
        return id(holder) in self.held

    def release(self, holder: object) -> None:
        """Let go of what `holder` holds."""
        with self.mutex:
            self.held.pop(id(holder), None)
            gates, self.gates = self.gates, []
            for gate in gates:
                gate.release()


def _reference(holder: object) -> Callable[[], object | None]:
    try:
        return weakref.ref(holder)
    except TypeError:
        return lambda: holder


class _File:
    """One lock file as this process holds it open."""

    __slots__ = ("device", "fd", "inode", "mutex", "path", "users")

    def __init__(self, path: str, fd: int) -> None:
        status = os.fstat(fd)
        self.path = path
        self.fd = fd
        self.device = status.st_dev
        self.inode = status.st_ino
        self.mutex = RangeMutex(lambda first, last: fcntl.fcntl(fd, _SET, _flock(_FREE, first, last)))
        self.users = 0


class _Files:
    """The lock files that this process has open; those that nobody uses are closed, the oldest first."""

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.retired: set[_File] = set()
        self.mutex = threading.Lock()
        self.generation = 0

    def reset(self) -> None:
        """In a child: close the parent's descriptions, and forget who held what."""
        for file in (*self.files.values(), *self.retired):
            try:
                os.close(file.fd)
            except OSError:
                continue
        self.files = {}
        self.retired = set()
        self.mutex = threading.Lock()
        self.generation += 1

    def take(self, path: str) -> _File | None:
        """The open file, one user more; None if it is not open."""
        with self.mutex:
            file = self.files.get(path)
            if file is not None:
                file.users += 1
            return file

    def open(self, path: str) -> _File:
        """The open file, one user more; opened, and made, on demand."""
        with self.mutex:
            file = self.files.get(path)
            if file is None:
                if len(self.files) >= _MAX_IDLE:
                    self._shrink()
                file = self.files[path] = self._open(path)
            file.users += 1
            return file

    def _open(self, path: str) -> _File:
        fd = os.open(path, _OPEN, 0o666)
        try:
            return _File(path, fd)
        except BaseException:
            os.close(fd)
            raise

    def give(self, file: _File) -> None:
        with self.mutex:
            file.users -= 1
            if not file.users and file in self.retired:
                self.retired.discard(file)
                os.close(file.fd)

    def _shrink(self) -> None:
        """Close the oldest of the files that nobody uses."""
        for path, file in list(self.files.items()):
            if not file.users:
                del self.files[path]
                os.close(file.fd)
                return

    def retire(self, file: _File) -> None:
        """Never give `file` out again: its path leads elsewhere by now."""
        with self.mutex:
            if self.files.get(file.path) is file:
                del self.files[file.path]
                self.retired.add(file)


_files = _Files()
on_fork_in_child(_files.reset)


class FileLock(AbstractContextManager[None]):
    """Units ``first <= n < last`` of the node whose directory is `directory`, between threads and processes.

    A lock on the document alone leaves no file behind, so that a group, which other
    implementations list, shows no foreign name. A lock on chunks leaves the file.

    Parameters
    ----------
    directory : str
        An existing directory.
    first, last : int
        Half-open range of units, ``0 <= first < last <= EVERYTHING``.
    name : str, optional
        Of the lock file.

    Raises
    ------
    OSError
        On entering, if the file cannot be made or locked; ``ENOENT`` if there is no such directory.
    """

    __slots__ = ("_file", "_generation", "directory", "first", "last", "name")

    def __init__(self, directory: str, first: int, last: int, name: str = LOCK_NAME) -> None:
        self.name = name
        self.directory = directory
        """Where the lock file lies; whoever moves the directory while holding the lock sets this."""
        self.first = first
        self.last = last
        self._file: _File | None = None
        self._generation = 0

    def prepare(self) -> None:
        """Called before the lock file is opened, which may make it. For subclasses; does nothing."""

    def __enter__(self) -> None:
        try:
            while not self._try(True):
                pass
        except BaseException:
            # An interrupt may strike after the lock was taken.
            self._undo()
            raise

    def attempt(self) -> bool:
        """Take the lock if that needs no waiting."""
        try:
            while not self._try(False):
                pass
        except BlockingIOError:
            return False
        return True

    def _try(self, wait: bool) -> bool:
        """Lock the file; False if it was replaced meanwhile."""
        path = f"{self.directory}/{self.name}"
        file = _files.take(path)
        if file is None:
            self.prepare()
            file = _files.open(path)
        self._generation = _files.generation
        self._file = file
        current = False
        try:
            if not file.mutex.acquire(self, self.first, self.last, wait=wait):
                raise BlockingIOError
            fcntl.fcntl(file.fd, _WAIT if wait else _SET, _flock(_WRITE, self.first, self.last))
            current = self._is_current(file, path)
            if not current:
                _files.retire(file)
            return current
        finally:
            # Also on an interrupt, wherever it struck.
            if not current:
                self._undo()

    def _is_current(self, file: _File, path: str) -> bool:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        if status.st_ino != file.inode or status.st_dev != file.device:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EOPNOTSUPP, "the lock file is not a regular file", path)
        if not status.st_size and self.last <= DOCUMENT:
            os.pwrite(file.fd, _NOTE, 0)
        return True

    def _undo(self) -> None:
        """Let go of whatever was taken, and stay able to go on where an interrupt stopped that."""
        file = self._inherited_or_mine()
        if file is None:
            return
        if file.mutex.holds(self):
            fcntl.fcntl(file.fd, _SET, _flock(_FREE, self.first, self.last))
            file.mutex.release(self)
        self._file = None
        _files.give(file)

    def _inherited_or_mine(self) -> _File | None:
        """The open lock file; None if there is none, or if it belongs to the parent of this process."""
        if self._generation != _files.generation:
            self._file = None
        return self._file

    def release(self) -> None:
        """Let go; harmless if nothing is held, and in a child that inherited the lock."""
        file = self._inherited_or_mine()
        try:
            if file is not None and self.first >= DOCUMENT and file.mutex.holds(self):
                self._remove(file)
        finally:
            self._undo()

    def _remove(self, file: _File) -> None:
        """Remove a passing lock file, if nobody else holds a part of it."""
        if os.fstat(file.fd).st_size:
            return
        with file.mutex.mutex:
            if len(file.mutex.held) != 1:
                return
            try:
                fcntl.fcntl(file.fd, _SET, _flock(_WRITE, 0, EVERYTHING))
            except OSError:
                return
            try:
                # Again, now that nobody can be about to lock a chunk.
                status = os.lstat(f"{self.directory}/{self.name}")
                if (status.st_dev, status.st_ino) == (file.device, file.inode) and not status.st_size:
                    _files.retire(file)
                    os.unlink(f"{self.directory}/{self.name}")
            except OSError:
                pass
            finally:
                fcntl.fcntl(file.fd, _SET, _flock(_FREE, 0, EVERYTHING))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(directory: str) -> bool:
    """Whether any unit of the node at `directory` is held by anybody; makes no file."""
    path = f"{directory}/{LOCK_NAME}"
    if not os.path.lexists(path):
        return False
    lock = FileLock(directory, 0, EVERYTHING)
    try:
        if not lock.attempt():
            return True
    except OSError:
        return True
    lock.release()
    return False


class ThreadLocks:
    """The locks of a source that has none between processes: range mutexes by node path."""

    def __init__(self) -> None:
        self.generation = 0
        self.reset()

    def reset(self) -> None:
        """In a child: nobody holds anything."""
        self.generation += 1
        self._mutex = threading.Lock()
        self._named: dict[str, tuple[RangeMutex, int]] = {}

    def hold(self, name: str, first: int, last: int) -> ThreadLock:
        """A context manager that holds the units ``first <= n < last`` of `name` while it is entered."""
        return ThreadLock(self, name, first, last)

    def take(self, name: str) -> RangeMutex:
        """The mutex of `name`, kept until `give`."""
        with self._mutex:
            mutex, users = self._named.get(name) or (RangeMutex(), 0)
            self._named[name] = (mutex, users + 1)
            return mutex

    def give(self, name: str) -> None:
        """The counterpart of `take`."""
        with self._mutex:
            mutex, users = self._named[name]
            if users > 1:
                self._named[name] = (mutex, users - 1)
            else:
                del self._named[name]


_shared: weakref.WeakValueDictionary[Hashable, ThreadLocks] = weakref.WeakValueDictionary()
_shared_lock = RenewedLock()


def shared_locks(place: Hashable) -> ThreadLocks:
    """The one table of locks of this process for `place`, whatever number of sources look at it."""
    with _shared_lock.mutex:
        table = _shared.get(place)
        if table is None:
            table = _shared[place] = ThreadLocks()
        return table


class ThreadLock(AbstractContextManager[None]):
    """What `ThreadLocks.hold` gives."""

    __slots__ = ("_first", "_generation", "_last", "_mutex", "_name", "_table")

    def __init__(self, table: ThreadLocks, name: str, first: int, last: int) -> None:
        self._table = table
        self._name = name
        self._first = first
        self._last = last
        self._mutex: RangeMutex | None = None
        self._generation = 0

    def __enter__(self) -> None:
        self._generation = self._table.generation
        mutex = self._table.take(self._name)
        try:
            mutex.acquire(self, self._first, self._last)
            self._mutex = mutex
        finally:
            if self._mutex is None:
                mutex.release(self)
                self._table.give(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mutex, self._mutex = self._mutex, None
        if mutex is not None and self._generation == self._table.generation:
            mutex.release(self)
            self._table.give(self._name)
