"""Which keys may be asked of a store, and which names Tenzarr keeps for itself.

A key that passes `check_key` names something below the root of the store on
every kind of store, before links are followed.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Any, cast

from tenzarr.core.forks import on_fork_in_child
from tenzarr.errors import ArgumentTypeError, ConfinementError

__all__ = [
    "LOCK_NAME",
    "OLD_SUFFIX",
    "STAGE_SUFFIX",
    "TEMPORARY_SUFFIX",
    "check_key",
    "check_node_path",
    "check_prefix",
    "is_own_name",
    "join",
    "path_text",
    "unique_name",
]

LOCK_NAME = ".tenzarr.lock"
"""The lock file of a node, in the node's directory."""
TEMPORARY_SUFFIX = ".tenzarr-tmp"
"""A value that is being written."""
STAGE_SUFFIX = ".tenzarr-stage"
"""A tree that is being written, or that waits for its removal."""
OLD_SUFFIX = ".tenzarr-old"
"""The tree that a new one replaces, for a moment, where the file system cannot exchange two names."""

# Segments are separated by single slashes; none begins with a dot. Everything else is looked at segment by segment.
_PLAIN = re.compile(r"[^/\\\0.][^/\\\0]*(?:/[^/\\\0.][^/\\\0]*)*").fullmatch


def check_key(key: str) -> None:
    """Refuse `key` unless it names a value below the root.

    Raises
    ------
    ConfinementError
        For an empty key or segment, ``.``, ``..``, a leading slash, a backslash, NUL, a text that
        has no UTF-8 form, or a name that Tenzarr keeps for itself.

    Examples
    --------
    >>> check_key("group/array/c/0/1")
    >>> check_key("../outside")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `key` must stay inside the store: '../outside' has the segment '..'; ...
    """
    if _PLAIN(key) is None or not key.isascii() or ".tenzarr" in key:
        _check_segments(key, "key")


def check_prefix(prefix: str) -> None:
    """`check_key`, where ``""`` stands for the root.

    >>> check_prefix("")
    """
    if prefix:
        check_key(prefix)


def check_node_path(path: str) -> str:
    """Refuse `path` unless every part may be the name of an array or group; give it back.

    The rules are those of `check_key` and of the Zarr v3 core specification, section "Node
    names": not only periods, and no ``__`` at the start. ``""`` is the root node.

    Examples
    --------
    >>> check_node_path("forecast/t2m"), check_node_path("")
    ('forecast/t2m', '')
    >>> check_node_path("a/__b")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ConfinementError: `path` must be made of node names: '__b' begins with '__', ...
    """
    if not path:
        return path
    _check_segments(path, "path")
    for name in path.split("/"):
        if not name.strip("."):
            raise ConfinementError(
                f"`path` must be made of node names: {name!r} consists of periods only; choose another name"
            )
        if name.startswith("__"):
            raise ConfinementError(
                f"`path` must be made of node names: {name!r} begins with '__', which the Zarr specification "
                "reserves; choose another name"
            )
    return path


def _check_segments(key: str, argument: str) -> None:
    problem = _problem(key)
    if problem:
        raise ConfinementError(
            f"`{argument}` must stay inside the store: {key!r} {problem}; "
            "write it relative to the root, as in 'group/array/c/0'"
        )


def _problem(key: str) -> str:
    """Why `key` is refused, or ``""``."""
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  a caller without types
        raise ArgumentTypeError(f"`key` must be a str, not {type(key).__name__}")
    if not key:
        return "is empty"
    for character, name in (("\0", "NUL"), ("\\", "a backslash")):
        if character in key:
            return f"contains {name}"
    try:
        key.encode()
    except UnicodeEncodeError:
        return "cannot be written in UTF-8"
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            return f"has the segment {segment!r}"
        if is_own_name(segment):
            return f"has the segment {segment!r}, a name that Tenzarr keeps for itself"
    return ""


def is_own_name(name: str) -> bool:
    """Whether a file or folder of this name is Tenzarr's own and is not shown to anyone.

    >>> is_own_name(".tenzarr.lock"), is_own_name(unique_name("a", STAGE_SUFFIX)), is_own_name("zarr.json")
    (True, True, False)
    """
    return name == LOCK_NAME or (name.startswith(".") and name.endswith((TEMPORARY_SUFFIX, STAGE_SUFFIX, OLD_SUFFIX)))


def join(prefix: str, name: str) -> str:
    """The key of `name` below `prefix`.

    >>> join("", "a"), join("a", "b")
    ('a', 'a/b')
    """
    return f"{prefix}/{name}" if prefix else name


def path_text(path: object, argument: str) -> str:
    """An absolute path of this machine as text; ``~`` is the home directory.

    Raises
    ------
    ArgumentTypeError
        If `path` is neither text nor a path object over text.

    Examples
    --------
    >>> path_text("/data/../data/x.zarr", "root")
    '/data/x.zarr'
    >>> path_text(b"x", "root")
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentTypeError: `root` must be a str or a Path, not bytes; decode it first
    """
    text: object = cast(Any, path).__fspath__() if hasattr(path, "__fspath__") else path
    if not isinstance(text, str):
        advice = "; decode it first" if isinstance(text, bytes) else ""
        raise ArgumentTypeError(f"`{argument}` must be a str or a Path, not {type(text).__name__}{advice}")
    # Absolute, so that a change of the working directory moves nothing.
    return os.path.abspath(os.path.expanduser(text))


class _Names:
    """Makes names that no other process, thread or earlier call makes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.process = os.urandom(6).hex()
        self.counter = itertools.count()


_names = _Names()
on_fork_in_child(_names.reset)


def unique_name(stem: str, suffix: str) -> str:
    """A hidden name that is new, also after a fork; `stem` is cut where the whole would be too long.

    >>> unique_name("temperature", STAGE_SUFFIX) != unique_name("temperature", STAGE_SUFFIX)
    True
    """
    # 255 bytes is the longest name that the usual file systems take.
    short = stem.encode()[:150].decode(errors="ignore") if stem else ""
    return f".{short}.{_names.process}-{next(_names.counter):x}{suffix}"
