"""``tenzarr bench``: what this disk and these processors give, layout by layout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tenzarr.cli.demo import field
from tenzarr.cli.measure import Layout, Measured, engines, measure
from tenzarr.errors import NodeNotFoundError

__all__ = ["LAYOUTS", "run"]

SHAPE = (2000, 4000)
LAYOUTS = (
    Layout("500 x 500, none", (500, 500), None, checksum=False),
    Layout("500 x 500, crc32c", (500, 500), None, checksum=True),
    Layout("500 x 500, zstd:3", (500, 500), "zstd:3", checksum=True),
    Layout("500 x 500, blosc lz4", (500, 500), {"id": "blosc", "cname": "lz4", "shuffle": 1}, checksum=True),
    Layout("100 x 100, none", (100, 100), None, checksum=False),
)


def run(folder: Path | None, *, rounds: int = 5) -> Iterator[list[Measured]]:
    """Measure the layouts one after another in a temporary folder inside `folder` (or where temporary files go)."""
    if folder is not None and not folder.is_dir():
        raise NodeNotFoundError(f"`path` must be a folder on the disk to measure; there is none at {str(folder)!r}.")
    data = field(SHAPE)
    contenders = engines()
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory(prefix="tenzarr-bench-", dir=folder) as scratch:
            yield list(measure(layout, data, Path(scratch), contenders, rounds=rounds))
