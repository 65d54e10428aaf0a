"""Damaged chunks are never returned: every read of one raises and names it, or gives the original bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import AliasError, ChecksumError, CorruptChunkError
from tests.storage.harm.layouts import BY_NAME, LAYOUTS, Layout, Way, corners, stored_keys, ways

Bits = np.random.Generator


def outcome(array: tz.Array, way: Way, data: np.ndarray[Any, Any], key: str, index: tuple[int, ...]) -> str:
    """What a read of a damaged chunk did: ``"raised"``, ``"exact"``, or what went wrong."""
    try:
        got = way.read(array)
    except CorruptChunkError as error:
        named = (error.array, error.chunk, error.key) == (array.location, index, key)
        told = all(str(fact) in str(error) for fact in (array.location, index, key))
        return "raised" if named and told else f"raised without the facts: {error}"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    expected = way.expected(data)
    same = got.shape == expected.shape and got.dtype == expected.dtype and bool(np.all(got == expected))
    return "exact" if same else "WRONG DATA"


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture
def pristine(tmp_path: Path) -> Callable[[Layout], tuple[tz.Array, np.ndarray[Any, Any], Path]]:
    def make(layout: Layout) -> tuple[tz.Array, np.ndarray[Any, Any], Path]:
        root = tmp_path / "array"
        layout.create(root)
        return tz.open_array(root), np.asarray(layout.data(), dtype=tz.open_array(root).dtype), root

    return make


def test_the_campaign_has_two_thousand_flips() -> None:
    assert sum(layout.flips for layout in LAYOUTS) >= 2000


@pytest.mark.parametrize("name", BY_NAME)
def test_flipped_bits(name: str, pristine: Any, record_property: Any) -> None:
    layout = BY_NAME[name]
    array, data, root = pristine(layout)
    keys = stored_keys(root)
    assert len(keys) == len(list(corners(array)))
    rng = np.random.default_rng(sum(name.encode()))
    seen: Counter[str] = Counter()
    for number in range(layout.flips):
        key = list(keys)[rng.integers(len(keys))]
        path = root / key
        content = path.read_bytes()
        # The ends hold headers, indexes and checksums: half of the flips go there.
        place = int(rng.integers(len(content)))
        if number % 2:
            place = min(place % 96, len(content) - 1) if number % 4 == 1 else max(0, len(content) - 1 - place % 96)
        path.write_bytes(flip(content, place * 8 + int(rng.integers(8))))
        for way in ways(array, keys[key]):
            result = outcome(array, way, data, key, keys[key])
            assert result in ("raised", "exact"), f"byte {place} of {len(content)} of {key}, {way.name}: {result}"
            seen[result] += 1
        path.write_bytes(content)
    record_property("outcomes", dict(seen))
    assert seen["raised"] > 0
    np.testing.assert_array_equal(array[...], data)


def test_a_bit_of_a_cached_index_is_noticed(pristine: Any) -> None:
    for name in ("sharded", "index at the start", "shards in shards"):
        array, data, root = pristine(BY_NAME[name])
        time.sleep(0.06)
        np.testing.assert_array_equal(array[...], data)
        path = root / "c/0/0"
        content = path.read_bytes()
        at = len(content) - 20 if name != "index at the start" else 20
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([content[at] ^ 1]))
        with pytest.raises(CorruptChunkError, match="c/0/0"):
            array[0, 0]
        path.write_bytes(content)
        np.testing.assert_array_equal(array[...], data)
        shutil.rmtree(root)


def lengths(size: int, rng: Bits) -> Iterator[int]:
    yield from {0, 1, 2, 3, 4, 5, 8, 15, 16, 17, size // 2, *range(size - 18, size)} - set(range(-20, 0)) - {size}
    yield from (int(n) for n in rng.integers(0, size, 8))


@pytest.mark.parametrize("name", BY_NAME)
def test_truncated(name: str, pristine: Any) -> None:
    layout = BY_NAME[name]
    array, data, root = pristine(layout)
    rng = np.random.default_rng(1)
    for key, index in list(stored_keys(root).items())[:2]:
        path = root / key
        content = path.read_bytes()
        for length in lengths(len(content), rng):
            path.write_bytes(content[:length])
            for way in ways(array, index):
                result = outcome(array, way, data, key, index)
                assert result == "raised", f"{length} of {len(content)} bytes, {way.name}: {result}"
        path.write_bytes(content)
    np.testing.assert_array_equal(array[...], data)


def tails(content: bytes) -> Iterator[bytes]:
    yield b"\0"
    yield content[-1:]
    yield content[-4:]
    yield b"\0" * 1000
    yield content
    yield content[: len(content) // 2]
    yield zlib.crc32(content).to_bytes(4, "little")
    yield b"x" * 100_000


@pytest.mark.parametrize("name", BY_NAME)
def test_lengthened(name: str, pristine: Any) -> None:
    layout = BY_NAME[name]
    array, data, root = pristine(layout)
    # The format lets a shard have bytes that no entry of its index points to: before an index at the end (the
    # whole shard twice), or behind an index at the start.
    allowed = {"raised", "exact"} if "in shards" in name or array.shards else {"raised"}
    for key, index in list(stored_keys(root).items())[:2]:
        path = root / key
        content = path.read_bytes()
        for tail in tails(content):
            path.write_bytes(content + tail)
            for way in ways(array, index):
                result = outcome(array, way, data, key, index)
                assert result in allowed, f"{len(tail)} bytes more, {way.name}: {result}"
        path.write_bytes(content)
    np.testing.assert_array_equal(array[...], data)


# Something else in the place of a chunk


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    folder = os.getcwd()
    os.chdir(path.parent)
    try:
        # A path of a socket has at most 107 bytes.
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(folder)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _link_to_a_directory(path: Path) -> None:
    path.symlink_to(".")


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _null(path: Path) -> None:
    path.symlink_to("/dev/null")


def _link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


THINGS: dict[str, Callable[[Path], None]] = {
    "directory": Path.mkdir,
    "fifo": _fifo,
    "socket": _socket,
    "loop of links": _loop,
    "link to nothing": _dangling,
    "link to a directory": _link_to_a_directory,
    "link to a fifo": _link_to_a_fifo,
    "device": _device,
    "null device": _null,
}

SOME = ["default zstd", "uncompressed", "uncompressed, read in pieces", "sharded", "shards compressed as a whole"]
SOME += ["index at the start", "gzip", "no axis", "strings"]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail rather than wait for ever."""

    def ring(*_: object) -> None:
        raise AssertionError(f"it takes longer than {seconds} s")

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", SOME)
def test_something_else_in_the_place_of_a_chunk(name: str, thing: str, pristine: Any) -> None:
    array, data, root = pristine(BY_NAME[name])
    key, index = next(iter(stored_keys(root).items()))
    path = root / key
    path.unlink()
    THINGS[thing](path)
    with within(20):
        for way in ways(array, index):
            assert outcome(array, way, data, key, index) == "raised", way.name
        for part in (index, ...) if index else (...,):
            place = tuple(0 for _ in array.shape) if part is index else ...
            if part is not index and array.shape:
                continue
            try:
                array[place] = data[place]
            except CorruptChunkError as error:
                assert (error.array, error.chunk, error.key) == (array.location, index, key)  # noqa: PT017
            except tz.TenzarrError as error:
                # A chunk without axes is replaced as a whole, and cannot replace a directory.
                assert not array.shape
                assert key in str(error)  # noqa: PT017
            else:
                assert not array.shape
    if array.shape:
        assert path.is_symlink() or not path.is_file()
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        array[...] = data
        np.testing.assert_array_equal(array[...], data)


