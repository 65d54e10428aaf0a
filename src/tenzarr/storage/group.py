"""The stored group: arrays and groups by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from tenzarr.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConfinementError,
    NodeExistsError,
    NodeNotFoundError,
    ReadOnlyError,
)
from tenzarr.storage import nodes
from tenzarr.storage.arguments import ArrayArguments, check_attributes, describe
from tenzarr.storage.array import Array, open_at
from tenzarr.storage.attributes import Attributes
from tenzarr.storage.cards import metadata_card
from tenzarr.storage.creation import create_array, remove_node, replace_node, require_writable
from tenzarr.storage.display import TreeNode, group_text, tree_html, tree_text
from tenzarr.storage.metadata import ArrayMetadata, GroupMetadata, below, write_group
from tenzarr.storage.sources import ByteSource, check_node_path

__all__ = ["Group", "Tree", "open_node"]


class Tree:
    """The nodes below a group, as text and in notebooks."""

    __slots__ = ("_root",)

    def __init__(self, root: TreeNode) -> None:
        self._root = root

    def __repr__(self) -> str:
        return tree_text(self._root)

    def _repr_html_(self) -> str:
        return tree_html(self._root)


class Group:
    """Arrays and groups by name, with attributes of their own.

    Made by `tenzarr.open_group` and `Group.create_group`, not directly.

    Examples
    --------
    >>> import tenzarr as tz
    >>> root = tz.open_group(None, mode="a")
    >>> a = root.create_array("weather/wind", shape=(4,), dtype="float32")
    >>> root["weather"], "weather/wind" in root
    (<tenzarr.Group 'memory/weather': 1 array>, True)
    >>> root["rain"]
    Traceback (most recent call last):
        ...
    tenzarr.errors.NodeNotFoundError: there is no Zarr array or group at 'memory/rain' ...
    """

    __slots__ = ("__weakref__", "_durable", "_metadata", "_path", "_read_only", "_source")

    def __init__(
        self,
        source: ByteSource,
        path: str,
        metadata: GroupMetadata,
        *,
        read_only: bool = False,
        durable: bool = False,
    ) -> None:
        self._source = source
        self._path = path
        self._metadata = metadata
        self._read_only = read_only or source.read_only
        self._durable = durable

    @property
    def path(self) -> str:
        """Where the group lies in its store; ``""`` is the root."""
        return self._path

    @property
    def name(self) -> str:
        """The last part of the path; ``""`` for the root."""
        return self._path.rpartition("/")[2]

    @property
    def source(self) -> ByteSource:
        """The store."""
        return self._source

    @property
    def location(self) -> str:
        """The group as a person calls it: its store and path."""
        return nodes.join(self._source.location, self._path)

    @property
    def metadata(self) -> GroupMetadata:
        """What the document says."""
        return self._metadata

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self._read_only

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return self._metadata.zarr_format

    @property
    def attrs(self) -> MutableMapping[str, Any]:
        """The user's attributes: JSON values by name. Every change is stored at once."""
        return Attributes(self)

    def read_attributes(self) -> Mapping[str, Any]:
        """The attributes as they were read last; for `attrs`."""
        return self._metadata.attributes

    def change_attributes(self, changes: Mapping[str, Any], removed: tuple[str, ...]) -> None:
        """Change attributes in the document as it is now; for `attrs`."""
        self._check_writable()
        with nodes.document_lock(self._source, self._path):
            self.refresh()
            kept = {name: value for name, value in self._metadata.attributes.items() if name not in removed}
            changed = replace(self._metadata, attributes={**kept, **changes})
            nodes.store(self._source, self._path, changed, durable=self._durable)
            self._metadata = changed

    def refresh(self) -> None:
        """Read the metadata again. Raises `NodeNotFoundError` if the group is gone."""
        node = nodes.require(self._source, self._path, self.location)
        if not isinstance(node.metadata, GroupMetadata):
            raise NodeNotFoundError(f"there is no group at {self.location!r} any more, there is an array")
        self._metadata = node.metadata

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(
                f'`group` must be open for writing, {self.location!r} is read-only; open it with mode="r+"'
            )

    def _below(self, name: str) -> str:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users have no types
            raise ArgumentTypeError(f"`name` must be a string, got {type(name).__name__}")
        if not name:
            raise ArgumentError("`name` must not be empty, the group itself has no name in itself")
        check_node_path(name)
        return nodes.join(self._path, name)

    # --- what is in it -----------------------------------------------------------------------

    def __getitem__(self, name: str) -> Array | Group:
        path = self._below(name)
        if self._is_consolidated:
            found = below(self._metadata, name)
            if found is not None:
                return _node_of(self._source, path, found, None, self._read_only, self._durable)
            raise NodeNotFoundError(
                f"there is no Zarr array or group at {nodes.join(self.location, name)!r} in the consolidated metadata "
                'of its group; it may be out of date: open with mode="r+" or consolidate again'
            )
        return open_node(self._source, path, read_only=self._read_only, durable=self._durable)

    @property
    def _is_consolidated(self) -> bool:
        return self._read_only and self._metadata.consolidated is not None

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            path = self._below(name)
        except (ArgumentError, ConfinementError):
            return False
        if self._is_consolidated:
            return below(self._metadata, name) is not None
        return nodes.load(self._source, path) is not None

    def _children(self) -> Iterator[tuple[str, ArrayMetadata | GroupMetadata]]:
        return _children_of(self._source, self._path, self._metadata, self._read_only)

    def members(self) -> Iterator[tuple[str, Array | Group]]:
        """Name and node of everything directly in the group, by name."""
        for name, metadata in self._children():
            path = nodes.join(self._path, name)
            yield name, _node_of(self._source, path, metadata, None, self._read_only, self._durable)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Name and array of every array directly in the group."""
        for name, node in self.members():
            if isinstance(node, Array):
                yield name, node

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Name and group of every group directly in the group."""
        for name, node in self.members():
            if isinstance(node, Group):
                yield name, node

    def keys(self) -> list[str]:
        """The names of everything directly in the group."""
        return [name for name, _ in self._children()]

    def walk(self) -> Iterator[tuple[str, Array | Group]]:
        """Path and node of everything below the group, parents before children."""
        for name, node in self.members():
            yield name, node
            if isinstance(node, Group):
                for path, inner in node.walk():
                    yield f"{name}/{path}", inner

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def tree(self) -> Tree:
        """Everything below the group as a drawing, with shapes and types; it prints, and shows in notebooks."""
        return Tree(self._drawing())

    # --- changing what is in it ----------------------------------------------------------------

    def create_array(
        self, name: str, *, shape: Any, dtype: Any, overwrite: bool = False, durable: bool | None = None, **options: Any
    ) -> Array:
        """Create an array; groups between this one and it are made as needed.

        Parameters
        ----------
        name : str
            Its path below this group, such as ``"wind"`` or ``"weather/wind"``.
        shape, dtype, overwrite, durable, **options
            As in `tenzarr.create`. The format is that of the group.

        Returns
        -------
        Array

        Raises
        ------
        NodeExistsError
            There is a node of that name and `overwrite` is false.
        ArgumentError, ArgumentTypeError
            As `tenzarr.create`.

        Examples
        --------
        >>> import tenzarr as tz
        >>> root = tz.open_group(None, mode="a")
        >>> root.create_array("a", shape=(3,), dtype="int8").shape
        (3,)
        >>> root.create_array("a", shape=(3,), dtype="int8")
        Traceback (most recent call last):
            ...
        tenzarr.errors.NodeExistsError: `store` must be free where an array is created, 'memory/a' has zarr.json; ...
        """
        self._check_writable()
        path = self._below(name)
        if "compressors" in options:
            options["compressor"] = options.pop("compressors")
        options.setdefault("zarr_format", self.zarr_format)
        keep = self._durable if durable is None else durable
        metadata = describe(ArrayArguments(shape, dtype, **options))
        create_array(self._source, path, metadata, overwrite=overwrite, durable=keep)
        return open_at(self._source, path, durable=keep)

    def create_group(self, name: str, *, attributes: Mapping[str, Any] | None = None, overwrite: bool = False) -> Group:
        """Create a group; groups between this one and it are made as needed.

        Raises
        ------
        NodeExistsError
            There is a node of that name and `overwrite` is false.

        Examples
        --------
        >>> import tenzarr as tz
        >>> root = tz.open_group(None, mode="a")
        >>> root.create_group("a/b", attributes={"by": "us"}).attrs["by"]
        'us'
        >>> root.create_group("a")
        Traceback (most recent call last):
            ...
        tenzarr.errors.NodeExistsError: `store` must not have an array or group at 'memory/a', it has zarr.json; ...
        """
        self._check_writable()
        path = self._below(name)
        return create_group_at(
            self._source, path, self.zarr_format, attributes=attributes, overwrite=overwrite, durable=self._durable
        )

    def require_group(self, name: str) -> Group:
        """The group of that name, created if there is none.

        Raises `NodeExistsError` if there is an array of that name.
        """
        path = self._below(name)
        node = nodes.load(self._source, path)
        if node is None:
            try:
                return self.create_group(name)
            except NodeExistsError:
                node = nodes.require(self._source, path, nodes.join(self.location, name))
        if isinstance(node.metadata, ArrayMetadata):
            raise NodeExistsError(f"`name` must be a group or free, {nodes.join(self.location, name)!r} is an array")
        return Group(self._source, path, node.metadata, read_only=self._read_only, durable=self._durable)

    def __delitem__(self, name: str) -> None:
        self._check_writable()
        path = self._below(name)
        nodes.require(self._source, path, nodes.join(self.location, name))
        remove_node(self._source, path)

    def consolidate(self) -> None:
        """Keep a copy of all metadata below in the group's own document, for readers (mode ``"r"``).

        Writes through Tenzarr keep the copy true; other writers do not.
        """
        self._check_writable()
        with nodes.document_lock(self._source, self._path):
            self.refresh()
            found = dict(nodes.walk(self._source, self._path))
            entries = {
                path: replace(node, consolidated=None) if isinstance(node, GroupMetadata) else node
                for path, node in found.items()
            }
            changed = replace(self._metadata, consolidated=entries)
            nodes.store(self._source, self._path, changed, durable=self._durable)
            self._metadata = changed

    def __repr__(self) -> str:
        children = list(self._children())
        arrays = sum(isinstance(metadata, ArrayMetadata) for _, metadata in children)
        return group_text(self.location, arrays=arrays, groups=len(children) - arrays, read_only=self._read_only)

    def _repr_html_(self) -> str:
        return tree_html(self._drawing())

    def _drawing(self) -> TreeNode:
        return _tree_node(self._source, self._path, self._metadata, self._read_only, self.name or self.location)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._source, self._path, self._read_only, self._durable)


