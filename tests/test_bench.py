"""The suite of `bench/` still runs, and its arithmetic is right."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from bench import data, harness, layouts, machine, memory, peers, report, suite
from bench.__main__ import main
from bench.harness import Bar, Candidate, Result, Scale, Session, Verdict, compete

OURS_AND_ZARR = frozenset({"tenzarr", "zarr-python"})


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def candidate(engine: str, seconds: float, setting: str = "") -> Candidate:
    return Candidate(engine, setting, lambda: time.sleep(seconds), lambda: None)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path, Scale("test", seconds=0.0, rounds=(3, 3)), frozenset())


def test_ratios_are_theirs_over_ours_and_the_fastest_setting_counts(session: Session) -> None:
    entrants = [
        candidate("tenzarr", 0.002),
        candidate("tensorstore", 0.02, "slow"),
        candidate("tensorstore", 0.008, "fast"),
    ]
    result = compete(session, "row", "work", entrants, [Bar("tensorstore", 2.5), Bar("absent", 1)])
    assert [(f.engine, f.setting, f.rounds) for f in result.figures] == [("tenzarr", "", 3), ("tensorstore", "fast", 3)]
    assert [setting for setting, _ in result.figures[1].rejected] == ["slow"]
    reached, absent = result.verdicts
    assert reached.bar == "2.5 x tensorstore"
    assert 2 < reached.value < 8
    assert absent.met is None
    assert math.isnan(absent.value)


def test_a_bar_is_met_or_not_by_the_median_of_the_ratios(session: Session) -> None:
    entrants = [candidate("tenzarr", 0.004), candidate("zarr-python", 0.004)]
    result = compete(session, "row", "work", entrants, [Bar("zarr-python", 3)])
    assert result.verdicts[0].met is False
    result = compete(session, "row", "work", entrants, [Bar("zarr-python", 0.3)])
    assert result.verdicts[0].met is True


def test_an_engine_that_answers_wrongly_is_not_timed(session: Session) -> None:
    def refuse() -> None:
        raise AssertionError("data differs")

    wrong = Candidate("tenzarr", "", lambda: pytest.fail("it was timed"), refuse)
    with pytest.raises(AssertionError, match="data differs"):
        compete(session, "row", "work", [wrong], [])


def test_order_rotates_and_what_surrounds_a_call_is_not_timed(session: Session) -> None:
    order: list[str] = []
    entrants = [
        Candidate(name, "", lambda name=name: order.append(name), lambda: None, before=lambda: time.sleep(0.01))
        for name in "abc"
    ]
    result = compete(session, "row", "work", entrants, [])
    assert order == list("abc" + "abc" + "bca" + "cab")
    assert max(figure.median_seconds for figure in result.figures) < 0.005


def test_data_is_the_same_in_every_run_and_compresses_as_the_docs_say() -> None:
    field = data.Field((300, 400))
    whole = field.whole()
    np.testing.assert_array_equal(field.rows(7, 12), whole[7:12])
    np.testing.assert_array_equal(data.Field((300, 400)).whole(), whole)
    np.testing.assert_array_equal(np.round(whole, 2), whole)
    digits = data.digits(64)
    assert (digits.dtype, digits.shape, digits.max()) == (np.float32, (64, data.ROW_LENGTH), 1)
    assert 0.5 < (digits == 0).mean() < 0.95
    assert data.elevation((64, 64)).dtype == np.int32
    assert len(set(next(data.draws(1, 32, 100)).tolist())) == 32


def test_rows_are_selected_by_name_beginning_or_pattern() -> None:
    assert [row.name for row in suite.select(["alias"])] == ["alias"]
    assert {row.name for row in suite.select(["read"])} == {"read-none", "read-crc32c", "read-zstd", "read-blosc"}
    assert {row.name for row in suite.select(["shards*"])} == {"shards-none", "shards-zstd"}
    assert len(suite.select([])) == len(suite.ROWS) == len({row.name for row in suite.ROWS})
    with pytest.raises(ValueError, match="no row is called 'nonsense'"):
        suite.select(["nonsense"])


@pytest.mark.parametrize("name", ["read-zstd", "large-none", "first-write-none", "durable-none"])
def test_rows_of_whole_arrays_run(name: str, tmp_path: Path) -> None:
    (result,) = suite.run(suite.select([name]), suite.TINY, OURS_AND_ZARR, folder=tmp_path)
    assert result.figures[0].engine == "tenzarr"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["batches-none", "rows-zstd", "shards-zstd", "inner-none", "alias", "open-v3"])
def test_rows_of_pieces_run(name: str, tmp_path: Path) -> None:
    (result,) = suite.run(suite.select([name]), suite.TINY, OURS_AND_ZARR, folder=tmp_path)
    assert result.figures[0].engine.startswith("tenzarr")
    assert all(figure.median_seconds > 0 for figure in result.figures)
    assert list(tmp_path.iterdir()) == []


@needs("tensorstore", "zarrs")
@pytest.mark.parametrize("name", ["read-crc32c", "write-zstd", "rows-none", "inner-zstd"])
def test_every_peer_gives_the_data_back(name: str, tmp_path: Path) -> None:
    (result,) = suite.run(suite.select([name]), suite.TINY, peers.available(), folder=tmp_path)
    assert {"tenzarr", "tensorstore"} <= {figure.engine for figure in result.figures}


def test_peak_memory_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    (result,) = suite.run(suite.select(["memory-shard-zstd"]), suite.TINY, frozenset({"tenzarr"}), folder=tmp_path)
    (verdict,) = result.verdicts
    assert verdict.bar == "at most 1.1 x the output"
    assert verdict.value > 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="failed"):
        memory.child("read", str(tmp_path / "absent"), "tenzarr", "0")


def test_the_ratio_of_compression_counts_chunks_only(tmp_path: Path) -> None:
    path = layouts.store(tmp_path / "array", np.zeros((64, 64)), chunks=(64, 64), codec="none")
    assert layouts.ratio_note(path, 64 * 64 * 8) == "written by zarr-python, compression ratio 1.0"


def results() -> list[Result]:
    met = Verdict("1.5 x tensorstore", "2.00 x (1.90 to 2.10)", 2.0, True, "tensorstore")
    missed = Verdict("10 x zarr-python", "not measured", math.nan, None, "zarr-python")
    figure = harness.Figure("tenzarr", "defaults", 0.0012, (0.001, 0.0013), 9, (("slow", 0.1),))
    return [Result("read-none", "read it", (figure,), (met, missed), "written by zarr-python")]


def test_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = machine.describe(tmp_path)
    table = report.markdown(results(), where, "python -m bench")
    assert "| read it | 1.20 ms<br>defaults | - | - | - | - | 1.5 x tensorstore: 2.00 x (1.90 to 2.10);" in table
    short = report.summary(results(), where, "python -m bench")
    assert "| read it | 1.20 ms | 2.00 x | - | - | - |\n" in short
    report.show(results(), where)
    assert "read-none" in capsys.readouterr().out
    loaded = json.loads(report.to_json(results(), where, "python -m bench"))
    assert loaded["rows"][0]["verdicts"][1]["value"] is None
    assert report.settings_of(results()[0].figures[0]).endswith("9 rounds; slower: slow 100 ms")


def test_the_table_goes_between_the_marks_of_the_readme(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_marks(readme, "new\n")
    assert readme.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    readme.write_text(f"{report.END}{report.BEGIN}")
    with pytest.raises(ValueError, match="must contain"):
        report.write_between_marks(readme, "new\n")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == [row.name for row in suite.ROWS]
    monkeypatch.setattr(suite, "QUICK", suite.TINY)
    file = tmp_path / "out.json"
    code = main(["--quick", "--rows", "open-v2", "--engines", "tenzarr", "--json", str(file), "--details", "--strict"])
    assert code == 0
    assert [row["name"] for row in json.loads(file.read_text())["rows"]] == ["open-v2"]
