"""`tenzarr.dtypes` against zarr-python, TensorStore and NumPy."""

from __future__ import annotations

import pickle
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tenzarr.dtypes import (
    EXTENSION_NAMES,
    StoredType,
    from_v2,
    from_v3,
    normalize,
    register_with_zarr,
    scalar_from_json,
    scalar_to_json,
    stored_type,
    to_scalar,
    zero,
)
from tenzarr.errors import ArgumentError, ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")

CORE = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
CORE += ["float16", "float32", "float64", "complex64", "complex128"]
UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
TIMES = [f"{kind}8[{count}{unit}]" for kind in "Mm" for count, unit in zip((1, 2, 10, 7) * 4, UNITS, strict=False)]
NATIVE = [*CORE, *TIMES, "S1", "S7", "U1", "U13", "V1", "V5"]
SWAPPED = [">i2", ">u4", ">i8", ">f2", ">f4", ">f8", ">c8", ">c16", ">U3", ">M8[ms]", ">m8[3D]"]


def zarr_members(dtype: object, zarr_format: int) -> dict[str, object]:
    """The document that zarr-python makes for an array of `dtype`."""
    return zarr.create_array({}, shape=(3,), dtype=dtype, zarr_format=zarr_format).metadata.to_dict()


@pytest.mark.parametrize("name", NATIVE + SWAPPED)
def test_v2_names_mean_what_zarr_means(name: str) -> None:
    member = zarr_members(np.dtype(name), 2)["dtype"]
    stored = from_v2(member)
    assert stored.native
    assert stored.stored == np.dtype(name)
    assert stored.dtype == np.dtype(name).newbyteorder("=")
    assert stored.dtype.isnative
    assert stored.v2 == member == stored_type(np.dtype(name)).v2


@pytest.mark.parametrize("name", NATIVE)
def test_v3_names_mean_what_zarr_means(name: str) -> None:
    member = zarr_members(np.dtype(name), 3)["data_type"]
    stored = from_v3(member)
    assert stored.native
    assert stored.dtype == stored.stored == np.dtype(name)
    assert stored.v3 == member == stored_type(name).v3


@pytest.mark.parametrize("name", [*NATIVE, *SWAPPED, *EXTENSION_NAMES])
def test_a_stored_type_survives_both_documents(name: str) -> None:
    stored = stored_type(name)
    assert from_v2(stored.v2) == stored
    assert from_v3(stored.v3).dtype == stored.dtype
    assert from_v3(stored.v3).v3 == stored.v3


@pytest.mark.parametrize("fields", [[("a", "<i4"), ("b", ">f8")], [("x", "i1"), ("y", [("z", "S3")])]])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_structured_types_are_for_zarr(fields: list[tuple[str, str]], zarr_format: int) -> None:
    dtype = np.dtype(fields)
    members = zarr.create_array({}, shape=(3,), dtype=dtype, zarr_format=zarr_format).metadata.to_dict()
    stored = from_v2(members["dtype"]) if zarr_format == 2 else from_v3(members["data_type"])
    assert not stored.native
    assert stored.dtype.names == dtype.names
    assert not stored_type(dtype).native


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (from_v2("|O"), "O"),
        (from_v2("<f16"), "f"),
        (from_v2("someone.else"), "O"),
        (from_v2("<q8"), "O"),
        (from_v2([["a", "<i4"], ["b", "<f4", [2, 3]]]), "V"),
        (from_v2([["a", "<i4"], ["a", "<i4"]]), "O"),
        (from_v2([["a", "<i4", [2**70]]]), "O"),
        (from_v2([["a", "<i4", ["x"]]]), "O"),
        (from_v2([["a", "<i4", [-1]]]), "O"),
        (from_v3("string"), "T"),
        (from_v3("bytes"), "O"),
        (from_v3("variable_length_bytes"), "O"),
        (from_v3("someone.else"), "O"),
        (from_v3({"name": "someone.else", "configuration": {"a": 1}}), "O"),
        (from_v3({"name": "structured", "configuration": {"fields": [["a", "int8"]]}}), "V"),
        (stored_type(str), "T"),
        (stored_type("string"), "T"),
        (stored_type(np.longdouble), "f"),
        (stored_type(object), "O"),
        (stored_type(ml_dtypes.float8_e3m4), "V"),
    ],
)
def test_what_only_zarr_can_read_is_not_refused(stored: StoredType, kind: str) -> None:
    assert not stored.native
    assert stored.dtype.kind == kind


