"""Arrays and groups as a person sees them: one line, an HTML block, a tree.

Pure functions of what is shown; nothing here reads a store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from tenzarr.core.text import format_axes, format_bytes, format_count, format_ints, printable
from tenzarr.storage.drawing import grid_svg

__all__ = ["ArrayCard", "TreeNode", "array_html", "array_text", "group_text", "tree_html", "tree_text"]

UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class ArrayCard:
    """What a display says about an array."""

    name: str
    """The store, and the path in it."""
    shape: tuple[int, ...]
    """In elements."""
    dtype: str
    """In memory."""
    itemsize_bytes: int
    """Of one element."""
    chunks: tuple[int, ...]
    """In elements."""
    shards: tuple[int, ...] | None
    """In elements; None without shards."""
    names: tuple[str | None, ...] | None
    """Of the axes."""
    codecs: str
    """The chain as a person names it, for instance ``"zstd:3 + crc32c"``; ``""`` where nothing is done."""
    checks: str
    """What verifies the data, or ``"unverified"``."""
    zarr_format: int
    """2 or 3."""
    read_only: bool = False
    """Whether writes are refused."""
    stored_bytes: int | None = None
    """What the array takes in the store; None where it was not looked up."""

    @property
    def nbytes(self) -> int:
        """Of the whole array in memory."""
        return self.itemsize_bytes * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A group or an array in a tree."""

    name: str
    """The last part of its path."""
    array: ArrayCard | None = None
    """None for a group."""
    children: tuple[TreeNode, ...] = ()
    """What lies directly below, in the order in which it is shown."""


def array_text(card: ArrayCard) -> str:
    """The array in one line.

    >>> print(array_text(ArrayCard("obs.zarr", (2920, 241, 480), "float32", 4, (32, 241, 480), None,
    ...     ("time", "lat", "lon"), "zstd:3 + crc32c", "crc32c", 3)))
    <tenzarr.Array 'obs.zarr' (time: 2920, lat: 241, lon: 480) float32, chunks (32, 241, 480), zstd:3 + crc32c, 1.35 GB>
    """
    parts = [f"{format_axes(card.shape, card.names)} {card.dtype}", _layout(card)]
    if card.codecs:
        parts.append(card.codecs)
    if card.checks == UNVERIFIED:
        parts.append(UNVERIFIED)
    parts.append(format_bytes(card.nbytes))
    if card.read_only:
        parts.append("read-only")
    return f"<tenzarr.Array {card.name!r} {', '.join(parts)}>"


def group_text(name: str, *, arrays: int, groups: int, read_only: bool = False) -> str:
    """The group in one line.

    >>> group_text("run.zarr", arrays=2, groups=1), group_text("run.zarr", arrays=0, groups=0)
    ("<tenzarr.Group 'run.zarr': 2 arrays, 1 group>", "<tenzarr.Group 'run.zarr': empty>")
    """
    counts = [format_count(n, noun) for n, noun in ((arrays, "array"), (groups, "group")) if n] or ["empty"]
    return f"<tenzarr.Group {name!r}: {', '.join([*counts, *['read-only'] * read_only])}>"


def array_html(card: ArrayCard) -> str:
    """The array as a table beside a drawing of its chunk grid, for notebooks.

    It brings its own style and takes its colours from the page.

    >>> card = ArrayCard("<b>", (4,), "int8", 1, (2,), None, None, "", "unverified", 3)
    >>> "&lt;b&gt;" in array_html(card), "<b>" in array_html(card)
    (True, False)
    """
    rows = "".join(
        f'<tr><th style="{_HEAD_STYLE}">{escape(label)}</th><td style="{_CELL_STYLE}">{escape(value)}</td></tr>'
        for label, value in _rows(card)
    )
    return (
        f'<div class="tenzarr-array" style="{_BLOCK_STYLE}">'
        f'<div><div style="{_NAME_STYLE}">{escape(printable(card.name))}</div>'
        f'<table style="{_TABLE_STYLE}"><tbody>{rows}</tbody></table></div>'
        f"<div>{grid_svg(card.shape, card.chunks, card.shards, card.names)}</div></div>"
    )


