"""Whole reads: the small array into fresh memory, the large one into a buffer that is there already."""

from __future__ import annotations

from bench.data import Field
from bench.entrants import into_readers, whole_readers
from bench.harness import Bar, Result, Row, Session, compete
from bench.layouts import Codec, codec_words, ratio_note, store

__all__ = ["ROWS"]

SMALL_BARS: dict[Codec, tuple[Bar, ...]] = {
    "none": (Bar("tensorstore", 1.5), Bar("zarr-python", 10)),
    "crc32c": (Bar("tensorstore", 1.2),),
    "zstd": (Bar("tensorstore", 0.95), Bar("zarr-python", 4)),
    "blosc": (Bar("tensorstore", 1.2), Bar("zarr-python", 8)),
}

LARGE_BARS: dict[Codec, tuple[Bar, ...]] = {
    "none": (Bar("tensorstore", 3),),
    "zstd": (Bar("tensorstore", 1.15),),
    "blosc": (Bar("tensorstore", 1.4),),
}


def _small(codec: Codec) -> Row:
    name = f"read-{codec}"

    def measure(session: Session) -> Result:
        edge = session.scale.small
        data = Field((edge, edge)).whole()
        path = store(session.folder / "array", data, chunks=(edge // 10, edge // 10), codec=codec)
        work = f"read {edge}x{edge} float64, chunks {edge // 10}x{edge // 10}, {codec_words(codec)}"
        candidates = whole_readers(session, path, data)
        return compete(session, name, work, candidates, SMALL_BARS[codec], note=ratio_note(path, data.nbytes))

    return Row(name, measure)


def _large(codec: Codec) -> Row:
    name = f"large-{codec}"

    def measure(session: Session) -> Result:
        edge = session.scale.large
        data = Field((edge, edge)).whole()
        path = store(session.folder / "array", data, chunks=(edge // 8, edge // 8), codec=codec)
        work = f"read {edge}x{edge} float64, chunks {edge // 8}x{edge // 8}, into a buffer, {codec_words(codec)}"
        candidates = into_readers(session, path, data)
        return compete(session, name, work, candidates, LARGE_BARS[codec], note=ratio_note(path, data.nbytes))

    return Row(name, measure)


ROWS = (*map(_small, SMALL_BARS), *map(_large, LARGE_BARS))
