"""Whole writes of the small array, replacing its chunks; with and without the syncs that survive a power loss."""

from __future__ import annotations

from bench.data import Field
from bench.entrants import writers
from bench.harness import Bar, Result, Row, Session, compete
from bench.layouts import Codec, codec_words, create
from bench.peers import Purpose

__all__ = ["ROWS"]

DEFAULT_BARS = (Bar("tensorstore", 0.85), Bar("zarr-python", 2))
DURABLE_BARS = (Bar("tensorstore", 1.0),)
CODECS: tuple[Codec, ...] = ("none", "zstd", "blosc")


def _write(kind: str, codec: Codec, words: str, bars: tuple[Bar, ...], purpose: Purpose, *, fresh: bool = False) -> Row:
    name = f"{kind}-{codec}"

    def measure(session: Session) -> Result:
        edge, chunk = session.scale.small, session.scale.small // 10
        data = Field((edge, edge)).whole()
        template = session.folder / "template"
        create(template, shape=data.shape, chunks=(chunk, chunk), dtype=data.dtype, codec=codec)
        work = f"{words} {edge}x{edge} float64, chunks {chunk}x{chunk}, {codec_words(codec)}"
        session = session.without("zarrs", "zarr-python") if purpose == "write durably" else session
        candidates = writers(session, template, data, purpose=purpose, fresh=fresh)
        note = "tensorstore syncs, as it does by default; the others have no such mode" if "durably" in purpose else ""
        note = note or "tensorstore with file_io_sync false"
        return compete(session, name, work, candidates, bars, note=note)

    return Row(name, measure)


ROWS = (
    *(_write("write", codec, "write", DEFAULT_BARS, "write") for codec in CODECS),
    _write("write", "crc32c", "write", (), "write"),
    *(_write("first-write", codec, "first write of", (), "write", fresh=True) for codec in CODECS),
    *(_write("durable", codec, "write durably", DURABLE_BARS, "write durably") for codec in CODECS),
)
