"""The contract of `ByteSource`, as tests.

    class TestMine(StoreTests):
        @pytest.fixture
        def source(self, tmp_path):
            return MySource(tmp_path)

A source that can be opened again (another process would see the same values)
says so by overriding `StoreTests.reopen`; then more is tested.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest

from tenzarr.errors import ClosedStoreError, ConfinementError, ReadOnlyError, UnsupportedError
from tenzarr.storage.sources.base import DOCUMENT, MISSING, ByteSource
from tenzarr.storage.sources.locks import EVERYTHING

__all__ = ["HOSTILE_KEYS", "StoreTests"]

HOSTILE_KEYS: tuple[str, ...] = (
    "..",
    ".",
    "",
    "/",
    "//",
    "../outside.txt",
    "../../outside.txt",
    "a/../../outside.txt",
    "a/../b",
    "a/..",
    "../a",
    "./a",
    "a/./b",
    "a/.",
    "/etc/passwd",
    "//etc/passwd",
    "/a",
    "a//b",
    "a/",
    "a/b/",
    "a\0b",
    "\0",
    "a/\0",
    "..\0",
    "\\",
    "..\\outside.txt",
    "a\\..\\b",
    "C:\\outside.txt",
    "\\\\host\\share",
    "a/\\/b",
    "\ud800",
    "a/\udc80/b",
    "../" * 40 + "etc/passwd",
    "a/" * 20 + "../" * 21 + "outside.txt",
    ".tenzarr.lock",
    "a/.tenzarr.lock",
    ".a.0123-0.tenzarr-tmp",
    "a/.b.0123-0.tenzarr-stage/c",
    "a/.b.0123-0.tenzarr-old",
    "..//outside.txt",
)
"""Keys that no source may accept."""


class StoreTests:
    """The contract of `ByteSource`. Subclasses provide the fixture `source`: empty and writable."""

    @pytest.fixture
    def source(self) -> ByteSource:
        """An empty, writable source."""
        raise NotImplementedError("override the fixture `source` of StoreTests")

    def reopen(self, source: ByteSource, *, read_only: bool = False) -> ByteSource | None:
        """Another source over the same values, or None where there is no such thing."""
        return None

    # Values

    def test_a_missing_value_is_no_error(self, source: ByteSource) -> None:
        """Nothing is raised, and nothing is created."""
        assert source.fetch("a/b", 0, [bytearray(3)]) == MISSING
        assert source.get("a/b") is None
        assert source.open("a/b") is None
        source.delete("a/b")
        source.delete_tree("a")
        assert list(source.list("a")) == []
        assert list(source.list("")) == []

    @pytest.mark.parametrize("size", [0, 1, 7, 4096, 100_001])
    def test_a_value_comes_back(self, source: ByteSource, size: int) -> None:
        """Whole, whatever its size and however it was cut into buffers."""
        data = np.random.default_rng(size).bytes(size)
        source.put("a/c/0", [data[:3], memoryview(data)[3:], b""])
        assert source.get("a/c/0") == data
        assert source.get("a/c/0", size) == data
        into = bytearray(size + 1)
        assert source.fetch("a/c/0", 0, [into]) == size
        assert into[:size] == data

    def test_a_limit_cuts_behind_one_more_byte(self, source: ByteSource) -> None:
        """So that the reader learns that the value is too long, and pays for no more."""
        source.put("a", [bytes(1000)])
        assert len(source.get("a", 10) or b"") == 11

    @pytest.mark.parametrize(("start", "sizes"), [(0, [4, 6]), (3, [1, 0, 2]), (8, [5]), (10, [3]), (99, [3]), (0, [])])
    def test_ranges_fill_the_buffers_in_turn(self, source: ByteSource, start: int, sizes: list[int]) -> None:
        """As far as the value goes."""
        data = b"0123456789"
        source.put("a", [data])
        buffers = [bytearray(size) for size in sizes]
        expected = data[start : start + sum(sizes)]
        assert source.fetch("a", start, buffers) == len(expected)
        assert b"".join(buffers)[: len(expected)] == expected

    def test_arrays_are_buffers(self, source: ByteSource) -> None:
        """Of any type and rank, for both directions."""
        data = np.arange(60, dtype="<i4").reshape(3, 4, 5)
        source.put("a", [data[:1], data[1:], np.empty((0, 3))])
        into = np.empty((4, 5), dtype="<i4")
        spare = np.empty(2, dtype="<f8")
        assert source.fetch("a", 80, [into, np.empty((0, 2)), spare]) == 96
        np.testing.assert_array_equal(into, data[1])
        np.testing.assert_array_equal(spare.view("<i4"), data[2, 0, :4])

    def test_thousands_of_buffers(self, source: ByteSource) -> None:
        """More than a system call takes."""
        data = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
        source.put("a", [data[i : i + 1] for i in range(5000)])
        buffers = [bytearray(1) for _ in range(5001)]
        assert source.fetch("a", 0, buffers) == 5000
        assert b"".join(buffers)[:5000] == data.tobytes()

    def test_many_requests_at_once(self, source: ByteSource) -> None:
        """The answers come in the order of the requests."""
        source.put_many([(f"a/c/{i}", [bytes([i]) * i]) for i in range(100)])
        buffers = [bytearray(101) for _ in range(101)]
        counts = source.read_into([(f"a/c/{i}", 0, [buffer]) for i, buffer in enumerate(buffers)])
        assert counts == [*range(100), MISSING]
        assert all(buffer[:i] == bytes([i]) * i for i, buffer in enumerate(buffers[:100]))
        assert source.read_into([]) == []

    def test_an_open_value_gives_ranges_of_one_version(self, source: ByteSource) -> None:
        """Where it has an identity, a replacement in between is not seen."""
        source.put("a", [b"0123456789"])
        with source.open("a") or _missing() as value:
            assert value.size_bytes == 10
            one, two = bytearray(2), bytearray(5)
            assert value.read_into([(3, [one]), (8, [two])]) == [2, 2]
            assert (bytes(one), bytes(two[:2])) == (b"34", b"89")
            if source.local:
                source.put("a", [b"abcdefghij"])
                if value.map(0, 10) is not None:
                    value.read_into([(0, [one])])
                    assert bytes(one) == b"01"
        value.close()
        with pytest.raises(ClosedStoreError, match="closed"):
            value.read_into([(0, [one])])

    def test_a_map_is_read_only_and_outlives_the_value(self, source: ByteSource) -> None:
        """And is None where it would reach beyond the value."""
        data = np.random.default_rng(1).bytes(20_000)
        source.put("a", [data])
        with source.open("a") or _missing() as value:
            view = value.map(5001, 9999)
            assert value.map(10_001, 10_000) is None
            assert value.map(-1, 10) is None
            assert value.map(0, 0) is None
        if view is not None:
            assert view.tobytes() == data[5001:15_000]
            assert not view.flags.writeable

    def test_the_identity_changes_with_the_value(self, source: ByteSource) -> None:
        """Also when a value of the same size replaces it at once."""
        seen: set[object] = set()
        known = 0
        for number in range(20):
            source.put("a", [bytes([number]) * 10])
            time.sleep(0.08 if number % 5 == 0 else 0)
            with source.open("a") or _missing() as value:
                if value.identity is not None:
                    seen.add(value.identity)
                    known += 1
        assert len(seen) == known

    def test_put_replaces_and_delete_removes(self, source: ByteSource) -> None:
        """By a shorter value too."""
        source.put("a/b", [b"long value"])
        source.put("a/b", [b"short"], durable=True)
        assert source.get("a/b") == b"short"
        source.put_many([("a/c", [b"1"]), ("a/d", [b"2"])], durable=True)
        source.delete("a/b")
        source.delete("a/b")
        assert [source.get(key) for key in ("a/b", "a/c", "a/d")] == [None, b"1", b"2"]

    def test_list_and_delete_tree(self, source: ByteSource) -> None:
        """One level of names, with kind and size; a tree goes as a whole, its neighbours stay."""
        source.put_many([(key, [key.encode()]) for key in ("a/zarr.json", "a/c/0/1", "a/c/0/2", "ab/zarr.json", "z")])
        with source.lock("a", 0, 1):
            found = {(entry.name, entry.is_prefix, entry.size_bytes) for entry in source.list("a")}
        assert found == {("zarr.json", False, 11), ("c", True, 0)}
        assert {entry.name for entry in source.list("")} == {"a", "ab", "z"}
        assert {entry.name for entry in source.list("a/c/0")} == {"1", "2"}
        source.delete_tree("a")
        assert list(source.list("a")) == []
        assert source.get("ab/zarr.json") == b"ab/zarr.json"
        source.delete_tree("")
        assert list(source.list("")) == []

    def test_names_beyond_ascii(self, source: ByteSource) -> None:
        """Are names like others."""
        source.put("größe/温度/c/0", [b"x"])
        assert source.get("größe/温度/c/0") == b"x"
        assert [entry.name for entry in source.list("größe")] == ["温度"]

    # What is refused

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(self, source: ByteSource, key: str) -> None:
        """By every method; the hot one may also say that there is no such value."""
        calls: list[Callable[[], object]] = [
            lambda: source.get(key),
            lambda: source.open(key),
            lambda: source.put(key, [b"x"]),
            lambda: source.put_many([("fine", [b"x"]), (key, [b"x"])]),
            lambda: source.delete(key),
        ]
        if key:
            calls += [
                lambda: list(source.list(key)),
                lambda: source.delete_tree(key),
                lambda: source.lock(key, 0, 1).__enter__(),
                lambda: source.clean(key, remove=True),
            ]
        for call in calls:
            with pytest.raises(ConfinementError, match="must stay inside the store"):
                call()
        try:
            assert source.fetch(key, 0, [bytearray(1)]) == MISSING
        except ConfinementError as error:
            assert "must stay inside the store" in str(error)  # noqa: PT017  either answer is right

    def test_a_read_only_source_refuses_writes(self, source: ByteSource) -> None:
        """And still reads."""
        source.put("a", [b"x"])
        reader = self.reopen(source, read_only=True)
        if reader is None:
            pytest.skip("this source cannot be opened again")
        assert reader.read_only
        assert reader.get("a") == b"x"
        for call in (
            lambda: reader.put("a", [b"y"]),
            lambda: reader.put_many([("a", [b"y"])]),
            lambda: reader.delete("a"),
            lambda: reader.delete_tree("a"),
            lambda: reader.lock("a", 0, 1).__enter__(),
            lambda: reader.clean("", remove=True),
        ):
            with pytest.raises(ReadOnlyError, match="open"):
                call()
        assert source.get("a") == b"x"

    def test_a_closed_source_refuses_everything(self, source: ByteSource) -> None:
        """Closing twice is harmless."""
        source.put("a", [b"x"])
        source.close()
        source.close()
        for call in (
            lambda: source.get("a"),
            lambda: source.fetch("a", 0, [bytearray(1)]),
            lambda: source.open("a"),
            lambda: source.put("a", [b"x"]),
            lambda: source.delete("a"),
            lambda: list(source.list("")),
            lambda: source.delete_tree("a"),
            lambda: source.lock("a", 0, 1).__enter__(),
            lambda: source.clean("", remove=False),
        ):
            with pytest.raises(ClosedStoreError, match="closed"):
                call()

    # Several at once

    def test_a_reader_never_sees_a_mixture(self, source: ByteSource) -> None:
        """Values of one letter stay values of one letter while they are replaced."""
        size = 50_000 if source.local else 5000
        source.put("a/c/0", [b"a" * size])
        stop = threading.Event()
        wrong: list[object] = []

        def read() -> None:
            into = bytearray(size + 1)
            while not stop.is_set():
                count = source.fetch("a/c/0", 0, [into])
                if count != size or len(set(into[:size])) != 1:
                    wrong.append((count, set(into[:size])))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(60):
            source.put("a/c/0", [bytes([97 + number % 26]) * size])
        stop.set()
        for reader in readers:
            reader.join()
        assert wrong == []

    def test_overlapping_locks_exclude_each_other(self, source: ByteSource) -> None:
        """Nothing that two threads count under one lock is lost."""
        source.put("a/zarr.json", [b"0"])
        counts = {0: 0, 1: 0}

        def work(number: int) -> None:
            for _ in range(50):
                with source.lock("a", number, number + 2):
                    before = counts[0]
                    time.sleep(0.0002)
                    counts[0] = before + 1

        threads = [threading.Thread(target=work, args=(number % 2,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts[0] == 200

    def test_disjoint_locks_do_not_wait(self, source: ByteSource) -> None:
        """Other units, the document, and another node are free while a unit is held."""
        reached = threading.Event()

        def others() -> None:
            with (
                source.lock("a", 5, 9),
                source.lock("a", DOCUMENT, DOCUMENT + 1),
                source.lock("b", 0, EVERYTHING),
                source.lock("", 0, 1),
            ):
                reached.set()

        with source.lock("a", 0, 5):
            thread = threading.Thread(target=others)
            thread.start()
            assert reached.wait(20)
        thread.join()

    def test_a_lock_is_free_after_an_exception(self, source: ByteSource) -> None:
        """And may be taken again."""
        with pytest.raises(RuntimeError, match="inside"), source.lock("a", 0, 1):
            raise RuntimeError("inside")
        with source.lock("a", 0, 1):
            assert True

    def test_a_child_reads_writes_and_locks(self, source: ByteSource) -> None:
        """After a fork, while threads of the parent hold locks and write."""
        source.put("a/c/0", [b"value"])
        stop = threading.Event()

        def busy(number: int) -> None:
            while not stop.is_set():
                with source.lock("a", number, number + 1):
                    source.put(f"a/c/{number}", [b"x" * 1000])

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(1, 4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert in_child(lambda: _use(source)) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    # Whole trees

    def test_a_tree_is_replaced_in_one_step(self, source: ByteSource) -> None:
        """What was there is gone, its neighbours stay, and a stage that is not committed leaves nothing."""
        if not source.can_replace_tree:
            with pytest.raises(UnsupportedError, match="in one step"):
                source.stage("a")
            return
        source.put_many([("a/b/old", [b"1"]), ("a/b/c/0", [b"2"]), ("a/n", [b"3"])])
        with source.stage("a/b") as stage:
            stage.source.put("c/1", [b"4"])
            assert source.get("a/b/old") == b"1"
            assert {entry.name for entry in source.list("a")} == {"b", "n"}
        assert source.get("a/b/old") == b"1"
        with source.stage("a/b") as stage:
            stage.source.put_many([("c/1", [b"4"]), ("zarr.json", [b"5"])])
            assert stage.source.get("c/1") == b"4"
            stage.commit(durable=True)
            with pytest.raises(ClosedStoreError, match="new one"):
                stage.commit()
        assert {entry.name for entry in source.list("a/b")} == {"c", "zarr.json"}
        assert [source.get(key) for key in ("a/b/c/0", "a/b/c/1", "a/n")] == [None, b"4", b"3"]
        assert source.clean("", remove=False) == []

    @pytest.mark.parametrize("before", [False, True])
    def test_the_root_is_replaced(self, source: ByteSource, before: bool) -> None:
        """Whether or not there is anything."""
        if not source.can_replace_tree:
            pytest.skip("this source replaces no trees")
        if before:
            source.put("old", [b"1"])
        with source.stage("") as stage:
            stage.source.put("new", [b"2"])
            stage.commit()
        assert [entry.name for entry in source.list("")] == ["new"]
        source.put("more", [b"3"])
        assert (source.get("new"), source.get("more")) == (b"2", b"3")

    def test_another_source_sees_what_was_put(self, source: ByteSource) -> None:
        """Without anything being closed."""
        other = self.reopen(source)
        if other is None:
            pytest.skip("this source cannot be opened again")
        source.put("a", [b"1"])
        assert other.get("a") == b"1"
        other.put("a", [b"2"])
        other.put("b", [b"3"])
        assert (source.get("a"), source.get("b")) == (b"2", b"3")
        source.delete("a")
        assert other.get("a") is None


def in_child(work: Callable[[], object], seconds: float = 30.0) -> int:
    """Run `work` in a forked child; 0 if it returned, -9 if it hung, and else something else."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def _use(source: ByteSource) -> None:
    """Everything a child may want of its parent's source."""
    into = bytearray(5)
    if source.fetch("a/c/0", 0, [into]) != 5 or bytes(into) != b"value":
        raise AssertionError("the child reads something else")
    with source.lock("a", 0, 1), source.lock("a", DOCUMENT, DOCUMENT + 1):
        source.put("a/child", [b"written by the child"])
    if source.get("a/child") != b"written by the child":
        raise AssertionError("the child does not see what it wrote")


def _missing() -> NoReturn:
    raise AssertionError("the value that was just put is missing")
