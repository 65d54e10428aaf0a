"""A writer that is killed leaves every chunk, and every array that is replaced, old or new."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import tenzarr as tz
from tenzarr.storage.sources import LocalSource
from tenzarr.testing.stores import in_child
from tests.storage.harm.killing import deaths, run

OLD = np.arange(20 * 30, dtype="int32").reshape(20, 30) + 1000
NEW = -OLD[::-1].copy()
WIDE = np.arange(7 * 9, dtype="float64").reshape(7, 9)


def make(root: Path, **options: Any) -> None:
    options = {"chunks": (8, 10), "fill_value": 7, "attributes": {"a": 1}, **options}
    tz.create(root, shape=OLD.shape, dtype="int32", **options)[...] = OLD


def sharded(root: Path) -> None:
    make(root, chunks=(4, 5), shards=(8, 10))


def words(root: Path) -> None:
    text = OLD.astype(str).astype(np.dtypes.StringDType())
    tz.create(root, shape=OLD.shape, dtype=str, chunks=(8, 10))[...] = text


def nothing(root: Path) -> None:
    """There is no array."""


Found = tz.Array | None


@dataclass(frozen=True)
class Operation:
    """Something that is killed on its way."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], object]
    check: Callable[[Found, bool], None]
    """Given the array and whether the operation ended, refuse what must not be."""


def same(got: Any, expected: np.ndarray[Any, Any]) -> bool:
    got = np.asarray(got)
    return got.shape == expected.shape and bool(np.all(got == expected))


