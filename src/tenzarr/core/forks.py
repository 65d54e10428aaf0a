"""What a child process has to do afresh after a fork.

A child has one thread: a mutex that another thread of the parent held stays
locked for ever, worker threads are gone, and file descriptions are shared with
the parent. Whoever keeps such a thing registers how it starts anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["on_fork_in_child"]

_hooks: list[Callable[[], object]] = []


def on_fork_in_child(hook: Callable[[], object]) -> None:
    """Call `hook` in every child that this process forks, before anything else of ours runs there.

    Parameters
    ----------
    hook : callable
        Takes nothing. It runs while the child has one thread, and must not wait for a mutex.
        It is kept for the life of the process: register once a module, not once an object.

    Examples
    --------
    >>> on_fork_in_child(lambda: None)
    """
    _hooks.append(hook)


def _run() -> None:
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run)
