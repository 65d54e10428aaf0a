"""What only zarr-python can carry: reading, writing, resizing and selecting through it, with its answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.dtype import Int16, data_type_registry
from zarr.registry import register_codec

import tenzarr as tz
from tenzarr.errors import ArgumentError, ArgumentTypeError, MetadataError, ShapeMismatchError
from tests.storage.oracles import QUIET, NDArray, assert_same

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


class Complement(Codec):
    """A numcodecs codec that a user wrote: every bit the other way round."""

    codec_id = "tests_complement"

    def encode(self, buf: Any) -> bytes:
        return (~np.frombuffer(np.ascontiguousarray(buf), np.uint8)).tobytes()

    def decode(self, buf: Any, out: Any = None) -> Any:
        decoded = ~np.frombuffer(buf, np.uint8)
        return numcodecs.compat.ndarray_copy(decoded, out)


@dataclass(frozen=True)
class Backwards(BytesBytesCodec):
    """A zarr codec that a user wrote: the bytes from the last to the first."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: Any) -> Backwards:
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"name": "tests.backwards", "configuration": {}}

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        return chunk_spec.prototype.buffer.from_bytes(chunk_data.to_bytes()[::-1])

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        return chunk_spec.prototype.buffer.from_bytes(chunk_data.to_bytes()[::-1])

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return input_byte_length


class Celsius(Int16):
    """A data type that a user wrote: stored as int16, under a name of its own."""

    _zarr_v3_name: ClassVar[Any] = "tests.celsius"

    @classmethod
    def from_native_dtype(cls, dtype: Any) -> Any:
        raise _not_this_type(f"{dtype} does not mean Celsius unless it says so")

    @classmethod
    def _from_json_v2(cls, data: Any) -> Any:
        raise _not_this_type("there is no Celsius in version 2")

    @classmethod
    def _from_json_v3(cls, data: Any) -> Any:
        if data != cls._zarr_v3_name:
            raise _not_this_type(f"{data!r} is not Celsius")
        return cls()

    def to_json(self, zarr_format: Any) -> Any:
        return {"name": "<i2", "object_codec_id": None} if zarr_format == 2 else self._zarr_v3_name


def _not_this_type(problem: str) -> Exception:
    errors: Any = zarr.errors
    module = errors if hasattr(errors, "DataTypeValidationError") else zarr.dtype
    return module.DataTypeValidationError(problem)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    numcodecs.register_codec(Complement)
    register_codec("tests.backwards", Backwards)
    celsius: Any = Celsius
    data_type_registry.register("tests.celsius", celsius)
    yield
    numcodecs.registry.codec_registry.pop("tests_complement", None)
    data_type_registry.unregister("tests.celsius")


RECORD = np.dtype([("t", "i4"), ("v", "f8"), ("name", "S3")])
TEXT = np.dtypes.StringDType()


def words(count: int) -> NDArray:
    return np.array([("", "é", "zarr", "long " * 9)[i % 4] + str(i) for i in range(count)], dtype=TEXT)


def records(count: int) -> NDArray:
    return np.array([(i, i / 3, f"{i:x}") for i in range(count)], RECORD)


def numbers(count: int) -> NDArray:
    return np.arange(count, dtype="i2") * 7 - 100


@dataclass(frozen=True)
class Kind:
    """One thing that only zarr-python can carry."""

    id: str
    dtype: Any
    values: Any
    options: dict[str, Any]


def kinds() -> list[Kind]:
    found: list[Kind] = []
    for zarr_format in (3, 2):
        head: dict[str, Any] = {"zarr_format": zarr_format}
        name = f"v{zarr_format}"
        found.append(Kind(f"{name}-text", str, words, head))
        found.append(Kind(f"{name}-text-gzip", str, words, {**head, "compressor": "gzip:1"}))
        found.append(Kind(f"{name}-text-raw", "string", words, {**head, "compressor": None, "checksum": False}))
        found.append(Kind(f"{name}-text-filled", TEXT, words, {**head, "fill_value": "nothing"}))
        found.append(Kind(f"{name}-record", RECORD, records, head))
        found.append(Kind(f"{name}-record-blosc", RECORD, records, {**head, "compressor": "blosc"}))
    complement = {"zarr_format": 2, "compressor": {"id": "tests_complement"}}
    found.append(Kind("v2-users-compressor", "i2", numbers, complement))
    found.append(Kind("v2-users-compressor-big", ">i2", numbers, complement))
    filters = {"zarr_format": 2, "filters": [{"id": "tests_complement"}], "compressor": "zlib:1"}
    found.append(Kind("v2-users-filter", "i2", numbers, filters))
    found.append(Kind("v3-users-codec", "i2", numbers, {"compressor": Backwards()}))
    found.append(Kind("v3-users-codec-by-name", "i2", numbers, {"compressor": {"name": "tests.backwards"}}))
    found.append(Kind("v3-users-codec-sharded", "i2", numbers, {"compressor": Backwards(), "shards": 6}))
    found.append(Kind("v3-users-type", Celsius(), numbers, {}))
    found.append(Kind("v3-users-type-filled", Celsius(), numbers, {"fill_value": 20, "compressor": "blosc"}))
    found.append(Kind("v3-text-sharded", str, words, {"shards": 6}))
    return found


