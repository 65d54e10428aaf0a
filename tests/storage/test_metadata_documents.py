"""Our reading and writing of documents against zarr-python's, TensorStore's and the interoperability arrays."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Blosc, Delta, FixedScaleOffset, Quantize, Zlib, Zstd

from tenzarr.dtypes import EXTENSION_NAMES, StoredType, register_with_zarr, stored_type, to_scalar
from tenzarr.errors import ArgumentError, MetadataError
from tenzarr.storage.metadata import (
    ArrayMetadata,
    ChunkKeys,
    CodecSpec,
    GroupMetadata,
    read_array,
    read_group,
    read_node,
    with_attributes,
    write_array,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification"),
    pytest.mark.filterwarnings("ignore:.*Object arrays|.*object dtype"),
]

INTEROP = Path(__file__).parents[3] / "shared" / "interop"
NAMES = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def documents_of(store: dict[str, Any], prefix: str = "") -> dict[str, bytes]:
    """The documents of the node at `prefix` in a dict that backs a zarr store."""
    return {name: store[prefix + name].to_bytes() for name in NAMES if prefix + name in store}


def memory_store(documents: dict[str, bytes]) -> zarr.storage.MemoryStore:
    from_bytes = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes
    return zarr.storage.MemoryStore({name: from_bytes(text) for name, text in documents.items()})


def plain(value: Any) -> Any:
    """What JSON makes of a value: tuples are lists, NaN is a string that equals itself."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def as_zarr_says(meta: ArrayMetadata) -> dict[str, Any]:
    """Our metadata in the words of zarr-python's ``to_dict``."""
    members: dict[str, Any] = {}
    for name, text in write_array(meta).items():
        parsed = json.loads(text)
        members |= {"attributes": parsed} if name == ".zattrs" else parsed
    return plain(members)


def agree(meta: ArrayMetadata, theirs: zarr.Array) -> None:
    """Compare every fact that both have."""
    expected = theirs.metadata.to_dict()
    assert meta.zarr_format == theirs.metadata.zarr_format
    assert meta.shape == theirs.shape
    assert meta.chunks == (theirs.shards or theirs.chunks)
    assert dict(meta.attributes) == plain(dict(theirs.attrs)) or plain(meta.attributes) == plain(dict(theirs.attrs))
    if meta.dtype.native:
        assert meta.dtype.dtype == theirs.dtype.newbyteorder("=") or meta.dtype.dtype == theirs.dtype
        if theirs.fill_value is None:
            assert meta.fill_value is None
        else:
            ours, zarrs = np.array(meta.fill_value, meta.dtype.dtype), np.array(theirs.fill_value, meta.dtype.dtype)
            np.testing.assert_array_equal(ours, zarrs)
    if meta.zarr_format == 2:
        assert meta.order == expected["order"]
        assert meta.keys == ChunkKeys("v2", expected["dimension_separator"])
        chain = [*(expected["filters"] or ()), *([expected["compressor"]] if expected["compressor"] else [])]
        assert [codec.name for codec in meta.codecs] == [codec["id"] for codec in chain]
        assert all(codec.numcodecs for codec in meta.codecs)
    else:
        assert meta.names == theirs.metadata.dimension_names
        assert meta.keys.name == theirs.metadata.chunk_key_encoding.name
        assert meta.keys.separator == theirs.metadata.chunk_key_encoding.separator
        names = [f"numcodecs.{codec.name}" if codec.numcodecs else codec.name for codec in meta.codecs]
        assert names == [codec["name"] for codec in plain(expected["codecs"])]


