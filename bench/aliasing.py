"""Reading without a copy: the time must not depend on the size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import OURS, Candidate, Result, Row, Session, Verdict, compete

__all__ = ["ROWS"]

LIMIT_SECONDS = 1e-3


def _stored(path: Path, count: int) -> Path:
    """One uncompressed chunk of `count` float64 without a checksum."""
    import tenzarr as tz

    array = tz.create(str(path), shape=(count,), chunks=(count,), dtype="float64", compressor=None, checksum=False)
    array[...] = np.arange(count, dtype=np.float64)
    return path


def _check(array: Any, count: int) -> None:
    view = array.read(alias=True)
    assert view.shape == (count,)
    assert not view.flags.writeable, "it is a copy"
    assert np.array_equal(view[:: max(1, count // 1000)], np.arange(count)[:: max(1, count // 1000)])


def _measure(session: Session) -> Result:
    name, work = "alias", "read(alias=True) of one uncompressed chunk, "
    sizes = session.scale.alias_bytes
    work += " and ".join(f"{size // 1_000_000} MB" for size in sizes)
    if OURS not in session.engines:
        return Result(name, work, (), (Verdict("under 1 ms", "not measured", float("nan"), None),))
    import tenzarr as tz

    candidates: list[Candidate] = []
    for size in sizes:
        array = tz.open_array(str(_stored(session.folder / str(size), size // 8)), mode="r")
        call = partial(array.read, alias=True)
        candidates.append(Candidate(f"{OURS}, {size // 1_000_000} MB", "", call, partial(_check, array, size // 8)))
    result = compete(session, name, work, candidates, (), note=f"written by {OURS}, checksum=False")
    return Result(name, work, result.figures, _verdicts([f.median_seconds for f in result.figures]), result.note)


def _verdicts(medians: list[float]) -> tuple[Verdict, ...]:
    """The promise is about the largest array; that the size does not matter is shown beside it."""
    worst, growth = max(medians), medians[-1] / medians[0]
    return (
        Verdict("under 1 ms", f"{worst * 1e6:.0f} us", worst, worst < LIMIT_SECONDS),
        Verdict("whatever the size", f"largest / smallest: {growth:.2f}", growth, growth < 1.5),
    )


ROWS = (Row("alias", _measure),)