def _children_of(
    source: ByteSource, path: str, metadata: GroupMetadata, read_only: bool
) -> Iterator[tuple[str, ArrayMetadata | GroupMetadata]]:
    """Name and metadata of everything directly in a group; readers take them from consolidated metadata."""
    if read_only and metadata.consolidated is not None:
        for name in sorted(metadata.consolidated):
            found = below(metadata, name)
            if "/" not in name and found is not None:
                yield name, found
        return
    for entry in sorted(source.list(path), key=lambda entry: entry.name):
        node = nodes.load(source, nodes.join(path, entry.name)) if entry.is_prefix else None
        if node is not None:
            yield entry.name, node.metadata


def _tree_node(source: ByteSource, path: str, metadata: GroupMetadata, read_only: bool, name: str) -> TreeNode:
    """A group for a drawing. Nothing is opened: an array that nobody can read is drawn like the others."""
    children = [
        _tree_node(source, nodes.join(path, child), found, read_only, child)
        if isinstance(found, GroupMetadata)
        else TreeNode(child, metadata_card(child, found))
        for child, found in _children_of(source, path, metadata, read_only)
    ]
    return TreeNode(name, None, tuple(children))


def create_group_at(
    source: ByteSource,
    path: str,
    zarr_format: int,
    *,
    attributes: Mapping[str, Any] | None,
    overwrite: bool,
    durable: bool,
) -> Group:
    """Create a group at `path` of a store, and the groups above it."""
    location = nodes.join(source.location, path)
    require_writable(source, location)
    if zarr_format not in (2, 3):
        raise ArgumentError(f"`zarr_format` must be 2 or 3, got {zarr_format!r}")
    metadata = GroupMetadata(2 if zarr_format == 2 else 3, check_attributes(attributes))
    # Refuses what no document can hold before anything is removed.
    write_group(metadata)
    if overwrite and nodes.load(source, path) is not None:
        replace_node(source, path, metadata, durable=durable)
        return Group(source, path, metadata, durable=durable)
    nodes.require_absent(source, path, location)
    nodes.make_groups(source, path, zarr_format, durable=durable)
    with nodes.document_lock(source, path):
        nodes.require_absent(source, path, location)
        nodes.store(source, path, metadata, durable=durable)
    return Group(source, path, metadata, durable=durable)


def open_node(source: ByteSource, path: str, *, read_only: bool = False, durable: bool = False) -> Array | Group:
    """The array or group at `path` of an open store; `NodeNotFoundError` if there is none."""
    node = nodes.require(source, path, nodes.join(source.location, path))
    return _node_of(source, path, node.metadata, node.identity, read_only, durable)


def _node_of(
    source: ByteSource,
    path: str,
    metadata: ArrayMetadata | GroupMetadata,
    identity: bytes | None,
    read_only: bool,
    durable: bool,
) -> Array | Group:
    if isinstance(metadata, GroupMetadata):
        return Group(source, path, metadata, read_only=read_only, durable=durable)
    return Array(source, path, metadata, identity, read_only=read_only, durable=durable)


def _reopen(source: ByteSource, path: str, read_only: bool, durable: bool) -> Array | Group:
    """What a pickled group is made of."""
    return open_node(source, path, read_only=read_only, durable=durable)
