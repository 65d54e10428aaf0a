"""What is small on disk and claims to be large costs next to nothing before its typed error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenzarr as tz
from tenzarr.errors import CorruptChunkError
from tests.storage.harm.bombs import FAMILIES, LIMIT_BYTES, index_of

ROOT = Path(__file__).parents[2]
RAISED = {"ChecksumError", "CorruptChunkError", "TooLargeError", "MetadataError"}


def reports(program: str, *arguments: str) -> list[dict[str, Any]]:
    """What a fresh process found, one report a line; each was measured in a child of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.storage.harm.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
def test_bombs(family: str, tmp_path: Path) -> None:
    found = reports("bombs", str(tmp_path), family)
    assert len(found) > 20
    assert sum(report["allowed"] == "raised" for report in found) > 15
    for report in found:
        allowed = {"raised"} if report["allowed"] == "raised" else {"raised", "fine"}
        assert set(report["said"].split(" and ")) <= allowed, report
        assert report["grown"] <= LIMIT_BYTES, report
        assert report["seconds"] < 10, report
    good = [report for report in found if "good" in report["name"] and report["allowed"] != "raised"]
    assert good
    assert {report["name"]: report["said"] for report in good if report["said"] != "fine"} == {}


def test_bombs_in_a_zip_file(tmp_path: Path) -> None:
    found = reports("bombs", str(tmp_path), "zip")
    assert len(found) == 12
    for report in found:
        assert report["said"] == "raised", report
        assert report["grown"] <= LIMIT_BYTES, report


def test_documents_that_claim_more_than_there_is(tmp_path: Path) -> None:
    found = reports("huge", str(tmp_path))
    assert len(found) > 400
    refused = {report["name"] for report in found if report["said"] == "MetadataError"}
    for report in found:
        assert report["said"] in {"fine", *RAISED}, report
        assert report["grown"] <= LIMIT_BYTES, report
        assert report["seconds"] < 10, report
        if report["name"] in refused:
            assert report["said"] == "MetadataError", report
        elif report["question"] == "describe" or not (report["chunk"] or report["question"] in ("write", "all")):
            # Nothing is read, or what was never written: the answer costs what was asked for.
            assert report["said"] == "fine", report
        elif report["question"] == "all":
            assert report["said"] == "TooLargeError", report
    assert refused == {"overflows", "overflows at once", "a shard of 2**64"}


def test_a_write_copies_no_more_than_a_shard_can_have(tmp_path: Path) -> None:
    array = tz.create(tmp_path / "a", shape=(64, 64), chunks=(1, 1), shards=(64, 64), dtype="uint8", checksum=False)
    array[...] = np.arange(64)[:, None] + 1
    path = tmp_path / "a/c/0/0"
    size = path.stat().st_size
    # Every inner chunk claims most of the shard: 4,096 times 60 kB.
    path.write_bytes(path.read_bytes()[: -4096 * 16 - 4] + index_of([(0, size - 4096 * 16 - 4)] * 4096))
    before = path.read_bytes()
    with pytest.raises(CorruptChunkError, match="its index claims"):
        array[0, 0] = 9
    assert path.read_bytes() == before
    array[...] = 5
    assert np.all(array[...] == 5)
