"""Forks after use, in the middle of use, and handles that travel to other processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.storage import handle

WAIT_SECONDS = 20
"""How long anything here may wait for anything; far more than it takes."""

FULL = os.environ.get("TENZARR_FULL") == "1"

VALUES = np.arange(6 * 32 * 8, dtype="int32").reshape(6 * 32, 8)


def fork(work: Callable[[], object]) -> int:
    """Start `work` in a child that leaves without ado, and that an alarm ends if it hangs; its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(WAIT_SECONDS)
            work()
            status = 0
        except BaseException as error:
            os.write(2, f"in a child: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    return child


def has_ended(child: int, seconds: float) -> int | None:
    """The exit code of `child`, once it has ended, within `seconds`; None if it has not."""
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.001)


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a child; 0 if it succeeds, -14 if it hangs."""
    child = fork(work)
    code = has_ended(child, WAIT_SECONDS + 5)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -signal.SIGKILL
    return code


@contextmanager
def busy(*works: Callable[[], object]) -> Iterator[None]:
    """Repeat each of `works` in a thread of its own; at the end, see that none failed or hangs."""
    stop = threading.Event()
    errors: list[BaseException] = []
    turns = [0] * len(works)

    def repeat(number: int, work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
                turns[number] += 1
                # A lock is not fair, and the child may wait for all of its holders.
                time.sleep(0.0005)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=item, daemon=True) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)
    assert min(turns) > 10


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads take turns after every few steps, so that a fork meets them in the middle of anything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


LAYOUTS: dict[str, dict[str, Any]] = {
    "zstd": {"chunks": (32, 8)},
    "blosc": {"chunks": (32, 8), "compressor": {"id": "blosc", "cname": "lz4"}},
    "plain": {"chunks": (32, 8), "compressor": None, "checksum": False},
    "durable": {"chunks": (32, 8), "durable": True},
    "shards": {"chunks": (4, 4), "shards": (32, 8)},
}


def use(array: tz.Array, number: int) -> Callable[[], None]:
    """Write chunk `number` and read it, whole and in part."""
    box = slice(32 * number, 32 * number + 32)
    turn = 0

    def once() -> None:
        nonlocal turn
        turn += 1
        array[box] = VALUES[box] + turn
        array[32 * number + 5, 3] = -turn
        data = array[box]
        assert data[5, 3] == -turn
        assert data[6, 0] == VALUES[32 * number + 6, 0] + turn
        assert np.array_equal(array[32 * number + 8 : 32 * number + 12], data[8:12])
        assert array.shape[1] == 8
        # Chunks of the others, and many at once.
        assert array[...].shape[0] >= len(VALUES)

    return once


@pytest.mark.parametrize(
    ("layout", "place", "forks"),
    [
        ("zstd", "disk", 100),
        ("shards", "disk", 100),
        ("blosc", "disk", 30),
        ("plain", "disk", 30),
        ("durable", "disk", 30),
        ("zstd", "memory", 30),
        ("shards", "memory", 30),
    ],
)
@pytest.mark.usefixtures("eager_switches")
def test_forks_while_threads_read_and_write(layout: str, place: str, forks: int, tmp_path: Path) -> None:
    store = tmp_path / "a" if place == "disk" else None
    array = tz.create(store, shape=VALUES.shape, dtype="int32", **LAYOUTS[layout])
    array[...] = VALUES

    def child() -> None:
        assert np.array_equal(array[5 * 32 :], VALUES[5 * 32 :])
        use(array, 4)()
        if place == "disk":
            assert np.array_equal(tz.open_array(store)[5 * 32 :], VALUES[5 * 32 :])

    with busy(*(use(array, number) for number in range(4))):
        assert {in_child(child) for _ in range(100 if FULL else forks)} == {0}
    assert np.array_equal(array[5 * 32 :], VALUES[5 * 32 :])


@pytest.mark.usefixtures("eager_switches")
def test_a_hundred_forks_while_the_document_changes(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=VALUES.shape, dtype="int32", chunks=(32, 8), attributes={"a": 0})
    array[...] = VALUES
    other = tz.open_array(tmp_path / "a")

    def change() -> None:
        other.attrs["a"] = int(other.attrs["a"]) + 1

    def grow_and_cut() -> None:
        other.append(VALUES[:3])
        other.resize(VALUES.shape)

    def child() -> None:
        array.refresh()
        assert len(array) >= len(VALUES)
        use(array, 4)()
        assert array.attrs["a"] >= 0

    with busy(change, grow_and_cut, array.refresh, use(array, 0)):
        assert {in_child(child) for _ in range(100)} == {0}
    # What this handle read last may be the longer shape in between.
    array.refresh()
    assert np.array_equal(array[5 * 32 :], VALUES[5 * 32 :])


def test_a_fork_while_a_handle_takes_up_a_new_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = tz.create(tmp_path / "a", shape=(4, 4), dtype="int8", chunks=(2, 2))
    array[...] = 1
    tz.open_array(tmp_path / "a").resize((4, 6))
    inside, forked = threading.Event(), threading.Event()
    parent = os.getpid()
    choose = handle.choose_engine

    def slowly(*given: Any) -> Any:
        if os.getpid() == parent:
            inside.set()
            assert forked.wait(WAIT_SECONDS + 10)
        return choose(*given)

    monkeypatch.setattr(handle, "choose_engine", slowly)
    thread = threading.Thread(target=array.refresh, daemon=True)
    thread.start()
    assert inside.wait(WAIT_SECONDS)

    def child() -> None:
        array.refresh()
        array[3, 5] = 2
        assert array[3].tolist() == [1, 1, 1, 1, 0, 2]

    try:
        assert in_child(child) == 0
    finally:
        forked.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert array.shape == (4, 6)


def test_a_fork_while_the_index_of_a_shard_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # In memory, because the index of a file is kept only once the file is some time old.
    array = tz.create(None, shape=8, dtype="int32", chunks=2, shards=8)
    array[...] = range(8)
    indexes: Any = array.engine
    indexes = indexes.access.indexes
    inside, forked = threading.Event(), threading.Event()
    parent = os.getpid()
    held = indexes.held

    class Slow(type(held)):  # type: ignore[misc]
        def __setitem__(self, key: Any, value: Any) -> None:
            if os.getpid() == parent:
                inside.set()
                assert forked.wait(WAIT_SECONDS + 10)
            super().__setitem__(key, value)

    monkeypatch.setattr(indexes, "held", Slow())
    thread = threading.Thread(target=lambda: array[2:4], daemon=True)
    thread.start()
    assert inside.wait(WAIT_SECONDS)

    def child() -> None:
        assert array[4:6].tolist() == [4, 5]

    try:
        assert in_child(child) == 0
    finally:
        forked.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert array[5] == 5


def test_forks_after_zarr_was_used(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=12, dtype=str, chunks=4)
    array[...] = [str(number) for number in range(12)]
    assert array.info.engine == "zarr"

    def child() -> None:
        assert array[3:5].tolist() == ["3", "4"]
        array[8] = "child"
        assert array[8] == "child"

    for _ in range(5):
        assert in_child(child) == 0
        assert array[8] == "child"
        array[8] = "8"
    assert array[...].tolist() == [str(number) for number in range(12)]


# Locks


def write_and_say_when(root: str, about: Any) -> None:
    array = tz.open_array(root)
    about.set()
    array[0] = 9


@pytest.mark.parametrize("layout", [{"chunks": 4}, {"chunks": 2, "shards": 4}], ids=["chunks", "shards"])
def test_a_childs_exit_frees_no_lock_of_its_parent(layout: dict[str, Any], tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=12, dtype="int32", fill_value=5, **layout)
    held, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with array.source.lock(array.path, 0, 1):
            held.set()
            assert enough.wait(2 * WAIT_SECONDS)

    def child() -> None:
        again = tz.open_array(tmp_path / "a")
        assert array[0] == again[0] == 5
        # Another chunk of the same lock file, locked and freed.
        array[4] = 6
        again[8] = 7
        array.attrs["child"] = True

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert held.wait(WAIT_SECONDS)
    context = multiprocessing.get_context("spawn")
    about = context.Event()
    third = context.Process(target=write_and_say_when, args=(str(tmp_path / "a"), about), daemon=True)
    try:
        assert [in_child(child) for _ in range(3)] == [0] * 3
        third.start()
        assert about.wait(WAIT_SECONDS)
        assert in_child(child) == 0
        third.join(0.5)
        assert third.is_alive()
        assert array[...].tolist() == [5] * 4 + [6] + [5] * 3 + [7] + [5] * 3
        enough.set()
        third.join(WAIT_SECONDS)
        assert third.exitcode == 0
    finally:
        enough.set()
        holder.join(WAIT_SECONDS)
        if third.pid is not None:
            third.kill()
            third.join(WAIT_SECONDS)
    assert array[0] == 9


# Pools, loaders and pickles


def add_up(given: tuple[tz.Array, int]) -> int:
    array, row = given
    array[row, 0] = -row
    return int(array[row, 1:].sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("layout", ["zstd", "shards"])
def test_a_pool_of_processes(layout: str, method: str, tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=VALUES.shape, dtype="int32", **LAYOUTS[layout])
    array[...] = VALUES
    assert np.array_equal(array[...], VALUES)
    rows = range(0, len(VALUES), 3)
    with multiprocessing.get_context(method).Pool(2) as pool:
        sums = pool.map_async(add_up, [(array, row) for row in rows], chunksize=4).get(2 * WAIT_SECONDS)
    assert sums == VALUES[::3, 1:].sum(axis=1).tolist()
    assert array[::3, 0].tolist() == [-row for row in rows]


shared: list[tz.Array] = []


def add_up_inherited(row: int) -> int:
    return int(shared[0][row].sum())


def test_a_pool_that_inherits_the_handle(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=VALUES.shape, dtype="int32", chunks=(32, 8))
    array[...] = VALUES
    shared[:] = [array]
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            sums = pool.map_async(add_up_inherited, range(len(VALUES))).get(WAIT_SECONDS)
    finally:
        shared.clear()
    assert sums == VALUES.sum(axis=1).tolist()


class Rows:
    """A dataset as PyTorch wants it."""

    def __init__(self, array: tz.Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, number: int) -> np.ndarray[Any, Any]:
        return self.array[number]


@pytest.mark.parametrize("layout", ["zstd", "shards"])
def test_a_data_loader_with_workers(layout: str, tmp_path: Path) -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    array = tz.create(tmp_path / "a", shape=VALUES.shape, dtype="int32", **LAYOUTS[layout])
    array[...] = VALUES
    rows: Any = Rows(array)
    for _ in range(2):
        assert np.array_equal(array[...], VALUES)
        loader = data.DataLoader(
            rows, batch_size=32, num_workers=2, multiprocessing_context="fork", timeout=WAIT_SECONDS
        )
        batches = [batch.numpy() for batch in loader]
        assert np.array_equal(np.concatenate(batches), VALUES)


def describe(array: tz.Array, group: tz.Group) -> list[Any]:
    return [array.shape, array.read_only, array[3:5, 0].tolist(), group["a"].attrs["kind"], group.read_only]


def test_handles_travel_to_a_fresh_process(tmp_path: Path) -> None:
    group = tz.open_group(tmp_path / "g", mode="a")
    group.create_array("a", shape=VALUES.shape, dtype="int32", chunks=(32, 8), attributes={"kind": "rows"})[...] = (
        VALUES
    )
    array = tz.open_array(tmp_path / "g" / "a", "r")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(describe, (array, group)).get(2 * WAIT_SECONDS)
    assert found == [VALUES.shape, True, VALUES[3:5, 0].tolist(), "rows", False]
    assert len(pickle.dumps(array)) < 1000
