"""Checks that both versions share: members of a document, as values of the right type.

Every function takes what it needs to say where in which document a value was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from tenzarr.dtypes import StoredType
from tenzarr.errors import MetadataError

__all__ = ["Reader"]

NDIM_LIMIT = 64
"""NumPy's."""
_BYTES_LIMIT = 2**63
_INTEGER_LIMITS = (-(2**63), 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the members of one document."""

    document: str
    """What errors call the document: its key."""
    prefix: str = ""
    """The place of the members within the document, for errors; ends in a dot where it is not empty."""

    def error(self, where: str, problem: str) -> MetadataError:
        """The error for a problem at `where`."""
        return MetadataError(self.document, f"{self.prefix}{where}".rstrip("."), problem)

    def members(self, value: Any, where: str = "") -> dict[str, Any]:
        """`value` as an object."""
        if not isinstance(value, dict):
            raise self.error(where, f"must be an object; it is {value!r:.80}")
        return cast("dict[str, Any]", value)

    def required(self, members: Mapping[str, Any], name: str, where: str = "") -> Any:
        """The member called `name`."""
        if name not in members:
            raise self.error(where, f"must have the member `{name}`")
        return members[name]

    def equal(self, members: Mapping[str, Any], name: str, expected: int | str) -> None:
        """Check that the member called `name` is there and is `expected`, with the same type."""
        value = self.required(members, name)
        if type(value) is not type(expected) or value != expected:
            raise self.error(name, f"must be {expected!r}; it is {value!r:.80}")

    def lengths(self, value: Any, where: str, least: int) -> tuple[int, ...]:
        """`value` as a list of at most 64 integers of at least `least`."""
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of integers; it is {value!r:.80}")
        items = cast("list[Any]", value)
        if len(items) > NDIM_LIMIT:
            raise self.error(where, f"must have at most {NDIM_LIMIT} axes; it has {len(items)}")
        for axis, item in enumerate(items):
            if type(item) is not int or not least <= item < _BYTES_LIMIT:
                rule = f"must be an integer of at least {least} and below 2**63"
                raise self.error(f"{where}[{axis}]", f"{rule}; it is {item!r:.80}")
        return tuple(items)

    def grid(self, shape: tuple[int, ...], chunks: Any, where: str, units: tuple[int, ...] | None) -> tuple[int, ...]:
        """`chunks` as the chunk shape of an array of `shape`.

        A chunk length of 0 is read where the axis has length 0, as one inner chunk of `units`,
        or 1: zarr-python wrote it for empty arrays, which have no chunk that could be misread.
        """
        lengths = self.lengths(chunks, where, 0)
        if len(lengths) != len(shape):
            raise self.error(where, f"must have as many axes as the shape {shape}; it is {lengths}")
        if 0 not in lengths:
            return lengths
        for axis, (length, size) in enumerate(zip(shape, lengths, strict=True)):
            if size == 0 and length != 0:
                raise self.error(f"{where}[{axis}]", "must be an integer of at least 1; it is 0")
        smallest = units if units is not None and len(units) == len(shape) else (1,) * len(shape)
        return tuple(size or unit for size, unit in zip(lengths, smallest, strict=True))

    def addressable(self, lengths: tuple[int, ...], dtype: StoredType, where: str) -> None:
        """Check that an array of `lengths` has fewer than 2**63 bytes, counting a length of 0 as 1."""
        if math.prod(length or 1 for length in lengths) * max(dtype.dtype.itemsize, 1) >= _BYTES_LIMIT:
            raise self.error(where, f"must have fewer than 2**63 bytes of {dtype.dtype}; {lengths} has more")

    def attributes(self, value: Any, where: str) -> dict[str, Any]:
        """`value` as a user's attributes; null is none."""
        return {} if value is None else self.members(value, where)

    def sane(self, value: Any, where: str) -> None:
        """Check a configuration that is judged elsewhere: integers fit 64 bits, and no codec in it unpickles."""
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            self.refuse_pickle(members.get("name"), f"{where}.name")
            self.refuse_pickle(members.get("id"), f"{where}.id")
            for name, item in members.items():
                self.sane(item, f"{where}.{name}")
        elif isinstance(value, list):
            for i, item in enumerate(cast("list[Any]", value)):
                self.sane(item, f"{where}[{i}]")
        elif type(value) is int and not _INTEGER_LIMITS[0] <= value <= _INTEGER_LIMITS[1]:
            raise self.error(where, f"an integer must fit 64 bits; it is {value!r:.80}")

    def refuse_pickle(self, name: Any, where: str) -> None:
        """Refuse the codec that executes what it reads."""
        if name in ("pickle", "numcodecs.pickle"):
            raise self.error(where, "the codec 'pickle' is refused: unpickling a chunk executes what its writer wants")
