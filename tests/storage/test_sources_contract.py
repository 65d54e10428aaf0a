"""Every source against the contract of `ByteSource`."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr.storage

from tenzarr.storage.sources import ByteSource, LocalSource, MemorySource, ZarrStoreSource, ZipSource
from tenzarr.testing import StoreTests


class TestLocal(StoreTests):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        return LocalSource(tmp_path / "deep" / "root")

    def reopen(self, source: ByteSource, *, read_only: bool = False) -> ByteSource | None:
        return LocalSource(source.location, read_only=read_only)


class TestLocalWithoutLinks(TestLocal):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        return LocalSource(tmp_path / "root", follow_symlinks=False)


class TestMemory(StoreTests):
    @pytest.fixture
    def source(self) -> ByteSource:
        return MemorySource()


class TestZip(StoreTests):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        return ZipSource(tmp_path / "deep" / "a.zip")

    def reopen(self, source: ByteSource, *, read_only: bool = False) -> ByteSource | None:
        return ZipSource(source.location, read_only=read_only)


class ZarrStoreTests(StoreTests):
    def reopen(self, source: ByteSource, *, read_only: bool = False) -> ByteSource | None:
        assert isinstance(source, ZarrStoreSource)
        return ZarrStoreSource(source.store, source.path, read_only=read_only)


class TestZarrMemory(ZarrStoreTests):
    @pytest.fixture
    def source(self) -> ByteSource:
        return ZarrStoreSource(zarr.storage.MemoryStore(), "some/where")


class TestZarrLocal(ZarrStoreTests):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        return ZarrStoreSource(zarr.storage.LocalStore(tmp_path / "root"))


class TestZarrFsspec(ZarrStoreTests):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        pytest.importorskip("fsspec")
        return ZarrStoreSource(zarr.storage.FsspecStore.from_url(f"memory://{tmp_path.name}-{id(self)}"))
