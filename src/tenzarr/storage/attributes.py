"""The user's attributes of a node, as a mapping whose changes are stored at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Protocol

__all__ = ["Attributed", "Attributes"]


class Attributed(Protocol):
    """A node that has attributes."""

    def read_attributes(self) -> Mapping[str, Any]: ...

    def change_attributes(self, changes: Mapping[str, Any], removed: tuple[str, ...]) -> None: ...


class Attributes(MutableMapping[str, Any]):
    """JSON values by name.

    A change reads the document again under its lock, so that handles and processes that change
    different attributes lose nothing. `update` stores all of its changes together.

    Examples
    --------
    >>> import tenzarr as tz
    >>> a = tz.create(None, shape=(2,), dtype="int8", attributes={"units": "K"})
    >>> a.attrs["valid_range"] = [0, 5]
    >>> dict(a.attrs)
    {'units': 'K', 'valid_range': [0, 5]}
    >>> a.attrs["bad"] = object()
    Traceback (most recent call last):
        ...
    tenzarr.errors.ArgumentError: `attributes` must be what JSON can say: ...
    """

    __slots__ = ("_node",)

    def __init__(self, node: Attributed) -> None:
        self._node = node

    def __getitem__(self, name: str) -> Any:
        return self._node.read_attributes()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._node.change_attributes({name: value}, ())

    def __delitem__(self, name: str) -> None:
        if name not in self._node.read_attributes():
            raise KeyError(name)
        self._node.change_attributes({}, (name,))

    def __iter__(self) -> Iterator[str]:
        return iter(self._node.read_attributes())

    def __len__(self) -> int:
        return len(self._node.read_attributes())

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several attributes in one change of the document."""
        self._node.change_attributes(dict(*args, **kwargs), ())

    def clear(self) -> None:
        """Remove all attributes in one change of the document."""
        self._node.change_attributes({}, tuple(self))

    def __repr__(self) -> str:
        return f"Attributes({dict(self)!r})"
