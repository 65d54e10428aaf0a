"""A hostile store, a hostile system: names, links, full disks, failing disks, missing permissions."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import (
    ClosedStoreError,
    ConfinementError,
    CorruptChunkError,
    NodeNotFoundError,
    ReadOnlyError,
    StoreError,
)
from tenzarr.storage.sources import files, local, trees
from tests.storage.harm.killing import CALLS, OPEN_AND_WRITE
from tests.storage.harm.layouts import BY_NAME, Layout, ways
from tests.storage.harm.witness import NAMES
from tests.storage.test_crash import NEW, OLD, OPERATIONS, found, leftovers, look, make, same, sharded

ROOT = Path(__file__).parents[2]


def everything_below(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# Names


def test_no_name_leaves_the_store_and_no_pickle_is_loaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.harm.witness", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert len(NAMES) >= 40
    assert report["control"] == 1
    assert report["seen"] > 100
    assert (report["outside"], report["made"], report["leaked"], report["odd"]) == ([], [], 0, [])
    # Only the question whether there is such a node has an answer: no.
    assert set(report["answered"]) == {f"contains({name!r}) gave False" for name in NAMES}
    assert report["refused"] == len(NAMES) * (report["calls"] - 1)
    assert (report["unpickled"], report["pwned"], report["precious"]) == ([], False, 66)
    assert set(report["pickles"]) == {"MetadataError"}


# Links


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    """An array whose rows of chunks lie on other disks: a folder and a file outside, and a folder inside."""
    root = tmp_path / "store" / "a"
    layout = Layout("", {})
    data = layout.data()
    layout.create(root, data)
    outside = tmp_path / "disk"
    outside.mkdir()
    shutil.move(root / "c/0", outside / "rows")
    (root / "c/0").symlink_to(outside / "rows")
    shutil.move(root / "c/1/1", outside / "chunk")
    (root / "c/1/1").symlink_to(outside / "chunk")
    shutil.move(root / "c/2", root / "kept")
    (root / "c/2").symlink_to("../kept")
    return root, data


def test_links_are_followed_by_readers_and_not_by_writers(linked: Any, tmp_path: Path) -> None:
    root, data = linked
    array = tz.open_array(root)
    np.testing.assert_array_equal(array[...], data)
    for index in ((0, 0), (1, 1), (2, 2)):
        for way in ways(array, index):
            np.testing.assert_array_equal(way.read(array), way.expected(data))
    outside = everything_below(tmp_path / "disk")
    for write in (
        lambda: array.__setitem__((0, 0), 7),
        lambda: array.__setitem__((slice(0, 8), slice(0, 10)), data[:8, :10] + 1),
        lambda: array.vindex.__setitem__(([0], [0]), 7),
        lambda: array.resize((5, 5)),
    ):
        with pytest.raises(ConfinementError, match="symbolic link"):
            write()
        assert everything_below(tmp_path / "disk") == outside
    array = tz.open_array(root)
    if array.shape != data.shape:
        # The document says the smaller shape before anything is removed.
        assert array.shape == (5, 5)
        np.testing.assert_array_equal(array[...], data[:5, :5])


def test_a_chunk_that_is_a_link_is_replaced_and_not_written_through(linked: Any, tmp_path: Path) -> None:
    root, data = linked
    outside = everything_below(tmp_path / "disk")
    array = tz.open_array(root)
    array[8, 10] = 7
    array[20:, :] = data[20:, :] + 1
    expected = data.copy()
    expected[8, 10] = 7
    expected[20:] += 1
    np.testing.assert_array_equal(array[...], expected)
    assert everything_below(tmp_path / "disk") == outside
    assert not (root / "c/1/1").is_symlink()
    assert (root / "c/2").is_symlink()


def test_links_are_refused_where_they_are_not_trusted(linked: Any, tmp_path: Path) -> None:
    root, data = linked
    array = tz.open_array(root, follow_symlinks=False)
    np.testing.assert_array_equal(array[8:16, 20:], data[8:16, 20:])
    for selection in ((0, 0), (8, 10), (20, 0), ...):
        with pytest.raises(ConfinementError, match="symbolic link"):
            array[selection]
    with pytest.raises(ConfinementError, match="symbolic link"):
        array[0, 0] = 1
    (tmp_path / "link").symlink_to(root.parent)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").symlink_to(root)
    # The root itself may be a link of the user's own.
    assert tz.open_array(tmp_path / "link", path="a", follow_symlinks=False).shape == data.shape
    with pytest.raises(ConfinementError, match="symbolic link"):
        tz.open_array(tmp_path / "real", path="a", follow_symlinks=False)
    np.testing.assert_array_equal(tz.open_array(tmp_path / "real", path="a")[...], data)
    with pytest.raises(ConfinementError, match="symbolic link"):
        tz.open_array(tmp_path / "real", path="a")[8, 20] = 1


def test_words_in_a_linked_folder_stay_where_they_are(tmp_path: Path) -> None:
    # zarr-python moves the chunks of strings; its own store would write through the link.
    BY_NAME["strings"].create(tmp_path / "a")
    data = tz.open_array(tmp_path / "a")[...]
    shutil.move(tmp_path / "a/c/0", tmp_path / "rows")
    (tmp_path / "a/c/0").symlink_to(tmp_path / "rows")
    array = tz.open_array(tmp_path / "a")
    outside = everything_below(tmp_path / "rows")
    assert np.array_equal(array[...], data)
    for selection in ((0, 0), (slice(0, 8), slice(0, 10))):
        with pytest.raises(ConfinementError, match="symbolic link"):
            array[selection] = "other"
    assert everything_below(tmp_path / "rows") == outside


# Disks that are full or fail


class Failing:
    """Counts calls that change something, and lets one of them fail."""

    def __init__(self, number: int, at: int) -> None:
        self.number = number
        self.at = at
        self.seen = 0

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            if real.__name__ == "open" and not arguments[1] & OPEN_AND_WRITE:
                return real(*arguments, **named)
            self.seen += 1
            if self.seen - 1 == self.at:
                raise OSError(self.number, os.strerror(self.number))
            return real(*arguments, **named)

        return counted

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in set(CALLS) - {"unlink", "remove", "rmdir"}:
            patch.setattr(os, name, self.wrap(getattr(os, name)))
        patch.setattr(local, "_open", self.wrap(local._open))
        patch.setattr(trees, "exchange", self.wrap(trees.exchange))


SOME = ("assign a part", "assign durably", "assign to shards", "append", "make narrower and longer", "copy over")
SOME += ("change attributes", "save over", "save over durably", "save", "create", "assign words")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", SOME)
def test_a_failure_at_every_call(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = OPERATIONS[name]
    base = tmp_path / "base"
    base.mkdir()
    operation.prepare(base / "a")
    failures = at = 0
    while True:
        folder = tmp_path / str(at)
        shutil.copytree(base, folder)
        failing = Failing(number, at)
        with monkeypatch.context() as patch:
            failing.install(patch)
            try:
                operation.work(folder / "a")
            except StoreError as error:
                failures += 1
                advice = "full disk" if number == errno.ENOSPC else "input or output error"
                assert advice in str(error), error  # noqa: PT017
            except CorruptChunkError as error:
                pytest.fail(f"call {at}: {error}")
        look(folder / "a", operation, False, ask_zarr=False)
        assert not leftovers(folder), f"call {at}"
        operation.work(folder / "a")
        look(folder / "a", operation, True, ask_zarr=False)
        shutil.rmtree(folder)
        if failing.seen <= at:
            break
        at += 1
    assert failures >= at // 2 > 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = Path(tempfile.mkdtemp())
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False)
    if not done or done.returncode:
        place.rmdir()
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    # Lazily, because a process keeps its lock files open.
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


@pytest.mark.parametrize("shards", [None, (64, 256)])
@pytest.mark.parametrize("durable", [False, True])
def test_a_full_disk(small_disk: Path, durable: bool, shards: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 2**31, (1280, 256), dtype="int32")
    options: dict[str, Any] = {"chunks": (16, 256), "shards": shards, "dtype": "int32"}
    array = tz.create(small_disk / "a", shape=noise.shape, durable=durable, **options)
    array[:256] = noise[:256]
    for write in (
        lambda: array.__setitem__(slice(None), noise + 1),
        lambda: array.append(noise),
        lambda: tz.save(small_disk / "b", noise, durable=durable, chunks=(16, 256)),
        lambda: tz.save(small_disk / "a", noise, durable=durable, chunks=(16, 256), overwrite=True),
        lambda: array.copy_to(small_disk / "b", chunks=(256, 256), durable=durable),
    ):
        before = array[:256]
        with pytest.raises(StoreError, match="full disk: the old value is intact") as caught:
            write()
        assert caught.value.errno == errno.ENOSPC
        after = tz.open_array(small_disk / "a")[...]
        for row in range(0, 256, 16):
            chunk = after[row : row + 16]
            assert same(chunk, before[row : row + 16]) or same(chunk, noise[row : row + 16] + 1)
        assert not leftovers(small_disk)
        assert sorted(os.listdir(small_disk)) == ["a"]
    array.resize((16, 256))
    array[...] = 1
    assert int(tz.open_array(small_disk / "a")[...].sum()) == 16 * 256


READS = ("default zstd", "uncompressed", "uncompressed, read in pieces", "whole rows", "whole rows, uncompressed")
READS += ("sharded", "index at the start", "shards compressed as a whole", "no axis", "strings")


@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_says_so(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = BY_NAME[name].create(tmp_path / "a")
    array = tz.open_array(tmp_path / "a")
    index = tuple(0 for _ in array.shape)

    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, "the disk is broken")

    for way in ways(array, index):
        with monkeypatch.context() as patch:
            for module, function in ((local, "_preadv"), (files, "_preadv"), (os, "read"), (os, "preadv")):
                patch.setattr(module, function, fail)
            with pytest.raises(StoreError, match=r"cannot read 'c.*input or output error") as caught:
                way.read(array)
        assert caught.value.errno == errno.EIO


# Permissions, in a child without those of the superuser


def without_privileges(work: Callable[[], str]) -> str:
    """What `work` says in a child that is nobody in particular."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, work().encode())
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def said(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreError as error:
        return f"StoreError {error.errno} {error.filename}: {error}"
    except tz.TenzarrError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others may read and not change."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    for folder in place.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.parametrize("prepare", [make, sharded])
def test_what_may_not_be_read_is_an_error_and_not_a_gap(public: Path, prepare: Callable[[Path], None]) -> None:
    prepare(public / "a")
    (public / "a/c/1/1").chmod(0)
    (public / "a/c/2").chmod(0)
    for selection, key in (((8, 10), "c/1/1"), ((17, 0), "c/2/0"), (..., "c/")):

        def read(selection: Any = selection) -> str:
            return said(lambda: tz.open_array(public / "a", "r")[selection])

        text = without_privileges(read)
        assert text.startswith(f"StoreError {errno.EACCES} {key}"), text
        assert "permission denied" in text
    (public / "a/zarr.json").chmod(0)
    assert "permission denied" in without_privileges(lambda: said(lambda: tz.open(public / "a")))
    (public / "a").chmod(0)
    assert "permission denied" in without_privileges(lambda: said(lambda: tz.open(public / "a")))


def test_a_directory_that_may_not_be_changed(public: Path) -> None:
    make(public / "a")
    before = everything_below(public)

    def change() -> str:
        array = tz.open_array(public / "a")
        outcomes = [str(same(array[...], OLD)), str(len(repr(array)) > 10), str(array.nbytes_stored > 100)]
        writes = (
            lambda: array.__setitem__((0, 0), 1),
            lambda: array.__setitem__(..., NEW),
            lambda: array.append(NEW),
            lambda: array.resize((5, 5)),
            lambda: array.attrs.update(a=3),
            lambda: tz.create(public / "a", shape=3, dtype="int8", overwrite=True),
            lambda: tz.save(public / "a", NEW, overwrite=True),
            lambda: tz.create(public / "b", shape=3, dtype="int8"),
            lambda: tz.open_group(public / "g", mode="a"),
        )
        outcomes.extend(said(write).partition(":")[0].rpartition(" ")[0] for write in writes)
        return ",".join(outcomes)

    denied = f"StoreError {errno.EACCES}"
    assert without_privileges(change) == ",".join(["True"] * 3 + [denied] * 9)
    assert everything_below(public) == before


def test_reading_creates_nothing(public: Path) -> None:
    make(public / "a")
    before = everything_below(public)

    def read() -> str:
        group = tz.open_group(public.parent, "r") if False else tz.open_array(public / "a", "r")
        return str(same(group[...], OLD) and same(group.oindex[[1, 2]], OLD[[1, 2]]))

    assert without_privileges(read) == "True"
    assert read() == "True"
    assert everything_below(public) == before


# Closed and read-only stores


def changes(array: tz.Array) -> dict[str, Callable[[], object]]:
    def attribute() -> None:
        array.attrs["a"] = 5

    def no_attribute() -> None:
        del array.attrs["a"]

    return {
        "element": lambda: array.__setitem__((0, 0), 1),
        "all": lambda: array.__setitem__(..., NEW),
        "oindex": lambda: array.oindex.__setitem__([0, 1], 1),
        "vindex": lambda: array.vindex.__setitem__(([0], [1]), 1),
        "mask": lambda: array.vindex.__setitem__(OLD > 1010, 1),
        "blocks": lambda: array.blocks.__setitem__((0, 0), 1),
        "append": lambda: array.append(NEW),
        "resize": lambda: array.resize((5, 5)),
        "attribute": attribute,
        "no attribute": no_attribute,
        "update": lambda: array.attrs.update(b=1),
        "clear": lambda: array.attrs.clear(),
        "copy onto itself": lambda: array.copy_to(array.source, overwrite=True),
    }


@pytest.mark.parametrize("prepare", [make, sharded])
def test_a_read_only_array_refuses_every_change(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "a")
    before = everything_below(tmp_path)
    array = tz.open_array(tmp_path / "a", "r")
    for change in changes(array).values():
        with pytest.raises(ReadOnlyError, match=r"read-only|open for reading|opened for reading"):
            change()
    assert same(array[...], OLD)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("prepare", [make, sharded])
def test_a_closed_store_refuses_everything(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "a")
    array = tz.open_array(tmp_path / "a")
    before = everything_below(tmp_path)
    array.source.close()
    reads: dict[str, Callable[[], object]] = {way.name: lambda way=way: way.read(array) for way in ways(array, (0, 0))}
    more = {"values": lambda: array.nbytes_stored, "refresh": array.refresh, "zarr": lambda: array.copy_to(None)}
    for call in (reads | changes(array) | more).values():
        with pytest.raises(ClosedStoreError, match="is closed; open it again"):
            call()
    assert everything_below(tmp_path) == before
    assert array.shape == OLD.shape
    assert repr(array)


def test_an_array_that_is_gone_says_so(tmp_path: Path) -> None:
    make(tmp_path / "a")
    array = tz.open_array(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    for change in ("resize", "append", "attribute", "update"):
        with pytest.raises(NodeNotFoundError, match="is gone"):
            changes(array)[change]()
    assert found(tmp_path / "a") is None