def by_chunk(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> Callable[[Found, bool], None]:
    """Each chunk is old or new, whole."""

    def check(array: Found, ended: bool) -> None:
        assert array is not None
        data = array[...]
        for row in range(0, 20, 8):
            for column in range(0, 30, 10):
                box = (slice(row, row + 8), slice(column, column + 10))
                assert same(data[box], after[box]) or (not ended and same(data[box], before[box])), box

    return check


def whole(*versions: np.ndarray[Any, Any] | None) -> Callable[[Found, bool], None]:
    """The array is one of the versions, the last one if the operation ended; None stands for no array."""

    def check(array: Found, ended: bool) -> None:
        allowed = versions[-1:] if ended else versions
        if array is None:
            assert None in allowed
        else:
            data = array[...]
            assert any(version is not None and same(data, version) for version in allowed)

    return check


def attributes(array: Found, ended: bool) -> None:
    assert array is not None
    assert dict(array.attrs) in ([{"a": 2, "b": [1, 2, 3]}] if ended else [{"a": 1}, {"a": 2, "b": [1, 2, 3]}])
    assert same(array[...], OLD)


def partly(old: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    changed = old.copy()
    changed[3:17, 5:28] = NEW[3:17, 5:28]
    return changed


OLD_TEXT = OLD.astype(str).astype(np.dtypes.StringDType())
NEW_TEXT = partly(OLD).astype(str).astype(np.dtypes.StringDType())


def grown(shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    result = np.full(shape, 7, "int32")
    rows, columns = min(shape[0], 20), min(shape[1], 30)
    result[:rows, :columns] = OLD[:rows, :columns]
    return result


def grown_text(shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    result = np.full(shape, "", np.dtypes.StringDType())
    result[:20, :30] = OLD_TEXT
    return result


def append_words(root: Path) -> None:
    if tz.open_array(root).shape[0] == 20:
        tz.open_array(root).append(NEW_TEXT[:9])


def assign(root: Path) -> None:
    tz.open_array(root)[...] = NEW


def assign_part(root: Path) -> None:
    tz.open_array(root)[3:17, 5:28] = NEW[3:17, 5:28]


def assign_durably(root: Path) -> None:
    tz.open_array(root, durable=True)[3:17, 5:28] = NEW[3:17, 5:28]


def assign_words(root: Path) -> None:
    tz.open_array(root)[3:17, 5:28] = NEW[3:17, 5:28].astype(str).astype(np.dtypes.StringDType())


def by_points(root: Path) -> None:
    rows, columns = np.meshgrid(np.arange(3, 17), np.arange(5, 28), indexing="ij")
    tz.open_array(root).vindex[rows, columns] = NEW[3:17, 5:28]


def append(root: Path) -> None:
    if tz.open_array(root).shape[0] == 20:
        tz.open_array(root).append(NEW[:9])


def resize(*shape: int) -> Callable[[Path], None]:
    return lambda root: tz.open_array(root).resize(shape)


def change_attributes(root: Path) -> None:
    tz.open_array(root).attrs.update(a=2, b=[1, 2, 3])


def create_over(root: Path) -> None:
    tz.create(root, shape=(7, 9), chunks=(3, 3), dtype="float64", overwrite=True)


def save_over(root: Path) -> None:
    tz.save(root, WIDE, chunks=(3, 3), overwrite=True)


def save_over_durably(root: Path) -> None:
    tz.save(root, WIDE, chunks=(3, 3), overwrite=True, durable=True)


def copy_over(root: Path) -> None:
    source = tz.save(None, WIDE, chunks=(4, 4))
    source.copy_to(root, chunks=(3, 3), zarr_format=2, overwrite=True)


OPERATIONS: dict[str, Operation] = {
    "assign": Operation(make, assign, by_chunk(OLD, NEW)),
    "assign a part": Operation(make, assign_part, by_chunk(OLD, partly(OLD))),
    "assign durably": Operation(make, assign_durably, by_chunk(OLD, partly(OLD))),
    "assign to shards": Operation(sharded, assign_part, by_chunk(OLD, partly(OLD))),
    "assign points": Operation(make, by_points, by_chunk(OLD, partly(OLD))),
    "assign words": Operation(words, assign_words, by_chunk(OLD_TEXT, NEW_TEXT)),
    "append": Operation(make, append, whole(OLD, np.concatenate([OLD, NEW[:9]]))),
    "append to shards": Operation(sharded, append, whole(OLD, np.concatenate([OLD, NEW[:9]]))),
    "append words": Operation(words, append_words, whole(OLD_TEXT, np.concatenate([OLD_TEXT, NEW_TEXT[:9]]))),
    "make words smaller": Operation(words, resize(11, 13), whole(OLD_TEXT, OLD_TEXT[:11, :13])),
    "make words larger": Operation(words, resize(29, 35), whole(OLD_TEXT, grown_text((29, 35)))),
    "make smaller": Operation(make, resize(11, 13), whole(OLD, OLD[:11, :13])),
    "make larger": Operation(make, resize(29, 35), whole(OLD, grown((29, 35)))),
    "make narrower and longer": Operation(make, resize(40, 13), whole(OLD, OLD[:20, :13], grown((40, 13)))),
    "change attributes": Operation(make, change_attributes, attributes),
    "create over": Operation(make, create_over, whole(OLD, np.zeros((7, 9)))),
    "save over": Operation(make, save_over, whole(OLD, WIDE)),
    "save over durably": Operation(sharded, save_over_durably, whole(OLD, WIDE)),
    "copy over": Operation(make, copy_over, whole(OLD, WIDE)),
    "create": Operation(nothing, create_over, whole(None, np.zeros((7, 9)))),
    "save": Operation(nothing, save_over, whole(None, WIDE)),
    "copy": Operation(nothing, copy_over, whole(None, WIDE)),
}


def found(root: Path) -> Found:
    try:
        return tz.open_array(root, "r")
    except FileNotFoundError:
        return None


def leftovers(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if ".tenzarr-" in path.name]


def look(root: Path, operation: Operation, ended: bool, *, ask_zarr: bool) -> None:
    array = found(root)
    operation.check(array, ended)
    if ask_zarr and array is not None:
        theirs = zarr.open_array(root, mode="r")
        assert same(theirs[...], array[...])
        assert dict(theirs.attrs) == dict(array.attrs)


IN_A_GROUP = ("assign a part", "copy over", "create", "save over")


@pytest.mark.parametrize(
    ("name", "place"), [*((name, "root") for name in OPERATIONS), *((name, "group") for name in IN_A_GROUP)]
)
def test_killed_at_every_call(name: str, place: str, tmp_path: Path) -> None:
    operation = OPERATIONS[name]
    base = tmp_path / "base"
    inside = "g/a" if place == "group" else "a"
    if place == "group":
        tz.open_group(base / "g", mode="a")
    base.mkdir(exist_ok=True)
    operation.prepare(base / inside)
    calls = run_in_copy(base, tmp_path / "counted", inside, operation, -1, "before")
    assert calls is not None
    look(tmp_path / "counted" / inside, operation, True, ask_zarr=True)
    assert not leftovers(tmp_path / "counted")
    died = 0
    for at, how in deaths(calls):
        folder = tmp_path / f"{at}-{how}"
        died += run_in_copy(base, folder, inside, operation, at, how) is None
        root = folder / inside
        look(root, operation, False, ask_zarr=how == "half" or at % 4 == 0)
        clean(folder, place)
        assert not leftovers(folder)
        look(root, operation, False, ask_zarr=False)
        operation.work(root)
        look(root, operation, True, ask_zarr=False)
        assert not leftovers(folder)
        shutil.rmtree(folder)
    # Threads may share out the calls otherwise than they did when they were counted.
    assert died > 0.8 * len(calls)


def run_in_copy(base: Path, folder: Path, inside: str, operation: Operation, at: int, how: str) -> list[str] | None:
    shutil.copytree(base, folder)
    return run(lambda: operation.work(folder / inside), at, how)


def clean(folder: Path, place: str) -> None:
    """What `tenzarr verify --clean` does."""
    source = LocalSource(folder / ("g" if place == "group" else "a"))
    listed = source.clean("", remove=False)
    assert source.clean("", remove=True) == listed
    assert source.clean("", remove=False) == []


def test_an_append_that_was_killed_leaves_nothing_that_comes_back(tmp_path: Path) -> None:
    base = tmp_path / "base"
    make(base / "a")
    calls = run_in_copy(base, tmp_path / "counted", "a", OPERATIONS["append"], -1, "before")
    assert calls is not None
    for at in range(len(calls)):
        folder = tmp_path / str(at)
        run_in_copy(base, folder, "a", OPERATIONS["append"], at, "before")
        array = tz.open_array(folder / "a")
        array.resize((40, 30))
        data = array[...]
        assert same(data[:20], OLD)
        assert same(data[20:], np.full((20, 30), 7)) or same(data[20:], np.concatenate([NEW[:9], np.full((11, 30), 7)]))
        shutil.rmtree(folder)


def test_kills_at_random(tmp_path: Path) -> None:
    root = tmp_path / "a"
    sharded(root)
    rng = np.random.default_rng(0)
    versions = [OLD + 7 * number for number in range(4)]

    def write_for_ever() -> None:
        array = tz.open_array(root)
        while True:
            for version in versions:
                array[...] = version
                array[3:17, 5:28] = version[3:17, 5:28]
                array.attrs["last"] = int(version[0, 0])

    kills = 0
    for _ in range(40):
        child = os.fork()
        if child == 0:
            write_for_ever()
        time.sleep(float(rng.uniform(0.005, 0.06)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        array = tz.open_array(root, "r")
        data = array[...]
        for row in range(0, 20, 8):
            for column in range(0, 30, 10):
                box = (slice(row, row + 8), slice(column, column + 10))
                # A shard that is written in part may have parts of two versions.
                parts = {tuple(np.unique(data[box] - OLD[box]))}
                assert all(set(part) <= {0, 7, 14, 21} and len(part) <= 2 for part in parts)
        assert same(zarr.open_array(root, mode="r")[...], data)
    assert kills == 40
    LocalSource(root).clean("", remove=True)
    assert not leftovers(tmp_path)
    tz.open_array(root)[...] = NEW
    assert same(tz.open_array(root)[...], NEW)


def test_a_group_that_is_deleted_is_there_or_gone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    group = tz.open_group(base / "g", mode="a")
    group.create_array("a/b", shape=4, dtype="int8", chunks=2)[...] = 1
    group.create_array("other", shape=4, dtype="int8")
    group.consolidate()

    def delete(folder: Path) -> None:
        root = tz.open_group(folder / "g")
        if "a" in root:
            del root["a"]

    folder = tmp_path / "counted"
    shutil.copytree(base, folder)
    calls = run(lambda: delete(folder), -1)
    assert calls is not None
    for at in range(len(calls)):
        folder = tmp_path / str(at)
        shutil.copytree(base, folder)
        run(lambda folder=folder: delete(folder), at)
        for mode in ("r+", "r"):
            root = tz.open_group(folder / "g", mode=mode)
            assert root["other"][...].tolist() == [0] * 4
            repr(root.tree())
        delete(folder)
        LocalSource(folder / "g").clean("", remove=True)
        assert not leftovers(folder)
        assert tz.open_group(folder / "g").keys() == ["other"]
        assert tz.open_group(folder / "g", mode="r").keys() == ["other"]
        shutil.rmtree(folder)


# Interrupts


def interrupted(root: Path, seconds: float) -> str:
    """Write in a child that gets SIGINT after `seconds`; what it found afterwards."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(60)
        try:
            os.write(writer, interruptible(root, seconds).encode())
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def interruptible(root: Path, seconds: float) -> str:
    array = tz.open_array(root)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    ended = 0
    for turn in range(12):
        try:
            # Again after a second: one that strikes in a finalizer is lost, as everywhere in Python.
            signal.setitimer(signal.ITIMER_REAL, seconds * (turn + 1), 1)
            while True:
                array.resize((20, 30))
                array[...] = NEW
                array[3:17, 5:28] = OLD[3:17, 5:28]
                array.attrs["turn"] = turn
                array.append(NEW[:2])
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
            ended += 1
        # No lock is held, and nothing lies about.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        array.resize((20, 30))
        array[...] = NEW
        array.attrs["turn"] = -1
        signal.alarm(0)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        if not same(array[...], NEW):
            return "the array is not what was written last"
        litter = leftovers(root.parent)
        if litter:
            return f"left {litter}"
    return f"fine after {ended}"


@pytest.mark.parametrize("prepare", [make, sharded])
def test_interrupts(prepare: Callable[[Path], None], tmp_path: Path) -> None:
    prepare(tmp_path / "a")
    for number in range(6):
        assert interrupted(tmp_path / "a", 0.0007 + 0.0011 * number) == "fine after 12"


def test_a_lock_that_an_interrupt_left_behind_is_free(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    lock = source.lock("a", 3, 5)
    lock.__enter__()
    # An interrupt may strike where `__exit__` begins: then nobody lets go.
    del lock
    began = time.monotonic()
    with source.lock("a", 4, 9):
        assert time.monotonic() - began < 5
        # And neither does the system hold what the lost one had.
        assert in_child(lambda: source.lock("a", 3, 4).__enter__()) == 0


def test_who_waits_for_a_lock_gets_its_turn(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    done = threading.Event()

    def hold_again_and_again() -> None:
        while not done.is_set():
            with source.lock("a", 0, 1):
                sum(range(1000))

    threads = [threading.Thread(target=hold_again_and_again) for _ in range(2)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    for _ in range(5):
        with source.lock("a", 0, 10):
            pass
    taken = time.monotonic() - began
    done.set()
    for thread in threads:
        thread.join()
    assert taken < 10
