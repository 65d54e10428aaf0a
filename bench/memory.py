"""Peak memory of a whole read, each in a fresh process.

The array is written by one child process and removed when it has been read;
each read is a child of its own, which reports its resident size right before
the read and the highest it ever was (``VmRSS`` and ``VmHWM`` of
``/proc/self/status``). The promise is about ``(peak - before) / output``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from bench.harness import OURS, Result, Row, Session, Verdict
from bench.layouts import WRITER, Codec, codec_words
from bench.peers import ENGINES

__all__ = ["ROWS"]

Layout = Literal["chunk", "chunks", "shard"]
WORDS: dict[Layout, str] = {"chunk": "one chunk", "chunks": "1,000 chunks", "shard": "one shard of 1,000 inner chunks"}
CODECS: tuple[Codec, ...] = ("none", "zstd", "blosc")


def _limit(layout: Layout, codec: Codec) -> float:
    """1.2 where one compressed chunk is the whole, since its stored form must be somewhere too; 1.1 elsewhere."""
    return 1.2 if layout == "chunk" and codec != "none" else 1.1


def child(*arguments: str) -> dict[str, Any]:
    """What ``python -m bench.child`` with these arguments reported."""
    command = [sys.executable, "-m", "bench.child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak(layout: Layout, codec: Codec) -> Row:
    name = f"memory-{layout}-{codec}"

    def measure(session: Session) -> Result:
        rows = session.scale.memory_rows
        path = session.folder / "array"
        try:
            made = child("create", str(path), layout, codec, str(rows))
            verdicts = [
                _verdict(engine.name, child("read", str(path), engine.name, str(made["crc32"])), _limit(layout, codec))
                for engine in ENGINES
                if engine.name in session.engines
            ]
        finally:
            shutil.rmtree(path, ignore_errors=True)
        if OURS not in session.engines:
            verdicts.insert(0, Verdict(_bar(_limit(layout, codec)), "not measured", float("nan"), None))
        work = f"peak memory of reading {made['nbytes'] / 1e9:g} GB, {WORDS[layout]}, {codec_words(codec)}"
        note = f"written by {WRITER}, compression ratio {made['nbytes'] / made['stored']:.1f}"
        return Result(name, work, (), tuple(verdicts), note)

    return Row(name, measure)


def _bar(limit: float) -> str:
    return f"at most {limit:g} x the output"


def _verdict(engine: str, report: dict[str, Any], limit: float) -> Verdict:
    output = report["nbytes"]
    raw, net = report["peak"] / output, (report["peak"] - report["before"]) / output
    figure = f"{net:.3f} x (raw {raw:.3f} x, {report['before'] / 1e6:.0f} MB before the read)"
    if engine == OURS:
        return Verdict(_bar(limit), figure, net, net <= limit)
    return Verdict(engine, figure, net, None, engine)


LAYOUTS: tuple[Layout, ...] = ("chunk", "chunks", "shard")
ROWS = tuple(_peak(layout, codec) for layout in LAYOUTS for codec in CODECS)