@pytest.mark.parametrize("text", ["<i1", ">u1", "<b1", ">V4", "<S3"])
def test_the_byte_order_of_a_byte_means_nothing(text: str) -> None:
    assert from_v2(text).native
    assert from_v2(text).dtype == np.dtype(text)
    assert from_v2(text).v2 == text


@pytest.mark.parametrize(
    "member",
    [
        "<f3", "<i5", "|i4", "=f4", "<f4[s]", "|S0", "<U0", "|V0", "|S", "<U", "<b2", "|S99999999999", "|V2147483648",
        "<U536870912", "<M8[0s]", "<M8[xs]", "<M4[s]", "|M8[s]", "<M8[2147483648s]", "<M8[99999999999s]", "<f1",
        4, None, True, [], [["a"]],
        [["a", "<f3"]], [[1, "<i4"]], ["a", "<i4"], [["a", "<i4", 3]], {"name": "<i4"},
    ],
)  # fmt: skip
def test_malformed_v2_members_are_refused(member: object) -> None:
    with pytest.raises(ArgumentError, match="v2 `dtype`"):
        from_v2(member)


@pytest.mark.parametrize(
    "member",
    [
        "r0", "r7", "r17179869184", 5, None, [], True,
        {}, {"name": 3}, {"name": "int32", "configuration": []}, {"name": "int32", "more": 1},
        {"name": "raw_bytes"}, {"name": "raw_bytes", "configuration": {"length_bytes": 0}},
        {"name": "raw_bytes", "configuration": {"length_bytes": True}},
        {"name": "raw_bytes", "configuration": {"length_bytes": 2**31}},
        {"name": "raw_bytes", "configuration": {"length_bytes": 2, "more": 1}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": -1}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 2.0}},
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}},
        {"name": "numpy.datetime64", "configuration": {"unit": "s"}},
        {"name": "numpy.datetime64", "configuration": {"unit": "q", "scale_factor": 1}},
        {"name": "numpy.datetime64", "configuration": {"unit": ["s"], "scale_factor": 1}},
        {"name": "numpy.timedelta64", "configuration": {"unit": "s", "scale_factor": 0}},
        {"name": "numpy.timedelta64", "configuration": {"unit": "s", "scale_factor": 2**31}},
        {"name": "struct", "configuration": {"fields": []}}, {"name": "struct", "configuration": {"fields": [3]}},
        {"name": "struct", "configuration": {"fields": [{"name": "a"}]}},
        {"name": "structured", "configuration": {"fields": [["a", "r7"]]}},
    ],
)  # fmt: skip
def test_malformed_v3_members_are_refused(member: object) -> None:
    with pytest.raises(ArgumentError, match="`data_type`"):
        from_v3(member)


def test_microseconds_may_be_spelt_with_a_mu() -> None:
    assert from_v2("<M8[10μs]").dtype == np.dtype("M8[10us]")
    assert from_v2("<M8[10μs]").v2 == "<M8[10μs]"
    member = {"name": "numpy.timedelta64", "configuration": {"unit": "μs", "scale_factor": 3}}
    assert from_v3(member).dtype == np.dtype("m8[3us]")
    assert from_v3(member).v3 == member


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (float, "f8"), (int, "i8"), (bool, "?"), (complex, "c16"), (np.float32, "f4"), ("i2", "i2"), (">f8", "f8"),
        (np.dtype("q"), "i8"), (np.array(1, "u2").dtype, "u2"), ("r16", "V2"), ({"name": "int8"}, "i1"),
        ({"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 5}}, "M8[5s]"),
        (zarr.dtype.Float32(), "f4"), (zarr.dtype.FixedLengthUTF32(length=3), "U3"),
    ],
)  # fmt: skip
def test_normalize(like: object, expected: str) -> None:
    assert normalize(like) == np.dtype(expected)
    assert normalize(like).isnative


