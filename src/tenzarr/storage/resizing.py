"""Making an array smaller: what lies outside must not come back when it grows again."""

from __future__ import annotations

from itertools import product

import numpy as np

from tenzarr.storage.engine import Engine, NativeEngine
from tenzarr.storage.indexing import Selection, plan_axes
from tenzarr.storage.indexing.selection import whole
from tenzarr.storage.writing import write_block

__all__ = ["drop_chunks"]


def drop_chunks(engine: Engine, old: tuple[int, ...], new: tuple[int, ...], *, durable: bool) -> None:
    """Remove the chunks outside `new`, and fill what chunks at its edge hold beyond it.

    The caller holds the lock of everything. zarr-python's engine is left to itself: elements
    that it shows again after an array grew back are those that were there before.
    """
    if not isinstance(engine, NativeEngine):
        return
    access = engine.access
    for axis, (before, after) in enumerate(zip(old, new, strict=True)):
        if after >= before:
            continue
        chunk = access.chunks[axis]
        kept_chunks = -(-after // chunk)
        others = [range(-(-length // side)) for length, side in zip(old, access.chunks, strict=True)]
        others[axis] = range(kept_chunks, -(-before // chunk))
        for index in product(*others):
            access.source.delete(access.key(index))
        if after % chunk:
            _fill_beyond(engine, axis, after, min(before, kept_chunks * chunk), old, durable)


def _fill_beyond(engine: NativeEngine, axis: int, after: int, before: int, old: tuple[int, ...], durable: bool) -> None:
    """Give the elements ``after <= i < before`` along `axis` the fill value, where there is a chunk."""
    access = engine.access
    everything: Selection = whole(old)
    axes = tuple(slice(after, before, 1) if at == axis else part for at, part in enumerate(everything.axes))
    counts = tuple(part.stop - part.start for part in axes if isinstance(part, slice))
    plan = plan_axes(axes, counts, old, access.chunks)
    for key, index, taken, _, _, _ in plan.jobs(access.key_head, access.keys.separator):
        value = access.source.open(key)
        if value is None:
            continue
        value.close()
        box = tuple(
            slice(number * side + part.start, number * side + part.stop, 1)
            for number, side, part in zip(index, access.chunks, taken, strict=True)
            if isinstance(part, slice)
        )
        block = np.broadcast_to(access.fill, tuple(part.stop - part.start for part in box))
        write_block(access, box, old, block, durable=durable)
