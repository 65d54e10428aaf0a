"""One pool of threads for work that releases the GIL.

The calling thread always works too, so a pool of one fewer thread than there
are processors keeps them all busy, and a call from inside a worker (or while
the interpreter shuts down) simply does all the work itself. Workers run in a
copy of the caller's context variables. After a fork the child starts afresh.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, TypeVar

from tenzarr.core.forks import on_fork_in_child

__all__ = ["WAITING_SHARE", "drain", "worker_count"]

Job = TypeVar("Job")


WAITING_SHARE = 2
"""Threads for each processor where work waits for the disk as much as it computes."""


class _Pool:
    """The executor, made when it is first needed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.mutex = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.inside = threading.local()

    def submit(self, work: Callable[[], None]) -> Future[None] | None:
        """Run `work` on a worker; None where no more work is taken (the interpreter is going down)."""
        with self.mutex:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(
                    WAITING_SHARE * worker_count(), thread_name_prefix="tenzarr", initializer=self._enter
                )
        try:
            return self.executor.submit(work)
        except RuntimeError:
            return None

    def _enter(self) -> None:
        self.inside.worker = True

    def is_worker(self) -> bool:
        return getattr(self.inside, "worker", False)


_pool = _Pool()
on_fork_in_child(_pool.reset)


def worker_count() -> int:
    """How many threads work at once: the processors this process may run on.

    >>> worker_count() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


class _Feed(Generic[Job]):
    """Hands out the jobs of one call in batches, to several threads, until one of them fails."""

    def __init__(self, jobs: Iterable[Job], batch: int) -> None:
        self.jobs = iter(jobs)
        self.batch = batch
        self.mutex = threading.Lock()
        self.error: BaseException | None = None

    def take(self) -> list[Job]:
        with self.mutex:
            return [] if self.error is not None else list(islice(self.jobs, self.batch))

    def fail(self, error: BaseException) -> None:
        with self.mutex:
            self.error = self.error or error


def drain(
    jobs: Iterable[Job],
    work: Callable[[list[Job]], None],
    *,
    batch: int,
    parallel: bool,
    waiting: bool = False,
) -> None:
    """Call `work` on every job, in lists of at most `batch`; in several threads if `parallel`.

    One thread for each processor works, the caller's among them; more where work is `waiting` for
    the disk much of the time.

    The first exception stops the handing out of jobs and is raised once every thread has
    stopped, so that nothing writes into the caller's memory after the call.

    Examples
    --------
    >>> done = []
    >>> drain(range(5), done.extend, batch=2, parallel=False)
    >>> done
    [0, 1, 2, 3, 4]
    >>> drain([1], lambda jobs: 1 // 0, batch=1, parallel=True)
    Traceback (most recent call last):
        ...
    ZeroDivisionError: integer division or modulo by zero
    """
    feed = _Feed(jobs, batch)

    def consume() -> None:
        try:
            while taken := feed.take():
                work(taken)
        except BaseException as error:
            feed.fail(error)

    futures: list[Future[None]] = []
    if parallel and not _pool.is_worker():
        for _ in range((WAITING_SHARE if waiting else 1) * worker_count() - 1):
            context = contextvars.copy_context()
            future = _pool.submit(lambda context=context: context.run(consume))
            if future is not None:
                futures.append(future)
    consume()
    for future in futures:
        if not future.cancel():
            _settle(future, feed)
    if feed.error is not None:
        raise feed.error


def _settle(future: Future[None], feed: _Feed[Any]) -> None:
    """Wait for `future` whatever happens: its thread writes into memory of the caller."""
    while True:
        try:
            future.result()
            return
        except KeyboardInterrupt as error:
            feed.fail(error)
