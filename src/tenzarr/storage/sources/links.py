"""Symbolic links: followed on the way to a read, refused where a write would leave the root through one."""

from __future__ import annotations

import os
import stat

from tenzarr.errors import ConfinementError

__all__ = ["Fence", "open_without_links"]

_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
_MAX_KNOWN = 4096


class Fence:
    """Knows which directories below `root` really lie below it.

    A directory is looked up once and known by its inode, so that a write pays for one `stat`.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, tuple[int, int]] = {}

    def check(self, directory: str, key: str) -> None:
        """Refuse a write to `key` if `directory`, which need not exist, lies outside once links are followed.

        Raises
        ------
        ConfinementError
            If it does.
        """
        try:
            status = os.stat(directory)
        except OSError:
            # Not there yet, or not to be reached: what exists of the path decides.
            self._check_real(directory, key)
            return
        found = (status.st_dev, status.st_ino)
        if self._known.get(directory) == found:
            return
        self._check_real(directory, key)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[directory] = found

    def _check_real(self, directory: str, key: str) -> None:
        root = os.path.realpath(self._root)
        real = os.path.realpath(directory)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise ConfinementError(
                f"`key` must stay inside the store: writing {key!r} would leave {self._root} through a symbolic "
                f"link, to {real}; open that directory as a store of its own"
            )


def open_without_links(root: str, key: str, flags: int) -> int:
    """Open `key` below `root` if no part of it is a symbolic link; a descriptor.

    Raises
    ------
    ConfinementError
        If a part is a link.
    OSError
        Whatever opening raises.
    """
    folder = os.open(root or "/", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        *parents, name = key.split("/")
        for part in parents:
            inner = _open_part(folder, part, _FOLDER, key)
            # In this order: an interrupt must not make the `finally` close a number that is another file's by then.
            outer, folder = folder, inner
            os.close(outer)
        return _open_part(folder, name, flags | os.O_NOFOLLOW, key)
    finally:
        os.close(folder)


def _open_part(folder: int, name: str, flags: int, key: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError:
        try:
            is_link = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except OSError:
            is_link = False
        if not is_link:
            raise
        raise ConfinementError(
            f"`key` must not lead through a symbolic link here: {key!r} does, at {name!r}; "
            "open the store with follow_symlinks=True if you trust its links"
        ) from None
