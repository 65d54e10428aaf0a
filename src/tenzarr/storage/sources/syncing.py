"""Waiting for the disk in several threads, so that it works on several files at once.

The number of threads has nothing to do with processors: they sleep. Four is
where a local disk stopped to gain, quiet or busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tenzarr.core.forks import on_fork_in_child

__all__ = ["side_by_side"]

_THREADS = 4


class _Pool:
    """The executor, made when it is first needed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.mutex = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], object]) -> Future[object] | None:
        """Run `work` in a thread; None where no more work is taken (the interpreter is going down)."""
        with self.mutex:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="tenzarr-sync")
        try:
            return self.executor.submit(work)
        except RuntimeError:
            return None


_pool = _Pool()
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
    futures: list[Future[object]] = []
    error: BaseException | None = None
    try:
        for job in jobs:
            future = _pool.submit(job)
            if future is None:
                job()
            else:
                futures.append(future)
    except BaseException as caught:
        error = caught
    for future in futures:
        error = _settle(future, error)
    if error is not None:
        raise error


def _settle(future: Future[object], error: BaseException | None) -> BaseException | None:
    """Wait for `future` whatever happens, because it reads memory of the caller; the first error so far."""
    while True:
        if error is not None and future.cancel():
            return error
        try:
            future.result()
            return error
        except BaseException as caught:
            error = error or caught
            if future.done():
                return error