@pytest.mark.parametrize("name", ["uncompressed, not verified", "rows, not verified", "sharded, not verified"])
@pytest.mark.parametrize("thing", ["directory", "fifo", "loop of links", "link to nothing", "null device"])
def test_something_else_in_the_place_of_a_chunk_that_could_be_mapped(name: str, thing: str, pristine: Any) -> None:
    shards = {"shards": (16, 20)} if name.startswith("sharded") else {}
    chunks = {"sharded": (4, 5), "rows": (4, 37)}.get(name.partition(",")[0], (8, 10))
    layout = Layout(name, {"compressor": None, "checksum": False, **shards}, chunks=chunks)
    array, data, root = pristine(layout)
    assert array.read((slice(0, 4), slice(0, 5)), alias=True).shape == (4, 5)
    (root / "c/0/0").unlink()
    THINGS[thing](root / "c/0/0")
    with within(20):
        for alias in (True, None, False):
            with pytest.raises(CorruptChunkError, match="c/0/0") as caught:
                array.read((slice(0, 4), slice(0, 5)), alias=alias)
            assert (caught.value.array, caught.value.chunk) == (array.location, (0, 0))
        for way in ways(array, (0, 0)):
            assert outcome(array, way, data, "c/0/0", (0, 0)) == "raised", way.name


