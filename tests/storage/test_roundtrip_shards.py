"""Every layout of shards, against zarr-python and TensorStore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import tenzarr as tz
from tests.storage.oracles import (
    QUIET,
    Case,
    assert_same,
    sample,
    tensorstore_reads,
    tensorstore_writes,
    we_write,
    zarr_writes,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

JSON = dict[str, Any]

BYTES: JSON = {"name": "bytes", "configuration": {"endian": "little"}}
BIG: JSON = {"name": "bytes", "configuration": {"endian": "big"}}
CRC32C: JSON = {"name": "crc32c"}
ZSTD: JSON = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
GZIP: JSON = {"name": "gzip", "configuration": {"level": 1}}
BLOSC: JSON = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0},
}
INDEX = [BYTES, CRC32C]


def transpose(*order: int) -> JSON:
    return {"name": "transpose", "configuration": {"order": list(order)}}


def shard(
    chunks: tuple[int, ...], *codecs: JSON, index: list[JSON] | None = None, location: str | None = "end"
) -> JSON:
    configuration: JSON = {"chunk_shape": list(chunks), "codecs": list(codecs), "index_codecs": index or INDEX}
    if location is not None:
        configuration["index_location"] = location
    return {"name": "sharding_indexed", "configuration": configuration}


def case(
    name: str,
    *codecs: JSON,
    dtype: str = "i4",
    shape: tuple[int, ...] = (19, 15),
    shards: tuple[int, ...] = (8, 6),
    tensorstore: bool = True,
    **more: Any,
) -> Case:
    return Case(name, dtype, shape, shards, {"codecs": list(codecs)}, tensorstore=tensorstore, **more)


def with_options(name: str, dtype: str, shape: tuple[int, ...], **options: Any) -> Case:
    chunks = options.pop("chunks")
    oracles = {name: options.pop(name) for name in ("tensorstore", "zarr")}
    return Case(name, dtype, shape, chunks, options, **oracles)


def cases() -> list[Case]:
    found: list[Case] = []
    inner_chains = {
        "raw": [BYTES],
        "crc32c": [BYTES, CRC32C],
        "zstd": [BYTES, ZSTD],
        "zstd-crc32c": [BYTES, ZSTD, CRC32C],
        "gzip": [BYTES, GZIP],
        "blosc": [BYTES, BLOSC],
        "big": [BIG],
        "big-zstd": [BIG, ZSTD],
        "transposed": [transpose(1, 0), BYTES],
        "transposed-zstd": [transpose(1, 0), BYTES, ZSTD],
    }
    for location in ("start", "end"):
        for name, chain in inner_chains.items():
            found.append(case(f"{location}-{name}", shard((4, 2), *chain, location=location)))
            part = (slice(9, 13), slice(3, 8))
            sharding = shard((4, 2), *chain, location=location)
            found.append(case(f"{location}-{name}-missing", sharding, written=part))
        for name, index in (
            ("plain", [BYTES]),
            ("big", [BIG, CRC32C]),
            ("transposed", [transpose(2, 1, 0), BYTES, CRC32C]),
        ):
            for chain in ("raw", "zstd"):
                sharding = shard((4, 2), *inner_chains[chain], index=index, location=location)
                found.append(case(f"{location}-index-{name}-{chain}", sharding))
        nested = shard((4, 6), shard((2, 3), BYTES, ZSTD, location=location), location=location)
        nested_raw = shard((4, 6), shard((2, 3), BYTES, location="end"), location=location)
        thrice = shard((4, 6), shard((2, 6), shard((1, 3), BYTES, location=location)), location=location)
        found.append(case(f"{location}-nested", nested))
        found.append(case(f"{location}-nested-missing", nested, written=(slice(9, 11), slice(3, 8))))
        found.append(case(f"{location}-nested-raw", nested_raw))
        found.append(case(f"{location}-nested-thrice", thrice))
        compressed = shard((4, 6), shard((2, 3), BYTES), GZIP, location=location)
        found.append(case(f"{location}-nested-compressed", compressed, tensorstore=False))
        outside = [transpose(1, 0), shard((2, 4), BYTES, ZSTD, location=location)]
        found.append(case(f"{location}-outside", *outside, shards=(8, 8)))
        # zarr-python compares the inner chunks with the shard as it was before the transpose.
        found.append(case(f"{location}-outside-oblong", *outside, shards=(8, 6), zarr=False))
        outside = [transpose(1, 0), shard((4, 2), BYTES, location=location)]
        found.append(case(f"{location}-outside-raw", *outside, shards=(8, 8)))
        both = [transpose(1, 0), shard((2, 4), transpose(1, 0), BYTES, ZSTD, location=location)]
        found.append(case(f"{location}-inside-and-outside", *both, shards=(8, 8)))
        for name, behind in (("gzip", [GZIP]), ("zstd", [ZSTD]), ("crc32c", [CRC32C]), ("zstd-crc32c", [ZSTD, CRC32C])):
            sharding = shard((4, 2), BYTES, location=location)
            found.append(case(f"{location}-behind-{name}", sharding, *behind, tensorstore=False))
            part = (slice(9, 13), slice(3, 8))
            sharding = shard((4, 2), BYTES, ZSTD, location=location)
            found.append(case(f"{location}-behind-{name}-missing", sharding, *behind, written=part, tensorstore=False))
    found.append(case("location-left-out", shard((4, 2), BYTES, location=None)))
    found.append(case("one-inner-chunk", shard((8, 6), BYTES, ZSTD)))
    found.append(case("inner-chunks-of-1", shard((1, 1), BYTES), shape=(5, 5), shards=(4, 4)))
    found.append(case("0d", shard((), BYTES), shape=(), shards=(), zarr_writes=False))
    found.append(
        case("0d-nested", shard((), shard((), BYTES, CRC32C)), shape=(), shards=(), dtype="f8", zarr_writes=False)
    )
    found.append(case("1d", shard((4,), BYTES, ZSTD), shape=(37,), shards=(16,)))
    found.append(case("3d", shard((2, 1, 3), BYTES, ZSTD), shape=(5, 4, 7), shards=(4, 2, 6), dtype="f4"))
    threefold = [transpose(2, 0, 1), shard((3, 2, 1), transpose(1, 2, 0), BYTES, ZSTD)]
    found.append(case("3d-transposed-twice", *threefold, shape=(7, 8, 9), shards=(6, 6, 6), dtype="f4"))
    found.append(case("length-0", shard((4, 2), BYTES), shape=(0, 5)))
    found.append(case("shard-larger", shard((4, 2), BYTES), shape=(3, 3)))
    delta = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    found.append(case("filtered", shard((4, 2), delta, BYTES, ZSTD), tensorstore=False))
    for dtype in ("bool", "u1", "f2", "c16", "bfloat16", "float8_e5m2", "int4", "S5", "U2", "V3", "M8[s]"):
        known = dtype[0] not in "SUVM"
        for name, compressor in (("raw", None), ("zstd", "zstd:1")):
            found.append(
                with_options(
                    f"{dtype.replace('[', '-').replace(']', '')}-{name}",
                    dtype,
                    (13, 7),
                    chunks=(2, 3),
                    shards=(6, 6),
                    compressor=compressor,
                    tensorstore=known,
                    zarr=dtype != "V3",
                )
            )
    for name, fill in (("nan", float("nan")), ("inf", float("inf")), ("minus-zero", -0.0), ("payload", "0x7fc00001")):
        found.append(
            Case(
                f"fill-{name}",
                "f4",
                (13, 7),
                (2, 3),
                {"shards": (6, 6), "fill_value": fill},
                written=(slice(0, 3), slice(2, 5)),
                zarr_writes=name != "payload",
                tensorstore=True,
            )
        )
    return found


CASES = cases()
ZARR = [one for one in CASES if one.zarr]
ZARR_WRITES = [one for one in ZARR if one.zarr_writes]
TENSORSTORE = [one for one in CASES if one.tensorstore]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({one.id for one in CASES}) == len(CASES)


@pytest.mark.parametrize("case", ZARR, ids=lambda case: case.id)
def test_zarr_python_reads_what_we_write(case: Case, tmp_path: Path) -> None:
    expected = we_write(case, tmp_path / "a")
    assert_same(zarr.open_array(tmp_path / "a", mode="r")[...], expected)


@pytest.mark.parametrize("case", ZARR_WRITES, ids=lambda case: case.id)
def test_we_read_what_zarr_python_writes(case: Case, tmp_path: Path) -> None:
    expected = zarr_writes(case, tmp_path / "a")
    array = tz.open_array(tmp_path / "a", mode="r")
    assert array.info.engine == "native"
    assert_same(array[...], expected)


@pytest.mark.parametrize("case", TENSORSTORE, ids=lambda case: case.id)
def test_tensorstore_reads_what_we_write(case: Case, tmp_path: Path) -> None:
    expected = we_write(case, tmp_path / "a")
    assert_same(tensorstore_reads(tmp_path / "a"), expected)


@pytest.mark.parametrize("case", TENSORSTORE, ids=lambda case: case.id)
def test_we_read_what_tensorstore_writes(case: Case, tmp_path: Path) -> None:
    expected = tensorstore_writes(case, tmp_path / "a")
    array = tz.open_array(tmp_path / "a", mode="r")
    assert array.info.engine == "native"
    assert_same(array[...], expected)


PARTS = [one for one in ZARR_WRITES if len(one.shape) == 2 and 0 not in one.shape]


@pytest.mark.parametrize("case", PARTS, ids=lambda case: case.id)
def test_each_changes_a_part_of_what_the_other_wrote(case: Case, tmp_path: Path) -> None:
    expected = zarr_writes(case, tmp_path / "a").copy()
    ours, theirs = tz.open_array(tmp_path / "a"), zarr.open_array(tmp_path / "a")
    rng = np.random.default_rng(1)
    for number, writer in enumerate((ours, theirs, ours)):
        starts = [int(rng.integers(0, length)) for length in case.shape]
        part = tuple(slice(start, start + int(rng.integers(1, 8))) for start in starts)
        expected[part] = sample(expected.dtype, expected[part].shape, seed=number)
        writer[part] = expected[part]
        assert_same(ours[...], expected)
        assert_same(theirs[...], expected)
        assert_same(ours[part], expected[part])
