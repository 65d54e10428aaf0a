"""What the operating system refused, as a `StoreError` that says what to do."""

from __future__ import annotations

import errno
import os

from tenzarr.errors import ClosedStoreError, ConfinementError, ReadOnlyError, StoreError

__all__ = ["closed", "not_a_file", "read_only", "refused", "unencodable"]

_ADVICE = {
    errno.ENOSPC: "full disk: the old value is intact; free some space and write again",
    errno.EDQUOT: "full disk (the quota is used up): the old value is intact; free some space and write again",
    errno.EIO: "the device reports an input or output error; look at the system's log and at the disk",
    errno.EACCES: "permission denied; change the permissions, or open the store with mode='r'",
    errno.EPERM: "permission denied; change the permissions, or open the store with mode='r'",
    errno.EROFS: "the file system is mounted read-only; open the store with mode='r'",
    errno.EISDIR: "a directory lies in the place of the value; move it away",
    errno.ENOTDIR: "a file lies where a directory must be; move it away",
    errno.ENOTEMPTY: "a directory lies in the place of the value; move it away",
    errno.ENAMETOOLONG: "the name is too long for this file system; use a shorter path",
    errno.ESPIPE: "the value is not a regular file; move it away",
    errno.ENXIO: "the value is not a regular file; move it away",
    errno.ELOOP: "too many symbolic links, or a link where none may be; look at it with `ls -l`",
    errno.ENOLINK: "a symbolic link leads nowhere; fetch or mount what it stands for, or remove it",
    errno.EMFILE: "this process has too many open files; raise the limit with `ulimit -n`",
    errno.ENFILE: "the system has too many open files; close some",
    errno.ENOLCK: "the file system has no locks; write to one that has them, and copy",
    errno.EOPNOTSUPP: "the file system cannot do this; use a local one",
    errno.ESTALE: "the network file system lost the file; open the store again",
}


def refused(error: OSError, doing: str, key: str, location: str) -> StoreError:
    """The error for `error`, which came while `doing` something (``"read"``) to `key`."""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    advice = _ADVICE.get(number, "look at the path and at the system's log")
    return StoreError(number, f"cannot {doing} {key!r} in {location}: {reason}; {advice}", key)


def not_a_file(key: str, location: str) -> StoreError:
    """The error for a FIFO, a socket or a device in the place of a value."""
    return StoreError(
        errno.ESPIPE, f"cannot read {key!r} in {location}: the value is not a regular file; move it away", key
    )


def closed(location: str) -> ClosedStoreError:
    """The error for the use of a closed source."""
    return ClosedStoreError(f"the store {location} is closed; open it again")


def read_only(location: str, doing: str, key: str) -> ReadOnlyError:
    """The error for a write to a read-only source."""
    return ReadOnlyError(f"cannot {doing} {key!r}: the store {location} is open for reading; open it with mode='r+'")


def unencodable(key: str) -> ConfinementError:
    """The error for a key that the operating system cannot even be asked for."""
    return ConfinementError(f"`key` must stay inside the store: {key!r} is no name of a file; use plain text")
