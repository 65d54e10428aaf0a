"""From engines to candidates: who takes part in a row, in which settings, doing what."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.harness import Candidate, Session
from bench.peers import ENGINES, Engine, Handle, Purpose, Setting

__all__ = ["drain", "draw_readers", "into_readers", "piece_readers", "whole_readers", "writers"]

Array = npt.NDArray[Any]


def drain(blocks: Iterable[object]) -> None:
    """Take every block and keep none."""
    deque(blocks, maxlen=0)


def whole_readers(session: Session, path: Path, data: Array) -> list[Candidate]:
    """Read the whole array at `path` into fresh memory."""

    def check(handle: Handle) -> None:
        _same(handle.whole(), data)

    return _readers(session, path, "read", lambda handle: handle.whole, check)


def into_readers(session: Session, path: Path, data: Array) -> list[Candidate]:
    """Read the whole array at `path` into one buffer that all engines share."""
    out = np.zeros_like(data)

    def check(handle: Handle) -> None:
        out[...] = 0
        handle.into(out)
        _same(out, data)

    return _readers(session, path, "read", lambda handle: lambda: handle.into(out), check)


def piece_readers(
    session: Session, path: Path, data: Array, selections: Sequence[Any], purpose: Purpose = "read"
) -> list[Candidate]:
    """Read the block of each basic selection, one after another."""

    def check(handle: Handle) -> None:
        for selection, block in zip(selections, handle.each(selections), strict=True):
            _same(block, data[selection])

    return _readers(session, path, purpose, lambda handle: lambda: drain(handle.each(selections)), check)


def draw_readers(session: Session, path: Path, data: Array, draws: Sequence[npt.NDArray[np.int64]]) -> list[Candidate]:
    """Read the rows of each draw, one draw after another."""

    def check(handle: Handle) -> None:
        for rows, block in zip(draws, handle.rows(draws), strict=True):
            _same(block, data[rows])

    return _readers(session, path, "read", lambda handle: lambda: drain(handle.rows(draws)), check)


def writers(session: Session, template: Path, data: Array, *, purpose: Purpose, fresh: bool) -> list[Candidate]:
    """Write `data` over an array that has the document of the array at `template`.

    With `fresh`, every call finds an array without chunks; otherwise it replaces the chunks of the call before.
    """
    candidates: list[Candidate] = []
    for engine in _taking_part(session):
        if not engine.writes:
            continue
        for number, setting in enumerate(engine.settings(purpose)):
            path = session.folder / f"{engine.name} {number}"
            candidates.append(_writer(engine, setting, template, path, data, fresh))
    return candidates


def _writer(engine: Engine, setting: Setting, template: Path, path: Path, data: Array, fresh: bool) -> Candidate:
    handle: list[Handle] = []

    def renew() -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        shutil.copy(template / "zarr.json", path)
        handle[:] = [setting.open(path)]

    def check() -> None:
        import zarr

        handle[0].write(data)
        _same(np.asarray(zarr.open_array(str(path), mode="r")[...]), data)

    with setting.around():
        renew()
    before = renew if fresh else (lambda: None)
    return Candidate(engine.name, setting.words, lambda: handle[0].write(data), check, setting.around, before)


def _readers(
    session: Session,
    path: Path,
    purpose: Purpose,
    work: Callable[[Handle], Callable[[], object]],
    check: Callable[[Handle], None],
) -> list[Candidate]:
    candidates: list[Candidate] = []
    for engine in _taking_part(session):
        for setting in engine.settings(purpose):
            with setting.around():
                handle = setting.open(path)
            candidates.append(_reader(engine, setting, handle, work, check))
    return candidates


def _reader(
    engine: Engine,
    setting: Setting,
    handle: Handle,
    work: Callable[[Handle], Callable[[], object]],
    check: Callable[[Handle], None],
) -> Candidate:
    return Candidate(engine.name, setting.words, work(handle), lambda: check(handle), setting.around)


def _taking_part(session: Session) -> list[Engine]:
    return [engine for engine in ENGINES if engine.name in session.engines]


def _same(got: Array, expected: Array) -> None:
    """AssertionError unless type, shape and every bit are equal."""
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(got, expected), "an engine returned data that differs from the source"
