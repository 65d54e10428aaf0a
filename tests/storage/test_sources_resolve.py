"""What a user calls a store, and zarr's own stores behind the seam."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.storage

from tenzarr.errors import ArgumentError, ArgumentTypeError, ReadOnlyError, StoreError
from tenzarr.storage.sources import (
    MISSING,
    LocalSource,
    MemorySource,
    ZarrStoreSource,
    ZipSource,
    resolve,
)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for store in (tmp_path / "a b", str(tmp_path / "a b"), "~/a b", f"file://{tmp_path}/a%20b"):
        source, path = resolve(store)
        assert isinstance(source, LocalSource)
        assert (source.root, path, source.read_only) == (str(tmp_path / "a b"), "", False)
    assert resolve(tmp_path, mode="r")[0].read_only
    source, _ = resolve(tmp_path / "x.ZIP", mode="r")
    assert isinstance(source, ZipSource)
    assert source.read_only
    (tmp_path / "folder.zip").mkdir()
    assert isinstance(resolve(tmp_path / "folder.zip")[0], LocalSource)
    assert isinstance(resolve(None)[0], MemorySource)


def test_urls() -> None:
    pytest.importorskip("fsspec")
    source, _ = resolve("memory://resolve-test", storage_options={"skip_instance_cache": False})
    assert isinstance(source, ZarrStoreSource)
    source.put("a/b", [b"1"])
    again, _ = resolve("memory://resolve-test", mode="r")
    assert again.get("a/b") == b"1"
    assert again.read_only
    assert not again.local
    with pytest.raises(ArgumentError, match="`store` must be a URL that fsspec knows, not 'nosuch://x'"):
        resolve("nosuch://x")


def test_zarr_objects(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g")
    array = group.create_array("a/b", shape=(4,), chunks=(2,), dtype="i4")
    for store, expected in ((group, ""), (array, "a/b"), (array.store_path, "a/b"), (array.store, "")):
        source, path = resolve(store)
        assert isinstance(source, LocalSource)
        assert (source.root, path) == (str(tmp_path / "g"), expected)
    assert resolve(zarr.open_array(tmp_path / "g" / "a" / "b", mode="r"))[0].read_only
    memory = zarr.storage.MemoryStore()
    source, path = resolve(zarr.create_array(memory, name="x", shape=(4,), chunks=(2,), dtype="i4"))
    assert isinstance(source, ZarrStoreSource)
    assert (path, source.store) == ("x", memory)

    class Special(zarr.storage.LocalStore):
        pass

    assert isinstance(resolve(Special(tmp_path / "g"))[0], ZarrStoreSource)
    assert resolve(source) == (source, "")


@pytest.mark.parametrize("store", [7, b"bytes", 1.5, object(), {"a": b""}])
def test_what_is_no_store(store: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="`store` must be a path, a URL, None, or a zarr store"):
        resolve(store)


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="`storage_options` must come with a URL"):
        resolve(tmp_path, storage_options={})
    with pytest.raises(ArgumentError, match="`storage_options` must come with a URL"):
        resolve(None, storage_options={})
    with pytest.raises(ArgumentError, match="`store` must be a path, not ''"):
        resolve("")
    with pytest.raises(ArgumentError, match="a file of this machine"):
        resolve("file://elsewhere/a")
    with pytest.raises(ReadOnlyError, match="`mode` must be 'r'"):
        resolve(LocalSource(tmp_path, read_only=True), mode="w")
    assert resolve(LocalSource(tmp_path, read_only=True), mode="r+")[0].read_only


def test_sources_pickle_by_reference(tmp_path: Path) -> None:
    LocalSource(tmp_path / "l").put("a", [b"1"])
    ZipSource(tmp_path / "z.zip").put("a", [b"1"])
    for source in (
        LocalSource(tmp_path / "l", read_only=True),
        ZipSource(tmp_path / "z.zip", read_only=True),
        ZarrStoreSource(zarr.storage.LocalStore(tmp_path / "l", read_only=True)),
    ):
        again = pickle.loads(pickle.dumps(source))
        assert type(again) is type(source)
        assert (again.get("a"), again.read_only) == (b"1", True)
    with pytest.raises(ArgumentTypeError, match="a store in memory cannot be pickled"):
        pickle.dumps(MemorySource())


class Broken(zarr.storage.MemoryStore):
    """Refuses ranges that begin at the end, as object stores do, and fails for one key."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        if key == "down":
            raise ConnectionError("the network is down")
        found = await super().get(key, prototype)
        if found is not None and byte_range is not None and byte_range.start >= len(found):
            raise ValueError("416 range not satisfiable")
        return await super().get(key, prototype, byte_range)


def test_stores_that_refuse_ranges_behind_the_end() -> None:
    source = ZarrStoreSource(Broken())
    source.put("a", [b"123"])
    source.put("empty", [b""])
    assert source.fetch("a", 3, [bytearray(1)]) == 0
    assert source.fetch("a", 2, [bytearray(5)]) == 1
    assert source.fetch("empty", 0, [bytearray(5)]) == 0
    assert source.fetch("nothing", 3, [bytearray(1)]) == MISSING
    with pytest.raises(StoreError, match=r"cannot read 'down'.*ConnectionError: the network is down") as caught:
        source.fetch("down", 0, [bytearray(1)])
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_requests_run_side_by_side() -> None:
    import asyncio

    class Slow(zarr.storage.MemoryStore):
        running = most = 0

        async def get(self, *arguments: Any, **named: Any) -> Any:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
            await asyncio.sleep(0.002)
            Slow.running -= 1
            return await super().get(*arguments, **named)

    source = ZarrStoreSource(Slow())
    source.put_many([(f"a/{i}", [np.full(10, i, np.uint8)]) for i in range(200)])
    buffers = [np.zeros(10, np.uint8) for _ in range(200)]
    assert source.read_into([(f"a/{i}", 0, [buffer]) for i, buffer in enumerate(buffers)]) == [10] * 200
    assert all((buffer == i).all() for i, buffer in enumerate(buffers))
    assert 16 < Slow.most <= 64