# --- reading -----------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"shape": (7,), "chunks": (3,), "dtype": "f4", "fill_value": float("nan")},
    {
        "shape": (7, 5),
        "chunks": (3, 2),
        "dtype": "f8",
        "fill_value": float("-inf"),
        "attributes": {"a": [1, {"b": None}]},
    },
    {"shape": (), "dtype": "i4", "fill_value": 42},
    {"shape": (0, 5), "dtype": "u2"},
    {"shape": (0,), "chunks": (4,), "dtype": "u2"},
    {"shape": (3,) * 12, "chunks": (1,) * 12, "dtype": "i1"},
    {"shape": (2**40,), "chunks": (2**20,), "dtype": "i8", "fill_value": -1},
    {"shape": (7,), "dtype": "c8", "fill_value": complex(float("nan"), 1.5)},
    {"shape": (7,), "dtype": "c16", "fill_value": 2 - 3j},
    {"shape": (7,), "dtype": "?", "fill_value": True},
    {"shape": (7,), "dtype": ">f4", "fill_value": 1.5},
    {"shape": (7,), "dtype": ">c16"},
    {"shape": (7,), "dtype": "S5", "fill_value": b"ab"},
    {"shape": (7,), "dtype": "V5", "fill_value": b"ab\0\1\2"},
    {"shape": (7,), "dtype": "U5", "fill_value": "hé"},
    {"shape": (7,), "dtype": ">U5", "fill_value": "x"},
    {"shape": (7,), "dtype": "M8[10s]", "fill_value": "NaT"},
    {"shape": (7,), "dtype": ">M8[ns]", "fill_value": np.datetime64(3, "ns")},
    {"shape": (7,), "dtype": "m8[D]", "fill_value": 5},
    {"shape": (7,), "dtype": "f4", "attributes": {"nan": float("nan"), "inf": [float("inf"), -float("inf")], "é": "é"}},
    {"shape": (7,), "dtype": "f4", "compressors": None},
]
V2_SETTINGS: list[dict[str, Any]] = [
    {"shape": (7, 3), "dtype": "f4", "order": "F"},
    {"shape": (7, 3), "dtype": "f4", "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    {"shape": (7, 3), "dtype": "i4", "filters": [Delta("i4")], "compressors": Zlib(3)},
    {
        "shape": (7, 3),
        "dtype": "f8",
        "filters": [FixedScaleOffset(10, 2, "f8", "i2"), Delta("i2")],
        "compressors": None,
    },
    {"shape": (7, 3), "dtype": "f8", "filters": [Quantize(3, "f8")], "compressors": Blosc("zstd", 5, Blosc.BITSHUFFLE)},
    {"shape": (7, 3), "dtype": "f8", "compressors": Zstd(7)},
    {"shape": (7, 3), "dtype": "f8", "attributes": {"_ARRAY_DIMENSIONS": ["y", "x"], "units": "m"}},
    {"shape": (7,), "dtype": "string", "fill_value": "x"},
    {"shape": (7,), "dtype": "U5", "fill_value": None},
]
V3_SETTINGS: list[dict[str, Any]] = [
    {"shape": (7, 3), "dtype": "f4", "dimension_names": ("y", None)},
    {"shape": (7, 3), "dtype": "f4", "chunk_key_encoding": {"name": "default", "separator": "."}},
    {"shape": (7, 3), "dtype": "f4", "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    {"shape": (7, 3), "dtype": "f4", "chunk_key_encoding": {"name": "v2", "separator": "."}},
    {"shape": (8, 8), "chunks": (2, 2), "shards": (4, 8), "dtype": "f4"},
    {"shape": (8, 8), "dtype": "f4", "filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
    {
        "shape": (8,),
        "dtype": "f4",
        "compressors": [zarr.codecs.BloscCodec(typesize=4, shuffle="shuffle"), zarr.codecs.Crc32cCodec()],
    },
    {"shape": (8,), "dtype": "f4", "compressors": [zarr.codecs.GzipCodec(level=1)]},
    {"shape": (8,), "dtype": "f4", "serializer": zarr.codecs.BytesCodec(endian="big")},
    {"shape": (8,), "dtype": "string", "fill_value": "x"},
    {"shape": (8,), "dtype": "variable_length_bytes", "fill_value": b"x"},
    {"shape": (8,), "dtype": np.dtype([("a", "i4"), ("b", "f8")])},
]
CASES = [(2, s) for s in SETTINGS + V2_SETTINGS] + [(3, s) for s in SETTINGS + V3_SETTINGS]


def created(zarr_format: int, settings: dict[str, Any]) -> tuple[zarr.Array, dict[str, bytes]]:
    store: dict[str, Any] = {}
    array = zarr.create_array(zarr.storage.MemoryStore(store), zarr_format=zarr_format, **settings)
    return array, documents_of(store)


@pytest.mark.parametrize(("zarr_format", "settings"), CASES, ids=str)
def test_we_read_what_zarr_writes(zarr_format: int, settings: dict[str, Any]) -> None:
    theirs, documents = created(zarr_format, settings)
    meta = read_array(documents)
    agree(meta, theirs)
    expected = plain(theirs.metadata.to_dict())
    expected.pop("storage_transformers", None)
    for codec in expected.get("codecs", ()):
        if codec.get("configuration") == {}:
            del codec["configuration"]
    assert as_zarr_says(meta) == expected


@pytest.mark.parametrize(("zarr_format", "settings"), CASES, ids=str)
def test_zarr_reads_what_we_write(zarr_format: int, settings: dict[str, Any]) -> None:
    theirs, documents = created(zarr_format, settings)
    meta = read_array(documents)
    written = write_array(meta)
    again = zarr.open_array(memory_store(written), mode="r", zarr_format=zarr_format)
    agree(meta, again)
    assert plain(again.metadata.to_dict()) == plain(theirs.metadata.to_dict())
    assert write_array(read_array(written)) == written


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shape", [(0,), (0, 5), (4, 0)])
def test_a_chunk_length_of_zero_on_an_empty_axis_is_one(zarr_format: int, shape: tuple[int, ...]) -> None:
    meta = array_metadata(zarr_format, shape=(1,) * len(shape))
    documents = write_array(meta)
    name = ".zarray" if zarr_format == 2 else "zarr.json"
    members = json.loads(documents[name])
    members["shape"] = list(shape)
    if zarr_format == 2:
        members["chunks"] = list(shape)
    else:
        members["chunk_grid"]["configuration"]["chunk_shape"] = list(shape)
    read = read_array({name: json.dumps(members).encode()})
    assert read.shape == shape
    assert read.chunks == tuple(n or 1 for n in shape)


def test_a_shard_length_of_zero_on_an_empty_axis_is_an_inner_chunk() -> None:
    sharding = CodecSpec("sharding_indexed", {"chunk_shape": [4], "codecs": ["bytes"], "index_codecs": ["bytes"]})
    members = json.loads(write_array(array_metadata(3, codecs=(sharding,)))["zarr.json"])
    members["shape"], members["chunk_grid"]["configuration"]["chunk_shape"] = [0], [0]
    assert read_array({"zarr.json": json.dumps(members).encode()}).chunks == (4,)


def test_names_of_axes_in_version_2() -> None:
    meta = array_metadata(2, shape=(3, 4), names=("y", "x"), attributes={"units": "m"})
    documents = write_array(meta)
    assert json.loads(documents[".zattrs"]) == {"_ARRAY_DIMENSIONS": ["y", "x"], "units": "m"}
    read = read_array(documents)
    assert read.names == ("y", "x")
    assert read.attributes["_ARRAY_DIMENSIONS"] == ["y", "x"]
    assert with_attributes(read, {"units": "m"}).names is None
    assert with_attributes(read, {"_ARRAY_DIMENSIONS": ["a", "b"]}).names == ("a", "b")
    assert with_attributes(read, {"_ARRAY_DIMENSIONS": ["a"]}).names is None
    assert with_attributes(read, {"_ARRAY_DIMENSIONS": "ab"}).names is None
    assert with_attributes(array_metadata(3, names=("a",)), {"x": 1}).names == ("a",)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_xarray_reads_our_names_of_axes(zarr_format: int, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    zarr.create_group(str(tmp_path), zarr_format=zarr_format)
    codecs = () if zarr_format == 2 else (CodecSpec("bytes", {"endian": "little"}),)
    meta = array_metadata(zarr_format, shape=(3, 4), names=("y", "x"), codecs=codecs)
    (tmp_path / "a").mkdir()
    for name, text in write_array(meta).items():
        (tmp_path / "a" / name).write_bytes(text)
    with xarray.open_zarr(str(tmp_path), consolidated=False) as data:
        assert data["a"].dims == ("y", "x")
        assert data["a"].shape == (3, 4)


# --- writing -----------------------------------------------------------------------------


def array_metadata(zarr_format: int, **changes: Any) -> ArrayMetadata:
    """A small valid array; its chunks are its shape."""
    shape = changes.setdefault("shape", (5,))
    changes.setdefault("chunks", tuple(n or 1 for n in shape))
    dtype: StoredType = changes.setdefault("dtype", stored_type("float32"))
    bytes_codec = CodecSpec("bytes", {"endian": "little"} if dtype.dtype.itemsize > 1 else {})
    changes.setdefault("fill_value", to_scalar(None, dtype.dtype))
    changes.setdefault("codecs", () if zarr_format == 2 else (bytes_codec,))
    changes.setdefault("keys", ChunkKeys("v2", ".") if zarr_format == 2 else ChunkKeys("default", "/"))
    return ArrayMetadata(zarr_format=zarr_format, **changes)


TENSORSTORE_TYPES = ["bool", "int8", "uint64", "float16", "float32", "complex64", "complex128"]
TENSORSTORE_TYPES += [name for name in EXTENSION_NAMES if name != "uint4"]


@pytest.mark.parametrize("name", TENSORSTORE_TYPES)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("separator", [".", "/"])
def test_tensorstore_reads_what_we_write(name: str, zarr_format: int, separator: str, tmp_path: Path) -> None:
    ts = pytest.importorskip("tensorstore")
    dtype = stored_type(name)
    keys = ChunkKeys("v2" if zarr_format == 2 else "default", separator)
    fill = to_scalar(1, dtype.dtype)
    names = ("y", None) if zarr_format == 3 else None
    attributes = {"a": 1}
    meta = array_metadata(
        zarr_format, shape=(5, 3), dtype=dtype, fill_value=fill, keys=keys, names=names, attributes=attributes
    )
    for file, text in write_array(meta).items():
        (tmp_path / file).write_bytes(text)
    driver = "zarr" if zarr_format == 2 else "zarr3"
    theirs = ts.open({"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path)}}).result()
    assert theirs.shape == (5, 3)
    assert theirs.dtype.numpy_dtype == dtype.dtype
    assert theirs.fill_value == fill
    assert theirs.domain.labels == (("y", "") if zarr_format == 3 else ("", ""))
    np.testing.assert_array_equal(theirs.read().result(), np.full((5, 3), fill))


@pytest.mark.parametrize("name", TENSORSTORE_TYPES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_we_read_what_tensorstore_writes(name: str, zarr_format: int, tmp_path: Path) -> None:
    ts = pytest.importorskip("tensorstore")
    driver = "zarr" if zarr_format == 2 else "zarr3"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path)}}
    fill = to_scalar(1, stored_type(name).dtype)
    layout = ts.ChunkLayout(chunk_shape=[3, 2])
    theirs = ts.open(spec, create=True, dtype=name, shape=[5, 3], chunk_layout=layout, fill_value=fill).result()
    meta = read_array({file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name in NAMES})
    assert (meta.shape, meta.chunks) == (theirs.shape, (3, 2))
    assert meta.dtype.native
    assert meta.dtype.dtype == theirs.dtype.numpy_dtype
    assert meta.fill_value == fill
    assert meta.fill_value.dtype == meta.dtype.dtype


@pytest.mark.parametrize("name", EXTENSION_NAMES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_reads_our_extension_types(name: str, zarr_format: int, tmp_path: Path) -> None:
    register_with_zarr()
    meta = array_metadata(zarr_format, dtype=stored_type(name), fill_value=to_scalar(3, stored_type(name).dtype))
    for file, text in write_array(meta).items():
        (tmp_path / file).write_bytes(text)
    theirs = zarr.open_array(str(tmp_path), mode="r")
    agree(meta, theirs)
    assert theirs.fill_value == 3


def test_a_nan_keeps_its_payload_in_version_3() -> None:
    nan = np.array(0x7FC00001, "u4").view("f4")[()]
    documents = write_array(array_metadata(3, fill_value=nan))
    assert json.loads(documents["zarr.json"])["fill_value"] == "0x7fc00001"
    assert np.array(read_array(documents).fill_value).tobytes() == np.array(nan).tobytes()


def test_raw_bits_are_written_as_the_core_specification_says() -> None:
    meta = array_metadata(3, dtype=stored_type("r24"), fill_value=np.void(b"abc"), codecs=(CodecSpec("bytes"),))
    documents = write_array(meta)
    assert json.loads(documents["zarr.json"])["data_type"] == "r24"
    assert json.loads(documents["zarr.json"])["fill_value"] == [97, 98, 99]
    assert bytes(read_array(documents).fill_value) == b"abc"


def test_documents_are_deterministic_and_indented() -> None:
    meta = array_metadata(3, attributes={"b": 1, "a": 2})
    text = write_array(meta)["zarr.json"]
    assert text == write_array(read_array({"zarr.json": text}))["zarr.json"]
    assert text.startswith(b'{\n  "zarr_format": 3,\n  "node_type": "array"')
    assert text.index(b'"b"') < text.index(b'"a"')


def test_members_that_need_not_be_understood_are_kept() -> None:
    extra = {"theirs": {"must_understand": False, "x": [1, 2]}}
    documents = write_array(array_metadata(3, extra=extra))
    assert read_array(documents).extra == extra
    assert write_array(read_array(documents)) == documents
    documents = write_array(array_metadata(2, extra={"anything": 5}))
    assert read_array(documents).extra == {"anything": 5}
    assert write_array(read_array(documents)) == documents


@pytest.mark.parametrize(
    ("codecs", "filters", "compressor"),
    [
        ((), None, None),
        (("zlib",), None, "zlib"),
        (("delta",), ["delta"], None),
        (("delta", "zstd"), ["delta"], "zstd"),
        (("delta", "packbits"), ["delta", "packbits"], None),
        (("delta", "shuffle", "someones"), ["delta", "shuffle"], "someones"),
        (("vlen-utf8",), ["vlen-utf8"], None),
    ],
)
def test_the_chain_of_version_2_splits_into_filters_and_compressor(
    codecs: tuple[str, ...], filters: list[str] | None, compressor: str | None
) -> None:
    chain = tuple(CodecSpec(name, {"a": 1}, numcodecs=True) for name in codecs)
    documents = write_array(array_metadata(2, codecs=chain))
    members = json.loads(documents[".zarray"])
    assert (members["filters"] and [codec["id"] for codec in members["filters"]]) == filters
    assert (members["compressor"] and members["compressor"]["id"]) == compressor
    assert read_array(documents).codecs == chain


def test_numpy_values_in_attributes_are_what_they_hold() -> None:
    attributes = {"a": np.float32(0.5), "b": np.arange(3), "c": np.int64(5), "d": np.bool_(True)}
    read = read_array(write_array(array_metadata(3, attributes=attributes)))
    assert read.attributes == {"a": 0.5, "b": [0, 1, 2], "c": 5, "d": True}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "attributes",
    [{"a": object()}, {"a": 1j}, {(1, 2): 3}, {"a": b"x"}, {"a": nested(64)}, {1: 2, "1": 3}, {"a": "\ud800"}],
)
def test_attributes_that_cannot_be_read_back_are_not_written(zarr_format: int, attributes: dict[Any, Any]) -> None:
    with pytest.raises(ArgumentError, match="`attributes` must be what"):
        write_array(array_metadata(zarr_format, attributes=attributes))


def test_a_cycle_in_attributes_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(ArgumentError, match="Circular reference"):
        write_array(array_metadata(3, attributes={"a": cycle}))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_may_be_64_deep(zarr_format: int) -> None:
    attributes = {"a": nested(63)}
    assert read_array(write_array(array_metadata(zarr_format, attributes=attributes))).attributes == attributes


strings = st.text(max_size=5, alphabet=st.characters(exclude_categories=["Cs"]))
attribute_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3, alphabet="abé"), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), zarr_format=st.sampled_from([2, 3]), shape=st.lists(st.integers(0, 2**15), max_size=3))
def test_what_we_write_we_read(data: st.DataObject, zarr_format: int, shape: list[int]) -> None:
    chunks = tuple(data.draw(st.lists(st.integers(1, 2**10), min_size=len(shape), max_size=len(shape))))
    dtype = stored_type(data.draw(st.sampled_from(["i2", ">f8", "U3", "M8[7s]", "V3", "S2", "bfloat16", "int4", "?"])))
    fill_value = data.draw(st.sampled_from([to_scalar(None, dtype.dtype), None][: 4 - zarr_format]))
    attributes = data.draw(st.dictionaries(st.text(max_size=3, alphabet="abé"), attribute_values, max_size=3))
    axes = tuple(data.draw(st.lists(st.none() | strings, min_size=len(shape), max_size=len(shape))))
    meta = array_metadata(
        zarr_format, shape=tuple(shape), chunks=chunks, dtype=dtype, fill_value=fill_value, attributes=attributes,
        names=axes if zarr_format == 3 else None,
    )  # fmt: skip
    read = read_array(write_array(meta))
    expected = meta if zarr_format == 2 else replace(meta, dtype=replace(dtype, stored=dtype.dtype, v2=read.dtype.v2))
    assert repr(read) == repr(expected)


# --- arrays of other implementations -----------------------------------------------------


def interop_nodes() -> list[tuple[str, dict[str, bytes]]]:
    """Every node below the folder of other implementations' arrays, archives included."""
    nodes: dict[str, dict[str, bytes]] = {}
    for file in sorted(INTEROP.rglob("*")):
        if file.name in NAMES:
            nodes.setdefault(str(file.parent.relative_to(INTEROP)), {})[file.name] = file.read_bytes()
        if file.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
                for member in archive.namelist():
                    folder, _, name = member.rpartition("/")
                    if name in NAMES:
                        key = f"{file.relative_to(INTEROP)}!{folder}"
                        nodes.setdefault(key, {})[name] = archive.read(member)
    return list(nodes.items())


# zarr-python 3.2 no longer reads what zarr-python 3.1 did.
NOT_FOR_ZARR = dict.fromkeys(["exzarr/v3none", "exzarr/v3zlib"], "`endian` configuration needs to be specified")
NOT_FOR_ZARR = NOT_FOR_ZARR if sys.version_info >= (3, 12) else {}
INTEROP_NODES = interop_nodes() if INTEROP.is_dir() else []


@pytest.mark.skipif(not INTEROP_NODES, reason="the arrays of other implementations are not at hand")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize(("key", "documents"), INTEROP_NODES, ids=[key for key, _ in INTEROP_NODES])
def test_we_read_the_nodes_of_other_implementations(key: str, documents: dict[str, bytes]) -> None:
    if documents.keys() == {".zattrs"}:
        pytest.skip("attributes of no node")
    node = read_node(documents, key=key)
    store = memory_store(documents)
    if isinstance(node, GroupMetadata):
        theirs = zarr.open_group(store, mode="r", use_consolidated=False)
        assert plain(node.attributes) == plain(dict(theirs.attrs))
    elif key in NOT_FOR_ZARR:
        with pytest.raises(ValueError, match=NOT_FOR_ZARR[key]):
            zarr.open_array(store, mode="r")
    elif node.dtype.dtype.kind == "O" and "json2" in [codec.name for codec in node.codecs]:
        with pytest.raises(ValueError, match="No Zarr data type found"):
            zarr.open_array(store, mode="r")
    else:
        agree(node, zarr.open_array(store, mode="r"))


@pytest.mark.skipif(not INTEROP_NODES, reason="the arrays of other implementations are not at hand")
def test_the_arrays_of_other_implementations_are_many() -> None:
    found = [read_node(documents) for _, documents in INTEROP_NODES if documents.keys() != {".zattrs"}]
    arrays = [node for node in found if isinstance(node, ArrayMetadata)]
    assert len(arrays) > 50
    assert {array.zarr_format for array in arrays} == {2, 3}
    assert sum(not array.dtype.native for array in arrays) < len(arrays) / 4


def test_the_kind_of_node_matters() -> None:
    group = {"zarr.json": b'{"zarr_format": 3, "node_type": "group"}'}
    assert read_group(group) == GroupMetadata(3)
    with pytest.raises(MetadataError, match=r"a/zarr\.json at `node_type`: must be 'array'"):
        read_array(group, key="a")
    with pytest.raises(MetadataError, match=r"zarr\.json at `node_type`: must be 'group'"):
        read_group(write_array(array_metadata(3)))
    with pytest.raises(MetadataError, match="must be the documents of an array"):
        read_array({".zgroup": b'{"zarr_format": 2}'})
    with pytest.raises(MetadataError, match="there is no metadata document"):
        read_node({})


def test_what_ml_dtypes_calls_a_fill_value_is_one_of_its_scalars() -> None:
    documents = write_array(array_metadata(3, dtype=stored_type("bfloat16"), fill_value=1.5))
    assert type(read_array(documents).fill_value) is ml_dtypes.bfloat16
