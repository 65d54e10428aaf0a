"""Results as a table for the terminal, as Markdown for the README, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.harness import OURS, Figure, Result, Verdict

__all__ = ["BEGIN", "END", "duration", "markdown", "settings_of", "show", "summary", "to_json", "write_between_marks"]

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
"""Tables in a page stand between these two lines."""

ENGINES = (OURS, "tensorstore", "tensorstore memmap", "zarr-python", "zarrs")

WIDTH = 150
"""Characters of a table that is not printed to a terminal."""


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _time(result: Result, engine: str, *, line: str) -> str:
    """The median, and below it the setting that was kept where there was a choice."""
    cells = [
        duration(figure.median_seconds) + (f"{line}{figure.setting}" if figure.rejected else "")
        for figure in result.figures
        if figure.engine == engine or figure.engine.startswith(f"{engine},")
    ]
    return " / ".join(cells) or "-"


def load(results: Sequence[Result]) -> str:
    """How quiet the machine was, in words."""
    others = [result.others_cores for result in results]
    if not others:
        return "nothing was measured"
    return (
        f"other processes kept {statistics.median(others):.1f} cores busy (median of the rows; most {max(others):.1f})"
    )


def _met(verdicts: Sequence[Verdict]) -> str:
    promised = [v.met for v in verdicts if v.met is not None]
    if not promised:
        return "-"
    return "yes" if all(promised) else "NO"


def show(results: Sequence[Result], machine: Mapping[str, str]) -> None:
    """Print the table and what it was measured on."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="medians; ratios round by round, with their quartiles", show_lines=True)
    for column in ("row", *ENGINES, "bar: reached"):
        table.add_column(column, overflow="fold")
    table.add_column("met", no_wrap=True)
    for result in results:
        times = [_time(result, engine, line="\n") for engine in ENGINES]
        bars = "\n".join(f"{v.bar}: {v.figure}" for v in result.verdicts)
        met = _met(result.verdicts)
        table.add_row(result.name, *times, bars, met, style="red" if met == "NO" else None)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    for what, words in {**machine, "load": load(results)}.items():
        console.print(f"{what}: {words}", highlight=False)


def settings_of(figure: Figure) -> str:
    """Which setting was kept, out of which."""
    others = ", ".join(f"{words} {duration(seconds)}" for words, seconds in figure.rejected)
    spread = " to ".join(map(duration, figure.quartiles_seconds))
    kept = f"{figure.engine} ({figure.setting}): {duration(figure.median_seconds)} ({spread}), {figure.rounds} rounds"
    return f"{kept}; slower: {others}" if others else kept


def markdown(results: Sequence[Result], machine: Mapping[str, str], command: str) -> str:
    """The whole table, with every bar."""
    lines = [
        f"Printed by `{command}` on {machine['date']}.",
        f"{machine['machine']}; {machine['files']}; {machine['system']}; {machine['versions']}.",
        f"Medians; in brackets the quartiles of the ratios taken round by round; {load(results)}.",
        "",
        "| work | " + " | ".join(ENGINES) + " | bar: reached | met |",
        "|---" * (len(ENGINES) + 3) + "|",
    ]
    for result in results:
        times = [_time(result, engine, line="<br>") for engine in ENGINES]
        bars = "; ".join(f"{v.bar}: {v.figure}" for v in result.verdicts)
        lines.append("| " + " | ".join([result.work, *times, bars, _met(result.verdicts)]) + " |")
    return "\n".join(lines) + "\n"


def summary(results: Sequence[Result], machine: Mapping[str, str], command: str) -> str:
    """The table of the README: what a row took, and how many times as long others did."""
    where = ", ".join(machine[part] for part in ("machine", "files", "system"))
    lines = [
        f"Printed by `{command}` on {machine['date']}: {where}; {load(results)}.",
        "",
        "| work | " + " | ".join(ENGINES) + " |",
        "|---" * (len(ENGINES) + 1) + "|",
    ]
    lines += [
        f"| {result.work} | " + " | ".join(_short(result, engine) for engine in ENGINES) + " |" for result in results
    ]
    missed = [result.name for result in results if _met(result.verdicts) == "NO"]
    if missed:
        lines += ["", f"Below what we ask of ourselves: {', '.join(missed)}."]
    return "\n".join(lines) + "\n"


def _short(result: Result, engine: str) -> str:
    """Our time and the others' ratio to it; or the peak memory, as a multiple of the output."""
    value = next((v.value for v in result.verdicts if v.engine == engine), math.nan)
    if engine == OURS and result.figures:
        return _time(replace(result, figures=tuple(replace(f, rejected=()) for f in result.figures)), engine, line="")
    if math.isnan(value):
        return "-"
    return f"{value:.2f} x" if result.figures else f"{value:.2f} x the output"


def write_between_marks(path: Path, text: str) -> None:
    """Put `text` between the two marks of the file at `path`.

    Raises
    ------
    ValueError
        The marks are missing, or not in this order.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} must contain {BEGIN} and, after it, {END}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def to_json(results: Sequence[Result], machine: Mapping[str, str], command: str) -> str:
    """Everything, for programs; what was not measured is null."""
    document = {
        "command": command,
        "machine": dict(machine),
        "rows": [_without_nan(dataclasses.asdict(result)) for result in results],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and math.isnan(value) else value
