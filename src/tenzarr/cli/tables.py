"""What commands print: facts, timings, and JSON for programs."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenzarr.cli.measure import Measured
from tenzarr.core.text import format_bytes, format_rate

__all__ = ["facts_table", "print_json", "terminal", "timing_table"]

OURS = "tenzarr"


def terminal() -> Console:
    """Standard output, with colours where it is a terminal; names are printed as they are."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Any) -> None:
    """`value` as JSON on standard output; numbers that JSON lacks become null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in cast("list[Any]", value)]
    return value


def facts_table(facts: Mapping[str, str]) -> Table:
    """Labels and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in facts.items():
        table.add_row(label, Text(value))
    return table


def timing_table(results: Sequence[Measured]) -> Table:
    """The engines that stored one layout: throughput, how many times as fast tenzarr is, and what is on disk."""
    ours = next(r for r in results if r.engine == OURS)
    table = Table(box=SIMPLE_HEAD, header_style="bold", title=_title(ours), title_justify="left", title_style="")
    table.add_column("engine", no_wrap=True)
    for label in ("write GB/s", "tenzarr", "read GB/s", "tenzarr", "on disk"):
        table.add_column(label, justify="right", no_wrap=True)
    for row in results:
        table.add_row(*_timing_cells(row, ours))
    return table


def _title(ours: Measured) -> str:
    ratio = ours.nbytes / ours.stored_bytes
    return f"  chunks {ours.layout}, compressed {ratio:.1f} : 1" if ratio > 1.05 else f"  chunks {ours.layout}"


def _timing_cells(row: Measured, ours: Measured) -> list[Text]:
    is_ours = row is ours
    style = "bold green" if is_ours else ""
    return [
        Text(row.engine, style),
        Text(_rate(row.nbytes, row.write_seconds), style),
        Text("" if is_ours else _times(row.write_seconds, ours.write_seconds), "dim"),
        Text(_rate(row.nbytes, row.read_seconds), style),
        Text("" if is_ours else _times(row.read_seconds, ours.read_seconds), "dim"),
        Text(format_bytes(row.stored_bytes)) if row.equal else Text("DIFFERS", "bold red"),
    ]


def _rate(nbytes: int, seconds: Sequence[float]) -> str:
    return format_rate(nbytes, statistics.median(seconds)).removesuffix(" GB/s")


def _times(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """The median of the ratios of each round: a slow moment of the machine falls on both sides of it."""
    factor = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    return f"{factor:.1f} x" if factor < 9.95 else f"{factor:.0f} x"
