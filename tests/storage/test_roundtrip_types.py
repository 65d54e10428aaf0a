"""Every data type, byte order, order of elements, fill value and key, against zarr-python and TensorStore."""

from __future__ import annotations

import math
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
    tensorstore_reads,
    tensorstore_writes,
    we_write,
    zarr_writes,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

PLAIN = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
NARROW = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"]
OTHER = ["S5", "S1", "U3", "V4", "M8[ns]", "M8[10s]", "M8[D]", "m8[us]", "m8[7h]"]
SWAPPED = [">i2", ">u2", ">i4", ">u4", ">i8", ">u8", ">f2", ">f4", ">f8", ">c8", ">c16"]
SWAPPED_OTHER = [">U3", ">M8[ns]", ">m8[10s]"]


def name_of(dtype: str) -> str:
    return dtype.replace(">", "big-").replace("[", "-").replace("]", "")


def type_cases() -> list[Case]:
    cases: list[Case] = []
    for zarr_format in (3, 2):
        for dtype in (*PLAIN, *NARROW, *OTHER, *SWAPPED, *SWAPPED_OTHER):
            known = dtype in PLAIN or dtype in NARROW or dtype in SWAPPED
            cases.append(
                Case(
                    f"v{zarr_format}-{name_of(dtype)}",
                    dtype,
                    options={"zarr_format": zarr_format, "compressor": None},
                    tensorstore=known and dtype != "uint4",
                )
            )
    cases.append(
        Case(
            "v3-big-bfloat16",
            "bfloat16",
            options={"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]},
            tensorstore=True,
        )
    )
    cases.append(Case("v3-r32", "r32", options={"compressor": None}, zarr=False))
    return cases


def layout_cases() -> list[Case]:
    cases: list[Case] = []
    for zarr_format in (3, 2):
        for order in ("C", "F"):
            for name, dtype, compressor in (
                ("raw-f8", "f8", None),
                ("zstd-i2", "i2", "zstd"),
                ("blosc-big-u4", ">u4", "blosc"),
                ("gzip-c8", "c8", "gzip"),
            ):
                shape, chunks = ((5, 4, 7), (2, 4, 3))
                options = {"zarr_format": zarr_format, "order": order, "compressor": compressor}
                cases.append(
                    Case(
                        f"v{zarr_format}-{order}-{name}",
                        dtype,
                        shape,
                        chunks,
                        options,
                        tensorstore=not (zarr_format == 2 and compressor == "gzip"),
                    )
                )
    for zarr_format in (3, 2):
        head: dict[str, Any] = {"zarr_format": zarr_format}
        for name, shape, chunks in (
            ("0d", (), ()),
            ("1d", (11,), (4,)),
            ("one-chunk", (4,), (4,)),
            ("chunk-larger", (3, 2), (5, 7)),
            ("chunks-of-1", (3, 4), (1, 1)),
            ("5d", (2, 3, 1, 2, 3), (1, 2, 1, 2, 2)),
            ("length-0", (0,), (3,)),
            ("length-0-of-2", (4, 0), (2, 3)),
            ("prime", (13, 17), (5, 4)),
        ):
            cases.append(Case(f"v{zarr_format}-{name}", "i4", shape, chunks, head, tensorstore=True))
            raw = {**head, "compressor": None, "checksum": False, "order": "F"}
            # TensorStore calls a v2 array of less than two axes C-ordered, and refuses to hear otherwise.
            both = zarr_format == 3 or len(shape) > 1
            cases.append(Case(f"v{zarr_format}-{name}-raw-F", "f4", shape, chunks, raw, tensorstore=both))
        missing = {"written": (slice(2, 4), slice(1, 3)), "options": {**head, "fill_value": 7}}
        cases.append(Case(f"v{zarr_format}-missing-chunks", "i2", (9, 9), (2, 2), tensorstore=True, **missing))
        empty = {"written": (slice(0, 0), slice(0, 0)), "options": {**head, "fill_value": -1}}
        cases.append(Case(f"v{zarr_format}-nothing-written", "i2", (5, 4), (2, 2), tensorstore=True, **empty))
    for encoding in ("default", "v2"):
        for separator in ("/", "."):
            keys = {"name": encoding, "separator": separator}
            for shape, chunks in (((5, 5), (2, 2)), ((), ()), ((25,), (2,))):
                cases.append(
                    Case(
                        f"v3-keys-{encoding}-{separator}-{len(shape)}d",
                        "u2",
                        shape,
                        chunks,
                        {"chunk_key_encoding": keys},
                        tensorstore=True,
                    )
                )
    for separator in ("/", "."):
        for shape, chunks in (((5, 5), (2, 2)), ((), ()), ((25,), (2,))):
            options = {"zarr_format": 2, "chunk_key_encoding": separator}
            cases.append(Case(f"v2-keys-{separator}-{len(shape)}d", "u2", shape, chunks, options, tensorstore=True))
    return cases


FILLS: list[tuple[str, str, Any]] = [
    ("nan", "f8", math.nan),
    ("nan", "f2", math.nan),
    ("inf", "f4", math.inf),
    ("minus-inf", "f8", -math.inf),
    ("minus-zero", "f8", -0.0),
    ("max", "f4", np.finfo("f4").max),
    ("tiny", "f8", 5e-324),
    ("third", "f4", 1 / 3),
    ("true", "bool", True),
    ("low", "i8", -(2**63)),
    ("high", "u8", 2**64 - 1),
    ("value", "c8", 1.5 - 2j),
    ("nan", "c16", complex(math.nan, -math.inf)),
    ("value", "bfloat16", 1.5),
    ("nan", "bfloat16", math.nan),
    ("value", "float8_e4m3fn", 0.5),
    ("inf", "float8_e5m2", math.inf),
    ("low", "int4", -8),
    ("high", "uint4", 15),
    ("text", "S5", b"ab"),
    ("text", "U3", "é\u4e2d"),
    ("bytes", "V4", b"\x00\x01\xff\x00"),
    ("nat", "M8[ns]", "NaT"),
    ("date", "M8[D]", "2020-02-29"),
    ("span", "m8[s]", -5),
]


def fill_cases() -> list[Case]:
    cases: list[Case] = []
    for zarr_format in (3, 2):
        for name, dtype, value in FILLS:
            options = {"zarr_format": zarr_format, "fill_value": value}
            if dtype in NARROW and zarr_format == 2:
                # zarr-python cannot compress these: NumPy has no buffer of them.
                options["compressor"] = None
            cases.append(
                Case(
                    f"v{zarr_format}-{name}-{name_of(dtype)}",
                    dtype,
                    options=options,
                    written=(slice(0, 3), slice(1, 4)),
                    tensorstore=dtype[0] not in "SUVMm" and dtype != "uint4",
                )
            )
    for dtype, text in (("f4", "0x7fc00001"), ("f8", "0xfff0000000000001"), ("f2", "0x7e01"), ("bfloat16", "0x7fc1")):
        payload = {"fill_value": text}
        cases.append(
            Case(
                f"v3-payload-{dtype}",
                dtype,
                options=payload,
                written=(slice(0, 3), slice(1, 4)),
                # It reads any NaN of float16 as the usual one, and writes every NaN as "NaN".
                zarr=dtype != "f2",
                zarr_writes=False,
                tensorstore=True,
            )
        )
    cases.extend(
        Case(
            f"v2-null-{name_of(dtype)}",
            dtype,
            options={"zarr_format": 2},
            document={"fill_value": None},
            written=(slice(0, 3), slice(0, 2)),
            tensorstore=dtype[0] not in "SUM",
        )
        for dtype in ("i4", "f8", "c8", "bool", "S3", "U2", "M8[ns]")
    )
    return cases


CASES = [*type_cases(), *layout_cases(), *fill_cases()]
IDS = [case.id for case in CASES]
ZARR = [case for case in CASES if case.zarr]
ZARR_WRITES = [case for case in ZARR if case.zarr_writes]
TENSORSTORE = [case for case in CASES if case.tensorstore]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(set(IDS)) == len(IDS)


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
