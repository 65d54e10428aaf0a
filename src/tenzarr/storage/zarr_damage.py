"""Which chunk is damaged, where zarr-python says only that something is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tenzarr.errors import ChecksumError, CorruptChunkError, StoreError, TenzarrError
from tenzarr.storage.access import NOT_A_VALUE
from tenzarr.storage.indexing import AxisSelection

__all__ = ["naming_damage"]

NOT_DAMAGE = (MemoryError, ImportError, NotImplementedError)
"""What says something about this process rather than about the stored bytes."""


@contextmanager
def naming_damage(array: Any, name: str, axes: tuple[AxisSelection, ...], *, points: bool = False) -> Generator[None]:
    """Turn what zarr-python raises on a damaged chunk into an error that names the chunk.

    Parameters
    ----------
    array : zarr.Array
        What is being read or written.
    name : str
        The array as a person calls it.
    axes : tuple of slice or ndarray
        What is being read or written: a block, or single elements if `points`.

    Raises
    ------
    CorruptChunkError
        A chunk of the selection cannot be read.
    """
    try:
        yield
    except NOT_DAMAGE:
        raise
    except TenzarrError as error:
        if not isinstance(error, StoreError) or error.errno not in NOT_A_VALUE:
            raise
        _look_for_it(array, name, axes, points)
        raise
    except Exception:
        # Codecs raise whatever they like.
        _look_for_it(array, name, axes, points)
        raise


def _look_for_it(array: Any, name: str, axes: tuple[AxisSelection, ...], points: bool) -> None:
    """Read the chunks of a selection one by one, and raise about the first that cannot be read."""
    grid: tuple[int, ...] = array.shards or array.chunks
    for index in _chunks_of(axes, grid, points):
        box = tuple(
            slice(number * side, min((number + 1) * side, length))
            for number, side, length in zip(index, grid, array.shape, strict=True)
        )
        try:
            array[box or ()]
        except NOT_DAMAGE:
            raise
        except Exception as error:
            _blame(array, name, index, error)


def _chunks_of(axes: tuple[AxisSelection, ...], grid: tuple[int, ...], points: bool) -> Iterator[tuple[int, ...]]:
    numbers = [_numbers(axis, side) for axis, side in zip(axes, grid, strict=True)]
    if not points:
        yield from product(*(np.unique(axis).tolist() for axis in numbers))
    elif numbers:
        yield from map(tuple, np.unique(np.stack(numbers, axis=1), axis=0).tolist())
    else:
        yield ()


def _numbers(axis: AxisSelection, side: int) -> npt.NDArray[np.int64]:
    if isinstance(axis, slice):
        start, stop, step = int(axis.start), int(axis.stop), int(axis.step)
        return np.arange(start // side, (stop - 1) // side + 1) if step < side else np.arange(start, stop, step) // side
    return axis // side


def _blame(array: Any, name: str, index: tuple[int, ...], error: Exception) -> NoReturn:
    key = f"{array.path}/{array.metadata.encode_chunk_key(index)}".lstrip("/")
    if isinstance(error, StoreError):
        if error.errno not in NOT_A_VALUE:
            raise error
        raise CorruptChunkError(name, index, key, NOT_A_VALUE[error.errno]) from error
    kind = ChecksumError if "checksum" in str(error).lower() else CorruptChunkError
    raise kind(name, index, key, f"zarr-python cannot decode it ({type(error).__name__}: {error})") from error
