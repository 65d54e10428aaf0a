"""Malformed documents give one `MetadataError` that names document and place, and nothing else."""

from __future__ import annotations

import copy
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenzarr.errors import MetadataError
from tenzarr.storage.metadata import ArrayMetadata, GroupMetadata, read_array, read_node, strict_json

V3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [10, 20],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 10]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0.5,
    "codecs": [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [5, 5],
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"],
            },
        },
        {"name": "numcodecs.zlib", "configuration": {"level": 1}},
    ],
    "attributes": {"units": "m", "nested": {"a": [1, 2, None]}},
    "dimension_names": ["y", None],
    "storage_transformers": [],
}
V2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [10, 20],
    "chunks": [5, 10],
    "dtype": "<f4",
    "compressor": {"id": "zlib", "level": 1},
    "fill_value": "NaN",
    "order": "C",
    "filters": [{"id": "delta", "dtype": "<f4"}],
    "dimension_separator": "/",
}
DELETED = "(deleted)"


def text_of(members: Any) -> bytes:
    return json.dumps(members).encode()


def changed(base: dict[str, Any], path: str, value: Any) -> bytes:
    """`base` with the member at the dotted `path` replaced, or deleted."""
    members = copy.deepcopy(base)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = members
    for part in parents:
        place = place[part]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return text_of(members)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def shards(depth: int) -> list[Any]:
    codecs: list[Any] = ["bytes"]
    for _ in range(depth):
        configuration = {"chunk_shape": [5, 5], "codecs": codecs, "index_codecs": ["bytes"]}
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    return codecs


def test_the_bases_are_valid() -> None:
    assert read_array({"zarr.json": text_of(V3)}).shape == (10, 20)
    assert read_array({".zarray": text_of(V2)}).shape == (10, 20)


