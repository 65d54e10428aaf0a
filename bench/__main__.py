"""``python -m bench``: measure, compare, report."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import machine, peers, report, suite
from bench.harness import Result

ROOT = Path(__file__).parents[1]


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help="only rows so named, or beginning so")
    parser.add_argument("--engines", nargs="+", metavar="NAME", help="only these engines")
    parser.add_argument("--quick", action="store_true", help="smaller arrays and fewer rounds")
    parser.add_argument("--seconds", type=float, help="time for the rounds of one row (default: 6, quick: 1)")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--details", action="store_true", help="also print every engine's setting and spread")
    parser.add_argument("--folder", type=Path, help="where the arrays are made (and removed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where a bar is not reached")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into README.md and docs/benchmarks.md"
    )
    return parser.parse_args(argv)


def _command(options: argparse.Namespace) -> str:
    """What to type for the same figures: without the options that only say where they go."""
    words = ["python -m bench"]
    for name in ("rows", "engines"):
        if values := getattr(options, name):
            words += [f"--{name}", *values]
    words += ["--quick"] if options.quick else []
    words += [f"--seconds {options.seconds:g}"] if options.seconds is not None else []
    return " ".join(words)


def _tell(result: Result, *, details: bool) -> None:
    bars = "; ".join(f"{v.bar}: {v.figure}" for v in result.verdicts)
    print(f"{result.name}: {bars}", file=sys.stderr, flush=True)
    if details:
        for figure in result.figures:
            print(f"    {report.settings_of(figure)}", file=sys.stderr, flush=True)
        print(f"    {result.note} [others: {result.others_cores:.1f} cores]", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Run the suite; with ``--strict``, 1 where a bar is not reached."""
    options = _arguments(argv)
    if options.list:
        print("\n".join(row.name for row in suite.ROWS))
        return 0
    engines = peers.available() & frozenset(options.engines or peers.available())
    scale = suite.QUICK if options.quick else suite.FULL
    if options.seconds is not None:
        scale = replace(scale, seconds=options.seconds)
    results = suite.run(
        suite.select(options.rows),
        scale,
        engines,
        folder=options.folder,
        done=lambda result: _tell(result, details=options.details),
    )
    where = machine.describe(options.folder or Path(tempfile.gettempdir()))
    command = _command(options)
    report.show(results, where)
    table = report.markdown(results, where, command)
    if options.json:
        options.json.write_text(report.to_json(results, where, command))
    if options.markdown:
        options.markdown.write_text(table)
    if options.write_docs:
        report.write_between_marks(ROOT / "docs/benchmarks.md", table)
        report.write_between_marks(ROOT / "README.md", report.summary(results, where, command))
    return int(options.strict and any(verdict.met is False for result in results for verdict in result.verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
