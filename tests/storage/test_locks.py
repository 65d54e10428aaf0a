"""Locks of writers: threads, processes, forks, and lock files that vanish."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tenzarr.storage.sources import DOCUMENT, EVERYTHING, LocalSource
from tenzarr.storage.sources import locks as locks_module
from tenzarr.storage.sources.keys import LOCK_NAME
from tenzarr.storage.sources.locks import FileLock, RangeMutex, is_held
from tenzarr.testing.stores import in_child

_HOLD = """
import sys
from tenzarr.storage.sources import LocalSource

with LocalSource(sys.argv[1]).lock("a", 0, 5):
    print(flush=True)
    sys.stdin.read()
"""


def count(source: LocalSource, key: str, first: int, last: int, times: int) -> None:
    """Add `times` to the number at `key`, one by one."""
    for _ in range(times):
        with source.lock("a", first, last):
            number = int(source.get(key) or b"0")
            source.put(key, [str(number + 1).encode()])


def count_in_a_process(root: str, first: int, last: int, times: int) -> None:
    count(LocalSource(root), "a/n", first, last, times)


@pytest.fixture
def source(tmp_path: Path) -> LocalSource:
    source = LocalSource(tmp_path / "root")
    source.put("a/zarr.json", [b"{}"])
    return source


def is_free(source: LocalSource, first: int, last: int) -> bool:
    """Whether another process could take the lock."""
    lock = FileLock(f"{source.root}/a", first, last)
    return in_child(lambda: os._exit(0 if lock.attempt() else 4)) == 0


def test_four_threads_lose_nothing(source: LocalSource) -> None:
    threads = [threading.Thread(target=count, args=(source, "a/n", i % 2, i % 2 + 2, 50)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.get("a/n") == b"200"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_four_processes_lose_nothing(source: LocalSource, method: str) -> None:
    context = multiprocessing.get_context(method)
    # Overlapping ranges, and the document with everything.
    ranges = [(0, 2), (1, 3), (0, EVERYTHING), (1, DOCUMENT + 1)]
    work = [context.Process(target=count_in_a_process, args=(source.root, *ends, 40)) for ends in ranges]
    for process in work:
        process.start()
    for process in work:
        process.join(60)
    assert [process.exitcode for process in work] == [0] * 4
    assert source.get("a/n") == b"160"


def test_disjoint_units_are_free_to_other_processes(source: LocalSource) -> None:
    with source.lock("a", 5, 7):
        assert not is_free(source, 6, 9)
        assert not is_free(source, 0, EVERYTHING)
        assert is_free(source, 0, 5)
        assert is_free(source, 7, DOCUMENT)
        assert is_held(f"{source.root}/a")
    assert is_free(source, 0, EVERYTHING)
    assert not is_held(f"{source.root}/a")


def test_threads_share_a_description_and_free_only_their_own(source: LocalSource) -> None:
    with source.lock("a", 0, 5):
        with source.lock("a", 5, 10):
            pass
        assert is_free(source, 5, 10)
        assert not is_free(source, 4, 5)


def test_a_childs_exit_and_unlock_free_nothing_of_its_parent(source: LocalSource) -> None:
    with source.lock("a", 0, 5):
        assert in_child(lambda: None) == 0
        assert not is_free(source, 0, 5)

    lock = source.lock("a", 0, 5)
    with lock:
        # The child leaves the block as well, and takes other units of its own.
        assert in_child(lambda: lock.__exit__(None, None, None)) == 0
        assert in_child(lambda: source.lock("a", 5, 6).__enter__()) == 0
        assert not is_free(source, 0, 5)
    assert is_free(source, 0, EVERYTHING)


def test_a_childs_lock_dies_with_it(source: LocalSource) -> None:
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        with source.lock("a", 0, 5):
            os.write(done, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    assert not is_free(source, 0, 5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with source.lock("a", 0, 5):
        assert is_held(f"{source.root}/a")
    os.close(ready)
    os.close(done)


def test_a_hundred_forks_while_threads_lock(source: LocalSource) -> None:
    stop = threading.Event()

    def busy(number: int) -> None:
        while not stop.is_set():
            count(source, f"a/{number}", number, number + 1, 1)
            with source.lock("", DOCUMENT, DOCUMENT + 1):
                pass
            # Locks are not fair, and a child wants what all four threads hold.
            time.sleep(0.001)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            assert in_child(lambda: count(source, "a/child", 0, 5, 1)) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert source.get("a/child") == b"100"


@pytest.mark.parametrize("how", ["replace", "delete"])
def test_who_waits_notices_that_the_directory_was_replaced(source: LocalSource, how: str) -> None:
    order: list[str] = []

    def wait() -> None:
        with source.lock("a", 0, 1):
            order.append("waiter")
            source.put("a/c/0", [b"waiter"])

    with source.lock("a", 0, 1):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        order.append("holder")
        if how == "replace":
            with source.stage("a") as stage:
                stage.source.put("c/0", [b"stage"])
                stage.commit()
        else:
            source.delete_tree("a")
    thread.join(20)
    assert order == ["holder", "waiter"]
    assert source.get("a/c/0") == b"waiter"
    with source.lock("a", 0, 1):
        assert not is_free(source, 0, 1)


def test_two_processes_meet_at_the_new_file_after_a_replacement(source: LocalSource) -> None:
    context = multiprocessing.get_context("fork")
    work = [context.Process(target=count_in_a_process, args=(source.root, 0, 1, 60)) for _ in range(3)]
    for process in work:
        process.start()
    for _ in range(20):
        # Everything is held, so that no count falls between the copy and the exchange.
        with source.lock("a", 0, EVERYTHING), source.stage("a") as stage:
            stage.source.put("n", [source.get("a/n") or b"0"])
            stage.commit()
    for process in work:
        process.join(60)
    assert source.get("a/n") == b"180"


def test_a_lock_on_a_document_leaves_no_file(source: LocalSource) -> None:
    directory = Path(source.root)
    with source.lock("", DOCUMENT, DOCUMENT + 1):
        assert (directory / LOCK_NAME).exists()
        assert LOCK_NAME not in {entry.name for entry in source.list("")}
    assert not (directory / LOCK_NAME).exists()
    with source.lock("a", 0, 1), source.lock("a", DOCUMENT, DOCUMENT + 1):
        pass
    assert (directory / "a" / LOCK_NAME).exists()


def test_passing_files_exclude_as_well(source: LocalSource) -> None:
    context = multiprocessing.get_context("fork")
    ends = (DOCUMENT, DOCUMENT + 1)
    work = [context.Process(target=count_in_a_process, args=(source.root, *ends, 60)) for _ in range(4)]
    for process in work:
        process.start()
    threads = [threading.Thread(target=count, args=(source, "a/n", *ends, 60)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for waiting in (*work, *threads):
        waiting.join(60)
    assert source.get("a/n") == b"360"
    assert not (Path(source.root) / "a" / LOCK_NAME).exists()


def test_an_interrupt_while_waiting_takes_nothing(source: LocalSource) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _HOLD,
            source.root,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    # A shell starts its jobs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    with pytest.raises(KeyboardInterrupt, match=r"^$"), source.lock("a", 4, 6):
        raise AssertionError("the lock is held by another process")
    timer.join()
    signal.signal(signal.SIGINT, before)
    with source.lock("a", 5, 6):
        pass
    holder.communicate()
    with source.lock("a", 0, EVERYTHING):
        assert not is_free(source, 0, 1)


def test_idle_descriptors_are_bounded(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    held = [source.lock(f"h{number}", 0, 1) for number in range(10)]
    for lock in held:
        lock.__enter__()
    for number in range(200):
        with source.lock(f"n{number}", 0, 1):
            pass
    assert len(locks_module._files.files) <= 64
    for number in range(10):
        assert not FileLock(f"{tmp_path}/h{number}", 0, 1).attempt()
    for lock in held:
        lock.__exit__(None, None, None)
    assert FileLock(f"{tmp_path}/h3", 0, 1).attempt()


def test_ranges_of_a_mutex() -> None:
    mutex = RangeMutex()
    one, two = object(), object()
    assert mutex.acquire(one, 0, 10)
    assert not mutex.acquire(two, 9, 11, wait=False)
    assert mutex.acquire(two, 10, 11, wait=False)
    mutex.release(one)
    mutex.release(one)
    assert mutex.acquire(one, 0, 10, wait=False)


def test_a_lock_makes_the_directory(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "deep" / "root")
    with source.lock("x/y", 0, 1):
        assert (tmp_path / "deep" / "root" / "x" / "y" / LOCK_NAME).exists()
