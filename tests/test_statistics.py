"""Statistics of stored arrays against NumPy and exact arithmetic."""

from __future__ import annotations

import math
import statistics as exact
import tracemalloc
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tenzarr.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from tenzarr.stream import Statistics, plan_blocks, statistics
from tenzarr.stream.moments import Cascade, Moments, real_moments


class Stored:
    """A NumPy array that is read like a stored one, and remembers what was read."""

    def __init__(
        self, values: npt.NDArray[Any], chunks: tuple[int, ...], shards: tuple[int, ...] | None = None
    ) -> None:
        self.values = values
        self.shape = values.shape
        self.dtype = values.dtype
        self.chunks = chunks
        self.shards = shards
        self.seen = np.zeros(values.shape, dtype=np.int8)
        self.blocks: list[tuple[int, ...]] = []

    def read(self, selection: Any = None, *, out: npt.NDArray[Any]) -> Any:
        out[...] = self.values[selection]
        self.seen[selection] += 1
        self.blocks.append(out.shape)
        return out


def whole(values: npt.NDArray[Any]) -> Stored:
    return Stored(values, tuple(max(1, n) for n in values.shape))


NUMBERS = st.one_of(
    npst.integer_dtypes(endianness="="),
    npst.unsigned_integer_dtypes(endianness="="),
    npst.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
    npst.boolean_dtypes(),
)


@given(
    data=st.data(),
    values=NUMBERS.flatmap(lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0))),
    budget=st.sampled_from([1, 16, 100, 10**6]),
)
def test_every_value_counts_once_and_numpy_agrees(data: st.DataObject, values: npt.NDArray[Any], budget: int) -> None:
    chunks = tuple(data.draw(st.integers(1, max(1, n))) for n in values.shape)
    shards = tuple(c * data.draw(st.integers(1, 2)) for c in chunks) if data.draw(st.booleans()) else None
    array = Stored(values, chunks, shards)
    got = statistics(array, budget_bytes=budget)
    assert np.all(array.seen == 1)

    flat = values.ravel()
    kept = flat[~np.isnan(flat)] if values.dtype.kind == "f" else flat
    assert (got.count, got.nan_count) == (kept.size, flat.size - kept.size)
    if kept.size == 0:
        assert (got.min, got.max) == (None, None)
        assert math.isnan(got.mean)
        assert math.isnan(got.std)
        return
    assert (got.min, got.max) == (kept.min(), kept.max())
    assert isinstance(got.min, float if values.dtype.kind == "f" else int)
    check_moments(got, kept)


def check_moments(got: Statistics, kept: npt.NDArray[Any]) -> None:
    if kept.dtype.kind == "f" and (not np.isfinite(kept).all() or float(np.abs(kept).max()) > 1e150):
        with np.errstate(all="ignore"):
            mean = kept.astype(np.float64).mean()
        if np.isfinite(mean):
            assert got.mean == pytest.approx(mean, rel=1e-12)
        return
    numbers = [Fraction(v) for v in kept.tolist()]
    mean = sum(numbers) / len(numbers)
    variance = sum((v - mean) ** 2 for v in numbers) / len(numbers)
    scale = float(max(abs(v) for v in numbers))
    assert got.mean == pytest.approx(float(mean), rel=1e-13, abs=scale * 1e-15)
    assert got.std == pytest.approx(math.sqrt(variance), rel=1e-9, abs=scale * 1e-14)


def test_integers_near_the_ends_of_their_range_lose_nothing() -> None:
    values = np.array([2**63 - 1, 2**63 - 3, 2**63 - 5, 2**63 - 9] * 1000, dtype=np.int64)
    got = statistics(Stored(values, (7,)), budget_bytes=64)
    assert got.mean == float(Fraction(sum(values.tolist()), values.size))
    assert got.std == pytest.approx(exact.pstdev([0, 2, 4, 8]), rel=1e-12)
    ends = np.array([-(2**63), 2**63 - 1], dtype=np.int64)
    assert statistics(whole(ends)) == Statistics(2, 0, -0.5, float(2**64 - 1) / 2, -(2**63), 2**63 - 1)
    unsigned = np.array([0, 2**64 - 1], dtype=np.uint64)
    assert statistics(whole(unsigned)) == Statistics(2, 0, (2**64 - 1) / 2, (2**64 - 1) / 2, 0, 2**64 - 1)


def test_a_large_offset_does_not_swallow_the_spread() -> None:
    values = 1e9 + np.random.default_rng(1).standard_normal(200_000)
    got = statistics(Stored(values, (1000,)), budget_bytes=8000)
    assert got.std == pytest.approx(float(np.std(values - 1e9)), rel=1e-9)
    assert got.mean == pytest.approx(math.fsum(values) / values.size, rel=1e-15)


