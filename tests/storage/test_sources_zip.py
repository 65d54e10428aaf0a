"""Zip files: against `zipfile` and zarr-python, hostile and damaged ones, kills, several writers."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import struct
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
import zarr.storage
from hypothesis import given, settings
from hypothesis import strategies as st

from tenzarr.errors import ConfinementError, StoreError, UnsupportedError
from tenzarr.storage.sources import MISSING, ZipSource, zip_format
from tenzarr.storage.sources import zip as zip_module


def make(path: Path, values: dict[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.comment = comment
        for name, value in values.items():
            archive.writestr(name, value)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"a comment PK\5\6 that looks like more"])
def test_what_zipfile_writes_is_read(tmp_path: Path, method: int, comment: bytes) -> None:
    rng = np.random.default_rng(0)
    values = {f"a/c/{i}": bytes(rng.integers(0, 4, i * 1000, dtype=np.uint8)) for i in range(6)}
    source = ZipSource(make(tmp_path / "a.zip", values, method, comment), read_only=True)
    for key, value in values.items():
        assert source.get(key) == value
        for start, length in ((0, len(value) + 1), (7, 100), (len(value), 5), (len(value) // 2, len(value))):
            into = bytearray(length)
            count = source.fetch(key, start, [into])
            assert into[:count] == value[start : start + length]
            assert count == len(value[start : start + length])
            with source.open(key) as opened:
                assert opened.size_bytes == len(value)
                assert opened.read_into([(start, [into])]) == [count]
                view = opened.map(start, length)
                assert view is None or view.tobytes() == value[start : start + length]
    assert {entry.name for entry in source.list("a/c")} == {str(i) for i in range(6)}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abc"), st.binary(max_size=3000)),
            st.tuples(st.just("delete"), st.sampled_from("abc"), st.just(b"")),
            st.tuples(st.just("tree"), st.sampled_from(["d", ""]), st.binary(max_size=10)),
        ),
        max_size=12,
    )
)
def test_any_history_equals_a_dictionary_and_is_readable_by_zipfile(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    source, model = ZipSource(path), dict[str, bytes]()
    for kind, name, value in steps:
        if kind == "put":
            source.put(f"d/{name}", [value])
            model[f"d/{name}"] = value
        elif kind == "delete":
            source.delete(f"d/{name}")
            model.pop(f"d/{name}", None)
        else:
            with source.stage(name) as stage:
                stage.source.put("new", [value])
                stage.commit()
            kept = {key: old for key, old in model.items() if name and not key.startswith("d/")}
            model = kept | {f"{name}/new" if name else "new": value}
    for reader in (source, ZipSource(path, read_only=True)):
        assert {key: reader.get(key) for key in ("d/a", "d/b", "d/c", "d/new", "new")} == {
            key: model.get(key) for key in ("d/a", "d/b", "d/c", "d/new", "new")
        }
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == model
    assert [item.name for item in path.parent.iterdir()] in ([], ["a.zip"])


def test_zarr_reads_what_we_write_and_we_read_what_zarr_writes(tmp_path: Path) -> None:
    data = np.arange(100, dtype="i4").reshape(10, 10)
    with zarr.storage.ZipStore(tmp_path / "theirs.zip", mode="w") as store:
        array = zarr.create_array(store, shape=(10, 10), chunks=(5, 5), dtype="i4", compressors=None)
        with warnings.catch_warnings():
            # zarr-python writes the document a second time.
            warnings.simplefilter("ignore", UserWarning)
            array[:] = data
            array[:5] = data[:5]
    theirs, ours = ZipSource(tmp_path / "theirs.zip", read_only=True), ZipSource(tmp_path / "ours.zip")
    names = ["zarr.json", *(f"c/{i}/{j}" for i in range(2) for j in range(2))]
    ours.put_many([(name, [theirs.get(name) or b""]) for name in names])
    with zarr.storage.ZipStore(tmp_path / "ours.zip", mode="r") as store:
        np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], data)


def test_new_values_begin_at_multiples_of_64(tmp_path: Path) -> None:
    source = ZipSource(tmp_path / "a.zip")
    source.put_many([(f"k{'x' * i}", [b"\1" * 100]) for i in range(70)])
    raw = (tmp_path / "a.zip").read_bytes()
    found = [at for at in range(len(raw)) if raw.startswith(b"\1" * 100, at)]
    assert len(found) == 70
    assert {at % 64 for at in found} == {0}


def test_of_two_entries_with_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", b"last")
    assert ZipSource(path).get("a") == b"last"


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/passwd", "a//b", "a\\..\\b", "..", "./a", "a/./b", "../folder/"]
)
def test_names_that_would_leave_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
    for call in (
        lambda: ZipSource(path).get("a"),
        lambda: list(ZipSource(path).list("")),
        lambda: ZipSource(path).put("a", [b""]),
    ):
        with pytest.raises(ConfinementError, match="an entry that would leave the store"):
            call()


def test_bombs_cost_what_was_asked_for(tmp_path: Path) -> None:
    size = 200 << 20
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb", "w") as entry:
        for _ in range(200):
            entry.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    source = ZipSource(path)
    began = time.perf_counter()
    assert len(source.get("bomb", 1000) or b"") == 1001
    assert source.fetch("bomb", 0, [bytearray(100)]) == 100
    assert time.perf_counter() - began < 2
    with source.open("bomb") as value:
        assert value.size_bytes == size


def patched(path: Path, what: bytes, field: int, form: str, number: int, name: str = "b.zip") -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, raw.rindex(what) + field, number)
    changed = path.with_name(name)
    changed.write_bytes(raw)
    return changed


def test_lies_in_the_directory_are_told(tmp_path: Path) -> None:
    stored = make(tmp_path / "s.zip", {"a": b"x" * 100})
    packed = make(tmp_path / "d.zip", {"a": b"x" * 100}, zipfile.ZIP_DEFLATED)
    cases = [
        (patched(packed, b"PK\1\2", 24, "<I", 1 << 30), StoreError, "which deflate cannot do"),
        (patched(stored, b"PK\1\2", 24, "<I", 99, "c.zip"), StoreError, "two sizes"),
        (patched(stored, b"PK\1\2", 20, "<I", 1 << 20, "d2.zip"), StoreError, "beyond the place"),
        (patched(stored, b"PK\1\2", 42, "<I", 1 << 20, "e.zip"), StoreError, "beyond the place"),
        (patched(stored, b"PK\1\2", 8, "<H", 1, "f.zip"), UnsupportedError, "encrypted"),
        (patched(stored, b"PK\1\2", 10, "<H", 14, "g.zip"), UnsupportedError, "zip method 14"),
        (patched(stored, b"PK\5\6", 10, "<H", 7, "h.zip"), StoreError, "promises 7 entries"),
        (patched(stored, b"PK\3\4", 0, "<I", 0, "i.zip"), StoreError, "the header of 'a' is missing"),
        (patched(stored, b"PK\1\2", 16, "<I", 12345, "j.zip"), StoreError, "contradicts its checksum"),
    ]
    for path, kind, message in cases:
        with pytest.raises(kind, match=message):
            ZipSource(path).get("a")


@pytest.mark.parametrize("cut", [1, 10, 22, 40, 80, 1000])
def test_a_truncated_file_is_no_empty_store(tmp_path: Path, cut: int) -> None:
    path = make(tmp_path / "a.zip", {"a": b"x" * 5000})
    os.truncate(path, path.stat().st_size - cut)
    for call in (lambda: ZipSource(path).get("a"), lambda: ZipSource(path).put("b", [b""])):
        with pytest.raises(StoreError, match="is not a whole zip file"):
            call()


def test_random_damage_gives_the_value_or_a_typed_error(tmp_path: Path) -> None:
    value = np.random.default_rng(0).bytes(300)
    path = make(tmp_path / "a.zip", {"a": value, "b/c": b"y" * 50}, zipfile.ZIP_DEFLATED)
    raw = path.read_bytes()
    rng = random.Random(0)
    outcomes: set[str] = set()
    for _ in range(600):
        bad = bytearray(raw)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try:
            found = ZipSource(path, read_only=True).get("a")
        except (StoreError, UnsupportedError, ConfinementError) as error:
            outcomes.add(type(error).__name__)
        else:
            # A flipped name is another name: then there is no such value.
            assert found in (value, None)
            outcomes.add("value" if found else "missing")
    assert {"StoreError", "value"} <= outcomes


def test_a_value_that_is_a_zip_file_is_not_taken_for_ours(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner.zip", {"a": b"evil"}).read_bytes()
    path = tmp_path / "a.zip"
    source = ZipSource(path)
    source.put("a", [b"good"])
    whole = path.read_bytes()
    # A writer died after the value and before the directory.
    path.write_bytes(whole + b"PK\3\4" + bytes(60) + inner)
    assert ZipSource(path).get("a") == b"good"
    assert ZipSource(path).clean("", remove=True) == [str(path)]
    assert path.read_bytes() == whole


def test_forty_kills_leave_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    size = 200_000
    rng = random.Random(2)
    torn = 0
    for _ in range(40):
        child = os.fork()
        if child == 0:
            source, letter = ZipSource(path), 0
            while True:
                letter = (letter + 1) % 26
                source.put_many([(f"a/c/{i}", [bytes([97 + letter]) * size]) for i in range(4)])
        time.sleep(rng.uniform(0.003, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        source = ZipSource(path)
        values = [source.get(f"a/c/{i}") for i in range(4)]
        assert values[0] is None or len(values[0]) == size
        assert len(set(values)) == 1
        assert values[0] is None or len(set(values[0])) == 1
        torn += len(source.clean("", remove=True))
        assert source.clean("", remove=False) == []
        if path.exists():
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
    assert torn > 0


def append(path: str, number: int) -> None:
    source = ZipSource(path)
    for turn in range(20):
        source.put(f"{number}/{turn}", [b"x" * 100])


def test_four_processes_append_to_one_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    work = [context.Process(target=append, args=(str(tmp_path / "a.zip"), number)) for number in range(4)]
    for process in work:
        process.start()
    for process in work:
        process.join(60)
    source = ZipSource(tmp_path / "a.zip")
    assert all(source.get(f"{number}/{turn}") == b"x" * 100 for number in range(4) for turn in range(20))
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


def test_dead_values_are_squeezed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "_SLACK_BYTES", 100_000)
    source = ZipSource(tmp_path / "a.zip")
    source.put("kept", [b"k" * 5000])
    with source.open("kept") as value:
        for number in range(200):
            source.put("a", [bytes([number]) * 10_000])
        into = bytearray(5000)
        assert value.read_into([(0, [into])]) == [5000]
        assert into == b"k" * 5000
    assert (tmp_path / "a.zip").stat().st_size < 250_000
    assert source.get("kept") == b"k" * 5000
    assert source.get("a") == bytes([199]) * 10_000


def test_a_failed_append_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ZipSource(tmp_path / "a.zip")
    source.put("a", [b"old"])
    before = (tmp_path / "a.zip").read_bytes()
    real, calls = os.writev, [0]

    def fail(fd: int, views: list[memoryview]) -> int:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(28, "full")
        return real(fd, views)

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", fail)
        with pytest.raises(StoreError, match=r"cannot write 'a'.*full disk"):
            source.put("a", [b"new"])
    assert (tmp_path / "a.zip").read_bytes() == before
    assert source.get("a") == b"old"


def test_more_entries_and_larger_numbers_than_the_old_format_has(tmp_path: Path) -> None:
    entries = {f"k{i}": zip_format.ZipEntry(i * 40, 0, 0, 0, zip_format.STORED) for i in range(70_000)}
    entries["big"] = zip_format.ZipEntry(5 << 30, 6 << 30, 6 << 30, 1, zip_format.STORED)
    path = tmp_path / "a.zip"
    offset = 12 << 30
    with path.open("wb") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(zip_format.directory_bytes(entries.items(), offset))
    with path.open("rb") as file:
        found = zip_format.read_end(file.fileno(), "a.zip")
    assert found.entries == entries
    assert found.end == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("big")
        assert (info.header_offset, info.file_size, len(archive.namelist())) == (5 << 30, 6 << 30, 70_001)


def test_a_missing_file_is_an_empty_store(tmp_path: Path) -> None:
    source = ZipSource(tmp_path / "a.zip", read_only=True)
    assert source.get("a") is None
    assert source.fetch("a", 0, [bytearray(1)]) == MISSING
    assert list(source.list("")) == []
    assert not (tmp_path / "a.zip").exists()
