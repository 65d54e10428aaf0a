"""How things are timed and compared.

One process; the engines take turns, call by call, and the order rotates each
round, so that whatever the machine does meanwhile falls on all of them. A
ratio is taken within each round and the median of those ratios is reported: a
slow second hurts both sides of it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["OURS", "Bar", "Candidate", "Figure", "Result", "Row", "Scale", "Session", "Verdict", "compete"]

OURS = "tenzarr"
"""The engine that the bars are about."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the arrays are and how long the measuring takes."""

    name: str
    small: int = 1000
    """Edge of the small square array, in elements; its chunks are a tenth of that."""
    large: int = 8000
    """Edge of the large square array; its chunks are an eighth of that."""
    images: int = 10000
    """Rows of the array of images."""
    shard: int = 1024
    """Edge of a shard; the sharded array is four times that along each axis."""
    alias_bytes: tuple[int, ...] = (64_000_000, 512_000_000)
    """Sizes of the arrays that are read without a copy."""
    memory_rows: int = 10_000
    """Rows of 100 kB of the array of the memory rows; 10,000 make 1 GB."""
    seconds: float = 6.0
    """Time that the rounds of one row may take, once the least number of them is done."""
    rounds: tuple[int, int] = (9, 301)
    """The least and the most rounds of a row."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row promises: to be `at_least` times as fast as the engine `against`."""

    against: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way of doing the work of a row: an engine in one setting."""

    engine: str
    setting: str
    """In words, for the report."""
    call: Callable[[], object]
    """The work. Only this is timed; what it returns is dropped after the clock has stopped."""
    check: Callable[[], None]
    """Raises AssertionError unless the work gives the source data back."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """Entered before the clock starts, left after it has stopped: the global configuration of an engine."""
    before: Callable[[], None] = field(default=lambda: None)
    """Run before the clock starts."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one engine needed."""

    engine: str
    setting: str
    median_seconds: float
    quartiles_seconds: tuple[float, float]
    rounds: int
    rejected: tuple[tuple[str, float], ...] = ()
    """The engine's other settings, which were slower, with their median seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar and what was reached."""

    bar: str
    """In words."""
    figure: str
    """In words, with the spread."""
    value: float
    met: bool | None
    """None where nothing was promised or our own figure is missing."""
    engine: str = OURS
    """The other side of a ratio, or whose memory it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the report."""

    name: str
    work: str
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]
    note: str = ""
    """What a reader must know to read the figures: the writer of the bytes, the ratio of compression."""
    others_cores: float = 0.0
    """Processors that other processes kept busy meanwhile, on average."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a row is given to work with."""

    folder: Path
    """An empty folder of its own, removed afterwards."""
    scale: Scale
    engines: frozenset[str]
    """The engines to measure; those that are not installed are left out already."""

    def without(self, *engines: str) -> Session:
        """The same session with fewer engines."""
        return replace(self, engines=self.engines - set(engines))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a name to select it by, and how to measure it."""

    name: str
    measure: Callable[[Session], Result]


def compete(
    session: Session,
    name: str,
    work: str,
    candidates: Sequence[Candidate],
    bars: Sequence[Bar],
    *,
    note: str = "",
    per: int = 1,
) -> Result:
    """Check every candidate, keep each engine's fastest setting, and time those against each other.

    Parameters
    ----------
    per : int
        How many operations one call does; the seconds in the report are for one of them.
    """
    for candidate in candidates:
        with candidate.around():
            candidate.before()
            candidate.check()
    chosen, rejected = _fastest_settings(candidates, session.scale)
    rounds = _rounds(chosen, session.scale, session.scale.seconds)
    times = _take_turns(chosen, rounds)
    figures = tuple(
        _figure(one, [t / per for t in mine], tuple((s, t / per) for s, t in rejected.get(one.engine, ())))
        for one, mine in zip(chosen, times, strict=True)
    )
    by_engine = {one.engine: mine for one, mine in zip(chosen, times, strict=True)}
    return Result(name, work, figures, _verdicts(by_engine, bars), note)


def _take_turns(candidates: Sequence[Candidate], rounds: int) -> list[list[float]]:
    """Seconds of every call; one list for each candidate, one entry for each round."""
    times: list[list[float]] = [[] for _ in candidates]
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for place in range(len(candidates)):
                which = (place + number) % len(candidates)
                times[which].append(_once(candidates[which]))
    finally:
        gc.enable()
    return times


def _once(candidate: Candidate) -> float:
    with candidate.around():
        candidate.before()
        call = candidate.call
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
        del result
    return seconds


def _fastest_settings(
    candidates: Sequence[Candidate], scale: Scale
) -> tuple[list[Candidate], dict[str, list[tuple[str, float]]]]:
    """Each engine's setting with the lowest median, and the others with theirs."""
    engines: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        engines.setdefault(candidate.engine, []).append(candidate)
    chosen: list[Candidate] = []
    rejected: dict[str, list[tuple[str, float]]] = {}
    for engine, settings in engines.items():
        if len(settings) == 1:
            chosen += settings
            continue
        medians = [statistics.median(t) for t in _take_turns(settings, _rounds(settings, scale, scale.seconds / 3))]
        best = medians.index(min(medians))
        chosen.append(settings[best])
        rejected[engine] = [(s.setting, m) for k, (s, m) in enumerate(zip(settings, medians, strict=True)) if k != best]
    return chosen, rejected


def _rounds(candidates: Sequence[Candidate], scale: Scale, seconds: float) -> int:
    """How many rounds fit into `seconds`, within the limits of the scale; the one that finds out warms up, too."""
    least, most = scale.rounds
    one_round = sum(map(sum, _take_turns(candidates, 1)))
    return max(least, min(most, int(seconds / max(one_round, 1e-9))))


def _figure(candidate: Candidate, times: Sequence[float], rejected: tuple[tuple[str, float], ...]) -> Figure:
    return Figure(
        candidate.engine, candidate.setting, statistics.median(times), _quartiles(times), len(times), rejected
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _verdicts(times: dict[str, list[float]], bars: Sequence[Bar]) -> tuple[Verdict, ...]:
    """A verdict for each bar, then the plain ratio against every other engine."""
    verdicts: list[Verdict] = []
    promised = {bar.against: bar.at_least for bar in bars}
    ours = times.get(OURS)
    for engine in [*promised, *(e for e in times if e not in promised and e != OURS)]:
        words = f"{promised[engine]:g} x {engine}" if engine in promised else f"against {engine}"
        if ours is None or engine not in times:
            if engine in promised:
                verdicts.append(Verdict(words, "not measured", float("nan"), None))
            continue
        ratios = [theirs / mine for theirs, mine in zip(times[engine], ours, strict=True)]
        value, (low, high) = statistics.median(ratios), _quartiles(ratios)
        met = value >= promised[engine] if engine in promised else None
        verdicts.append(Verdict(words, f"{value:.2f} x ({low:.2f} to {high:.2f})", value, met, engine))
    return tuple(verdicts)
