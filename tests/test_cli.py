"""The commands, as a person and as a program use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.cli import demo, main, race
from tenzarr.cli.measure import Layout, engines, measure
from tenzarr.errors import NodeNotFoundError


@pytest.fixture
def data() -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).normal(288, 12, (20, 6, 8)).astype("float32")


@pytest.fixture
def stored(tmp_path: Path, data: np.ndarray[Any, Any]) -> Path:
    path = tmp_path / "obs.zarr"
    array = tz.create(
        path,
        shape=data.shape,
        chunks=(8, 6, 8),
        dtype="float32",
        names=("time", "lat", "lon"),
        attributes={"units": "K"},
    )
    array[...] = data
    return path


@pytest.fixture
def run_of_arrays(tmp_path: Path) -> Path:
    path = tmp_path / "run.zarr"
    group = tz.open_group(path, mode="a")
    group.create_array("w/wind", shape=(10,), dtype="int16", chunks=(3,))[...] = 5
    sharded = group.create_array("t", shape=(64, 64), dtype="float64", chunks=(8, 8), shards=(32, 32))
    sharded[...] = np.random.default_rng(0).random((64, 64))
    return path


class Told:
    """What a command printed and returned."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: object) -> Told:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Told(code, *capsys.readouterr())

    return call


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_info_says_what_is_stored(tell: Any, stored: Path) -> None:
    told = tell("info", stored)
    assert told.code == 0
    for words in ("(time: 20, lat: 6, lon: 8)", "float32", "zstd:3 + crc32c", "3 of 3 chunks", "Zarr v3", "units"):
        assert words in told.out
    facts = tell("info", stored, "--json").json
    assert facts["kind"] == "array"
    assert facts["shape"] == [20, 6, 8]
    assert facts["checks"] == "crc32c"
    assert facts["nbytes"] == 20 * 6 * 8 * 4
    assert facts["nbytes_stored"] == sum(p.stat().st_size for p in (stored / "c").rglob("*") if p.is_file())
    assert facts["attributes"] == {"units": "K"}


def test_info_of_unwritten_and_unverified_arrays(tell: Any, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=(5, 5), chunks=(2, 2), dtype="complex64", compressor=None, checksum=False)
    told = tell("info", tmp_path / "a")
    assert "unverified" in told.out
    assert "0 bytes, 0 of 9 chunks" in told.out
    assert tell("info", tmp_path / "a", "--json").json["fill_value"] == "0j"


def test_info_and_tree_of_a_group(tell: Any, run_of_arrays: Path) -> None:
    assert "2 arrays, 1 group" in tell("info", run_of_arrays).out
    assert tell("info", run_of_arrays, "--json").json["arrays"] == 2
    assert tell("tree", run_of_arrays).out.splitlines()[1:] == [
        "├── t (64, 64) float64",
        "└── w",
        "    └── wind (10,) int16",
    ]
    members = tell("tree", run_of_arrays, "--json").json["members"]
    assert members["w"]["members"]["wind"] == {"kind": "array", "shape": [10], "dtype": "int16", "chunks": [3]}


