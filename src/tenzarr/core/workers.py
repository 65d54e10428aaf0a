"""One pool of threads for work that releases the GIL.

The calling thread always works too, so a pool of one fewer thread than there
are processors keeps them all busy, and a call from inside a worker (or while
the interpreter shuts down) simply does all the work itself. Workers run in a
copy of the caller's context variables. After a fork the child starts afresh.
"""

from __future__ import annotations

import _thread
import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Generic, TypeVar

from tenzarr.core.forks import on_fork_in_child

__all__ = ["WAITING_SHARE", "Pool", "drain", "worker_count"]

Job = TypeVar("Job")


WAITING_SHARE = 2
"""Threads for each processor where work waits for the disk as much as it computes."""


class Pool:
    """Threads that are started when they are first needed, and sleep when they are not.

    A queue and locks, each operation one call into C. An interrupt strikes between the steps of
    Python code, and would leave the conditions of a `concurrent.futures.ThreadPoolExecutor` locked
    for ever.

    Parameters
    ----------
    name : str
        Of the threads.
    limit : int, optional
        How many there are at most; by default `WAITING_SHARE` for each processor.
    """

    def __init__(self, name: str, limit: int | None = None) -> None:
        self.name = name
        self.limit = limit
        self.inside = threading.local()
        self.reset()

    def reset(self) -> None:
        """In a child: no thread is there."""
        self.mutex = threading.Lock()
        self.queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.started = 0
        self.idle = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work`, which raises nothing, in a thread; or never, where no thread can be started any more."""
        limit = WAITING_SHARE * worker_count() if self.limit is None else self.limit
        if self.idle <= self.queue.qsize() and self.started < limit:
            # The interpreter may be going down, or the system have no more threads: the caller does the work.
            with suppress(RuntimeError):
                _thread.start_new_thread(self._run, (self.queue, f"{self.name}-{self.started}"))
                self.started += 1
        if self.started:
            self.queue.put(work)

    def _run(self, queue: SimpleQueue[Callable[[], None]], name: str) -> None:
        self.inside.worker = True
        threading.current_thread().name = name
        while True:
            with self.mutex:
                self.idle += 1
            work = queue.get()
            with self.mutex:
                self.idle -= 1
            work()
            del work

    def is_worker(self) -> bool:
        """Whether the calling thread is one of the pool's."""
        return getattr(self.inside, "worker", False)


_pool = Pool("tenzarr")
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
        self.closed = False
        self.working = 0
        """Workers that may be at a job; the caller is not counted."""
        self.bell = threading.Lock()
        """Released by the last worker that leaves. A condition would do, were its `wait` safe from interrupts."""
        self.bell.acquire()

    def take(self) -> list[Job]:
        with self.mutex:
            return [] if self.error is not None else list(islice(self.jobs, self.batch))

    def enter(self) -> bool:
        """Count a worker; False if it comes too late."""
        with self.mutex:
            if self.closed:
                return False
            self.working += 1
            return True

    def leave(self) -> None:
        """Count a worker out."""
        with self.mutex:
            self.working -= 1
            if not self.working and self.bell.locked():
                self.bell.release()

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
    pool: Pool = _pool,
) -> None:
    """Call `work` on every job, in lists of at most `batch`; in several threads if `parallel`.

    One thread for each processor works, the caller's among them; more where work is `waiting` for
    the disk much of the time; the caller's and those of `pool` if that has a limit.

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

    def join() -> None:
        if feed.enter():
            try:
                consume()
            finally:
                feed.leave()

    try:
        if parallel and not pool.is_worker():
            share = WAITING_SHARE if waiting else 1
            for _ in range(share * worker_count() - 1 if pool.limit is None else pool.limit):
                context = contextvars.copy_context()
                pool.submit(lambda context=context: context.run(join))
        consume()
    finally:
        # Workers write into memory of the caller and under its locks: wait for them, whatever happens. Not a
        # function of its own, because an interrupt may strike where one begins.
        while True:
            try:
                with feed.mutex:
                    feed.closed = True
                while feed.working:
                    feed.bell.acquire()
                break
            except KeyboardInterrupt as error:
                feed.error = feed.error or error
    if feed.error is not None:
        try:
            raise feed.error
        finally:
            # Its traceback holds this frame: without the cycle, the caller's memory is free when the error is.
            feed.error = None