@pytest.mark.parametrize("name", EXTENSION_NAMES)
def test_normalize_extensions(name: str) -> None:
    expected = np.dtype(getattr(ml_dtypes, name))
    assert normalize(name) is normalize(expected) is normalize(getattr(ml_dtypes, name)) is expected


def test_a_zarr_type_that_only_zarr_reads() -> None:
    stored = stored_type(zarr.dtype.VariableLengthUTF8())
    assert not stored.native
    assert (stored.v2, stored.v3) == ("|O", "string")


@pytest.mark.parametrize("like", ["float33", None, "", 3, object(), ["x"]])
def test_normalize_refuses_what_is_no_type(like: object) -> None:
    with pytest.raises(ArgumentTypeError, match="`dtype` must name a data type"):
        normalize(like)


@pytest.mark.parametrize("like", ["S", "U", "V", bytes])
def test_a_length_is_needed(like: object) -> None:
    with pytest.raises(ArgumentError, match="length of at least 1"):
        stored_type(like)


def test_a_shape_does_not_belong_to_a_type() -> None:
    with pytest.raises(ArgumentError, match="Give that shape to the array"):
        stored_type(np.dtype(("f4", (2, 3))))


def test_the_module_is_light() -> None:
    code = (
        "import sys, tenzarr.dtypes as d; assert d.from_v3('float32').native and d.from_v2('>i4').native; "
        "print(sorted({'zarr', 'ml_dtypes'} & set(sys.modules)))"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=path)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# --- scalars -----------------------------------------------------------------------------

FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def bits_of(scalar: object, dtype: np.dtype) -> bytes:
    return np.array(scalar, dtype).tobytes()


@given(name=st.sampled_from(FLOATS), data=st.data())
def test_every_float_survives_v3(name: str, data: st.DataObject) -> None:
    dtype = normalize(name)
    raw = data.draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
    scalar = np.array(raw, f"V{dtype.itemsize}").view(dtype)[()]
    text = scalar_to_json(scalar, stored_type(name), 3)
    assert bits_of(scalar_from_json(text, dtype), dtype) == raw


@given(name=st.sampled_from(FLOATS), data=st.data())
def test_every_float_survives_v2_up_to_its_nan(name: str, data: st.DataObject) -> None:
    dtype = normalize(name)
    raw = data.draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
    scalar = np.array(raw, f"V{dtype.itemsize}").view(dtype)[()]
    back = scalar_from_json(scalar_to_json(scalar, stored_type(name), 2), dtype)
    assert bits_of(back, dtype) == raw or (np.isnan(back) and np.isnan(scalar))


@given(name=st.sampled_from(["complex64", "complex128"]), data=st.data())
def test_every_complex_number_survives_v3(name: str, data: st.DataObject) -> None:
    dtype = normalize(name)
    raw = data.draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
    scalar = np.array(raw, f"V{dtype.itemsize}").view(dtype)[()]
    text = scalar_to_json(scalar, stored_type(name), 3)
    assert bits_of(scalar_from_json(text, dtype), dtype) == raw


@given(name=st.sampled_from([n for n in CORE if "int" in n] + ["int4", "uint4"]), data=st.data())
def test_integers_survive_and_others_are_refused(name: str, data: st.DataObject) -> None:
    dtype = normalize(name)
    info = ml_dtypes.iinfo(dtype)
    value = data.draw(st.integers(-(2**66), 2**66) | st.integers(int(info.min) - 2, int(info.max) + 2))
    if info.min <= value <= info.max:
        assert int(scalar_from_json(value, dtype)) == value
        assert scalar_to_json(dtype.type(value), stored_type(name), 2) == value
        assert int(scalar_from_json(str(value), dtype)) == value
    else:
        with pytest.raises(ArgumentError, match="must lie in"):
            scalar_from_json(value, dtype)