def test_a_long_stream_of_one_value_has_no_spread() -> None:
    got = statistics(Stored(np.full(300_000, 0.1, dtype=np.float32), (999,)), budget_bytes=4000)
    assert got.mean == float(np.float32(0.1))
    assert got.std == 0.0


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1.0, math.inf], math.inf),
        ([-math.inf, 5.0, 7.0], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.inf, math.nan, 2.0], math.inf),
    ],
)
def test_infinities_are_as_in_numpy(values: list[float], mean: float) -> None:
    for chunk in (1, len(values)):
        got = statistics(Stored(np.array(values), (chunk,)), budget_bytes=8)
        assert got.mean == pytest.approx(mean, nan_ok=True)
        assert math.isnan(got.std)
        assert (got.min, got.max) == (np.nanmin(values), np.nanmax(values))


def test_all_nan_and_empty_and_zero_dimensional() -> None:
    nothing = statistics(whole(np.full((3, 2), np.nan)))
    assert (nothing.count, nothing.nan_count, nothing.min, nothing.max) == (0, 6, None, None)
    assert statistics(whole(np.zeros((0, 4)))).count == 0
    assert statistics(whole(np.array(4, dtype="int16"))) == Statistics(1, 0, 4.0, 0.0, 4, 4)
    assert statistics(whole(np.array([True, False, True, True]))) == Statistics(4, 0, 0.75, math.sqrt(3) / 4, 0, 1)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_small_types_are_widened(name: str) -> None:
    values = np.arange(0, 8).astype(getattr(ml_dtypes, name))
    got = statistics(whole(values))
    assert (got.count, got.mean, got.min, got.max) == (8, 3.5, 0, 7)
    assert isinstance(got.max, int if "int" in name else float)


@pytest.mark.parametrize("dtype", ["complex64", "U4", "M8[s]", "V3", [("a", "f4")]])
def test_what_has_no_order_is_refused(dtype: Any) -> None:
    with pytest.raises(UnsupportedError, match="`array` must hold real numbers; got"):
        statistics(whole(np.zeros(3, dtype=dtype)))


def test_arguments_are_checked() -> None:
    with pytest.raises(ArgumentError, match="`budget_bytes` must be positive; got 0"):
        statistics(whole(np.zeros(3)), budget_bytes=0)
    with pytest.raises(ArgumentTypeError, match="`progress` must be True, False or a callable"):
        statistics(whole(np.zeros(3)), progress="yes")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`unit` must have a length of at least 1"):
        plan_blocks((3,), (1, 1), 8, 100)


def test_progress_reaches_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    statistics(
        Stored(np.zeros((10, 3)), (4, 3)), budget_bytes=1, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(96, 240), (192, 240), (240, 240)]
    statistics(whole(np.zeros(4)), progress=True)
    assert "statistics" in capsys.readouterr().err


def test_memory_stays_within_the_budget() -> None:
    array = Stored(np.zeros((400, 50_000)), (10, 1000))
    tracemalloc.start()
    try:
        statistics(array, budget_bytes=2 * 2**20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert max(math.prod(shape) * 8 for shape in array.blocks) <= 2 * 2**20


@given(
    axes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=3),
    itemsize=st.sampled_from([1, 8]),
    budget=st.integers(1, 300),
)
@settings(max_examples=200)
def test_blocks_cover_everything_once_in_whole_units(axes: list[tuple[int, int]], itemsize: int, budget: int) -> None:
    shape, unit = [n for n, _ in axes], [u for _, u in axes]
    largest, blocks = plan_blocks(shape, unit, itemsize, budget)
    covered = np.zeros(shape, dtype=np.int8)
    one_unit = itemsize * math.prod(unit)
    for block in blocks:
        covered[block] += 1
        lengths = [s.stop - s.start for s in block]
        assert all(n <= m for n, m in zip(lengths, largest, strict=True))
        assert itemsize * math.prod(lengths) <= max(budget, one_unit)
        assert all(s.start % u == 0 for s, u in zip(block, unit, strict=True))
    assert np.all(covered == 1)


def test_merging_is_symmetric_and_has_a_neutral_element() -> None:
    rng = np.random.default_rng(3)
    a, b = real_moments(rng.standard_normal(100)), real_moments(rng.standard_normal(37) + 5)
    one, other = a.merge(b), b.merge(a)
    assert one.mean == pytest.approx(other.mean, rel=1e-14)
    assert one.m2 == pytest.approx(other.m2, rel=1e-14)
    assert a.merge(Moments()) == a
    assert Moments().merge(a) == a
    assert Cascade().result() == Moments()