@pytest.mark.parametrize("extra", [-320, -319, -200, -4, -1, 1, 4, 320])
@pytest.mark.parametrize("chunks", [(8, 10), (4, 37), (350, 300)])
def test_the_length_of_an_unverified_chunk_is_checked(extra: int, chunks: tuple[int, ...], pristine: Any) -> None:
    shape = (23, 37) if chunks[0] < 100 else (400, 300)
    array, data, root = pristine(Layout("", {"compressor": None, "checksum": False}, shape, chunks))
    path = root / "c/0/0"
    content = path.read_bytes()
    size = 4 * chunks[0] * chunks[1]
    assert len(content) == size
    path.write_bytes((content * 2)[: size + extra])
    for way in ways(array, (0, 0)):
        assert outcome(array, way, data, "c/0/0", (0, 0)) == "raised", way.name
    for alias in (True, None, False):
        with pytest.raises(CorruptChunkError, match=f"where exactly {size} are expected"):
            array.read(tuple(slice(0, n) for n in chunks), alias=alias, verify=False)


# Writes


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "no axis"])
def test_a_partial_write_into_a_damaged_chunk_changes_nothing(name: str, pristine: Any) -> None:
    array, data, root = pristine(BY_NAME[name])
    key, index = next(iter(stored_keys(root).items()))
    path = root / key
    content = path.read_bytes()
    damaged = content[:-1]
    path.write_bytes(damaged)
    one = tuple(0 for _ in array.shape)
    box = tuple(slice(0, 3) for _ in array.shape)
    lists = tuple([0, 2] for _ in array.shape)

    def by_element(value: Any) -> None:
        array[one] = value[one]

    def by_block(value: Any) -> None:
        array[box] = value[box]

    def by_list(value: Any) -> None:
        array.oindex[lists] = value[np.ix_(*lists)]

    def by_point(value: Any) -> None:
        array.vindex[lists] = value[lists]

    for write in (by_element, by_block, by_list, by_point):
        with pytest.raises(CorruptChunkError, match=key) as caught:
            write(data)
        assert (caught.value.array, caught.value.chunk, caught.value.key) == (array.location, index, key)
        assert path.read_bytes() == damaged
    assert not [item for item in root.rglob("*") if "tenzarr-" in item.name]
    array[...] = data
    np.testing.assert_array_equal(array[...], data)
    assert path.read_bytes() != damaged


def test_a_write_into_a_shard_keeps_what_is_damaged_elsewhere_damaged(pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["sharded"])
    path = root / "c/0/0"
    content = path.read_bytes()
    # The first inner chunk starts the file; its index entry and checksum stay as they are.
    path.write_bytes(flip(content, 70))
    changed = data.copy()
    changed[4:8, 5:10] += 1
    array[4:8, 5:10] = changed[4:8, 5:10]
    np.testing.assert_array_equal(array[4:16, 0:20], changed[4:16, 0:20])
    for part in ((0, 0), (slice(0, 4), slice(0, 5)), ...):
        with pytest.raises(ChecksumError, match="c/0/0"):
            array[part]
    array[0:4, 0:5] = changed[0:4, 0:5]
    np.testing.assert_array_equal(array[...], changed)


def test_an_append_onto_a_damaged_edge_changes_nothing(pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["default zstd"])
    path = root / "c/2/0"
    content = path.read_bytes()
    path.write_bytes(flip(content, 99))
    with pytest.raises(CorruptChunkError, match="c/2/0"):
        array.append(data[:3])
    assert array.shape == tz.open_array(root).shape == data.shape
    path.write_bytes(content)
    np.testing.assert_array_equal(array[...], data)
    array.append(data[:3])
    np.testing.assert_array_equal(array[...], np.concatenate([data, data[:3]]))


def test_a_copy_of_a_damaged_array_does_not_appear(pristine: Any, tmp_path: Path) -> None:
    array, data, root = pristine(BY_NAME["default zstd"])
    path = root / "c/1/1"
    path.write_bytes(flip(path.read_bytes(), 99))
    with pytest.raises(ChecksumError, match="c/1/1"):
        array.copy_to(tmp_path / "copy", chunks=(5, 5))
    assert not (tmp_path / "copy").exists()
    old = tz.save(tmp_path / "copy", data[:4])
    with pytest.raises(ChecksumError, match="c/1/1"):
        array.copy_to(tmp_path / "copy", overwrite=True)
    np.testing.assert_array_equal(old[...], data[:4])
    assert sorted(os.listdir(tmp_path)) == ["array", "copy"]


# Without verification


