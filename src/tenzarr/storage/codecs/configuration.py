"""Reading the configuration of a codec strictly, with the place of every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from tenzarr.errors import MetadataError

__all__ = ["Configuration", "UnknownCodecError"]


class UnknownCodecError(Exception):
    """A codec that is not ours: zarr-python is asked for it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of one codec, and where it stands."""

    document: str
    """The key of the document."""
    where: str
    """The codec's place in it, for instance ``codecs[1]``."""
    name: str
    """The codec."""
    values: Mapping[str, Any]
    """The members of its configuration."""

    def refuse(self, member: str, rule: str) -> NoReturn:
        """Raise `MetadataError` about `member`."""
        place = f"{self.where}.configuration.{member}" if member else self.where
        came = f", got {self.values[member]!r}" if member in self.values else ""
        raise MetadataError(self.document, place, f"codec {self.name!r}: {rule}{came}")

    def only(self, *members: str) -> None:
        """Refuse every member that is not among `members`."""
        for member in self.values:
            if member not in members:
                self.refuse(member, f"has no member `{member}`; it knows {', '.join(members) or 'none'}")

    def integer(self, member: str, low: int, high: int, default: int | None = None) -> int:
        """An integer between `low` and `high`, both included."""
        value = self.values.get(member, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(member, f"`{member}` must be an integer from {low} to {high}")
        return value

    def choice(self, member: str, options: tuple[str, ...], default: str | None = None) -> str:
        """One of `options`."""
        value = self.values.get(member, default)
        if not isinstance(value, str) or value not in options:
            self.refuse(member, f"`{member}` must be one of {', '.join(options)}")
        return value

    def flag(self, member: str, default: bool = False) -> bool:
        """A boolean."""
        value = self.values.get(member, default)
        if not isinstance(value, bool):
            self.refuse(member, f"`{member}` must be true or false")
        return value

    def integers(self, member: str, length: int, low: int) -> tuple[int, ...]:
        """A list of `length` integers of at least `low`."""
        items = self._items(member)
        wrong = any(isinstance(item, bool) or not isinstance(item, int) or item < low for item in items or ())
        if items is None or len(items) != length or wrong:
            self.refuse(member, f"`{member}` must be a list of {length} integers of at least {low}")
        return items

    def _items(self, member: str) -> tuple[Any, ...] | None:
        value = self.values.get(member)
        return tuple(cast(list[Any], value)) if isinstance(value, list | tuple) else None

    def chain(self, member: str) -> tuple[Any, ...]:
        """A list of codecs, each a mapping with a name or a bare name."""
        items = self._items(member)
        if not items:
            self.refuse(member, f"`{member}` must be a list of at least one codec")
        return items
