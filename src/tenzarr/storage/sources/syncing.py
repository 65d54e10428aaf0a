"""Waiting for the disk in several threads, so that it works on several files at once.

The number of threads has nothing to do with processors: they sleep. Four is
where a local disk stopped to gain, quiet or busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tenzarr.core.forks import on_fork_in_child
from tenzarr.core.workers import Pool, drain

__all__ = ["side_by_side"]

Job = TypeVar("Job")

_HELPERS = 3
"""Beside the calling thread."""

_pool = Pool("tenzarr-sync", _HELPERS)
on_fork_in_child(_pool.reset)


def side_by_side(jobs: Iterable[Job], work: Callable[[list[Job]], None]) -> None:
    """Call `work` on every job, a list of one each, several at once; otherwise as `drain`.

    Examples
    --------
    >>> done = []
    >>> side_by_side([1, 2], done.extend)
    >>> sorted(done)
    [1, 2]
    """
    drain(jobs, work, batch=1, parallel=True, pool=_pool)
