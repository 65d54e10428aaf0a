"""The processes of `bench.memory`: ``create PATH LAYOUT CODEC ROWS`` and ``read PATH ENGINE CRC32``."""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from bench.data import Field
from bench.layouts import Codec, create
from bench.peers import ENGINES

COLUMNS = 12_500
"""Elements in a row: 100 kB of float64."""


def _layout(name: str, rows: int) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Chunk and shard shapes; 1,000 chunks are 40 by 25."""
    pieces = (rows // 40, COLUMNS // 25)
    if name == "chunk":
        return (rows, COLUMNS), None
    return pieces, ((rows, COLUMNS) if name == "shard" else None)


def _create(path: Path, layout: str, codec: Codec, rows: int) -> dict[str, int]:
    data = Field((rows, COLUMNS)).whole()
    chunks, shards = _layout(layout, rows)
    create(path, shape=data.shape, chunks=chunks, dtype=data.dtype, codec=codec, shards=shards)[...] = data
    stored = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)
    return {"nbytes": data.nbytes, "stored": stored, "crc32": _crc32(data), "peak": _status("VmHWM")}


def _read(path: Path, engine: str, crc32: int) -> dict[str, int]:
    setting = next(e for e in ENGINES if e.name == engine).settings("read")[0]
    with setting.around():
        handle = setting.open(path)
        before = _status("VmRSS")
        data = handle.whole()
        peak = _status("VmHWM")
    assert _crc32(data) == crc32, f"{engine} returned data that differs from the source"
    return {"nbytes": data.nbytes, "before": before, "peak": peak}


def _crc32(data: npt.NDArray[np.float64]) -> int:
    return zlib.crc32(memoryview(data).cast("B"))


def _status(name: str) -> int:
    """A size in ``/proc/self/status``, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, f"/proc/self/status has no {name}"
    return int(found[1]) * 1024


def main(arguments: list[str]) -> None:
    """Do what the arguments say and print one line of JSON."""
    task, path, *rest = arguments
    if task == "create":
        report = _create(Path(path), rest[0], cast("Codec", rest[1]), int(rest[2]))
    else:
        report = _read(Path(path), rest[0], int(rest[1]))
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
