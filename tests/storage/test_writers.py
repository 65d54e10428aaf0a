"""Several writers and readers at once: threads, processes and handles lose nothing and see nothing half done."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import NodeExistsError, NodeNotFoundError, SelectionError

WAIT_SECONDS = 30.0
"""How long anything here may wait for anything; far more than it takes."""

FULL = os.environ.get("TENZARR_FULL") == "1"

LAYOUTS: dict[str, dict[str, Any]] = {
    "one chunk": {"chunks": (320,)},
    "one shard": {"chunks": (16,), "shards": (320,)},
}

GROWING: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (7, 5)},
    "shards": {"chunks": (3, 5), "shards": (9, 5)},
}


def guarded(work: Callable[..., None], number: int, barrier: Any, given: Any) -> None:
    """Run `work`; nobody waits at the barrier for one who failed."""
    try:
        work(number, barrier, *given)
    except BaseException:
        barrier.abort()
        raise


def quietly(work: Callable[..., None], number: int, barrier: Any, given: Any, errors: list[BaseException]) -> None:
    """`guarded` for threads, whose errors `together` raises."""
    try:
        guarded(work, number, barrier, given)
    except BaseException as error:
        errors.append(error)


def together(way: str, count: int, work: Callable[..., None], *given: Any) -> None:
    """Call ``work(number, barrier, *given)`` in `count` threads or processes at once, and see that all succeed."""
    if way == "threads":
        errors: list[BaseException] = []
        meeting = threading.Barrier(count, timeout=WAIT_SECONDS)
        threads = [
            threading.Thread(target=quietly, args=(work, number, meeting, given, errors), daemon=True)
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + WAIT_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for error in errors:
            # The others only missed the one who failed.
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        assert errors == []
        assert not any(thread.is_alive() for thread in threads)
        return
    context: Any = multiprocessing.get_context(way)
    barrier = context.Barrier(count, timeout=WAIT_SECONDS)
    processes = [
        context.Process(target=guarded, args=(work, number, barrier, given), daemon=True) for number in range(count)
    ]
    for process in processes:
        process.start()
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        # None is a process that hangs.
        assert [process.exitcode for process in processes] == [0] * count
    finally:
        for process in processes:
            process.kill()
            process.join(WAIT_SECONDS)


# Disjoint parts


def write_own_elements(number: int, barrier: Any, place: Any, rounds: int) -> None:
    """Every fourth of 320 elements, by another kind of selection in each round."""
    array = place if isinstance(place, tz.Array) else tz.open_array(place)
    mine = np.arange(number, 320, 4)
    for turn in range(rounds):
        barrier.wait()
        base = 1000 * (turn + 1)
        if turn % 3 == 0:
            for index in mine.tolist():
                array[index] = base + index
        elif turn % 3 == 1:
            for first in range(0, 320, 80):
                array[first + number : first + 80 : 4] = base + np.arange(first + number, first + 80, 4)
        else:
            for some in np.split(mine[::-1], 8):
                array.vindex[some] = base + some
        barrier.wait()
        lost = np.flatnonzero(array[...] != base + np.arange(320))
        assert not lost.size, (turn, lost)


@pytest.mark.parametrize("way", ["threads", "fork"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_disjoint_elements_are_not_lost(layout: str, way: str, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=320, dtype="int32", **LAYOUTS[layout])
    together(way, 4, write_own_elements, str(tmp_path / "a"), 9 if FULL else 3)
    assert tz.open_array(tmp_path / "a")[319] > 1000


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("store", ["memory", "disk"])
def test_disjoint_elements_by_one_handle(layout: str, store: str, tmp_path: Path) -> None:
    place = None if store == "memory" else tmp_path / "a"
    array = tz.create(place, shape=320, dtype="int32", compressor=None, **LAYOUTS[layout])
    together("threads", 4, write_own_elements, array, 3)
    assert array[319] == 3319


def write_own_words(number: int, barrier: Any, root: str) -> None:
    array = tz.open_array(root)
    for turn in range(3):
        barrier.wait()
        for first in range(0, 40, 20):
            array[first + number : first + 20 : 4] = [f"{turn}-{at}" for at in range(first + number, first + 20, 4)]
        barrier.wait()
        assert array[...].tolist() == [f"{turn}-{at}" for at in range(40)]


@pytest.mark.parametrize("way", ["threads", "fork"])
def test_disjoint_words_are_not_lost(way: str, tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=40, dtype=str, chunks=40)
    assert array.info.engine == "zarr"
    together(way, 4, write_own_words, str(tmp_path / "a"))
    assert array[39] == "2-39"


# Appends


def append_rows(number: int, barrier: Any, root: str, times: int) -> None:
    array = tz.open_array(root)
    barrier.wait()
    length = 0
    for turn in range(times):
        row = 1000 * number + turn + 1
        shape = array.append(np.full((1, 5), row))
        assert shape[0] > length
        assert array[shape[0] - 1].tolist() == [row] * 5
        length = shape[0]


def check_rows(data: np.ndarray[Any, Any], times: int) -> None:
    """Each of four writers appended `times` rows, whole and in its order."""
    assert data.shape == (4 * times, 5)
    assert np.array_equal(data, np.repeat(data[:, :1], 5, axis=1))
    for number in range(4):
        mine = data[data[:, 0] // 1000 == number, 0]
        assert mine.tolist() == [1000 * number + turn + 1 for turn in range(times)]


@pytest.mark.parametrize("way", ["threads", "fork"])
@pytest.mark.parametrize("layout", GROWING)
def test_no_appended_row_is_lost(layout: str, way: str, tmp_path: Path) -> None:
    times = 100 if FULL else 25
    tz.create(tmp_path / "a", shape=(0, 5), dtype="int32", **GROWING[layout])
    together(way, 4, append_rows, str(tmp_path / "a"), times)
    check_rows(tz.open_array(tmp_path / "a")[...], times)


def write_and_append(number: int, barrier: Any, root: str, times: int) -> None:
    for layout in LAYOUTS:
        write_own_elements(number, barrier, f"{root}/{layout}", 3)
    for layout in GROWING:
        append_rows(number, barrier, f"{root}/{layout}", times)


def test_fresh_processes_lose_nothing(tmp_path: Path) -> None:
    times = 100 if FULL else 25
    for layout, options in LAYOUTS.items():
        tz.create(tmp_path / layout, shape=320, dtype="int32", **options)
    for layout, options in GROWING.items():
        tz.create(tmp_path / layout, shape=(0, 5), dtype="int32", **options)
    together("spawn", 4, write_and_append, str(tmp_path), times)
    for layout in LAYOUTS:
        assert tz.open_array(tmp_path / layout)[319] == 3319
    for layout in GROWING:
        check_rows(tz.open_array(tmp_path / layout)[...], times)


# A whole chunk against a part of it

ROUNDS = 60


def write_whole_or_row(number: int, barrier: Any, root: str, times: Any) -> None:
    """Number 3 writes the whole chunk in each round, the others one row each; when each began and ended is kept."""
    array = tz.open_array(root)
    rng = np.random.default_rng(number)
    whole = np.empty((16, 64), "int64")
    for turn in range(ROUNDS):
        value = 10 * (turn + 1) + number
        whole[...] = value
        barrier.wait()
        time.sleep(float(rng.uniform(0, 0.001)))
        # One clock for all processes.
        times[2 * number] = time.monotonic_ns()
        if number == 3:
            array[...] = whole
        else:
            array[5 * number] = value
        times[2 * number + 1] = time.monotonic_ns()
        barrier.wait()
        if number == 3:
            check_order(array[...], 10 * (turn + 1), times)
    barrier.wait()


def check_order(data: np.ndarray[Any, Any], base: int, times: Any) -> None:
    """Each row is what the last writer of it left; either, where the two overlapped in time."""
    nobody = np.delete(data, [0, 5, 10], axis=0)
    assert np.all(nobody == base + 3), "the write of the whole chunk was lost"
    whole_began, whole_ended = times[6], times[7]
    for number in range(3):
        began, ended = times[2 * number], times[2 * number + 1]
        row = np.unique(data[5 * number]).tolist()
        allowed = [[base + number], [base + 3]]
        if began > whole_ended:
            allowed = allowed[:1]
        elif ended < whole_began:
            allowed = allowed[1:]
        assert row in allowed, (number, row, allowed)


@pytest.mark.parametrize("way", ["threads", "fork"])
@pytest.mark.parametrize(
    "layout",
    [{}, {"compressor": None}, {"chunks": (1, 64), "shards": (16, 64)}],
    ids=["zstd", "uncompressed", "shard"],
)
def test_writes_of_whole_chunks_and_of_parts(layout: dict[str, Any], way: str, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=(16, 64), dtype="int64", **{"chunks": (16, 64), **layout})
    together(way, 4, write_whole_or_row, str(tmp_path / "a"), RawArray("q", 8))
    assert tz.open_array(tmp_path / "a")[1, 0] == 10 * ROUNDS + 3


# Readers

VERSIONS = 150


def write_versions(array: tz.Array) -> None:
    """All elements are the number of the version; each seventh version is not stored at all."""
    for version in range(1, VERSIONS + 1):
        array[...] = 0 if version % 7 == 0 else version
        time.sleep(0.0005)
    array[...] = VERSIONS + 1


def read_versions(array: tz.Array, kind: int) -> None:
    last = 0
    deadline = time.monotonic() + WAIT_SECONDS
    while last != VERSIONS + 1:
        assert time.monotonic() < deadline
        data = (array[...], array.read(), array[10:50, ::2])[kind % 3] if kind < 3 else array[...]
        found = np.unique(data).tolist()
        assert len(found) == 1, f"a mixture of versions {found}"
        # What was read once is not unread.
        assert found[0] == 0 or found[0] >= last
        last = found[0] or last


def write_or_read(number: int, barrier: Any, root: str) -> None:
    array = tz.open_array(root, "r+" if number == 0 else "r")
    barrier.wait()
    if number == 0:
        write_versions(array)
    else:
        read_versions(array, number - 1)


def take_part(number: int, barrier: Any, root: str) -> None:
    """One process writes, with three readers beside it as threads; the other one reads."""
    if number == 1:
        write_or_read(4, barrier, root)
        return
    barrier.wait()
    together("threads", 4, write_or_read, root)


@pytest.mark.parametrize(
    "options",
    [
        {"compressor": None},
        {"compressor": None, "checksum": False},
        {"compressor": "zstd"},
        {"chunks": (16, 64), "shards": (64, 64), "compressor": None},
    ],
    ids=["crc32c", "unchecked", "zstd", "shard"],
)
def test_readers_see_a_chunk_old_or_new(options: dict[str, Any], tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=(64, 64), dtype="float64", **{"chunks": (64, 64), **options})
    together("fork", 2, take_part, str(tmp_path / "a"))
    assert np.all(array[...] == VERSIONS + 1)


# Attributes


def change_attributes(number: int, barrier: Any, root: str) -> None:
    node = tz.open(root)
    barrier.wait()
    for turn in range(20):
        node.attrs[f"{number}-{turn}"] = {"value": [number, turn]}
        node.attrs.update(last=number, passing=turn)
        if turn % 2:
            del node.attrs[f"{number}-{turn - 1}"]


@pytest.mark.parametrize("kind", ["array", "group"])
@pytest.mark.parametrize("way", ["threads", "fork"])
def test_every_attribute_survives(kind: str, way: str, tmp_path: Path) -> None:
    if kind == "array":
        tz.create(tmp_path / "a", shape=3, dtype="int8", attributes={"before": 1})
    else:
        tz.open_group(tmp_path / "a", mode="a").attrs["before"] = 1
    together(way, 4, change_attributes, str(tmp_path / "a"))
    found = dict(tz.open(tmp_path / "a", "r").attrs)
    assert found.pop("last") in range(4)
    assert found.pop("passing") == 19
    kept = {f"{number}-{turn}": {"value": [number, turn]} for number in range(4) for turn in range(1, 20, 2)}
    assert found == {"before": 1, **kept}


def append_or_change_attributes(number: int, barrier: Any, root: str) -> None:
    if number % 2:
        change_attributes(number, barrier, root)
    else:
        append_rows(number, barrier, root, 20)


def test_attributes_and_appends_share_a_document(tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=(0, 5), dtype="int32", chunks=(7, 5))
    together("fork", 4, append_or_change_attributes, str(tmp_path / "a"))
    array = tz.open_array(tmp_path / "a")
    assert sorted(array[:, 4].tolist()) == [1000 * number + turn + 1 for number in (0, 2) for turn in range(20)]
    assert len(array.attrs) == 2 * 10 + 2


# Creating

PLACES = 40


def create_everywhere(number: int, barrier: Any, root: str, how: str, wins: Any) -> None:
    for place in range(PLACES):
        path = f"{root}/{place}"
        value = np.full(4 + number, number + 1)
        barrier.wait()
        try:
            if how == "create":
                tz.create(path, shape=value.shape, dtype="int16", chunks=2)[...] = value
            elif how == "below a group":
                tz.create(root, path=f"{place}/a/b", shape=value.shape, dtype="int16", chunks=2)[...] = value
            else:
                tz.save(path, value.astype("int16"), chunks=2)
        except NodeExistsError:
            continue
        wins[place * 4 + number] = 1


@pytest.mark.parametrize("how", ["create", "below a group", "save"])
@pytest.mark.parametrize("way", ["threads", "fork"])
def test_one_of_four_creates(how: str, way: str, tmp_path: Path) -> None:
    wins = RawArray("b", 4 * PLACES)
    together(way, 4, create_everywhere, str(tmp_path), how, wins)
    for place in range(PLACES):
        winners = [number for number in range(4) if wins[place * 4 + number]]
        assert len(winners) == 1, (place, winners)
        inside = "a/b" if how == "below a group" else ""
        array = tz.open_array(tmp_path / str(place) / inside)
        assert array[...].tolist() == [winners[0] + 1] * (4 + winners[0])
    assert not [path for path in tmp_path.rglob("*") if ".tenzarr-stage" in path.name]


# Two handles


def test_a_handle_follows_another_when_it_writes_or_refreshes(tmp_path: Path) -> None:
    one = tz.create(tmp_path / "a", shape=(20, 4), dtype="int32", chunks=(8, 4), fill_value=7)
    two = tz.open_array(tmp_path / "a")
    one[...] = 1
    one.append(np.full((10, 4), 2))
    assert two.shape == (20, 4)
    assert np.all(two[...] == 1)
    two.refresh()
    assert two.shape == (30, 4)
    assert np.all(two[20:] == 2)

    one.resize((10, 4))
    with pytest.raises(SelectionError, match="axis 0 has been cut to length 10 by another writer"):
        two[15] = 3
    two[9] = 4
    assert two.append(np.full((1, 4), 5)) == (11, 4)
    one.resize((20, 4))
    assert one[:, 0].tolist() == [1] * 9 + [4, 5] + [7] * 9


def test_a_handle_refuses_what_took_its_arrays_place(tmp_path: Path) -> None:
    old = tz.create(tmp_path / "a", shape=8, dtype="int32", chunks=4)
    new = tz.create(tmp_path / "a", shape=8, dtype="int32", chunks=2, overwrite=True)
    with pytest.raises(NodeNotFoundError, match="was replaced by another one; open it again"):
        old[0] = 3
    assert new[...].tolist() == [0] * 8


def resize_or_write(number: int, barrier: Any, root: str) -> None:
    """One cuts and lengthens what lies beyond row 20; the other writes and reads below it, in shared chunks."""
    array = tz.open_array(root)
    barrier.wait()
    for turn in range(40):
        if number == 0:
            array.append(np.full((9, 4), turn))
            assert np.all(array[-9:] == turn)
            array.resize((20 + turn % 3, 4))
        else:
            array[3:20] = turn
            assert np.all(array[3:20] == turn)
            array.refresh()
            assert 20 <= array.shape[0] <= 31


@pytest.mark.parametrize("way", ["threads", "fork"])
@pytest.mark.parametrize("layout", [{"chunks": (8, 4)}, {"chunks": (4, 2), "shards": (8, 4)}], ids=["chunks", "shards"])
def test_one_resizes_and_the_other_writes(layout: dict[str, Any], way: str, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=(20, 4), dtype="int32", **layout)[...] = -1
    together(way, 2, resize_or_write, str(tmp_path / "a"))
    data = tz.open_array(tmp_path / "a")[...]
    assert data[:, 0].tolist() == [-1] * 3 + [39] * 17
