"""What must stay true where several things meet: a directory that is in use, two handles, a fork, a signal."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import ArgumentTypeError, NodeExistsError, NodeNotFoundError, ReadOnlyError, TenzarrError
from tenzarr.storage import raw_reading


@contextmanager
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make small chunks take the ways of large ones."""
    with monkeypatch.context() as patch:
        patch.setattr(raw_reading, "PIECE_BYTES", 64)
        patch.setattr(raw_reading, "LONG_ROW_BYTES", 16)
        patch.setattr(raw_reading, "RANGE_GAP_BYTES", 8)
        yield


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    "selection",
    [
        np.s_[0:2, ::2],
        np.s_[:, 1::3],
        np.s_[::2, :],
        np.s_[3:9],
        np.s_[5, 3:40],
        np.s_[5, 7],
        np.s_[::-1, ::-3],
        np.s_[:, 10:20],
    ],
)
def test_large_uncompressed_chunks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, selection: tuple[object, ...], checksum: bool
) -> None:
    x = np.arange(12 * 48, dtype="f4").reshape(12, 48)
    a = tz.save(tmp_path / "a", x, chunks=(5, 24), compressor=None, checksum=checksum)
    with small_pieces(monkeypatch):
        np.testing.assert_array_equal(a[selection], x[selection])
        np.testing.assert_array_equal(a.oindex[[7, 0, 11], 3:30:2], x[np.ix_([7, 0, 11], range(3, 30, 2))])
        into = np.zeros((24, 24), "f4")[::2, ::2]
        np.testing.assert_array_equal(a.read(np.s_[:, 4:16], out=into), x[:, 4:16])


def test_corner_of_a_deep_chunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = np.arange(2 * 6 * 7 * 8, dtype="i4").reshape(2, 6, 7, 8)
    a = tz.save(tmp_path / "a", x, chunks=(1, 6, 7, 8), compressor=None, checksum=False)
    with small_pieces(monkeypatch):
        for selection in (np.s_[0, 5, 5, 5], np.s_[1, 2], np.s_[1, 2:4, 3], np.s_[0, 1, :, 2], np.s_[1, 5, 6, ::3]):
            np.testing.assert_array_equal(a[selection], x[selection])


def test_files_of_others_are_never_removed(tmp_path: Path) -> None:
    thesis = tmp_path / "work" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("x")
    for overwrite in (False, True):
        with pytest.raises(NodeExistsError, match=r"thesis\.tex"):
            tz.save(thesis.parent, np.arange(3), overwrite=overwrite)
        with pytest.raises(NodeExistsError, match=r"thesis\.tex"):
            tz.create(None, shape=(3,), dtype="i4").copy_to(thesis.parent, overwrite=overwrite)
    assert thesis.read_text() == "x"


def test_a_group_without_a_document_is_not_replaced(tmp_path: Path) -> None:
    tz.create(tmp_path / "z" / "g" / "a", shape=(3,), dtype="i4")
    with pytest.raises(NodeExistsError, match="has 'a'"):
        tz.save(tmp_path / "z", np.arange(3), path="g")
    assert tz.open_array(tmp_path / "z" / "g" / "a").shape == (3,)


def test_a_failure_removes_only_what_it_wrote() -> None:
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.MemoryStore()
    tz.create(store, path="grp/a", shape=(3,), dtype="i4")[...] = 5
    with pytest.raises(TenzarrError, match="grp"):
        tz.save(store, np.arange(3), path="grp")
    np.testing.assert_array_equal(tz.open_array(store, path="grp/a")[...], [5, 5, 5])


@pytest.mark.parametrize("kind", ["zarr", "zip"])
def test_handles_of_one_store_share_its_locks(tmp_path: Path, kind: str) -> None:
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.MemoryStore() if kind == "zarr" else tmp_path / "a.zip"
    tz.create(store, shape=(64,), dtype="i4", chunks=(64,))

    def write(part: int) -> None:
        handle = tz.open_array(store)
        for turn in range(1, 6):
            handle[part:64:4] = turn * 10 + part
        for _ in range(5):
            handle.append([part])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = tz.open_array(store)[...]
    np.testing.assert_array_equal(found[:64], np.tile([50, 51, 52, 53], 16))
    assert sorted(found[64:].tolist()) == [part for part in range(4) for _ in range(5)]


