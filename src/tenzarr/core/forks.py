"""What a child process has to do afresh after a fork.

A child has one thread: a mutex that another thread of the parent held stays
locked for ever, worker threads are gone, and file descriptions are shared with
the parent. Whoever keeps such a thing registers how it starts anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from weakref import WeakSet

__all__ = ["RenewedLock", "on_fork_in_child"]

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


class RenewedLock:
    """A mutex that a child process finds free, whoever held it in the parent when it forked.

    What it guards must be whole after every single step, since a holder in the parent may have
    been anywhere.

    Examples
    --------
    >>> lock = RenewedLock()
    >>> with lock.mutex:
    ...     pass
    """

    __slots__ = ("__weakref__", "mutex")

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        """To be held. It is written in C: an interrupt could strike where `__enter__` of this class would end."""
        _renewed.add(self)

    def renew(self) -> None:
        """In a child: nobody holds it."""
        self.mutex = threading.Lock()


_renewed: WeakSet[RenewedLock] = WeakSet()


def _renew() -> None:
    for lock in list(_renewed):
        lock.renew()


def _run() -> None:
    for hook in _hooks:
        hook()


on_fork_in_child(_renew)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run)
