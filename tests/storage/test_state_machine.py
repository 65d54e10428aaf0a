"""An array against a NumPy array, under whatever two handles do to it one after the other.

What a handle knows of a shape that the other has changed: it reads with the shape that it knows,
where elements that are gone hold the fill value; it takes up the new shape when it writes,
resizes, appends, sets an attribute or is refreshed; a write to elements that are gone is refused.

``TENZARR_HYPOTHESIS=full`` makes it at least 300 runs of 50 steps; otherwise it is shorter.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from zarr.storage import MemoryStore

import tenzarr as tz
from tenzarr.errors import SelectionError
from tests.storage.oracles import QUIET, NDArray, assert_same, sample
from tests.storage.selections import (
    basic_selections,
    block_selections,
    coordinate_selections,
    mask_of,
    orthogonal_selections,
    outer,
    shapes,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

FULL = os.environ.get("TENZARR_HYPOTHESIS") == "full"
# Hypothesis ends about half of the runs early, when it has drawn enough for them.
RUNS, STEPS = (1000, 60) if FULL else (100, 40)

DTYPES = ["bool", "i1", "u2", "i4", ">i4", "i8", "f4", ">f8", "c8", "f2", "bfloat16", "int4", "S3", "U2", "M8[s]", "V3"]
COMPRESSORS: list[Any] = [None, "zstd:1", "zstd:1", "blosc", "gzip:1", "lz4", "bz2:1", "lzma"]
FILLS: dict[str, list[Any]] = {
    "bool": [True],
    "f4": [float("nan"), "0x7fc00001", -0.0],
    ">f8": [float("-inf")],
    "c8": [1 - 2j],
    "bfloat16": [1.5],
    "S3": [b"ab"],
    "U2": ["é"],
    "M8[s]": ["NaT"],
    "V3": [],
}
KINDS = ["folder", "folder", "folder", "memory", "zip", "zarr"]
SEEDS = st.integers(0, 2**32 - 1)
HANDLES = st.integers(0, 1)
Shape = tuple[int, ...]


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of `tenzarr.create`."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(shapes())
    zarr_format = draw(st.sampled_from([3, 3, 2]))
    chunks = tuple(draw(st.integers(1, 5)) for _ in shape)
    fill = draw(st.sampled_from([None, *FILLS.get(dtype, [3])]))
    if fill == "0x7fc00001" and zarr_format == 2:
        fill = None
    made: dict[str, Any] = {
        "shape": shape,
        "dtype": dtype,
        "chunks": chunks,
        "zarr_format": zarr_format,
        "order": draw(st.sampled_from("CF")),
        "compressor": draw(st.sampled_from(COMPRESSORS)),
        "fill_value": fill,
        "checksum": draw(st.booleans()),
        "names": tuple("xyz"[: len(shape)]),
        "chunk_key_encoding": draw(st.sampled_from([None, "/", "."])),
    }
    if zarr_format == 3 and draw(st.booleans()):
        made["shards"] = tuple(chunk * draw(st.integers(1, 3)) for chunk in chunks)
    elif zarr_format == 3 and draw(st.integers(0, 4)) == 0:
        made = nested(draw, made)
    if dtype in ("i4", "i8", "u2") and draw(st.booleans()):
        made["filters"] = [{"id": "delta"}, {"id": "shuffle", "elementsize": np.dtype(dtype).itemsize}]
        made["filters"] = made["filters"][: draw(st.integers(1, 2))]
    if "codecs" in made:
        made.pop("filters", None)
    return made


def nested(draw: st.DrawFn, made: dict[str, Any]) -> dict[str, Any]:
    """Shards within shards, transposed on the way, the index at either end."""
    ndim = len(made["shape"])
    inner = made["chunks"]
    middle = tuple(side * draw(st.integers(1, 2)) for side in inner)
    order = list(draw(st.permutations(range(ndim))))
    ending: list[Any] = [{"name": "bytes", "configuration": {"endian": draw(st.sampled_from(["little", "big"]))}}]
    if draw(st.booleans()):
        ending.append({"name": "crc32c"})
    transpose: list[Any] = [{"name": "transpose", "configuration": {"order": order}}]
    codecs = [*transpose, *ending]
    for sides in (inner, middle):
        configuration = {
            "chunk_shape": list(sides),
            "codecs": codecs,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": draw(st.sampled_from(["start", "end"])),
        }
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    shards = tuple(side * draw(st.integers(1, 2)) for side in middle)
    return {**made, "chunks": shards, "codecs": codecs}


def take(array: NDArray, selection: Any) -> NDArray:
    """``array[selection]``, of the array's type also where NumPy makes a scalar."""
    return np.asarray(array[selection], array.dtype)


