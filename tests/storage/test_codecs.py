"""Codecs alone: what one encodes it decodes, whatever other writers may write, and damage is told from it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import tenzarr as tz
from tenzarr.dtypes import normalize
from tenzarr.errors import (
    ArgumentError,
    ArgumentTypeError,
    ChecksumError,
    CorruptChunkError,
    MetadataError,
    UnsupportedError,
)
from tenzarr.storage.arguments import ArrayArguments, describe
from tenzarr.storage.codecs import LeafCodec, ShardCodec, UndecodableError, compile_chain
from tests.storage.oracles import QUIET, assert_same, sample

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

DTYPES = ["bool", "i1", "i2", ">u4", "i8", "f4", ">f8", "c16", "bfloat16", "uint4", "S3", "U2", "V5", "M8[ns]"]
COMPRESSORS: list[Any] = [
    "zstd:1",
    {"id": "zstd", "level": 1, "checksum": True},
    "blosc",
    {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2},
    "gzip:1",
    "zlib:1",
    "lz4",
    "bz2",
    "lzma",
    "crc32c",
    {"id": "crc32"},
    {"id": "adler32", "location": "end"},
    {"id": "fletcher32"},
    {"id": "jenkins_lookup3"},
    {"id": "shuffle", "elementsize": 1},
]


def leaf(shape: tuple[int, ...], dtype: Any, **options: Any) -> LeafCodec:
    codec = compile_chain(describe(ArrayArguments(shape, dtype, chunks=shape, **options)), "zarr.json")
    assert isinstance(codec, LeafCodec)
    return codec


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_every_chain_decodes_what_it_encodes(data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), max_size=3)))
    dtype = data.draw(st.sampled_from(DTYPES))
    chain = data.draw(st.lists(st.sampled_from(COMPRESSORS), max_size=3))
    order = data.draw(st.sampled_from("CF"))
    codec = leaf(shape, dtype, compressor=chain, order=order, checksum=data.draw(st.booleans()))
    chunk = sample(normalize(dtype), shape, data.draw(st.integers(0, 2**16)))
    stored = np.concatenate(codec.encode(chunk))
    assert stored.nbytes <= codec.max_stored
    assert not codec.fixed or stored.nbytes == codec.max_stored
    assert_same(codec.view(codec.decode(stored)), chunk)
    out = np.empty(codec.nbytes, np.uint8)
    decoded = codec.decode(stored, out, verify=data.draw(st.booleans()))
    assert np.shares_memory(decoded, out) or not codec.nbytes
    assert_same(codec.view(decoded), chunk)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_damage_is_noticed_or_harmless(data: Any) -> None:
    compressor = data.draw(
        st.sampled_from([item for item in COMPRESSORS if item != {"id": "shuffle", "elementsize": 1}])
    )
    codec = leaf((6, 5), "i4", compressor=compressor)
    assert codec.checks is not None
    chunk = np.arange(30, dtype="i4").reshape(6, 5)
    stored = np.concatenate(codec.encode(chunk))
    damaged = stored.copy()
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, stored.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    damaged = damaged[: data.draw(st.sampled_from([stored.size, stored.size, stored.size - 1, stored.size // 2, 0]))]
    try:
        decoded = codec.decode(damaged)
    except UndecodableError:
        return
    assert_same(codec.view(decoded), chunk)


def store(path: Path, value: bytes, compressor: Any, **options: Any) -> tz.Array:
    """An array of 1000 bytes whose only chunk is `value`."""
    array = tz.create(path, shape=1000, dtype="u1", chunks=1000, compressor=compressor, checksum=False, **options)
    array.source.put("0" if array.metadata.zarr_format == 2 else "c/0", [value])
    return array


DATA = bytes(range(250)) * 4
HALVES = DATA[:400], DATA[400:]


def unsized_zstd(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=3, write_content_size=False)
    return stream.compress(data)


def streamed_zstd(data: bytes) -> bytes:
    encoder = zstandard.ZstdCompressor().compressobj()
    return (
        encoder.compress(data[:300])
        + encoder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        + encoder.compress(data[300:])
        + encoder.flush()
    )


def test_filters_before_a_transpose_and_in_the_other_byte_order(tmp_path: Path) -> None:
    """zarr-python cannot carry these chains itself, so that the bytes are worked out by hand."""
    delta = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    codecs = [delta, {"name": "transpose", "configuration": {"order": [1, 0]}}, "bytes"]
    chunk = np.arange(12, dtype="i4").reshape(3, 4) ** 2
    steps = np.diff(chunk.reshape(-1), prepend=0).reshape(3, 4)
    for dtype in ("<i4", ">i4"):
        array = tz.create(tmp_path / dtype[0], shape=(3, 4), dtype=dtype, chunks=(3, 4), codecs=codecs)
        array[...] = chunk
        assert (tmp_path / dtype[0] / "c/0/0").read_bytes() == steps.T.astype(dtype).tobytes()
        assert_same(array[1:], chunk[1:])


SKIPPABLE = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"

FOREIGN: list[tuple[str, Any, bytes]] = [
    ("zstd-without-size", "zstd", unsized_zstd(DATA)),
    ("zstd-streamed", "zstd", streamed_zstd(DATA)),
    ("zstd-frames", "zstd", b"".join(map(zstandard.ZstdCompressor().compress, HALVES))),
    ("zstd-frames-without-size", "zstd", b"".join(map(unsized_zstd, HALVES))),
    ("zstd-mixed-frames", "zstd", zstandard.ZstdCompressor().compress(HALVES[0]) + streamed_zstd(HALVES[1])),
    ("zstd-with-checksum", "zstd", zstandard.ZstdCompressor(write_checksum=True).compress(DATA)),
    ("zstd-skippable-first", "zstd", SKIPPABLE + zstandard.ZstdCompressor().compress(DATA)),
    ("zstd-skippable-last", "zstd", zstandard.ZstdCompressor().compress(DATA) + SKIPPABLE),
    ("gzip-members", "gzip", b"".join(map(gzip.compress, HALVES))),
    ("gzip-named", "gzip", gzip.compress(DATA, mtime=5)),
    ("bz2-streams", "bz2", b"".join(map(bz2.compress, HALVES))),
    ("xz-streams", "lzma", b"".join(map(lzma.compress, HALVES))),
    ("xz-without-check", "lzma", lzma.compress(DATA, check=lzma.CHECK_NONE)),
    ("blosc-memcpyed", "blosc", numcodecs.Blosc(clevel=0).encode(DATA)),
    ("blosc-other", "blosc", numcodecs.Blosc("zlib", shuffle=2, blocksize=256).encode(DATA)),
]


@pytest.mark.parametrize(("name", "compressor", "value"), FOREIGN, ids=[item[0] for item in FOREIGN])
def test_what_other_writers_may_write_is_read(name: str, compressor: Any, value: bytes, tmp_path: Path) -> None:
    array = store(tmp_path / name, value, compressor)
    assert array[...].tobytes() == DATA
    out = np.empty(2000, np.uint8)[::2]
    array.read(out=out)
    assert out.tobytes() == DATA
    assert array[10:20].tobytes() == DATA[10:20]


LIES: list[tuple[str, Any, bytes, str]] = [
    ("empty", "zstd", b"", "not a Zstandard frame"),
    ("no-frame", "zstd", b"x" * 50, "not a Zstandard frame"),
    ("short-frame", "zstd", zstandard.ZstdCompressor().compress(DATA)[:-3], "rror|truncated|frame"),
    ("wrong-size", "zstd", zstandard.ZstdCompressor().compress(DATA[:-1]), "999 bytes"),
    ("too-large", "zstd", zstandard.ZstdCompressor().compress(DATA * 2), "2000 bytes"),
    ("too-large-unsized", "zstd", unsized_zstd(DATA * 2), "too small|more than|declared"),
    ("trailing", "zstd", zstandard.ZstdCompressor().compress(DATA) + b"x", "."),
    ("trailing", "gzip", gzip.compress(DATA) + b"xyz", "."),
    ("too-large", "gzip", gzip.compress(DATA + b"x"), "more than the 1000 bytes"),
    ("too-small", "gzip", gzip.compress(DATA[1:]), "999 bytes"),
    ("truncated", "gzip", gzip.compress(DATA)[:-4], "truncated"),
    ("second-member-too-large", "gzip", gzip.compress(DATA) + gzip.compress(b"x"), "more than the 1000 bytes"),
    ("trailing", "zlib", zlib.compress(DATA) + b"x", "1 bytes? follow"),
    ("too-large", "bz2", bz2.compress(DATA * 2), "more than the 1000 bytes"),
    ("truncated", "bz2", bz2.compress(DATA)[:-4], "truncated"),
    ("too-large", "lzma", lzma.compress(DATA * 2), "more than the 1000 bytes"),
    ("truncated", "lzma", lzma.compress(DATA)[:-4], "truncated"),
    ("no-frame", "lzma", b"x" * 50, "."),
    ("wrong-size", "lz4", numcodecs.LZ4().encode(DATA * 2), "2000 bytes"),
    ("negative-size", "lz4", b"\xff\xff\xff\xff" + numcodecs.LZ4().encode(DATA)[4:], "bytes"),
    ("short", "lz4", b"\x00\x00", "too few for an LZ4 frame"),
    ("garbage", "lz4", (1000).to_bytes(4, "little") + b"\xff" * 40, "."),
    ("wrong-size", "blosc", numcodecs.Blosc().encode(DATA[:-8]), "992 bytes"),
    ("short", "blosc", b"\x02\x01", "too few for a Blosc header"),
    ("trailing", "blosc", numcodecs.Blosc().encode(DATA) + b"x", "declares"),
    ("wrong-size", None, DATA + b"x", "more than 1000 bytes where exactly 1000"),
    ("wrong-size", None, DATA[:-1], "999 bytes where exactly 1000"),
    ("empty", None, b"", "0 bytes where exactly 1000"),
]


@pytest.mark.parametrize(("name", "compressor", "value", "message"), LIES, ids=[f"{x[1]}-{x[0]}" for x in LIES])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_does_not_decode_to_the_chunk_is_refused(
    name: str, compressor: Any, value: bytes, message: str, zarr_format: Any, tmp_path: Path
) -> None:
    array = store(tmp_path / "a", value, compressor, zarr_format=zarr_format)
    key = "c/0" if zarr_format == 3 else "0"
    with pytest.raises(CorruptChunkError, match=message) as caught:
        array[...]
    assert (caught.value.chunk, caught.value.key) == ((0,), key)
    assert str(tmp_path / "a") in caught.value.array
    with pytest.raises(CorruptChunkError, match=message):
        array[3:5]
    with pytest.raises(CorruptChunkError, match=message):
        array.read(out=np.empty(2000, np.uint8)[::2])
    with pytest.raises(CorruptChunkError, match=message):
        array[3] = 1
    array[...] = 1
    assert array[...].all()


CHECKED: list[tuple[Any, dict[str, Any]]] = [
    (None, {}),
    ("zstd:1", {}),
    ({"id": "zstd", "level": 1, "checksum": True}, {}),
    ("gzip", {}),
    ({"id": "crc32"}, {}),
    ({"id": "adler32"}, {}),
    ({"id": "fletcher32"}, {}),
    ({"id": "jenkins_lookup3"}, {}),
    ({"id": "crc32c", "location": "start"}, {}),
    ("lzma", {}),
    (None, {"shards": 200}),
    ("zstd:1", {"shards": 200}),
]


@pytest.mark.parametrize(("compressor", "options"), CHECKED, ids=lambda value: str(value))
def test_a_checksum_that_does_not_match_says_so(compressor: Any, options: dict[str, Any], tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=200, dtype="u1", chunks=100, compressor=compressor, **options)
    array[...] = np.arange(200)
    assert array.info.checks != "unverified"
    file = tmp_path / "a" / "c" / "0"
    value = bytearray(file.read_bytes())
    at = len(value) // 2 if compressor is None or "crc" in str(compressor) else len(value) - (70 if options else 6)
    value[at] ^= 0x10
    file.write_bytes(value)
    with pytest.raises(CorruptChunkError, match=r"'c/0'.*(does not match|checksum|crc|adler|rror|orrupt|expected)"):
        tz.open_array(tmp_path / "a")[...]
    if compressor is None and not options:
        with pytest.raises(ChecksumError, match=r"its crc32c is [0-9a-f]{8}, the stored one is [0-9a-f]{8}"):
            array[...]
        assert array.read(verify=False).shape == (200,)


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ([{"name": "zstd", "configuration": {"level": 99, "checksum": False}}], "array-to-bytes"),
        (["bytes", {"name": "zstd", "configuration": {"level": 99, "checksum": False}}], "`level` must be an integer"),
        (
            ["bytes", {"name": "zstd", "configuration": {"level": True, "checksum": False}}],
            "`level` must be an integer",
        ),
        (["bytes", {"name": "zstd", "configuration": {"level": 1, "checksum": 1}}], "must be true or false"),
        (["bytes", {"name": "gzip", "configuration": {"level": 10}}], "from 0 to 9"),
        (["bytes", {"name": "gzip", "configuration": {"level": 1, "mtime": 0}}], "mtime"),
        (["bytes", {"name": "crc32c", "configuration": {"polynomial": 1}}], "polynomial"),
        (["bytes", "bytes"], "after the array-to-bytes codec"),
        ([{"name": "transpose", "configuration": {"order": [0, 0]}}, "bytes"], "permutation of the 2 axes"),
        ([{"name": "transpose", "configuration": {"order": [0]}}, "bytes"], "list of 2 integers"),
        ([{"name": "transpose", "configuration": {"order": "F"}}, "bytes"], "order"),
        (
            ["bytes", {"name": "blosc", "configuration": {"cname": "lz5", "clevel": 5, "shuffle": "shuffle"}}],
            "`cname` must be one of",
        ),
        (
            ["bytes", {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"}}],
            "`typesize`",
        ),
        ([{"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 4], "codecs": ["bytes"]}}], "must divide"),
        ([{"name": "sharding_indexed", "configuration": {"chunk_shape": [2], "codecs": ["bytes"]}}], "chunk_shape"),
        (
            [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [2, 2],
                        "codecs": ["bytes"],
                        "index_codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "gzip", "configuration": {"level": 1}},
                        ],
                    },
                }
            ],
            "size that does not depend on the data",
        ),
        (["bytes", {"name": "numcodecs.shuffle", "configuration": {"elementsize": 3}}], "must divide"),
        ([{"name": "numcodecs.packbits", "configuration": {}}, "bytes"], "elements of type bool"),
        ([{"name": "numcodecs.delta", "configuration": {"dtype": "<f8"}}, "bytes"], "decodes to float64"),
        ([{"name": "numcodecs.delta", "configuration": {"dtype": "nonsense"}}, "bytes"], "refuses its configuration"),
    ],
)
def test_wrong_codecs_are_refused_with_their_place(codecs: list[Any], message: str) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        tz.create(None, shape=(4, 4), dtype="u1", chunks=(4, 4), codecs=codecs)
    assert caught.value.where.startswith("codecs")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"compressor": "zst"}, ArgumentError, "`compressor` must be one of blosc, bz2"),
        ({"compressor": "zstd:fast"}, ArgumentError, "`compressor` must be one of"),
        ({"compressor": 7}, ArgumentTypeError, "`compressor` must be None, a name"),
        ({"compressor": {"level": 1}}, ArgumentError, "must have an `id` or a `name`"),
        ({"compressor": "zstd", "compressors": "lz4", "zarr_format": 2, "filters": 3}, ArgumentTypeError, "filters"),
        ({"compressor": "gzip", "compressors": "lz4"}, ArgumentError, "two names of one argument"),
        ({"codecs": "bytes"}, ArgumentTypeError, "`codecs` must be a list of codecs"),
        (
            {"compressor": ["zstd", "gzip"], "zarr_format": 2},
            ArgumentError,
            "must be one codec where `zarr_format` is 2",
        ),
        ({"codecs": ["bytes"], "zarr_format": 2}, ArgumentError, "`codecs` must be None where `zarr_format` is 2"),
        ({"shards": (4,), "zarr_format": 2}, ArgumentError, "`shards` must be None where `zarr_format` is 2"),
        ({"compressor": {"name": "sharding_indexed"}, "zarr_format": 2}, ArgumentError, "that Zarr v2 has"),
    ],
)
def test_wrong_codec_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tz.create(None, shape=(4,), dtype="u1", **options)


def test_a_codec_may_be_given_in_many_ways() -> None:
    zstd = zarr.codecs.ZstdCodec(level=7)
    for given_as in ("zstd:7", {"id": "zstd", "level": 7}, numcodecs.Zstd(7), zstd, [zstd], zstd.to_dict()):
        array = tz.create(None, shape=4, dtype="u1", compressor=given_as)
        assert array.info.codecs == "zstd:7 + crc32c"
        assert tz.create(None, shape=4, dtype="u1", compressors=given_as).metadata.codecs == array.metadata.codecs
        assert tz.create(None, shape=4, dtype="u1", compressor=given_as, zarr_format=2).info.codecs == "zstd:7"


def test_snappy_is_named_where_blosc_lacks_it(tmp_path: Path) -> None:
    if "snappy" in numcodecs.blosc.list_compressors():
        assert tz.create(None, shape=4, dtype="u1", compressor={"id": "blosc", "cname": "snappy"})[...].shape == (4,)
        return
    array = tz.create(
        tmp_path / "a", shape=1000, dtype="u1", chunks=1000, compressor={"id": "blosc", "cname": "snappy"}
    )
    with pytest.raises(UnsupportedError, match=r"`cname` must be one of .*, got 'snappy'"):
        array[...] = 1
    assert not array[...].any()
    frame = bytearray(numcodecs.Blosc("lz4").encode(b"abc" * 200 + bytes(400)))
    frame[2] = frame[2] & 0x1F | 2 << 5
    damaged = store(tmp_path / "b", bytes(frame), "blosc")
    with pytest.raises(UnsupportedError, match="got 'snappy'"):
        damaged[...]


def shard_of(path: Path, **options: Any) -> tz.Array:
    array = tz.create(path, shape=8, dtype="i4", chunks=2, shards=8, compressor=None, checksum=False, **options)
    array[...] = np.arange(8)
    assert isinstance(array.engine.access.codec, ShardCodec)  # type: ignore[attr-defined]
    return array


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({0: (10**6, 8)}, "points outside the shard"),
        ({0: (2**63, 2**63)}, "points outside the shard"),
        ({1: (2**64 - 2, 8)}, "points outside the shard"),
        ({2: (2**64 - 1, 8)}, "half an entry"),
        ({3: (0, 7)}, "7 bytes where exactly 8"),
        ({3: (0, 9)}, "9 bytes|9 where|at most 8"),
    ],
)
def test_a_shard_index_that_lies_is_refused(entries: dict[int, tuple[int, int]], message: str, tmp_path: Path) -> None:
    array = shard_of(tmp_path / "a")
    file = tmp_path / "a" / "c" / "0"
    value = file.read_bytes()
    table = np.frombuffer(value[-68:-4], "<u8").reshape(4, 2).copy()
    for number, entry in entries.items():
        table[number] = entry
    body = table.tobytes()
    checksum = numcodecs.checksum32.CRC32C().encode(body)
    file.write_bytes(value[:-68] + np.frombuffer(checksum, np.uint8).tobytes())
    with pytest.raises(CorruptChunkError, match=message):
        array[...]
    with pytest.raises(CorruptChunkError, match=message):
        array[:7] = 0


def test_a_shard_too_short_for_its_index_is_refused(tmp_path: Path) -> None:
    array = shard_of(tmp_path / "a")
    (tmp_path / "a" / "c" / "0").write_bytes(b"short")
    with pytest.raises(CorruptChunkError, match="5 bytes is too short for its index"):
        array[...]


def test_inner_chunks_may_overlap_and_leave_gaps(tmp_path: Path) -> None:
    array = shard_of(tmp_path / "a")
    file = tmp_path / "a" / "c" / "0"
    body = b"gap" + np.array([5, 6, 7], "<i4").tobytes() + b"?" * 40
    table = np.array([(3, 8), (7, 8), (2**64 - 1, 2**64 - 1), (3, 8)], "<u8").tobytes()
    file.write_bytes(body + np.frombuffer(numcodecs.checksum32.CRC32C().encode(table), np.uint8).tobytes())
    assert array[...].tolist() == [5, 6, 6, 7, 0, 0, 5, 6]
    array[4] = 9
    assert array[...].tolist() == [5, 6, 6, 7, 9, 0, 5, 6]
    assert zarr.open_array(tmp_path / "a")[...].tolist() == [5, 6, 6, 7, 9, 0, 5, 6]


def test_uncompressed_inner_chunks_start_at_multiples_of_64(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=40, dtype="u1", chunks=10, shards=40, compressor=None, checksum=False)
    array[...] = np.arange(40)
    table = np.frombuffer((tmp_path / "a" / "c" / "0").read_bytes()[-68:-4], "<u8").reshape(4, 2)
    assert table.tolist() == [[0, 10], [64, 10], [128, 10], [192, 10]]
    assert zarr.open_array(tmp_path / "a")[...].tolist() == list(range(40))


def test_nested_indexes_are_not_mixed_up(tmp_path: Path) -> None:
    inner = {"chunk_shape": [2], "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    middle = {"name": "sharding_indexed", "configuration": {**inner, "index_codecs": index}}
    outer = {"chunk_shape": [6], "codecs": [middle], "index_codecs": index}
    codecs = [{"name": "sharding_indexed", "configuration": outer}]
    array = tz.create(tmp_path / "a", shape=24, dtype="i8", chunks=12, codecs=codecs)
    array[...] = np.arange(24)
    # An index is kept only once its file is too old to change unnoticed.
    time.sleep(0.1)
    again = tz.open_array(tmp_path / "a")
    for _ in range(3):
        assert again[...].tolist() == list(range(24))
        assert again[7:9].tolist() == [7, 8]
        assert again[0] == 0