# (what is changed, the new value, where the error says the problem is)
V3_CASES: list[tuple[str, Any, str]] = [
    ("zarr_format", DELETED, ""),
    ("zarr_format", "3", "zarr_format"),
    ("zarr_format", 2, "zarr_format"),
    ("zarr_format", 3.0, "zarr_format"),
    ("node_type", DELETED, ""),
    ("node_type", "table", "node_type"),
    ("node_type", ["array"], "node_type"),
    ("shape", DELETED, ""),
    ("shape", 10, "shape"),
    ("shape", None, "shape"),
    ("shape", {"0": 10}, "shape"),
    ("shape", "10", "shape"),
    ("shape.0", -1, "shape[0]"),
    ("shape.1", 1.5, "shape[1]"),
    ("shape.1", 20.0, "shape[1]"),
    ("shape.0", True, "shape[0]"),
    ("shape.0", "10", "shape[0]"),
    ("shape.0", None, "shape[0]"),
    ("shape.0", 2**63, "shape[0]"),
    ("shape.0", 10**4000, "shape[0]"),
    ("shape", [2**40, 2**40], "shape"),
    ("shape", [2**31, 2**31], "shape"),
    ("shape", [0, 2**62], "shape"),
    ("shape", [1] * 65, "shape"),
    ("shape", [10], "chunk_grid.configuration.chunk_shape"),
    ("shape", [10, 20, 30], "chunk_grid.configuration.chunk_shape"),
    ("data_type", DELETED, ""),
    ("data_type", None, "data_type"),
    ("data_type", 5, "data_type"),
    ("data_type", ["float32"], "data_type"),
    ("data_type", "r13", "data_type"),
    ("data_type", {"configuration": {}}, "data_type"),
    ("data_type", {"name": "numpy.datetime64", "configuration": {"unit": "parsec", "scale_factor": 1}}, "data_type"),
    ("data_type", {"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**40}}, "data_type"),
    ("chunk_grid", DELETED, ""),
    ("chunk_grid", "regular", "chunk_grid.configuration"),
    ("chunk_grid", [5, 10], "chunk_grid"),
    ("chunk_grid.name", "rectilinear", "chunk_grid.name"),
    ("chunk_grid.name", None, "chunk_grid.name"),
    ("chunk_grid.more", 1, "chunk_grid"),
    ("chunk_grid.configuration", None, "chunk_grid.configuration"),
    ("chunk_grid.configuration.more", 1, "chunk_grid.configuration"),
    ("chunk_grid.configuration.chunk_shape.0", 0, "chunk_grid.configuration.chunk_shape[0]"),
    ("chunk_grid.configuration.chunk_shape.0", -5, "chunk_grid.configuration.chunk_shape[0]"),
    ("chunk_grid.configuration.chunk_shape.1", True, "chunk_grid.configuration.chunk_shape[1]"),
    ("chunk_grid.configuration.chunk_shape.1", [5, 5], "chunk_grid.configuration.chunk_shape[1]"),
    ("chunk_grid.configuration.chunk_shape", [2**40, 2**40], "chunk_grid.configuration.chunk_shape"),
    ("chunk_grid.configuration.chunk_shape", [5], "chunk_grid.configuration.chunk_shape"),
    ("chunk_key_encoding", DELETED, ""),
    ("chunk_key_encoding", 5, "chunk_key_encoding"),
    ("chunk_key_encoding.name", "fanout", "chunk_key_encoding.name"),
    ("chunk_key_encoding.configuration.separator", "-", "chunk_key_encoding.configuration"),
    ("chunk_key_encoding.configuration.separator", "../", "chunk_key_encoding.configuration"),
    ("chunk_key_encoding.configuration.separator", ["/"], "chunk_key_encoding.configuration"),
    ("chunk_key_encoding.configuration.more", 1, "chunk_key_encoding.configuration"),
    ("fill_value", DELETED, ""),
    ("fill_value", None, "fill_value"),
    ("fill_value", "zero", "fill_value"),
    ("fill_value", "0x7fc0", "fill_value"),
    ("fill_value", [0], "fill_value"),
    ("fill_value", {}, "fill_value"),
    ("fill_value", True, "fill_value"),
    ("codecs", DELETED, ""),
    ("codecs", [], "codecs"),
    ("codecs", None, "codecs"),
    ("codecs", {"name": "bytes"}, "codecs"),
    ("codecs", "bytes", "codecs"),
    ("codecs", ["bytes"] * 65, "codecs"),
    ("codecs", ["bytes"] * 10_000, "codecs"),
    ("codecs", [5], "codecs[0]"),
    ("codecs", [""], "codecs[0].name"),
    ("codecs", [{}], "codecs[0].name"),
    ("codecs", [{"name": 5}], "codecs[0].name"),
    ("codecs", [{"name": "bytes", "configuration": "little"}], "codecs[0].configuration"),
    ("codecs", [{"name": "bytes", "more": 1}], "codecs[0]"),
    ("codecs", [{"name": "bytes", "must_understand": 1}], "codecs[0].must_understand"),
    ("codecs", ["bytes", {"name": "gzip", "configuration": {"level": 2**64}}], "codecs[1].configuration.level"),
    ("codecs", ["numcodecs.pickle"], "codecs[0].name"),
    ("codecs", [{"name": "pickle"}], "codecs[0].name"),
    ("codecs", [{"name": "x", "configuration": {"inner": [{"id": "pickle"}]}}], "codecs[0].configuration.inner[0].id"),
    ("codecs", shards(10), "codecs[0]" + ".configuration.codecs[0]" * 8 + ".configuration.codecs"),
    ("codecs.0.configuration.codecs", [], "codecs[0].configuration.codecs"),
    ("codecs.0.configuration.codecs", 5, "codecs[0].configuration.codecs"),
    ("codecs.0.configuration.index_codecs", ["bytes", 3], "codecs[0].configuration.index_codecs[1]"),
    ("codecs.0.configuration.codecs", ["numcodecs.pickle"], "codecs[0].configuration.codecs[0].name"),
    ("attributes", [1], "attributes"),
    ("attributes", "x", "attributes"),
    ("dimension_names", "yx", "dimension_names"),
    ("dimension_names", ["y"], "dimension_names"),
    ("dimension_names", ["y", "x", "z"], "dimension_names"),
    ("dimension_names", ["y", 5], "dimension_names[1]"),
    ("storage_transformers", [{"name": "x"}], "storage_transformers"),
    ("storage_transformers", {}, "storage_transformers"),
    ("unknown", 5, "unknown"),
    ("unknown", {"must_understand": True}, "unknown"),
    ("unknown", {"name": "x"}, "unknown"),
    ("consolidated_metadata", None, "consolidated_metadata"),
    ("codecs", nested(33), "codecs" + "[0]" * 31),
]
V2_CASES: list[tuple[str, Any, str]] = [
    ("zarr_format", DELETED, ""),
    ("zarr_format", 3, "zarr_format"),
    ("zarr_format", True, "zarr_format"),
    ("shape", DELETED, ""),
    ("shape", "10", "shape"),
    ("shape.0", -1, "shape[0]"),
    ("shape.0", False, "shape[0]"),
    ("shape.0", 2**64, "shape[0]"),
    ("shape", [2**62, 2], "shape"),
    ("chunks", DELETED, ""),
    ("chunks", None, "chunks"),
    ("chunks", 5, "chunks"),
    ("chunks", [5], "chunks"),
    ("chunks.0", 0, "chunks[0]"),
    ("chunks.0", -1, "chunks[0]"),
    ("chunks.0", 5.0, "chunks[0]"),
    ("chunks", [2**50, 2**50], "chunks"),
    ("dtype", DELETED, ""),
    ("dtype", None, "dtype"),
    ("dtype", "<f3", "dtype"),
    ("dtype", "|S0", "dtype"),
    ("dtype", "<M8[fortnight]", "dtype"),
    ("dtype", [["a"]], "dtype"),
    ("dtype", [], "dtype"),
    ("compressor", "zlib", "compressor"),
    ("compressor", [], "compressor"),
    ("compressor", {}, "compressor.id"),
    ("compressor", {"level": 1}, "compressor.id"),
    ("compressor", {"id": 5}, "compressor.id"),
    ("compressor", {"id": "pickle"}, "compressor.id"),
    ("compressor.level", 2**70, "compressor.level"),
    ("filters", {"id": "delta"}, "filters"),
    ("filters", [None], "filters[0]"),
    ("filters", [{"id": "pickle", "protocol": 5}], "filters[0].id"),
    ("filters", [{"id": "delta"}] * 65, "filters"),
    ("fill_value", DELETED, ""),
    ("fill_value", "nonsense", "fill_value"),
    ("fill_value", [], "fill_value"),
    ("order", DELETED, ""),
    ("order", "A", "order"),
    ("order", None, "order"),
    ("order", ["C"], "order"),
    ("dimension_separator", None, "dimension_separator"),
    ("dimension_separator", "", "dimension_separator"),
    ("dimension_separator", "..", "dimension_separator"),
]
VALID = text_of(V3).decode()
RAW_CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1 column 1"),
    "blank": (b" \n", "line 2 column 1"),
    "array": (b"[]", ""),
    "number": (b"3", ""),
    "null": (b"null", ""),
    "string": (b'"zarr"', ""),
    "truncated": (VALID[:-1].encode(), f"line 1 column {len(VALID)}"),
    "garbage behind": (VALID.encode() + b"x", f"line 1 column {len(VALID) + 1}"),
    "two documents": (VALID.encode() * 2, f"line 1 column {len(VALID) + 1}"),
    "NUL behind": (VALID.encode() + b"\0", f"line 1 column {len(VALID) + 1}"),
    "byte order mark": (b"\xef\xbb\xbf" + VALID.encode(), "byte 0"),
    "UTF-16": (VALID.encode("utf-16"), "byte 0"),
    "latin-1": (VALID.replace("units", "é").encode("latin-1"), "byte"),
    "half a character": (VALID.replace("units", "é").encode().replace(b"\xc3\xa9", b"\xc3"), "byte"),
    "unpaired surrogate": (VALID.replace("units", "\\ud800").encode(), ""),
    "single quotes": (VALID.replace('"', "'").encode(), "line 1 column 2"),
    "comma behind": (VALID.replace("[10, 20]", "[10, 20,]").encode(), "line 1 column"),
    "comment": (b"// zarr\n" + VALID.encode(), "line 1 column 1"),
    "control character": (VALID.replace("units", "un\nits").encode(), "line 1 column"),
    "repeated at the top": (VALID.replace('"shape"', '"shape": [1], "shape"').encode(), "shape"),
    "repeated below": (VALID.replace('"level": 1', '"level": 1, "level": 2').encode(), "codecs[1].configuration.level"),
    "repeated in attributes": (VALID.replace('"units"', '"units": 1, "units"').encode(), "attributes.units"),
    "NaN as fill value": (VALID.replace("0.5", "NaN").encode(), "fill_value"),
    "Infinity as fill value": (VALID.replace("0.5", "Infinity").encode(), "fill_value"),
    "-Infinity in a codec": (
        VALID.replace('"level": 1', '"level": -Infinity').encode(),
        "codecs[1].configuration.level",
    ),
    "NaN in the shape": (VALID.replace("[10, 20]", "[NaN, 20]").encode(), "shape[0]"),
    "nan": (VALID.replace("0.5", "nan").encode(), "line 1 column"),
    "hexadecimal": (VALID.replace("0.5", "0x10").encode(), "line 1 column"),
    "leading zero": (VALID.replace("[10, 20]", "[010, 20]").encode(), "line 1 column"),
    "a million digits": (VALID.replace("[10, 20]", "[" + "9" * 1_000_000 + ", 20]").encode(), ""),
    "a million brackets": (b"[" * 1_000_000, ""),
    "a million pairs of brackets": (b"[" * 1_000_000 + b"]" * 1_000_000, ""),
    "a million braces": (b'{"a":' * 1_000_000, ""),
    "attributes 65 deep": (VALID.replace('"m"', json.dumps(nested(64))).encode(), "attributes"),
    "attributes 97 deep": (VALID.replace('"m"', json.dumps(nested(96))).encode(), ""),
    "64 MiB": (VALID.encode() + b" " * 64 * 2**20, ""),
}


def refused(name: str, text: bytes, where: str) -> MetadataError:
    with pytest.raises(MetadataError, match=f"^group/{name.replace('.', '[.]')}") as caught:
        read_array({name: text}, key="group")
    assert caught.type is MetadataError
    assert caught.value.document == f"group/{name}"
    assert caught.value.where == where or (where[-1:].isalpha() and caught.value.where.startswith(f"{where} "))
    assert caught.value.problem
    return caught.value


@pytest.mark.parametrize(("path", "value", "where"), V3_CASES, ids=lambda value: f"{value!r:.40}")
def test_version_3(path: str, value: Any, where: str) -> None:
    assert "group/zarr.json" in str(refused("zarr.json", changed(V3, path, value), where))


@pytest.mark.parametrize(("path", "value", "where"), V2_CASES, ids=lambda value: f"{value!r:.40}")
def test_version_2(path: str, value: Any, where: str) -> None:
    assert "group/.zarray" in str(refused(".zarray", changed(V2, path, value), where))


@pytest.mark.parametrize(("text", "where"), RAW_CASES.values(), ids=RAW_CASES)
def test_what_is_not_a_document(text: bytes, where: str) -> None:
    assert len(str(refused("zarr.json", text, where))) < 400


def test_the_corpus_is_large() -> None:
    assert len(V3_CASES) + len(V2_CASES) + len(RAW_CASES) >= 150


@pytest.mark.parametrize("base", [V2, V3], ids=["v2", "v3"])
@pytest.mark.parametrize("indent", [None, 2])
def test_truncation_at_every_byte(base: dict[str, Any], indent: int | None) -> None:
    name = "zarr.json" if base is V3 else ".zarray"
    text = json.dumps(base, indent=indent).encode()
    assert isinstance(read_array({name: text}), ArrayMetadata)
    for end in range(len(text)):
        with pytest.raises(MetadataError, match="line"):
            read_array({name: text[:end]})


@pytest.mark.parametrize("base", [V2, V3], ids=["v2", "v3"])
def test_a_flipped_bit_gives_metadata_or_a_metadata_error(base: dict[str, Any]) -> None:
    name = "zarr.json" if base is V3 else ".zarray"
    text = bytearray(text_of(base))
    refused_count = 0
    for bit in range(8 * len(text)):
        text[bit // 8] ^= 1 << bit % 8
        try:
            assert isinstance(read_array({name: bytes(text)}), ArrayMetadata)
        except MetadataError:
            refused_count += 1
        text[bit // 8] ^= 1 << bit % 8
    assert refused_count > len(text)


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Run on a small stack, so that unbounded recursion cannot hide."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return results[0]


@pytest.mark.parametrize("depth", [33, 97, 1_000, 100_000, 5_000_000])
def test_depth_is_refused_before_the_stack_is_used(depth: int) -> None:
    text = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    error = in_a_thread(lambda: read_node({"zarr.json": text}))
    assert type(error) is MetadataError
    assert "deep" in str(error) or depth == 33


def test_brackets_in_strings_are_not_depth() -> None:
    text = changed(V3, "attributes", {"a": '["\\' * 1000, "b": [[1], "]["] * 100})
    assert read_array({"zarr.json": text}).attributes["a"] == '["\\' * 1000


@pytest.mark.parametrize("filling", [b'\\"', b"\\\\", b"\\", b'"', b'" ', b"'", b'\\"a', b'"\\'])
@pytest.mark.parametrize("ending", [b"", b'"', b"\\", b'"]'])
def test_odd_strings_are_looked_at_once(filling: bytes, ending: bytes) -> None:
    text = b'{"a": ["' + filling * 500_000 + b"[" * 100 + ending
    start = time.process_time()
    with pytest.raises(MetadataError, match=r"not JSON|deep"):
        strict_json.parse("zarr.json", text)
    assert time.process_time() - start < 5


def test_the_recursion_limit_of_the_caller_does_not_matter() -> None:
    text = changed(V3, "attributes", {"a": nested(60)})

    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels else read_array({"zarr.json": text})

    assert isinstance(deeper(sys.getrecursionlimit() // 2), ArrayMetadata)


# --- random mutations --------------------------------------------------------------------

SCALARS = st.sampled_from(
    [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, float("nan"), float("inf"), "",
     "NaN", "0x7fc00000", "/", ".", "..", "C", "bytes", "sharding_indexed", "numcodecs.pickle", "r8", "int8", "<f4",
     "|O", "\0"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS | st.text(max_size=3) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "configuration", "id", "codecs", "chunk_shape"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def mutate(value: Any, rng: random.Random, new: Any) -> Any:
    """`value` with one random part replaced by `new`, removed or repeated."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        return new
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    choice = rng.random()
    if choice < 0.15:
        del value[key]
    elif choice < 0.25 and isinstance(value, list):
        value.append(value[key])
    elif choice < 0.3 and isinstance(value, dict):
        value[rng.choice(["extra", "must_understand", "configuration", "name"])] = new
    else:
        value[key] = mutate(value[key], rng, new)
    return value


CONSOLIDATED: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "group",
    "attributes": {},
    "consolidated_metadata": {
        "kind": "inline",
        "must_understand": False,
        "metadata": {"a": V3, "b": {"zarr_format": 3, "node_type": "group", "attributes": {}}, "b/c": V3},
    },
}
ZMETADATA: dict[str, Any] = {
    "zarr_consolidated_format": 1,
    "metadata": {".zgroup": {"zarr_format": 2}, ".zattrs": {}, "a/.zarray": V2, "a/.zattrs": {"x": 1}},
}
BASES = {"zarr.json": V3, ".zarray": V2, "group": CONSOLIDATED, ".zmetadata": ZMETADATA}


@settings(max_examples=1500, deadline=None)
@given(base=st.sampled_from(sorted(BASES)), seed=st.integers(0, 2**32), news=st.lists(VALUES, min_size=1, max_size=4))
def test_mutated_documents_raise_nothing_but_metadata_errors(base: str, seed: int, news: list[Any]) -> None:
    rng = random.Random(seed)
    members: Any = copy.deepcopy(BASES[base])
    for new in news:
        members = mutate(members, rng, new)
    name = "zarr.json" if base == "group" else base
    try:
        node = read_node({name: text_of(members)}, key="k")
    except MetadataError as error:
        assert error.document == f"k/{name}"  # noqa: PT017
    else:
        assert isinstance(node, (ArrayMetadata, GroupMetadata))


@settings(max_examples=500, deadline=None)
@given(name=st.sampled_from(["zarr.json", ".zarray", ".zgroup", ".zmetadata"]), text=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_metadata_errors(name: str, text: bytes) -> None:
    with pytest.raises(MetadataError, match=name):
        read_node({name: text})


@pytest.mark.parametrize("text", [b"[]", b"", b'{"a": 1, "a": 2}', b"\xff", b'{"a":' * 100])
def test_malformed_attributes_of_version_2(text: bytes) -> None:
    with pytest.raises(MetadataError, match=r"^a/\.zattrs") as caught:
        read_array({".zarray": text_of(V2), ".zattrs": text}, key="a")
    assert caught.value.document == "a/.zattrs"
