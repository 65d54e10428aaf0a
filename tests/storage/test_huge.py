"""Chunks that are decoded piece by piece, made small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import CorruptChunkError
from tenzarr.storage import huge, reading

VALUES = np.round(np.cumsum(np.random.default_rng(0).normal(size=300_007)), 2)

COMPRESSORS: dict[str, Any] = {
    "zstd": "zstd",
    "lz4": {"id": "blosc", "cname": "lz4", "blocksize": 65536},
    "unshuffled": {"id": "blosc", "cname": "zstd", "shuffle": 0, "blocksize": 65536},
    "bits": {"id": "blosc", "cname": "lz4hc", "shuffle": 2, "blocksize": 131072},
    "stored": {"id": "blosc", "cname": "lz4", "clevel": 0},
    "whole": "blosc",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "HUGE_BYTES", 1)
    monkeypatch.setattr(huge, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(reading, "LARGE_BYTES", 1)


def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the chunks that are decoded piece by piece from now on."""
    sizes: list[int] = []
    decode = reading.decode_huge

    def spy(codec: Any, value: Any, out: Any, *, verify: bool) -> None:
        sizes.append(out.nbytes)
        decode(codec, value, out, verify=verify)

    monkeypatch.setattr(reading, "decode_huge", spy)
    return sizes


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_pieces_make_the_chunk(name: str, checksum: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = seen(monkeypatch)
    a = tz.save(tmp_path / "a", VALUES, chunks=VALUES.shape, compressor=COMPRESSORS[name], checksum=checksum)
    np.testing.assert_array_equal(a.read(alias=False), VALUES)
    into = np.empty_like(VALUES)
    np.testing.assert_array_equal(a.read(out=into), VALUES)
    np.testing.assert_array_equal(a[10:20], VALUES[10:20])
    assert sizes == [VALUES.nbytes, VALUES.nbytes]


@pytest.mark.parametrize("name", COMPRESSORS)
def test_damage_is_found_before_anything_is_returned(name: str, tmp_path: Path) -> None:
    a = tz.save(tmp_path / "a", VALUES, chunks=VALUES.shape, compressor=COMPRESSORS[name])
    place = tmp_path / "a" / "c" / "0"
    sound = place.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(sound)
        damaged[generator.integers(len(sound))] ^= 1 << int(generator.integers(8))
        place.write_bytes(damaged)
        with pytest.raises(CorruptChunkError, match="c/0"):
            a.read(out=np.empty_like(VALUES))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_sizes_that_lie(name: str, tmp_path: Path) -> None:
    a = tz.save(tmp_path / "a", VALUES, chunks=VALUES.shape, compressor=COMPRESSORS[name], checksum=False)
    place = tmp_path / "a" / "c" / "0"
    sound = place.read_bytes()
    for wrong in (
        sound[:-1],
        sound[: len(sound) // 2],
        sound[:10],
        b"",
        sound + b"x",
        sound[:8] + b"\xff" * 8 + sound[16:],
    ):
        place.write_bytes(wrong)
        with pytest.raises(CorruptChunkError, match="c/0"):
            a.read(out=np.empty_like(VALUES))
