"""What arrays, groups and chunk grids look like."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzarr.core.text import format_axes, format_bytes, format_count, format_rate, format_seconds, printable
from tenzarr.storage.display import ArrayCard, TreeNode, array_html, array_text, group_text, tree_html, tree_text
from tenzarr.storage.drawing import LINE_SPACING, LONGEST, grid_svg

OBS = ArrayCard(
    name="obs.zarr",
    shape=(2920, 241, 480),
    dtype="float32",
    itemsize_bytes=4,
    chunks=(32, 241, 480),
    shards=None,
    names=("time", "lat", "lon"),
    codecs="zstd:3 + crc32c",
    checks="crc32c",
    zarr_format=3,
)


class _Balanced(HTMLParser):
    """Fails on a closing tag that does not match, and collects the text."""

    VOID = ("polygon", "line")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(html: str) -> _Balanced:
    parser = _Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def test_an_array_is_one_line() -> None:
    assert array_text(OBS) == (
        "<tenzarr.Array 'obs.zarr' (time: 2920, lat: 241, lon: 480) float32, chunks (32, 241, 480), "
        "zstd:3 + crc32c, 1.35 GB>"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shards": (320, 241, 480)}, "chunks (32, 241, 480) in shards (320, 241, 480)"),
        ({"checks": "unverified", "codecs": ""}, "chunks (32, 241, 480), unverified, 1.35 GB>"),
        ({"read_only": True}, "1.35 GB, read-only>"),
        ({"names": (None, "lat", None)}, "(2920, lat: 241, 480) float32"),
        ({"names": (None, None, None)}, "(2920, 241, 480) float32"),
        ({"name": "a\nb"}, r"'a\nb'"),
        ({"names": ("\x1b[31mred", None, None)}, r"\x1b[31mred: 2920"),
    ],
)
def test_a_line_says_what_is_special(change: dict[str, Any], words: str) -> None:
    line = array_text(dataclasses.replace(OBS, **change))
    assert words in line
    assert line.isprintable()


def test_scalars_and_empty_arrays_have_a_line() -> None:
    scalar = dataclasses.replace(OBS, shape=(), chunks=(), names=None)
    empty = dataclasses.replace(OBS, shape=(0, 5), chunks=(1, 5), names=None)
    assert "() float32, chunks ()" in array_text(scalar)
    assert "(0, 5) float32" in array_text(empty)
    assert "0 bytes" in array_text(empty)


def test_the_table_says_the_rest() -> None:
    text = parse(array_html(dataclasses.replace(OBS, stored_bytes=812_000_000, read_only=True))).text
    for words in ("1.35 GB, 812 MB stored", "92 chunks of 14.8 MB", "Zarr v3, read-only", "Checked by", "crc32c"):
        assert words in text
    assert "nothing (unverified)" in parse(array_html(dataclasses.replace(OBS, checks="unverified"))).text
    assert "10 shards of 148 MB" in parse(array_html(dataclasses.replace(OBS, shards=(320, 241, 480)))).text


HOSTILE = st.text(alphabet=st.sampled_from("<>&\"'ab \n\x00\x1b🙂é/"), max_size=30)


@given(name=HOSTILE, axis=HOSTILE, checks=HOSTILE)
def test_names_never_become_markup(name: str, axis: str, checks: str) -> None:
    plain = parse(array_html(OBS))
    card = dataclasses.replace(OBS, name=name, names=(axis, None, None), codecs=checks)
    assert parse(array_html(card)).tags == plain.tags
    node = TreeNode(name, children=(TreeNode(axis, card), TreeNode(checks)))
    assert parse(tree_html(node)).tags == ["div", "details", "summary", "div", "div", "span", "div", "div"]
    assert len(tree_text(node).splitlines()) == 3


SHAPES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**6), st.integers(1, 50)), max_size=5)


@given(axes=SHAPES, sharded=st.booleans(), name=st.text(max_size=40))
def test_a_drawing_is_well_formed_small_and_inside_its_box(
    axes: list[tuple[int, int, int]], sharded: bool, name: str
) -> None:
    shape = [n for n, _, _ in axes]
    chunks = [c for _, c, _ in axes]
    shards = [c * k for _, c, k in axes] if sharded else None
    svg = grid_svg(shape, chunks, shards, [name] * len(axes))
    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert width < 600
    assert height < 600
    assert len(root.findall("line")) <= 2 * 6 * LONGEST / LINE_SPACING
    for line in root.iter("line"):
        assert 0 <= float(line.attrib["x1"]) <= width
        assert 0 <= float(line.attrib["x2"]) <= width
        assert 0 <= float(line.attrib["y1"]) <= height
        assert 0 <= float(line.attrib["y2"]) <= height


def test_every_inner_boundary_is_drawn_while_there_is_room() -> None:
    lines = ElementTree.fromstring(grid_svg((8, 6), (2, 2))).findall("line")
    assert len(lines) == 3 + 2
    heavy = ElementTree.fromstring(grid_svg((8, 6), (2, 2), (4, 6))).findall("line[@stroke-width='1.8']")
    assert len(heavy) == 1


def test_a_tree_draws_its_branches() -> None:
    x = dataclasses.replace(OBS, name="x", shape=(480,), chunks=(480,), names=("lon",))
    tree = TreeNode("run.zarr", children=(TreeNode("grid", children=(TreeNode("x", x),)), TreeNode("none")))
    assert tree_text(tree).splitlines() == [
        "run.zarr",
        "├── grid",
        "│   └── x (lon: 480) float32",
        "└── none",
    ]
    assert "(lon: 480) float32" in parse(tree_html(tree)).text
    assert group_text("g\n", arrays=1, groups=0) == r"<tenzarr.Group 'g\n': 1 array>"
    assert group_text("g", arrays=0, groups=2, read_only=True) == "<tenzarr.Group 'g': 2 groups, read-only>"


@given(st.integers(0, 10**22))
def test_sizes_keep_three_digits(n: int) -> None:
    text = format_bytes(n)
    number, unit = text.split(" ")
    scale = {"byte": 1, "bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15, "EB": 1e18}[unit]
    assert float(number) * scale == pytest.approx(n, rel=0.006)
    assert len(re.sub(r"\D", "", number)) <= 5


@given(st.floats(1e-9, 1e5))
def test_durations_keep_their_value(seconds: float) -> None:
    number, unit = format_seconds(seconds).split(" ")
    assert float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit] == pytest.approx(seconds, rel=0.006)


def test_words_around_numbers() -> None:
    assert format_count(1, "chunk") == "1 chunk"
    assert format_count(2, "entry", "entries") == "2 entries"
    assert format_rate(3_000_000_000, 2.0) == "1.50 GB/s"
    assert format_axes((3, 4), None) == "(3, 4)"
    assert printable("a\u2028b") == r"a\u2028b"