def test_a_writer_that_waited_finds_its_array_gone(tmp_path: Path) -> None:
    group = tz.open_group(tmp_path / "g", mode="a")
    old = group.create_array("x", shape=(8,), dtype="i4", chunks=(4,))
    outcome: list[BaseException | None] = []

    def write() -> None:
        deadline = time.monotonic() + 50
        try:
            while time.monotonic() < deadline:
                old[0:1] = 7
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.05)
    del group["x"]
    new = group.create_array("x", shape=(8,), dtype="f4", chunks=(4,))
    writer.join(60)
    assert isinstance(outcome[0], NodeNotFoundError)
    np.testing.assert_array_equal(new[...], np.zeros(8, "f4"))


def test_a_child_takes_locks_that_others_held(tmp_path: Path) -> None:
    a = tz.create(tmp_path / "a", shape=(8, 8), dtype="i4", chunks=(2, 2), shards=(4, 4))
    a[...] = 3
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with a.engine.access.indexes.lock.mutex, a._mutex.mutex:
            holding.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            a.attrs["from"] = "child"
            os._exit(0 if a[0, 0] == 3 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
    a.refresh()
    assert a.attrs["from"] == "child"


def test_reads_in_a_signal_handler_disturb_nobody(tmp_path: Path) -> None:
    a = tz.save(tmp_path / "a", np.ones((200, 200)), chunks=(10, 10), compressor=None, checksum=False)
    b = tz.save(tmp_path / "b", np.full((200, 200), 2.0), chunks=(10, 10), compressor=None, checksum=False)
    before = signal.signal(signal.SIGALRM, lambda *_: b[5:15, 5:15])
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        wrong = sum(bool((a[:, 5:195] != 1).any()) for _ in range(60))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert wrong == 0


def test_consolidated_metadata_forgets_what_was_replaced() -> None:
    root = tz.open_group(None, mode="a")
    root.create_array("g/a", shape=(3,), dtype="i4")
    root.consolidate()
    tz.create(root.source, path="g", shape=(2,), dtype="i4", overwrite=True)
    reader = tz.open_group(root.source, mode="r")
    assert reader["g"].shape == (2,)
    with pytest.raises(NodeNotFoundError, match="g/a"):
        reader["g/a"]


def test_numbers_out_of_range_are_refused_as_numpy_refuses_them() -> None:
    a = tz.create(None, shape=(3,), dtype="u1")
    for value in (300, [1, 2, 300], -1, 2**70):
        with pytest.raises(ArgumentTypeError, match="uint8"):
            a[...] = value
    with pytest.raises(ArgumentTypeError, match="int32"):
        tz.create(None, shape=(3,), dtype="i4")[...] = float("nan")
    with pytest.raises(ArgumentTypeError, match="uint8"):
        a.append([1, 300])
    np.testing.assert_array_equal(a[...], [0, 0, 0])


def test_chunks_behind_a_transpose() -> None:
    shard = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [4, 2],
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    codecs = [{"name": "transpose", "configuration": {"order": [1, 0]}}, shard]
    a = tz.create(None, shape=(12, 8), dtype="i4", chunks=(6, 8), codecs=codecs)
    a[...] = x = np.arange(96, dtype="i4").reshape(12, 8)
    assert a.chunks == (2, 4)
    assert a.shards == (6, 8)
    np.testing.assert_array_equal(a.copy_to(None)[...], x)


def test_a_read_only_handle_gives_a_read_only_zarr_array() -> None:
    a = tz.create(None, shape=(3,), dtype="i4")
    reader = tz.open_array(a.source, mode="r")
    with pytest.raises(ReadOnlyError, match="read-only"):
        reader[...] = 1
    with pytest.raises(ValueError, match=r"read.only"):
        reader.zarr[...] = 7
    np.testing.assert_array_equal(a[...], [0, 0, 0])