@given(
    name=st.sampled_from(["S4", "V4", "r32"]),
    raw=st.binary(min_size=4, max_size=4),
    zarr_format=st.sampled_from([2, 3]),
)
def test_bytes_survive(name: str, raw: bytes, zarr_format: int) -> None:
    stored = stored_type(name)
    scalar = np.array(raw, "V4").view(stored.dtype)[()]
    text = scalar_to_json(scalar, stored, zarr_format)
    assert bits_of(scalar_from_json(text, stored.dtype), stored.dtype) == raw
    assert isinstance(text, list) == (name == "r32" and zarr_format == 3)


@given(text=st.text(max_size=5, alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_survives(text: str) -> None:
    stored = stored_type("U5")
    assert scalar_to_json(scalar_from_json(text, stored.dtype), stored, 3) == text


@given(kind=st.sampled_from("Mm"), unit=st.sampled_from(UNITS), value=st.integers(-(2**63), 2**63 - 1))
def test_times_survive(kind: str, unit: str, value: int) -> None:
    stored = stored_type(f"{kind}8[3{unit}]")
    scalar = scalar_from_json(value, stored.dtype)
    assert scalar.dtype == stored.dtype
    assert scalar_to_json(scalar, stored, 3) == value


SCALARS = [
    ("bool", True), ("int8", -3), ("uint64", 2**64 - 1), ("float16", 0.1), ("float32", 0.1), ("float64", 1e300),
    ("float32", float("nan")), ("float64", float("-inf")), ("complex64", 1 - 2j), ("complex128", complex("nan-infj")),
    ("S3", b"ab"), ("S3", b""), ("V3", b"abc"), ("U4", "hé"), ("M8[10s]", "NaT"), ("M8[D]", "2020-02-03"),
    ("m8[ns]", 5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), SCALARS)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_scalars_are_written_and_read_as_zarr_does(name: str, value: object, zarr_format: int) -> None:
    dtype = np.dtype(name)
    theirs = zarr.core.dtype.get_data_type_from_native_dtype(dtype)
    scalar = to_scalar(value, dtype)
    text = scalar_to_json(scalar, stored_type(dtype), zarr_format)
    theirs_text = theirs.to_json_scalar(theirs.cast_scalar(value), zarr_format=zarr_format)
    assert text == (list(theirs_text) if isinstance(theirs_text, tuple) else theirs_text)
    assert bits_of(theirs.from_json_scalar(text, zarr_format=zarr_format), dtype) == bits_of(scalar, dtype)


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("float32", "0x7fc00001", "0100c07f"), ("float32", "0xFF800000", "000080ff"), ("float16", "0x7e01", "017e"),
        ("float64", "0x7ff0000000000001", "010000000000f07f"), ("bfloat16", "0x7fc1", "c17f"),
        ("bfloat16", 1.3, "a63f"),
        ("float8_e4m3fn", "NaN", "7f"), ("float8_e4m3fn", "0xff", "ff"), ("float8_e5m2", "NaN", "7e"),
        ("float8_e5m2", "-Infinity", "fc"), ("bfloat16", "NaN", "c07f"), ("bfloat16", "Infinity", "807f"),
        ("int4", -8, None), ("uint64", 2**64 - 1, "ff" * 8), ("float32", 1, "0000803f"), ("float16", "NaN", "007e"),
        ("complex64", ["0x7fc00001", 2], "0100c07f00000040"), ("int8", 1.0, "01"), ("float32", 1e300, "0000807f"),
    ],
)  # fmt: skip
def test_fill_values_are_read_as_tensorstore_does(name: str, raw: object, expected: str | None) -> None:
    ts = pytest.importorskip("tensorstore")
    scalar = scalar_from_json(raw, normalize(name))
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2],
        "data_type": name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": raw,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    spec = {"driver": "zarr3", "kvstore": "memory://", "metadata": document, "create": True}
    theirs = ts.open(spec).result().read().result()[0]
    assert expected is None or bits_of(scalar, normalize(name)).hex() == expected
    assert bits_of(theirs, normalize(name)) == bits_of(scalar, normalize(name)) or name == "int4"
    assert scalar == theirs or np.isnan(scalar)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("bool", 2), ("bool", "true"), ("bool", None), ("bool", [True]), ("int8", 128), ("int8", "1.5"), ("int8", 1.5),
        ("int8", True), ("int8", "NaN"), ("int8", [1]), ("int8", "9" * 30), ("uint8", -1), ("uint64", 2**64),
        ("int4", 8), ("int4", -9), ("uint4", 16), ("uint4", -1), ("float32", "0x7fc0"), ("float32", "0x7fc0000000"),
        ("float32", "0xnothexad"), ("float32", "x"), ("float32", True), ("float32", [1]), ("float32", {}),
        ("float64", 10**400), ("float8_e4m3fn", "Infinity"), ("float8_e4m3fn", 1e9), ("bfloat16", "0x7fc00000"),
        ("complex64", 1), ("complex64", [1]), ("complex64", [1, 2, 3]), ("complex64", [1, "x"]), ("complex64", "1+2j"),
        ("S2", "YWJj"), ("S2", "*"), ("S2", "é"), ("S2", 5), ("S2", [256]), ("S2", [1.0]), ("V2", "YWJj"), ("V2", None),
        ("U2", "abc"), ("U2", 3), ("U2", b"a"), ("M8[s]", 2**63), ("M8[s]", 1.5), ("M8[s]", "2020"), ("m8[s]", True),
    ],
)  # fmt: skip
def test_what_is_no_value_of_the_type_is_refused(name: str, raw: object) -> None:
    with pytest.raises(ArgumentError, match=r"a fill value of .* must .*; it is"):
        scalar_from_json(raw, normalize(name))


