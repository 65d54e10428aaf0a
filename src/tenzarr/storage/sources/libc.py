"""The calls of the C library that Python lacks."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

__all__ = ["exchange", "is_local"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2

# The f_type values of linux/magic.h for file systems whose pages no other machine changes. Everything else,
# FUSE included, may be remote, and a map of a remote file dies with a bus error when the server goes away.
_LOCAL = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0xCA451A4E,  # bcachefs
        0xF2F52010,  # f2fs
        0x2FC12FC1,  # zfs
        0x01021994,  # tmpfs
        0x858458F6,  # ramfs
        0x794C7630,  # overlayfs
        0x73717368,  # squashfs
        0xE0F5E1E2,  # erofs
        0x9660,  # iso9660
        0x2011BAB0,  # exfat
        0x4D44,  # fat
        0x7366746E,  # ntfs3
        0x3153464A,  # jfs
        0x52654973,  # reiserfs
    }
)

_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: str, other: str) -> bool:
    """Swap what two paths lead to, in one step; False where the system or the file system cannot.

    Linux: ``renameat2(2)`` with ``RENAME_EXCHANGE``; macOS: ``renamex_np`` with ``RENAME_SWAP``.

    Raises
    ------
    OSError
        If one of the paths leads nowhere, or the system refuses for another reason.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        status = _libc.renamex_np(first, second, _RENAME_SWAP)
    elif hasattr(_libc, "renameat2"):
        status = _libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    else:
        return False
    if status == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), one)


def is_local(fd: int) -> bool:
    """Whether the open file `fd` surely lies on a file system of this machine."""
    if not sys.platform.startswith("linux"):
        return False
    # struct statfs is 120 bytes on 64-bit Linux and begins with f_type.
    status = (ctypes.c_ulong * 64)()
    if _libc.fstatfs(fd, status) != 0:
        return False
    return int(status[0]) & 0xFFFFFFFF in _LOCAL
