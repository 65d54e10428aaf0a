"""Every row, in the order of the report, and how a choice of them is run."""

from __future__ import annotations

import fnmatch
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench import aliasing, batches, memory, opening, reads, shards, writes
from bench.harness import Result, Row, Scale, Session
from bench.machine import OtherLoad

__all__ = ["FULL", "QUICK", "ROWS", "TINY", "run", "select"]

ROWS: tuple[Row, ...] = (
    *reads.ROWS,
    *writes.ROWS,
    *batches.ROWS,
    *shards.ROWS,
    *aliasing.ROWS,
    *opening.ROWS,
    *memory.ROWS,
)

FULL = Scale("full")
"""The sizes that the promises are about."""
QUICK = Scale(
    "quick", large=2400, images=4000, shard=512, alias_bytes=(8_000_000, 64_000_000), memory_rows=1000, seconds=1.0
)
"""For a first look: the same rows at smaller sizes, where the bars do not strictly apply."""
TINY = Scale(
    "tiny",
    small=40,
    large=64,
    images=96,
    shard=128,
    alias_bytes=(80_000, 160_000),
    memory_rows=40,
    seconds=0.0,
    rounds=(1, 1),
)
"""For tests of the suite itself."""


def select(names: Sequence[str]) -> list[Row]:
    """The rows that match any of `names`: a name, the beginning of one, or a pattern such as ``*-zstd``.

    Raises
    ------
    ValueError
        A name matches no row.
    """
    if not names:
        return list(ROWS)
    wanted: set[str] = set()
    for name in names:
        found = {r.name for r in ROWS if r.name.startswith(name) or fnmatch.fnmatchcase(r.name, name)}
        if not found:
            raise ValueError(f"no row is called {name!r}; there are {', '.join(r.name for r in ROWS)}")
        wanted |= found
    return [row for row in ROWS if row.name in wanted]


def run(
    rows: Sequence[Row],
    scale: Scale,
    engines: frozenset[str],
    *,
    folder: Path | None = None,
    done: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Measure `rows`, each in a folder of its own below `folder` (default: the system's for temporary files)."""
    results: list[Result] = []
    for row in rows:
        place = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        try:
            others = OtherLoad()
            result = row.measure(Session(place, scale, engines))
            result = replace(result, others_cores=others.cores())
        finally:
            shutil.rmtree(place, ignore_errors=True)
        results.append(result)
        done(result)
    return results
