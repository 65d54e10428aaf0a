"""Waiting for the disk in several threads, so that it works on several files at once.

The number of threads has nothing to do with processors: they sleep. Four is
where a local disk stopped to gain, quiet or busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenzarr.core.forks import on_fork_in_child
from tenzarr.core.workers import Pool, drain

__all__ = ["side_by_side"]

_HELPERS = 3
"""Beside the calling thread."""

_pool = Pool("tenzarr-sync", _HELPERS)
on_fork_in_child(_pool.reset)


def side_by_side(jobs: Sequence[Callable[[], object]]) -> None:
    """Call every job, several at once; raise what the first that failed raised, once none runs any more.

    Examples
    --------
    >>> done = []
    >>> side_by_side([lambda: done.append(1), lambda: done.append(2)])
    >>> sorted(done)
    [1, 2]
    >>> side_by_side([lambda: 1 // 0])
    Traceback (most recent call last):
        ...
    ZeroDivisionError: integer division or modulo by zero
    """
    drain(jobs, _call, batch=1, parallel=len(jobs) > 1, pool=_pool)


def _call(jobs: list[Callable[[], object]]) -> None:
    for job in jobs:
        job()
