"""Selections and plans: as NumPy selects, and every mistake with its own message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tenzarr as tz
from tenzarr.errors import ArgumentTypeError, BoundsError, SelectionError, TenzarrError
from tenzarr.storage.indexing import (
    basic,
    blocks,
    coordinates,
    grid_index,
    is_basic,
    orthogonal,
    plan_axes,
    plan_points,
    whole,
)
from tenzarr.storage.values import arrange_value, block_view
from tests.storage.oracles import NDArray, assert_same
from tests.storage.selections import (
    basic_selections,
    block_selections,
    coordinate_selections,
    mask_of,
    orthogonal_selections,
    outer,
    shapes,
    slices,
)

Shape = tuple[int, ...]

EXAMPLES = 250


def numbered(shape: Shape) -> NDArray:
    return np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)


def gather(source: NDArray, chunks: Shape, axes: Any, block_shape: Shape) -> NDArray:
    """Read a block the way a plan says, chunk by chunk; every element is put once."""
    plan = plan_axes(axes, block_shape, source.shape, chunks)
    out = np.full(block_shape, -1)
    count = 0
    for key, index, taken, place, full, covered in plan.jobs("c/", "/"):
        assert key == "c/" + "/".join(map(str, index))
        origin = tuple(slice(n * c, (n + 1) * c) for n, c in zip(index, chunks, strict=True))
        stored = source[origin]
        chunk = np.full(chunks, -2)
        chunk[tuple(slice(0, n) for n in stored.shape)] = stored
        out[grid_index(place, plan.listed_axes)] = chunk[grid_index(taken, plan.listed_axes)]
        marks = np.zeros(chunks, int)
        marks[grid_index(taken, plan.listed_axes)] = 1
        inside = marks[tuple(slice(0, n) for n in stored.shape)]
        assert not covered or inside.all()
        assert not full or marks.all()
        count += 1
    assert count == plan.count
    return out


@st.composite
def grids(draw: st.DrawFn) -> tuple[Shape, Shape]:
    shape = draw(shapes())
    return shape, tuple(draw(st.integers(1, 6)) for _ in shape)


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_basic_selection_is_numpys(data: Any) -> None:
    shape, chunks = data.draw(grids())
    source = numbered(shape)
    selection = data.draw(basic_selections(shape))
    assert is_basic(selection)
    expected = np.asarray(source[selection])
    chosen = basic(selection, shape)
    assert chosen.result_shape == expected.shape
    assert all(isinstance(axis, slice) and axis.step > 0 and axis.start >= 0 for axis in chosen.axes)
    block = gather(source, chunks, chosen.axes, chosen.block_shape)
    assert_same(block, source[chosen.axes])
    result = np.empty(chosen.result_shape, source.dtype)
    block_view(result, chosen)[...] = block
    assert_same(result, expected)


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_value_is_arranged_as_numpy_assigns_it(data: Any) -> None:
    shape, _ = data.draw(grids())
    selection = data.draw(basic_selections(shape))
    chosen = basic(selection, shape)
    own = tuple(1 if data.draw(st.booleans()) else length for length in chosen.result_shape)
    value = numbered(own[data.draw(st.integers(0, len(own))) :]) + 1
    expected, ours = np.zeros(shape), np.zeros(shape)
    expected[selection] = value
    ours[(*chosen.axes, ...)] = arrange_value(value, chosen, ours.dtype)
    assert_same(ours, expected)


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_an_orthogonal_selection_is_numpys_ix(data: Any) -> None:
    shape, chunks = data.draw(grids())
    source = numbered(shape)
    selection = data.draw(orthogonal_selections(shape))
    lists, expected = outer(selection, shape)
    chosen = orthogonal(selection, shape)
    assert chosen.result_shape == expected
    block = gather(source, chunks, chosen.axes, chosen.block_shape)
    if chosen.flips is not None:
        block = block[chosen.flips]
    assert_same(block.reshape(expected), source[lists].reshape(expected))


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_coordinates_are_numpys(data: Any) -> None:
    shape, chunks = data.draw(grids())
    source = numbered(shape)
    if 0 in shape or data.draw(st.booleans()):
        selection: Any = data.draw(mask_of(shape))
        expected = source[selection]
    else:
        selection = data.draw(coordinate_selections(shape))
        expected = np.asarray(source[tuple(np.asarray(part) for part in selection)])
    points = coordinates(selection, shape)
    assert points.result_shape == expected.shape
    found = np.full(expected.size, -1)
    seen: set[Shape] = set()
    for job in plan_points(points, chunks):
        assert job.index not in seen
        seen.add(job.index)
        where = tuple(n * c + t for n, c, t in zip(job.index, chunks, job.taken, strict=True))
        found[job.place] = source[where]
    assert_same(found.reshape(expected.shape), expected)


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_blocks_are_slices_of_whole_chunks(data: Any) -> None:
    shape, chunks = data.draw(grids())
    source = numbered(shape)
    selection, wanted = data.draw(block_selections(shape, chunks))
    chosen = blocks(selection, shape, chunks)
    assert chosen.block_shape == source[(*wanted, ...)].shape
    assert_same(source[chosen.axes], np.asarray(source[(*wanted, ...)]))


@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_slabs_of_a_contiguous_plan_are_contiguous(data: Any) -> None:
    shape, chunks = data.draw(grids())
    axes = tuple(slice(*data.draw(slices(length, forward=True)).indices(length)) for length in shape)
    axes = tuple(axis if axis.stop > axis.start else slice(0, 0, 1) for axis in axes)
    block_shape = tuple(len(range(axis.start, axis.stop, axis.step)) for axis in axes)
    plan = plan_axes(axes, block_shape, shape, chunks)
    block = np.zeros(block_shape)
    if plan.contiguous():
        for _, _, _, place, full, _ in plan.jobs("", "/"):
            assert not full or block[(*place, ...)].flags.c_contiguous


def test_the_whole() -> None:
    assert whole((3, 0)).axes == (slice(0, 3, 1), slice(0, 0, 1))
    assert whole(()).block_shape == ()


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (4, BoundsError, r"`selection` must be from -4 to 3 on axis 0 \(length 4\), got 4"),
        (-5, BoundsError, r"must be from -4 to 3 on axis 0 \(length 4\), got -5"),
        ((0, 6), BoundsError, r"must be from -6 to 5 on axis 1 \(length 6\), got 6"),
        ((0, 0, 0), SelectionError, "must have at most 2 axes, as the array has, got 3"),
        ((..., 0, ...), SelectionError, "may have one ellipsis"),
        (slice(None, None, 0), SelectionError, "must have a step other than 0 on axis 0"),
        (slice("a", None), ArgumentTypeError, "must be a slice of integers or None on axis 0"),
        (slice(1.5, None), ArgumentTypeError, "must be a slice of integers or None on axis 0"),
        ("x", ArgumentTypeError, "must be an integer, slice, ellipsis or None on axis 0, got str"),
        (1.0, ArgumentTypeError, "must be an integer, slice, ellipsis or None on axis 0, got float"),
        ((0, object()), ArgumentTypeError, "on axis 1, got object"),
        ([0, 1], SelectionError, "one array for each of the 2 axes; use a.oindex"),
        ((slice(None), [0, 1]), SelectionError, r"must be integers in a.vindex on axis 0.*; use a.oindex"),
        (np.ones((4, 5), bool), SelectionError, r"must be a mask of the array's shape \(4, 6\), got shape \(4, 5\)"),
        (True, SelectionError, "mask|bool|axes"),
        (([0, 4], [0, 0]), BoundsError, r"must be from -4 to 3 on axis 0 \(length 4\), got 4"),
        (([0, 1], [0, 1, 2]), SelectionError, r"arrays that broadcast together, got shapes \(2,\), \(3,\)"),
        ((["a"], [0]), ArgumentTypeError, "must have integers on axis 0"),
        (([0.5], [0]), ArgumentTypeError, "must have integers on axis 0, got float64"),
        (([[0], [0, 1]], [0]), ArgumentTypeError, "must have an array of integers on axis 0: .*inhomogeneous"),
        ([[0], [0, 1]], ArgumentTypeError, "must have an array of integers on axis 0: .*inhomogeneous"),
    ],
)
def test_mistakes_between_the_brackets(selection: Any, error: type[TenzarrError], message: str) -> None:
    array = tz.create(None, shape=(4, 6), dtype="i4", chunks=(2, 6))
    with pytest.raises(error, match=message):
        array[selection]
    with pytest.raises(error, match=message):
        array[selection] = 0
    assert not array[...].any()


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        ([4], BoundsError, r"must be from -4 to 3 on axis 0 \(length 4\), got 4"),
        ((0, [0, -7]), BoundsError, r"must be from -6 to 5 on axis 1 \(length 6\), got -7"),
        (([0], [0], [0]), SelectionError, "must have at most 2 axes"),
        ([[0, 1]], SelectionError, "one-dimensional list on axis 0, got 2 dimensions; use a.vindex"),
        (np.ones(3, bool), SelectionError, r"must have a mask of shape \(4,\) on axis 0, got shape \(3,\)"),
        ((None, [0]), SelectionError, "must not have None in a.oindex"),
        (["a"], ArgumentTypeError, "must have integers on axis 0"),
        ([0.5], ArgumentTypeError, "must have integers on axis 0, got float64"),
        ([[0], [0, 1]], ArgumentTypeError, "must have an array of integers on axis 0: .*inhomogeneous"),
        ((slice(None, None, 0), [0]), SelectionError, "must have a step other than 0"),
    ],
)
def test_mistakes_in_oindex(selection: Any, error: type[TenzarrError], message: str) -> None:
    array = tz.create(None, shape=(4, 6), dtype="i4", chunks=(2, 6))
    with pytest.raises(error, match=message):
        array.oindex[selection]
    with pytest.raises(error, match=message):
        array.oindex[selection] = 1


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        ([0, 1], SelectionError, "must have one array of integers for each of the 2 axes, got 1"),
        ((slice(None), [0]), SelectionError, "must be integers in a.vindex on axis 0"),
        (([0], None), SelectionError, "must be integers in a.vindex on axis 1"),
        ((..., [0]), SelectionError, "must be integers in a.vindex on axis 0"),
        (([9], [0]), BoundsError, "got 9"),
        (([0], [2**70]), TenzarrError, "axis 1"),
        (np.zeros((4, 4), bool), SelectionError, "must be a mask of the array's shape"),
        (([True], [0]), ArgumentTypeError, "must have integers on axis 0, got bool"),
    ],
)
def test_mistakes_in_vindex(selection: Any, error: type[TenzarrError], message: str) -> None:
    array = tz.create(None, shape=(4, 6), dtype="i4", chunks=(2, 6))
    with pytest.raises(error, match=message):
        array.vindex[selection]
    with pytest.raises(error, match=message):
        array.vindex[selection] = 1


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        ((2, 0), BoundsError, r"must be from -2 to 1 on axis 0 \(length 2\), got 2"),
        ((slice(None, None, 2), 0), SelectionError, "must have slices of step 1 in a.blocks"),
        ((slice(None, None, -1), 0), SelectionError, "integers and slices of step 1 in a.blocks"),
        ((None, 0), SelectionError, "integers and slices of step 1 in a.blocks"),
        ((0, 0, 0), SelectionError, "must have at most 2 axes"),
        (([0], 0), ArgumentTypeError, "must be an integer, slice, ellipsis or None on axis 0"),
    ],
)
def test_mistakes_in_blocks(selection: Any, error: type[TenzarrError], message: str) -> None:
    array = tz.create(None, shape=(4, 6), dtype="i4", chunks=(2, 3))
    with pytest.raises(error, match=message):
        array.blocks[selection]
    with pytest.raises(error, match=message):
        array.blocks[selection] = 1


def test_an_axis_without_elements_has_no_integers() -> None:
    array = tz.create(None, shape=(0, 3), dtype="i4")
    with pytest.raises(BoundsError, match=r"cannot be an integer on axis 0 \(length 0\)"):
        array[0]
    with pytest.raises(BoundsError, match=r"axis 0 \(length 0\)"):
        array.oindex[[0]]
    assert array.oindex[[]].shape == (0, 3)
    assert array[:, 1].shape == (0,)


@pytest.mark.parametrize(
    "options", [{}, {"compressor": None}, {"compressor": None, "checksum": False}, {"shards": (4, 3)}]
)
def test_rows_by_list(options: dict[str, Any]) -> None:
    source = numbered((10, 3)).astype("f4")
    array = tz.create(None, shape=(10, 3), dtype="f4", chunks=(2, 3), **options)
    array[...] = source
    for rows in ([], [3], [9, 0, 9, 1, 0], list(range(10)), [-1, 4, 5], np.arange(10) % 3 == 1):
        assert_same(array.oindex[rows], source[rows])
        assert_same(array.oindex[rows, 1:], source[rows, 1:])
        array.oindex[rows] = source[rows]
    array.resize((12, 3))
    assert_same(array.oindex[[11, 9, 10]], np.concatenate([source, np.zeros((2, 3), "f4")])[[11, 9, 10]])


LAYOUTS: list[dict[str, Any]] = [
    {"compressor": None, "checksum": False},
    {"compressor": None},
    {"compressor": "zstd:1"},
    {"compressor": None, "checksum": False, "order": "F"},
    {"compressor": None, "checksum": False, "shards": (1200, 129)},
    {"compressor": "blosc", "zarr_format": 2},
]


@pytest.mark.parametrize("options", LAYOUTS, ids=lambda options: "-".join(f"{v}" for v in options.values()))
def test_chunks_too_large_for_one_piece_are_read_as_numpy_does(options: dict[str, Any], tmp_path: Path) -> None:
    shape = (1500, 129)
    source = np.random.default_rng(0).random(shape)
    array = tz.create(tmp_path / "a", shape=shape, chunks=(600, 129), dtype="f8", **options)
    array[...] = source
    rng = np.random.default_rng(1)
    rows = rng.permutation(1500)[:50]
    for selection in (
        ...,
        slice(300, 900),
        slice(1, None, 7),
        slice(None, None, -400),
        (slice(590, 610), slice(3, 100, 2)),
        (slice(None), 128),
        1499,
        (slice(5, 600), slice(None)),
    ):
        assert_same(array[selection], source[selection])
        out = np.empty(source[selection].shape[::-1]).T
        assert_same(array.read(selection, out=out), source[selection])
    for lists in ((rows, slice(None)), (rows, [0, 128, 5]), (np.sort(rows), slice(None, None, -3)), ([599, 600], [7])):
        assert_same(array.oindex[lists], source[outer(lists, shape)[0]])
    assert_same(array.vindex[rows, rows % 129], source[rows, rows % 129])
    array[10:1400:3, ::2] = 1.5
    source[10:1400:3, ::2] = 1.5
    array.oindex[rows, [1, 3]] = -1
    source[np.ix_(rows, [1, 3])] = -1
    assert_same(tz.open_array(tmp_path / "a")[...], source)