def test_copy_rechunks_and_converts(tell: Any, stored: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    target = tmp_path / "v2.zarr"
    options = ("--chunks", "10,6,4", "--format", "2", "--compressor", "gzip:1")
    assert tell("copy", stored, target, *options).code == 0
    copied = tz.open_array(target)
    assert (copied.chunks, copied.info.zarr_format, copied.info.codecs) == ((10, 6, 4), 2, "gzip:1")
    assert np.array_equal(copied[...], data)
    again = tell("copy", stored, target)
    assert again.code == 2
    assert again.err.startswith("error: ")
    assert tell("copy", stored, target, "--overwrite", "--compressor", "none", "--json").json["codecs"] == "crc32c"
    sharded = tell("copy", stored, tmp_path / "s", "--chunks", "5,3,4", "--shards", "10,6,8", "--json").json
    assert (sharded["chunks"], sharded["shards"]) == ([5, 3, 4], [10, 6, 8])


def test_verify_of_sound_arrays(tell: Any, run_of_arrays: Path) -> None:
    told = tell("verify", run_of_arrays)
    assert told.code == 0
    assert "t: 4 sound chunks (crc32c)" in told.out
    assert told.err == ""


def test_verify_names_each_damaged_chunk(tell: Any, stored: Path) -> None:
    flip(stored / "c/1/0/0", 30)
    (stored / "c/2/0/0").unlink()
    (stored / "c/2/0/0").mkdir()
    told = tell("verify", stored)
    assert told.code == 1
    assert "damaged  c/1/0/0  chunk (1, 0, 0)" in told.out
    assert "damaged  c/2/0/0  chunk (2, 0, 0)" in told.out
    assert "2 damaged, 1 sound chunk" in told.out
    found = tell("verify", stored, "--json")
    assert found.code == 1
    assert [d["key"] for d in found.json["arrays"][0]["damaged"]] == ["c/1/0/0", "c/2/0/0"]


def test_verify_names_each_damaged_inner_chunk_of_a_shard(tell: Any, run_of_arrays: Path) -> None:
    shard = run_of_arrays / "t/c/0/1"
    flip(shard, 10)
    flip(shard, shard.stat().st_size // 2)
    damaged = tell("verify", run_of_arrays, "--json").json["arrays"][0]["damaged"]
    assert len(damaged) == 2
    assert {d["key"] for d in damaged} == {"t/c/0/1"}


def test_verify_says_when_nothing_checks_the_data(tell: Any, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=4, dtype="int8", compressor=None, checksum=False)[...] = 1
    assert "nothing checks its data" in tell("verify", tmp_path / "a").out


def test_verify_clean_removes_what_dead_writers_left(tell: Any, stored: Path) -> None:
    writer = f"""
import os, tenzarr as tz
real = os.replace, os.rename
def die(*args, **kwargs):
    os._exit(9)
os.replace = os.rename = die
tz.open_array({str(stored)!r})[...] = 1
"""
    assert subprocess.run([sys.executable, "-c", writer], check=False).returncode == 9
    before = {p for p in stored.rglob("*") if p.is_file()}
    cleaned = tell("verify", stored, "--clean", "--json")
    after = {p for p in stored.rglob("*") if p.is_file()}
    assert cleaned.code == 0
    assert len(cleaned.json["removed"]) == len(before - after) == 1
    assert "dead writers left nothing behind" in tell("verify", stored, "--clean").out


def test_stats(tell: Any, stored: Path, data: np.ndarray[Any, Any]) -> None:
    found = tell("stats", stored, "--json").json
    assert found["count"] == data.size
    assert found["mean"] == pytest.approx(float(data.astype("float64").mean()), rel=1e-12)
    assert found["max"] == float(data.max())
    assert "nan_count  0" in tell("stats", stored).out


def test_json_has_no_nan(tell: Any, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=3, dtype="float32", fill_value=float("nan"))
    found = tell("stats", tmp_path / "a", "--json").json
    assert (found["mean"], found["min"], found["nan_count"]) == (None, None, 3)
    assert tell("info", tmp_path / "a", "--json").json["fill_value"] is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["info", "nothing-here"], "there is no Zarr array or group"),
        (["stats", "nothing-here"], "there is no Zarr array or group"),
        (["copy", "{stored}", "b.zarr", "--chunks", "a,b"], "`--chunks` must be whole numbers"),
        (["copy", "{stored}", "b.zarr", "--chunks", "1,2"], "`chunks` must have one length for each of the 3 axes"),
        (["copy", "{stored}", "b.zarr", "--compressor", "zst"], "`compressor` must be one of"),
        (["copy", "{stored}", "b.zarr", "--format", "4"], "`zarr_format` must be 2 or 3"),
    ],
)
def test_errors_are_one_readable_line(
    tell: Any, stored: Path, words: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stored.parent)
    told = tell(*(word.format(stored=stored) for word in words))
    assert told.code == 2
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("error: ")
    assert problem in told.err


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    with pytest.raises(NodeNotFoundError, match="there is no Zarr array or group"):
        main(["info", str(tmp_path / "none"), "--debug"])


def test_usage_errors_and_help(tell: Any) -> None:
    assert tell("info").code == 2
    assert tell("no-such-command").code == 2
    assert tell("--version").out == f"tenzarr {tz.__version__}\n"
    helped = tell("--help")
    assert helped.code == 0
    for command in ("info", "tree", "copy", "verify", "stats", "demo", "bench"):
        assert command in helped.out
    assert "Usage: tenzarr" in tell().out + tell().err


def test_the_installed_command_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tenzarr.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tenzarr {tz.__version__}\n"


def test_control_characters_do_not_reach_the_terminal(tell: Any, tmp_path: Path) -> None:
    tz.create(tmp_path / "a", shape=2, dtype="int8", names=("\x1b[31mred",), attributes={"a\x07": 1})
    assert "\x1b" not in tell("info", tmp_path / "a").out
    assert "\x07" not in tell("info", tmp_path / "a").out


def test_demo_stores_streams_and_races(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(demo, "RACE_SHAPE", (200, 300))
    monkeypatch.setattr(demo, "RACES", (Layout("small", (100, 100), "zstd:3", checksum=True),))
    monkeypatch.setattr(demo, "ROUNDS", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for words in ("1,797 handwritten digits", "115,008 and 0 NaN", "equal to what went in", "zarr-python, tuned"):
        assert words in out
    assert "DIFFER" not in out
    assert list(tmp_path.iterdir()) == []


def test_bench_measures_every_layout(tell: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(race, "SHAPE", (120, 130))
    told = tell("bench", tmp_path)
    assert told.code == 0
    assert told.out.count("zarr-python, tuned") == len(race.LAYOUTS)
    rows = tell("bench", tmp_path, "--json").json
    assert {row["layout"] for row in rows} == {layout.words for layout in race.LAYOUTS}
    assert all(row["equal"] for row in rows)
    assert tell("bench", tmp_path / "none").code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_returns_other_data_is_seen(tmp_path: Path) -> None:
    broken = [
        engine
        if engine.name != "zarr-python"
        else type(engine)(engine.name, engine.open, lambda a: a[...] + 1, engine.write)
        for engine in engines()
    ]
    layout = Layout("small", (10, 10), None, checksum=True)
    rows = {row.engine: row for row in measure(layout, demo.field((20, 30)), tmp_path, broken, rounds=1)}
    assert not rows["zarr-python"].equal
    assert rows["tenzarr"].equal