def as_arrays(selection: tuple[Any, ...]) -> tuple[NDArray, ...]:
    return tuple(np.asarray(part) for part in selection)


def read_by_zarr(handle: tz.Array) -> NDArray:
    """What zarr-python reads; of an array without axes it makes a scalar, which forgets its length."""
    array = handle.zarr
    if handle.shards is not None and handle.dtype.name.startswith("void"):
        # It cannot hash their fill value, which it has to in shards.
        return tz.open_array(handle.source, path=handle.path)[...]
    return np.asarray(array[...], array.dtype)


class TwoHandles(RuleBasedStateMachine):
    """`model` is what the array holds; `known` is the shape that each handle takes it to have."""

    lengths: ClassVar[list[int]] = []
    """The number of steps of every run."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = -1
        self.folder = Path(tempfile.mkdtemp(prefix="tenzarr-test-"))
        self.store: Any = None
        self.model: NDArray = np.zeros(0)
        self.handles: list[tz.Array] = []
        self.known: list[Shape] = []
        self.attributes: dict[str, Any] = {}

    def teardown(self) -> None:
        self.lengths.append(self.steps)
        try:
            if self.handles:
                assert_same(tz.open_array(self.store)[...], self.model)
                assert_same(read_by_zarr(self.handles[0]), self.model)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the array, and its two handles -------------------------------------------------------

    @initialize(made=arrays(), kind=st.sampled_from(KINDS), seed=SEEDS)
    def start(self, made: dict[str, Any], kind: str, seed: int) -> None:
        places = {"memory": None, "zip": self.folder / "a.zip", "zarr": MemoryStore()}
        self.store = places.get(kind, self.folder / "a")
        self.create(made, overwrite=False)
        if seed % 4:
            self.write_whole(0, seed)

    def create(self, made: dict[str, Any], *, overwrite: bool) -> None:
        array = tz.create(self.store, overwrite=overwrite, **made)
        assert array.info.engine == "native"
        self.store = array.source if self.store is None else self.store
        self.model = np.full(made["shape"], array.fill_value, array.dtype)
        self.attributes = {}
        self.handles = [array, tz.open_array(self.store)]
        self.known = [self.model.shape] * 2

    @precondition(lambda self: len(self.handles) > 0)
    @rule(made=arrays(), now=st.integers(0, 9))
    def overwrite(self, made: dict[str, Any], now: int) -> None:
        if now == 0:
            self.create(made, overwrite=True)

    def seen(self, number: int) -> NDArray:
        """What a handle reads."""
        handle, shape = self.handles[number], self.known[number]
        view = np.full(shape, handle.fill_value, self.model.dtype)
        common = tuple(slice(0, min(a, b)) for a, b in zip(shape, self.model.shape, strict=True))
        view[common] = self.model[common]
        return view

    def is_kept(self, ids: NDArray, shape: Shape) -> bool:
        """Whether elements of an array of `shape` are still there."""
        where = np.unravel_index(ids.reshape(-1), shape) if shape else ()
        return all(axis.max(initial=-1) < length for axis, length in zip(where, self.model.shape, strict=True))

    def change(self, number: int, ids: NDArray, value: Any, write: Any) -> None:
        """Expect that `write` puts `value` into the elements `ids` of what the handle knows."""
        shape = self.known[number]
        if not self.is_kept(ids, shape):
            with pytest.raises(SelectionError, match="has been cut to length"):
                write()
            self.known[number] = self.model.shape
            return
        write()
        spread = np.broadcast_to(np.asarray(value, self.model.dtype), ids.shape)
        if shape:
            self.model[np.unravel_index(ids.reshape(-1), shape)] = spread.reshape(-1)
        elif ids.size:
            self.model[()] = spread.reshape(-1)[-1]
        if ids.size:
            self.known[number] = self.model.shape

    def value_for(self, data: Any, shape: Shape) -> NDArray:
        """Something that broadcasts to `shape`."""
        own = tuple(1 if data.draw(st.integers(0, 5)) == 0 else length for length in shape)
        drop = data.draw(st.integers(0, len(own))) if data.draw(st.integers(0, 3)) == 0 else 0
        return sample(self.model.dtype, own[drop:], data.draw(SEEDS))

    # --- reading ----------------------------------------------------------------------------------

    @rule(number=HANDLES, data=st.data())
    def read_basic(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection = data.draw(basic_selections(expected.shape))
        got = self.handles[number][selection]
        assert_same(got, take(expected, selection))
        assert got.flags.writeable
        assert got.flags.owndata or got.base is not None

    @rule(number=HANDLES, data=st.data())
    def read_into_a_buffer(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection = data.draw(basic_selections(expected.shape).filter(lambda item: item is not None))
        shape = expected[selection].shape
        wide = np.empty(tuple(2 * length for length in shape), expected.dtype)
        out = wide[(*(slice(None, None, -2) for _ in shape), ...)]
        if data.draw(st.booleans()):
            out = np.empty(shape, wide.dtype)
        got = self.handles[number].read(selection, out=out, verify=data.draw(st.booleans()))
        assert got is out
        assert_same(out, take(expected, selection))

    @rule(number=HANDLES, data=st.data())
    def read_as_a_view_where_possible(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection = data.draw(basic_selections(expected.shape).filter(lambda item: item is not None))
        assert_same(self.handles[number].read(selection, verify=data.draw(st.booleans())), take(expected, selection))

    @rule(number=HANDLES, data=st.data())
    def read_orthogonal(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection = data.draw(orthogonal_selections(expected.shape))
        lists, shape = outer(selection, expected.shape)
        assert_same(self.handles[number].oindex[selection], take(expected, lists).reshape(shape))

    @rule(number=HANDLES, data=st.data())
    def read_by_name(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection = data.draw(orthogonal_selections(expected.shape))
        lists, shape = outer(selection, expected.shape)
        named = dict(zip("xyz", selection, strict=False))
        assert_same(self.handles[number].isel(named), take(expected, lists).reshape(shape))

    @rule(number=HANDLES, data=st.data())
    def read_points(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        if 0 not in expected.shape:
            selection = data.draw(coordinate_selections(expected.shape))
            assert_same(self.handles[number].vindex[selection], take(expected, as_arrays(selection)))

    @rule(number=HANDLES, data=st.data())
    def read_masked(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        mask = data.draw(mask_of(expected.shape))
        assert_same(self.handles[number][mask], expected[mask])

    @rule(number=HANDLES, data=st.data())
    def read_blocks(self, number: int, data: Any) -> None:
        expected = self.seen(number)
        selection, wanted = data.draw(block_selections(expected.shape, self.handles[number].metadata.chunks))
        assert_same(self.handles[number].blocks[selection], expected[(*wanted, ...)])

    @rule(number=HANDLES, where=st.integers(0, 3))
    def zarr_reads(self, number: int, where: int) -> None:
        assert_same(read_by_zarr(self.handles[number]), self.model)
        if where == 0:
            assert dict(self.handles[number].zarr.attrs).get("n") == self.attributes.get("n")

    # --- writing ----------------------------------------------------------------------------------

    def ids(self, number: int) -> NDArray:
        shape = self.known[number]
        return np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)

    @rule(number=HANDLES, data=st.data())
    def write_basic(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        selection = data.draw(basic_selections(ids.shape))
        chosen = np.asarray(ids[selection])
        value = self.value_for(data, chosen.shape)
        self.change(number, chosen, value, lambda: handle.__setitem__(selection, value))

    @rule(number=HANDLES, seed=SEEDS)
    def write_whole(self, number: int, seed: int) -> None:
        handle, ids = self.handles[number], self.ids(number)
        value = sample(self.model.dtype, ids.shape, seed)
        self.change(number, ids, value, lambda: handle.__setitem__(..., value))

    @rule(number=HANDLES, data=st.data())
    def write_the_fill_value(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        selection = data.draw(basic_selections(ids.shape))
        value = handle.fill_value
        self.change(number, np.asarray(ids[selection]), value, lambda: handle.__setitem__(selection, value))

    @rule(number=HANDLES, data=st.data())
    def write_orthogonal(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        selection = data.draw(orthogonal_selections(ids.shape, duplicates=False))
        lists, shape = outer(selection, ids.shape)
        chosen = ids[lists].reshape(shape)
        value = self.value_for(data, shape)
        self.change(number, chosen, value, lambda: handle.oindex.__setitem__(selection, value))

    @rule(number=HANDLES, data=st.data())
    def write_points(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        if 0 not in ids.shape:
            selection = data.draw(coordinate_selections(ids.shape))
            chosen = np.asarray(ids[as_arrays(selection)])
            value = self.value_for(data, chosen.shape)
            self.change(number, chosen, value, lambda: handle.vindex.__setitem__(selection, value))

    @rule(number=HANDLES, data=st.data())
    def write_masked(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        mask = data.draw(mask_of(ids.shape))
        value = self.value_for(data, ids[mask].shape)
        self.change(number, ids[mask], value, lambda: handle.__setitem__(mask, value))

    @rule(number=HANDLES, data=st.data())
    def write_blocks(self, number: int, data: Any) -> None:
        handle, ids = self.handles[number], self.ids(number)
        selection, wanted = data.draw(block_selections(ids.shape, handle.metadata.chunks))
        chosen = ids[(*wanted, ...)]
        value = self.value_for(data, chosen.shape)
        self.change(number, chosen, value, lambda: handle.blocks.__setitem__(selection, value))

    # --- changing the shape, and handles -------------------------------------------------------------

    @rule(number=HANDLES, data=st.data())
    def resize(self, number: int, data: Any) -> None:
        new = tuple(data.draw(st.integers(0, 12) | st.just(length)) for length in self.model.shape)
        self.handles[number].resize(new)
        grown = np.full(new, self.handles[number].fill_value, self.model.dtype)
        common = tuple(slice(0, min(a, b)) for a, b in zip(new, self.model.shape, strict=True))
        grown[common] = self.model[common]
        self.model = grown
        self.known[number] = new

    @rule(number=HANDLES, other=HANDLES, data=st.data())
    def cut_and_grow_again(self, number: int, other: int, data: Any) -> None:
        was = self.model.shape
        less = tuple(data.draw(st.integers(0, length)) for length in was)
        for handle, shape in ((number, less), (other, was)):
            self.handles[handle].resize(shape)
            self.known[handle] = shape
        kept = tuple(slice(0, length) for length in less)
        grown = np.full(was, self.handles[number].fill_value, self.model.dtype)
        grown[kept] = self.model[kept]
        self.model = grown

    @precondition(lambda self: self.model.ndim > 0)
    @rule(number=HANDLES, data=st.data(), seed=SEEDS)
    def append(self, number: int, data: Any, seed: int) -> None:
        axis = data.draw(st.integers(-self.model.ndim, self.model.ndim - 1))
        if self.model.shape[axis] > 16:
            return
        shape = list(self.model.shape)
        shape[axis] = data.draw(st.integers(0, 5))
        value = sample(self.model.dtype, tuple(shape), seed)
        self.model = np.concatenate([self.model, value], axis)
        name = "xyz"[axis % self.model.ndim] if data.draw(st.booleans()) else axis
        assert self.handles[number].append(value, name) == self.model.shape
        self.known[number] = self.model.shape

    @rule(number=HANDLES)
    def refresh(self, number: int) -> None:
        self.handles[number].refresh()
        self.known[number] = self.model.shape
        assert dict(self.handles[number].attrs).get("n") == self.attributes.get("n")

    @rule(number=HANDLES, way=st.sampled_from(["open", "read-only", "pickle"]))
    def reopen(self, number: int, way: str) -> None:
        handle = self.handles[number]
        if way == "pickle" and not handle.location.startswith("memory"):
            self.handles[number] = pickle.loads(pickle.dumps(handle))
        elif way == "read-only":
            assert_same(tz.open_array(self.store, mode="r")[...], self.model)
            return
        else:
            self.handles[number] = tz.open_array(self.store)
        self.known[number] = self.model.shape

    @rule(number=HANDLES, value=st.integers(0, 99))
    def set_an_attribute(self, number: int, value: int) -> None:
        self.handles[number].attrs["n"] = value
        self.attributes["n"] = value
        self.known[number] = self.model.shape

    @rule(number=HANDLES, data=st.data())
    def copy(self, number: int, data: Any) -> None:
        chunks = tuple(data.draw(st.integers(1, 6)) for _ in self.model.shape)
        copy = self.handles[number].copy_to(
            None,
            chunks=data.draw(st.sampled_from(["same", chunks])),
            shards=data.draw(st.sampled_from(["same", None])),
            compressor=data.draw(st.sampled_from(["same", "zstd:1", None])),
            zarr_format=data.draw(st.sampled_from([None, 2, 3])),
        )
        assert_same(copy[...], self.seen(number))

    @invariant()
    def handles_know_what_they_know(self) -> None:
        self.steps += 1
        for handle, shape in zip(self.handles, self.known, strict=True):
            assert handle.shape == shape
            assert handle.dtype == self.model.dtype


TestTwoHandles = TwoHandles.TestCase
TestTwoHandles.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    # Without the phase that explains a failure, which takes minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.skipif(not FULL, reason="a short run has fewer steps")
def test_the_full_run_was_long() -> None:
    assert sum(length >= 50 for length in TwoHandles.lengths) >= 300