@pytest.mark.parametrize("name", ["default zstd", "uncompressed", "uncompressed, read in pieces", "blosc", "sharded"])
def test_verify_false_skips_checksums_and_nothing_else(name: str, pristine: Any) -> None:
    array, data, root = pristine(BY_NAME[name])
    key, index = next(iter(stored_keys(root).items()))
    path = root / key
    content = path.read_bytes()
    box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, array.chunks, strict=True))
    inner = content[: -4 if name != "sharded" else None]
    if name == "sharded":
        # The checksum of the first inner chunk: the four bytes before the second one begins.
        index_table = np.frombuffer(content[:-4][-16 * 16 :], "<u8").reshape(-1, 2)
        at = int(index_table[0].sum()) - 1
    else:
        at = len(inner)
    path.write_bytes(flip(content, at * 8))
    with pytest.raises(ChecksumError, match=key):
        array.read(box, alias=False)
    with pytest.raises(ChecksumError, match=key):
        array.read(box)
    np.testing.assert_array_equal(array.read(box, verify=False), data[box])
    out = np.empty(data[box].shape, data.dtype)
    np.testing.assert_array_equal(array.read(box, verify=False, out=out), data[box])
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptChunkError, match=key):
        array.read(box, verify=False)
    path.write_bytes(content + b"\0")
    with pytest.raises(CorruptChunkError, match=key):
        array.read(box, verify=False)
    path.write_bytes(b"")
    with pytest.raises(CorruptChunkError, match=key):
        array.read(box, verify=False)


def test_verify_false_allows_a_view_of_a_checked_chunk(pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["uncompressed"])
    box = (slice(0, 8), slice(0, 10))
    with pytest.raises(AliasError, match="verify=False"):
        array.read(box, alias=True)
    view = array.read(box, alias=True, verify=False)
    np.testing.assert_array_equal(view, data[box])
    path = root / "c/0/0"
    content = path.read_bytes()
    for wrong in (b"", content[:-1], content + b"x"):
        path.unlink()
        path.write_bytes(wrong)
        with pytest.raises(CorruptChunkError, match="c/0/0"):
            array.read(box, alias=True, verify=False)


# Indexes of shards that lie


def forged(content: bytes, change: Callable[[np.ndarray[Any, Any]], None], count: int) -> bytes:
    """A shard whose index at the end was changed, with the checksum that belongs to it."""
    from crc32c import crc32c

    table = np.frombuffer(content[-16 * count - 4 : -4], "<u8").reshape(-1, 2).copy()
    change(table)
    body = table.astype("<u8").tobytes()
    return content[: -16 * count - 4] + body + int(crc32c(body)).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (2**64 - 1, 0),
        (0, 2**64 - 1),
        (2**64 - 2, 2),
        (2**63, 2**63),
        (0, 2**40),
        (2**40, 1),
        (0, 0),
        (5, 3),
        (0, 10_000),
        (1, 2**64 - 1),
    ],
)
def test_an_index_that_lies(offset: int, length: int, pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["sharded"])
    path = root / "c/0/0"

    def change(table: np.ndarray[Any, Any]) -> None:
        table[0] = offset, length

    path.write_bytes(forged(path.read_bytes(), change, 16))
    for way in ways(array, (0, 0)):
        result = outcome(array, way, data, "c/0/0", (0, 0))
        # The last element lies in another inner chunk, which the entry does not concern.
        assert result == "raised" or (result == "exact" and way.name in ("last element", "last row")), way.name
    with pytest.raises(CorruptChunkError, match="c/0/0"):
        array[0, 0] = 1


def test_a_shard_that_repeats_its_bytes_is_read_and_not_blown_up(pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["sharded uncompressed"])
    path = root / "c/0/0"

    def change(table: np.ndarray[Any, Any]) -> None:
        table[:] = table[0]

    path.write_bytes(forged(path.read_bytes(), change, 16))
    expected = np.tile(data[0:4, 0:5], (4, 4))
    np.testing.assert_array_equal(array[0:16, 0:20], expected)
    array[0, 0] = 7
    expected[0, 0] = 7
    np.testing.assert_array_equal(array[0:16, 0:20], expected)
    assert path.stat().st_size < 16 * 128 + 300


def test_documents_are_verified_by_parsing_only(pristine: Any) -> None:
    array, data, root = pristine(BY_NAME["default zstd"])
    document = json.loads((root / "zarr.json").read_text())
    document["attributes"] = {"a": 1}
    (root / "zarr.json").write_text(json.dumps(document))
    assert dict(tz.open_array(root).attrs) == {"a": 1}
    np.testing.assert_array_equal(array[...], data)