@pytest.mark.parametrize("name", [*NATIVE, *EXTENSION_NAMES])
def test_no_value_means_zero(name: str) -> None:
    dtype = normalize(name)
    assert bits_of(to_scalar(None, dtype), dtype) == bytes(dtype.itemsize) == bits_of(zero(dtype), dtype)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (True, "int8", 1), (np.bool_(True), "float32", 1.0), (np.int64(5), "uint8", 5), (np.float64(2.0), "int16", 2),
        (np.array(3), "float32", 3.0), (np.float32(1.5), "bfloat16", 1.5), ("NaN", "float32", np.nan),
        (2, "complex64", 2),
        (np.complex64(1j), "complex128", 1j), (b"a", "S3", b"a"), (b"ab", "V2", b"ab"), ("x", "U2", "x"),
        (np.datetime64("2020-01-01"), "M8[s]", np.datetime64("2020-01-01T00:00:00")),
        (3, "m8[s]", np.timedelta64(3, "s")),
        (-1, "int4", -1), (np.float64("nan"), "float16", np.nan), (np.float64(1e10), "float16", np.inf),
    ],
)  # fmt: skip
def test_what_a_user_means(value: object, name: str, expected: object) -> None:
    dtype = normalize(name)
    scalar = to_scalar(value, dtype)
    assert type(scalar) is dtype.type
    np.testing.assert_array_equal(np.array(scalar, dtype), np.array(expected, dtype))


@pytest.mark.parametrize(
    ("value", "name"), [(-1, "uint8"), ("x", "M8[s]"), (1j, "float32"), (object(), "int8"), (1.5, "int8")]
)
def test_what_no_value_of_the_type_can_be_meant(value: object, name: str) -> None:
    with pytest.raises(ArgumentError, match="a fill value of"):
        to_scalar(value, np.dtype(name))


# --- zarr-python -------------------------------------------------------------------------


def values_of(name: str) -> np.ndarray:
    return np.array([0, 1, 2 if name == "uint4" else -2, 3, 5, 7, 1]).astype(normalize(name))