_BLOCK_STYLE = "display:flex;flex-wrap:wrap;gap:24px;align-items:center;font-family:sans-serif;font-size:13px"
_NAME_STYLE = "font-weight:600;margin-bottom:4px"
_TABLE_STYLE = "border-collapse:collapse;margin:0;color:inherit;font-size:inherit"
_HEAD_STYLE = "text-align:left;font-weight:400;opacity:.65;padding:1px 14px 1px 0;background:none"
_CELL_STYLE = "text-align:left;padding:1px 0;background:none;font-variant-numeric:tabular-nums"


def _rows(card: ArrayCard) -> Iterator[tuple[str, str]]:
    size = format_bytes(card.nbytes)
    if card.stored_bytes is not None:
        size += f", {format_bytes(card.stored_bytes)} stored"
    yield "Shape", format_axes(card.shape, card.names)
    yield "Data type", card.dtype
    yield "Size", size
    yield "Chunks", _part(card, card.chunks, "chunk")
    if card.shards is not None:
        yield "Shards", _part(card, card.shards, "shard")
    yield "Codecs", card.codecs or "none"
    yield "Checked by", "nothing (unverified)" if card.checks == UNVERIFIED else card.checks
    yield "Format", f"Zarr v{card.zarr_format}" + (", read-only" if card.read_only else "")


def _part(card: ArrayCard, part: tuple[int, ...], noun: str) -> str:
    count = math.prod(math.ceil(n / p) for n, p in zip(card.shape, part, strict=True))
    each = format_bytes(card.itemsize_bytes * math.prod(part))
    return f"{format_ints(part)}: {format_count(count, noun)} of {each}"


def _layout(card: ArrayCard) -> str:
    chunks = f"chunks {format_ints(card.chunks)}"
    return chunks if card.shards is None else f"{chunks} in shards {format_ints(card.shards)}"


def tree_text(root: TreeNode) -> str:
    """The tree below `root`, one node a line.

    >>> x = ArrayCard("x", (480,), "float64", 8, (480,), None, ("lon",), "", "unverified", 3)
    >>> grid = TreeNode("grid", children=(TreeNode("x", x),))
    >>> print(tree_text(TreeNode("run.zarr", children=(grid, TreeNode("y", x)))))
    run.zarr
    ├── grid
    │   └── x (lon: 480) float64
    └── y (lon: 480) float64
    """
    return "\n".join([_describe(root), *_branches(root, "")])


def _branches(node: TreeNode, indent: str) -> Iterator[str]:
    for i, child in enumerate(node.children):
        last = i + 1 == len(node.children)
        yield f"{indent}{'└── ' if last else '├── '}{_describe(child)}"
        yield from _branches(child, indent + ("    " if last else "│   "))


def _describe(node: TreeNode) -> str:
    name = printable(node.name)
    if node.array is None:
        return name
    return f"{name} {format_axes(node.array.shape, node.array.names)} {node.array.dtype}"


def tree_html(root: TreeNode) -> str:
    """The tree below `root`, its groups open and foldable.

    >>> tree_html(TreeNode("run.zarr"))
    '<div class="tenzarr-tree" style="font-family:sans-serif;font-size:13px"><div>run.zarr</div></div>'
    """
    return f'<div class="tenzarr-tree" style="font-family:sans-serif;font-size:13px">{_branch_html(root)}</div>'


def _branch_html(node: TreeNode) -> str:
    if not node.children:
        return f"<div>{_describe_html(node)}</div>"
    children = "".join(f'<div style="margin-left:18px">{_branch_html(child)}</div>' for child in node.children)
    return f'<details open><summary style="cursor:pointer">{_describe_html(node)}</summary>{children}</details>'


def _describe_html(node: TreeNode) -> str:
    name = escape(printable(node.name))
    if node.array is None:
        return name
    facts = f"{format_axes(node.array.shape, node.array.names)} {node.array.dtype}"
    return f'{name} <span style="opacity:.65">{escape(facts)}</span>'