KINDS = kinds()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.id)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def create(kind: Kind, path: Path, shape: Any, chunks: Any = 3, **more: Any) -> tz.Array:
    return tz.create(path, shape=shape, chunks=chunks, dtype=kind.dtype, **kind.options, **more)


def test_zarr_reads_what_we_write_through_it(kind: Kind, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", 13)
    assert array.info.engine == "zarr"
    values = kind.values(13)
    array[...] = values
    assert_same(array[...], values.astype(array.dtype))
    theirs = zarr.open_array(tmp_path / "a", mode="r")
    assert_same(theirs[...], values.astype(array.dtype))
    assert_same(array.zarr[2:5], values[2:5].astype(array.dtype))


def test_we_read_what_zarr_writes(kind: Kind, tmp_path: Path) -> None:
    create(kind, tmp_path / "a", 13)
    values = kind.values(13)
    theirs = zarr.open_array(tmp_path / "a")
    theirs.attrs["by"] = "zarr-python"
    theirs[2:9] = values[2:9]
    array = tz.open_array(tmp_path / "a", mode="r")
    assert array.info.engine == "zarr"
    assert array.attrs["by"] == "zarr-python"
    assert_same(array[...], theirs[...])
    assert_same(array[2:9], values[2:9].astype(array.dtype))


def test_missing_chunks_hold_what_zarr_says(kind: Kind, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", 5)
    assert_same(array[...], array.zarr[...])
    assert array.fill_value == array.zarr.fill_value == array.info.fill_value
    if "fill_value" in kind.options:
        assert array[0] == kind.options["fill_value"]


def test_selections(kind: Kind, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", (7, 5), chunks=(3, 2) if "shards" not in kind.options else (3, 3))
    values = kind.values(35).reshape(7, 5).astype(array.dtype)
    array[...] = values
    for selection in (2, slice(1, 6, 2), (slice(None, None, -1), 3), (..., None), (-1, -2), (slice(3, 3), ...)):
        assert_same(array[selection], np.asarray(values[selection], values.dtype))
    assert_same(array.oindex[[5, 0, 5], [1, 3]], values[np.ix_([5, 0, 5], [1, 3])])
    assert_same(array.oindex[3:6, [4]], values[3:6, [4]])
    assert_same(array.vindex[[6, 0, 6], [4, 0, -1]], values[[6, 0, 6], [4, 0, -1]])
    assert_same(array.vindex[[], []], values[[], []])
    mask = np.arange(35).reshape(7, 5) % 3 == 1
    assert_same(array[mask], values[mask])
    height, width = array.metadata.chunks
    assert_same(array.blocks[1, 0], values[height : 2 * height, :width])


def test_writing_parts(kind: Kind, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", (7, 5), chunks=(3, 2) if "shards" not in kind.options else (3, 3))
    other = kind.values(70)[35:].reshape(7, 5).astype(array.dtype)
    expected = np.array(array[...])
    for selection in ((slice(1, 6, 2), slice(None, None, -1)), 4, (-1, -1), (..., 2)):
        array[selection] = other[selection]
        expected[selection] = other[selection]
    array.oindex[[5, 0], [1, 3]] = other[:2, :2]
    expected[np.ix_([5, 0], [1, 3])] = other[:2, :2]
    array.vindex[[2, 3], [4, 0]] = other[0, :2]
    expected[[2, 3], [4, 0]] = other[0, :2]
    mask = np.arange(35).reshape(7, 5) % 4 == 1
    array[mask] = other[mask]
    expected[mask] = other[mask]
    array[2:2] = other[2:2]
    assert_same(array[...], expected)
    assert_same(zarr.open_array(tmp_path / "a", mode="r")[...], expected)
    with pytest.raises(ShapeMismatchError, match="must broadcast to the selected shape"):
        array[0] = other[0, :3]
    out = np.empty((7, 2), array.dtype)
    assert array.read((slice(None), slice(1, 3)), out=out) is out
    assert_same(out, expected[:, 1:3])


def test_growing_and_shrinking(kind: Kind, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", 4)
    values = kind.values(11).astype(array.dtype)
    array[...] = values[:4]
    assert array.append(values[4:]) == (11,)
    assert_same(array[...], values)
    array.resize(6)
    assert_same(array[...], values[:6])
    again = tz.open_array(tmp_path / "a")
    assert again.shape == (6,)
    again.resize((8,))
    assert_same(again[:6], values[:6])
    assert_same(again[6:], np.full(2, again.fill_value, again.dtype))
    with pytest.raises(ShapeMismatchError, match="must have shape"):
        again.append(values.reshape(1, -1))


def test_no_axes_and_no_elements(kind: Kind, tmp_path: Path) -> None:
    if "shards" in kind.options:
        empty = create(kind, tmp_path / "e", 0)
    else:
        array = create(kind, tmp_path / "a", (), chunks=())
        array[...] = kind.values(6)[5]
        assert_same(array[...], kind.values(6)[5:].reshape(()).astype(array.dtype))
        assert_same(array.vindex[()], array[...])
        empty = create(kind, tmp_path / "e", 0)
    assert empty[...].shape == (0,)
    assert empty[...].dtype == empty.dtype


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_copies(kind: Kind, zarr_format: Any, tmp_path: Path) -> None:
    array = create(kind, tmp_path / "a", 13, names=("x",), attributes={"units": "K"})
    values = kind.values(13).astype(array.dtype)
    array[:10] = values[:10]
    theirs = kind.id.startswith(("v2-users", "v3-users"))
    if theirs and zarr_format != array.metadata.zarr_format:
        if kind.id.startswith("v3-users-type"):
            assert array.copy_to(None, zarr_format=2, compressor=None)[...].tolist() == array[...].tolist()
        copy = array.copy_to(None, zarr_format=zarr_format, compressor="zstd") if "filter" not in kind.id else None
    else:
        copy = array.copy_to(None, zarr_format=zarr_format)
    if copy is not None:
        assert copy.metadata.zarr_format == zarr_format
        assert copy.names == ("x",)
        assert copy.attrs["units"] == "K"
        assert copy[...].tolist() == array[...].tolist()
        assert copy.fill_value == array.fill_value
    rechunked = array.copy_to(tmp_path / "b", chunks=5, shards=None)
    assert rechunked.chunks == (5,)
    assert_same(rechunked[...], array[...])
    assert_same(zarr.open_array(tmp_path / "b", mode="r")[...], array[...])


@pytest.mark.parametrize("values", [np.array(["a", "bb"]), np.array([(1, 2.5, b"x")], RECORD)], ids=["text", "record"])
def test_save_and_load(values: NDArray, tmp_path: Path) -> None:
    tz.save(tmp_path / "a", values)
    assert_same(tz.load(tmp_path / "a"), values)


def test_what_zarr_verifies_is_named() -> None:
    for options, checks in (
        ({}, "crc32c"),
        ({"checksum": False}, "unverified"),
        ({"compressor": "gzip"}, "gzip checksum"),
        ({"zarr_format": 2}, "unverified"),
        ({"zarr_format": 2, "compressor": "zlib"}, "zlib checksum"),
    ):
        assert tz.create(None, shape=3, dtype=str, **options).info.checks == checks


def test_variable_bytes(tmp_path: Path) -> None:
    data_type = zarr.dtype.VariableLengthBytes()
    for zarr_format in (2, 3):
        array = tz.create(tmp_path / str(zarr_format), shape=5, chunks=2, dtype=data_type, zarr_format=zarr_format)
        assert array.info.engine == "zarr"
        array[1:4] = np.array([b"", b"\x00a", b"long" * 20], object)
        expected = [b"", b"", b"\x00a", b"long" * 20, b""]
        assert array[...].tolist() == expected
        assert zarr.open_array(tmp_path / str(zarr_format), mode="r")[...].tolist() == expected


def test_a_store_in_memory_and_a_zip_carry_them_too(tmp_path: Path) -> None:
    for store in (None, tmp_path / "a.zip", zarr.storage.MemoryStore()):
        array = tz.create(store, shape=5, chunks=2, dtype=str)
        array[...] = words(5)
        array.append(words(2))
        assert_same(array[...], np.concatenate([words(5), words(2)]))
        assert_same(tz.open_array(array.source)[5:], words(2))


def test_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="`dtype` must be a type that Tenzarr or zarr-python knows"):
        tz.create(None, shape=3, dtype=object)
    with pytest.raises(ArgumentError, match="`fill_value` must be a value of"):
        tz.create(None, shape=3, dtype=RECORD, fill_value="x")
    with pytest.raises(MetadataError, match="neither Tenzarr nor zarr-python"):
        tz.create(tmp_path / "a", shape=3, dtype="i4", compressor={"id": "tests_unknown"})
    with pytest.raises(MetadataError, match="neither Tenzarr nor zarr-python"):
        tz.create(tmp_path / "a", shape=3, dtype="i4", compressor={"id": "tests_unknown"}, zarr_format=2)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob(".zarray"))


def test_a_failed_append_leaves_the_shape(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=3, dtype=RECORD)
    with pytest.raises(ArgumentTypeError, match="`value` must be what NumPy casts"):
        array.append(np.array(["x", "y"]))
    assert tz.open_array(tmp_path / "a").shape == (3,)
