"""A sharded array: read whole, and inner chunk by inner chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data import elevation
from bench.entrants import drain, piece_readers, whole_readers
from bench.harness import OURS, Bar, Result, Row, Session, compete
from bench.layouts import Codec, codec_words, ratio_note, store
from bench.peers import ENGINES

__all__ = ["ROWS"]

INNER = 64
"""Edge of an inner chunk."""
SHARDS = 4
"""Shards along each axis."""
CODECS: tuple[Codec, ...] = ("none", "zstd")


def _stored(session: Session, codec: Codec) -> tuple[Path, npt.NDArray[np.int32], str]:
    shard = session.scale.shard
    data = elevation((SHARDS * shard, SHARDS * shard))
    path = store(session.folder / "array", data, chunks=(INNER, INNER), shards=(shard, shard), codec=codec)
    return path, data, f"{data.shape[0]}x{data.shape[1]} int32, shards {shard}², inner {INNER}², {codec_words(codec)}"


def _whole(codec: Codec) -> Row:
    name = f"shards-{codec}"

    def measure(session: Session) -> Result:
        path, data, layout = _stored(session, codec)
        candidates = whole_readers(session, path, data)
        bars = (Bar("zarr-python", 5),)
        return compete(session, name, f"read {layout}", candidates, bars, note=ratio_note(path, data.nbytes))

    return Row(name, measure)


def _one_by_one(codec: Codec) -> Row:
    name = f"inner-{codec}"

    def measure(session: Session) -> Result:
        path, data, layout = _stored(session, codec)
        shard = session.scale.shard
        corners = [(row, column) for row in range(0, shard, INNER) for column in range(0, data.shape[1], INNER)]
        selections = [(slice(row, row + INNER), slice(column, column + INNER)) for row, column in corners]
        work = f"each of the {len(selections)} inner chunks in a row of shards, one by one; {layout}"
        candidates = piece_readers(session, path, data, selections, "read pieces")
        bars = (Bar("zarr-python", 3),)
        result = compete(session, name, work, candidates, bars, note=ratio_note(path, data.nbytes), per=len(selections))
        calls = _reading_calls(session, path, selections)
        return replace(result, note=result.note + calls)

    return Row(name, measure)


def _reading_calls(session: Session, path: Path, selections: Sequence[Any]) -> str:
    """How often we ask the system for bytes per inner chunk, counted by the kernel: 1 where an index is read once."""
    if OURS not in session.engines:
        return ""
    ours = next(engine for engine in ENGINES if engine.name == OURS)
    handle = ours.settings("read pieces")[0].open(path)
    before = _syscr()
    drain(handle.each(selections))
    return f"; our read calls per inner chunk, from opening: {(_syscr() - before) / len(selections):.2f}"


def _syscr() -> int:
    """Read system calls of this process so far; reading the counter is itself one of them."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscr"))


ROWS = (*map(_whole, CODECS), *map(_one_by_one, CODECS))