def tensorstore_spec(path: object, zarr_format: int) -> dict[str, object]:
    return {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": {"driver": "file", "path": str(path)}}


@pytest.fixture
def registered() -> None:
    register_with_zarr()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", EXTENSION_NAMES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_writes_and_reads_the_extensions(name: str, zarr_format: int, tmp_path: object) -> None:
    options = {"compressors": None} if zarr_format == 2 else {}
    made = zarr.create_array(
        str(tmp_path), shape=(7,), chunks=(3,), dtype=name, zarr_format=zarr_format, fill_value=1, **options
    )
    made[:4] = values_of(name)[:4]
    opened = zarr.open_array(str(tmp_path), mode="r")
    expected = np.concatenate([values_of(name)[:4], np.ones(3).astype(normalize(name))])
    assert opened.dtype == normalize(name)
    np.testing.assert_array_equal(opened[:], expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened))[:], expected)
    if name != "uint4":
        ts = pytest.importorskip("tensorstore")
        theirs = ts.open(tensorstore_spec(tmp_path, zarr_format)).result().read().result()
        assert theirs.dtype == normalize(name)
        np.testing.assert_array_equal(theirs, expected)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", [name for name in EXTENSION_NAMES if name != "uint4"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_reads_what_tensorstore_wrote(name: str, zarr_format: int, tmp_path: object) -> None:
    ts = pytest.importorskip("tensorstore")
    fill = values_of(name)[2]
    theirs = ts.open(
        tensorstore_spec(tmp_path, zarr_format),
        create=True,
        dtype=name,
        shape=[7],
        chunk_layout=ts.ChunkLayout(chunk_shape=[3]),
        fill_value=fill,
    ).result()
    theirs[:3] = values_of(name)[:3]
    opened = zarr.open_array(str(tmp_path), mode="r")
    assert opened.fill_value == fill
    np.testing.assert_array_equal(opened[:], theirs.read().result())


@pytest.mark.usefixtures("registered")
def test_zarr_reads_big_endian_bfloat16(tmp_path: object) -> None:
    ts = pytest.importorskip("tensorstore")
    codecs = [{"name": "bytes", "configuration": {"endian": "big"}}]
    spec = {**tensorstore_spec(tmp_path, 3), "metadata": {"codecs": codecs}}
    ts.open(spec, create=True, dtype="bfloat16", shape=[7]).result()[...] = values_of("bfloat16")
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path), mode="r")[:].astype("f4"), values_of("bfloat16"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_int4_takes_a_byte_whose_upper_half_is_ignored(zarr_format: int) -> None:
    ts = pytest.importorskip("tensorstore")
    if zarr_format == 2:
        document = {"zarr_format": 2, "shape": [3], "chunks": [3], "dtype": "int4", "compressor": None}
        document |= {"fill_value": 0, "order": "C", "filters": None}
    else:
        document = {"data_type": "int4", "shape": [3], "codecs": [{"name": "bytes"}]}
    spec = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": "memory://", "metadata": document}
    array = ts.open(spec, create=True).result()
    array[...] = np.array([-1, 7, -8], "i1").astype(ml_dtypes.int4)
    key = "0" if zarr_format == 2 else "c/0"
    stored = array.kvstore.read(key).result().value
    assert [byte & 0x0F for byte in stored] == [0x0F, 0x07, 0x08]
    array.kvstore.write(key, b"\xff\x17\x08").result()
    np.testing.assert_array_equal(array.read().result().astype("i1"), [-1, 7, -8])
    np.testing.assert_array_equal(np.frombuffer(b"\xff\x17\x08", ml_dtypes.int4).astype("i1"), [-1, 7, -8])


def test_registering_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = zarr.dtype.data_type_registry
    register_with_zarr()
    before = dict(registry.contents)
    register_with_zarr()
    assert registry.contents == before
    monkeypatch.setitem(registry.contents, "int4", zarr.dtype.Int8)
    register_with_zarr()
    assert registry.contents["int4"] is zarr.dtype.Int8


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", EXTENSION_NAMES)
def test_registered_types_judge_scalars(name: str) -> None:
    zarr_type = zarr.dtype.parse_dtype(name, zarr_format=3)
    assert zarr_type.to_native_dtype() == normalize(name)
    assert zarr_type.item_size == normalize(name).itemsize
    assert zarr_type.default_scalar() == 0
    assert stored_type(zarr_type).native
    with pytest.raises(TypeError, match="a fill value of"):
        zarr_type.cast_scalar("x")
    with pytest.raises(TypeError, match="a fill value of"):
        zarr_type.from_json_scalar("x", zarr_format=3)
    with pytest.raises(ValueError, match="is not"):
        type(zarr_type).from_native_dtype(np.dtype("f4"))


def test_an_unknown_name_in_the_module_of_classes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Int3'"):
        sys.modules["tenzarr.dtypes.zarr_types"].Int3  # noqa: B018
