"""Every error that Tenzarr raises on purpose, in one tree.

Each class derives from `TenzarrError` and from the builtin that a caller would
catch, so ``except IndexError`` and ``except tz.TenzarrError`` both work. A
message names the argument in backticks, the rule, what came, and the way out.
"""

from __future__ import annotations

__all__ = [
    "AliasError",
    "ArgumentError",
    "ArgumentTypeError",
    "BoundsError",
    "ChecksumError",
    "ClosedStoreError",
    "ConfinementError",
    "CorruptChunkError",
    "MetadataError",
    "NodeExistsError",
    "NodeNotFoundError",
    "ReadOnlyError",
    "SelectionError",
    "ShapeMismatchError",
    "StoreError",
    "TenzarrError",
    "TooLargeError",
    "UnsupportedError",
]


class TenzarrError(Exception):
    """The root of the tree."""


class ArgumentError(TenzarrError, ValueError):
    """An argument has a value that the rule named in the message excludes."""


class ArgumentTypeError(TenzarrError, TypeError):
    """An argument has a type that the rule named in the message excludes."""


class UnsupportedError(TenzarrError, NotImplementedError):
    """The request is legal and this build refuses it; the message says what to do instead."""


class SelectionError(TenzarrError, IndexError):
    """A selection does not fit the array: too many axes, a wrong kind of index, a wrong mask shape."""


class BoundsError(SelectionError):
    """An integer index lies outside its axis."""


class ShapeMismatchError(TenzarrError, ValueError):
    """A value or an `out` buffer does not have, or does not broadcast to, the selected shape."""


class AliasError(TenzarrError, ValueError):
    """``alias=True`` was asked for and the stored bytes cannot be shown without a copy."""


class TooLargeError(TenzarrError, MemoryError):
    """What was asked for, or one chunk of it, does not fit in the memory of this machine."""


class MetadataError(TenzarrError, ValueError):
    """A metadata document is malformed; the message says which document and where in it.

    Parameters
    ----------
    document : str
        The key of the document, for instance ``"zarr.json"``.
    where : str
        The place in it, as a dotted path (``"chunk_grid.configuration.chunk_shape"``), or ``""``.
    problem : str
        The rule and what came.
    """

    def __init__(self, document: str, where: str, problem: str) -> None:
        self.document = document
        self.where = where
        self.problem = problem
        super().__init__(document, where, problem)

    def __str__(self) -> str:
        place = f"{self.document} at `{self.where}`" if self.where else self.document
        return f"{place}: {self.problem}"


class CorruptChunkError(TenzarrError, ValueError):
    """A stored chunk cannot be decoded to exactly the chunk that its array declares.

    Parameters
    ----------
    array : str
        The array: its store and path.
    chunk : tuple of int
        The index of the chunk on the chunk grid.
    key : str
        The key of the stored value, relative to the store.
    problem : str
        What is wrong with it.
    """

    def __init__(self, array: str, chunk: tuple[int, ...], key: str, problem: str) -> None:
        self.array = array
        self.chunk = chunk
        self.key = key
        self.problem = problem
        super().__init__(array, chunk, key, problem)

    def __str__(self) -> str:
        return (
            f"chunk {self.chunk} of array {self.array!r} (key {self.key!r}) is damaged: "
            f"{self.problem}. Nothing of it was returned; `tenzarr verify` lists every damaged chunk."
        )


class ChecksumError(CorruptChunkError):
    """A stored chunk contradicts its checksum."""


class StoreError(TenzarrError, OSError):
    """The store failed: a full disk, an input or output error, a value that is not a regular file."""


class NodeNotFoundError(TenzarrError, FileNotFoundError):
    """There is no array or group at the path."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NodeExistsError(TenzarrError, FileExistsError):
    """There already is an array or group at the path."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ReadOnlyError(TenzarrError, PermissionError):
    """A write was asked of an array, group or store that was opened for reading."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ClosedStoreError(TenzarrError, ValueError):
    """The store was closed."""


class ConfinementError(TenzarrError, PermissionError):
    """A key, a node name or a link would leave the store."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
