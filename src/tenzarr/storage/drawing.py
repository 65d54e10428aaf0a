"""A chunk grid as a drawing: one to three axes of an array, cut where its chunks are cut.

The drawing is SVG whose lines and letters take the colour of the text around
it and whose faces are translucent, so that it reads on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tenzarr.core.text import printable

__all__ = ["grid_svg"]

LONGEST = 170.0
"""The length of the longest axis, in pixels."""
SHORTEST = 22.0
LINE_SPACING = 6.0
"""Boundaries closer than this, in pixels along the axis, are thinned: every second, third ... stays."""
DEPTH = (0.62, -0.42)
"""The step to the right and down, in pixels, for one pixel of depth."""
MARGIN = 4.0
LETTER = 11.0
LABEL_LENGTH = 18
FACE_COLOUR = "#4a90d9"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One drawn axis."""

    label: str
    """Its name and length."""
    pixels: float
    chunk_cuts: tuple[float, ...]
    """Inner boundaries of chunks, as fractions of the axis."""
    shard_cuts: tuple[float, ...]


def grid_svg(
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int] | None = None,
    names: Sequence[str | None] | None = None,
) -> str:
    """Draw the last three axes of an array and its chunk grid.

    Parameters
    ----------
    shape, chunks : sequence of int
        In elements, of equal length.
    shards : sequence of int, optional
        In elements; their boundaries are drawn heavier.
    names : sequence of str or None, optional
        Of the axes.

    Returns
    -------
    str
        An ``<svg>`` element. Every name in it is escaped.

    Examples
    --------
    >>> grid_svg((4, 6), (2, 3))[:29]
    '<svg class="tenzarr-grid" rol'
    >>> grid_svg((4, 6), (2, 3)).count("<line")
    2
    """
    axes = _axes(shape, chunks, shards, names)[-3:]
    if len(axes) == 3:
        body, width, height = _cuboid(axes[0], axes[1], axes[2])
    elif len(axes) == 2:
        body, width, height = _rectangle(axes[0], axes[1])
    else:
        across = axes[0] if axes else _Axis("", SHORTEST, (), ())
        body, width, height = _rectangle(_Axis("", SHORTEST, (), ()), across)
    title = escape(f"array of shape {tuple(shape)} in chunks of {tuple(chunks)}")
    return (
        f'<svg class="tenzarr-grid" role="img" aria-label="{title}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" stroke="currentColor" fill="currentColor" '
        f'font-family="sans-serif" font-size="{LETTER:.0f}">{body}</svg>'
    )


def _axes(
    shape: Sequence[int], chunks: Sequence[int], shards: Sequence[int] | None, names: Sequence[str | None] | None
) -> list[_Axis]:
    longest = max([1, *shape[-3:]])
    outer = shards if shards is not None else [0] * len(shape)
    labels = names if names is not None else [None] * len(shape)
    return [
        _axis(n, chunk, shard, name, longest)
        for n, chunk, shard, name in zip(shape, chunks, outer, labels, strict=True)
    ]


def _axis(length: int, chunk: int, shard: int, name: str | None, longest: int) -> _Axis:
    # A root brings axes of 10 and of 100,000 elements into one picture.
    pixels = max(SHORTEST, LONGEST * min(length / longest, 1.0) ** 0.4)
    label = _shorten(f"{printable(name)}: {length:,}" if name else f"{length:,}")
    return _Axis(label, pixels, _cuts(length, chunk, pixels), _cuts(length, shard, pixels))


def _cuts(length: int, step: int, pixels: float) -> tuple[float, ...]:
    if step < 1 or step >= length:
        return ()
    inner = math.ceil(length / step) - 1
    every = step * math.ceil(inner / (pixels / LINE_SPACING))
    return tuple(i / length for i in range(every, length, every))


def _shorten(label: str) -> str:
    name, colon, length = label.rpartition(": ")
    room = LABEL_LENGTH - len(length)
    return f"{name[: max(room, 1)]}…{colon}{length}" if len(name) > room else label


def _rectangle(down: _Axis, across: _Axis) -> tuple[str, float, float]:
    origin = (MARGIN, MARGIN)
    right, below = (across.pixels, 0.0), (0.0, down.pixels)
    labels = [
        _text(MARGIN + across.pixels / 2, MARGIN + down.pixels + LETTER + 4, across.label, "middle"),
        _text(MARGIN + across.pixels + 7, MARGIN + down.pixels / 2 + 4, down.label, "start"),
    ]
    body = _face(origin, right, below, across, down) + "".join(labels)
    width = max(across.pixels + 7 + _width(down.label), (across.pixels + _width(across.label)) / 2) + 2 * MARGIN
    return body, width, down.pixels + LETTER + 10 + 2 * MARGIN


def _cuboid(back: _Axis, down: _Axis, across: _Axis) -> tuple[str, float, float]:
    step: Point = (DEPTH[0] * back.pixels * 0.7, DEPTH[1] * back.pixels * 0.7)
    origin: Point = (MARGIN, MARGIN - step[1])
    right, below = (across.pixels, 0.0), (0.0, down.pixels)
    front = _face(origin, right, below, across, down)
    top = _face(origin, right, step, across, back, opacity=0.12)
    side = _face((origin[0] + across.pixels, origin[1]), step, below, back, down, opacity=0.36)
    edge = MARGIN + across.pixels
    labels = [
        _text(MARGIN + across.pixels / 2, origin[1] + down.pixels + LETTER + 4, across.label, "middle"),
        _text(edge + step[0] + 7, MARGIN + down.pixels / 2 + 4, down.label, "start"),
        _text(edge + step[0] / 2 + 7, origin[1] + down.pixels + step[1] / 2 + LETTER, back.label, "start"),
    ]
    width = edge + step[0] + 7 + max(_width(down.label), _width(back.label)) + MARGIN
    return top + side + front + "".join(labels), width, origin[1] + down.pixels + LETTER + 10 + MARGIN


def _face(origin: Point, u: Point, v: Point, along_u: _Axis, along_v: _Axis, *, opacity: float = 0.22) -> str:
    """The parallelogram at `origin` with sides `u` and `v`, and the cuts of both axes across it."""
    corners = (origin, _at(origin, u), _at(origin, u, v), _at(origin, v))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    lines = [f'<polygon points="{points}" fill="{FACE_COLOUR}" fill-opacity="{opacity}" stroke-width="1.2"/>']
    for cuts, width, strength in (
        ((along_u.chunk_cuts, along_v.chunk_cuts), 0.6, 0.55),
        ((along_u.shard_cuts, along_v.shard_cuts), 1.8, 0.9),
    ):
        lines += _lines(origin, u, v, cuts[0], width, strength)
        lines += _lines(origin, v, u, cuts[1], width, strength)
    return "".join(lines)


def _lines(
    origin: Point, along: Point, across: Point, cuts: Sequence[float], width: float, strength: float
) -> Iterator[str]:
    for cut in cuts:
        x1, y1 = _at(origin, (along[0] * cut, along[1] * cut))
        x2, y2 = _at((x1, y1), across)
        yield (
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke-width="{width}" stroke-opacity="{strength}"/>'
        )


def _at(origin: Point, *steps: Point) -> Point:
    return origin[0] + sum(s[0] for s in steps), origin[1] + sum(s[1] for s in steps)


def _text(x: float, y: float, label: str, anchor: str) -> str:
    if not label:
        return ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" stroke="none">{escape(label)}</text>'


def _width(label: str) -> float:
    """About the width of `label` in pixels; a browser lays the letters out, so it is generous."""
    return 0.62 * LETTER * len(label)
