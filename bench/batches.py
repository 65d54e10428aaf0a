"""Rows of an array of images: batches in order, and batches drawn at random."""

from __future__ import annotations

from bench.data import ROW_LENGTH, digits, draws
from bench.entrants import draw_readers, piece_readers
from bench.harness import Bar, Result, Row, Session, compete
from bench.layouts import Codec, codec_words, ratio_note, store

__all__ = ["ROWS"]

BATCH = 32
"""Rows in a batch, and in a chunk."""
DRAWS = 16
"""Random batches in one timed call."""

SUCCESSIVE_BARS: dict[Codec, tuple[Bar, ...]] = {"none": (Bar("tensorstore", 5),), "zstd": (Bar("tensorstore", 1.2),)}
RANDOM_BARS: dict[Codec, tuple[Bar, ...]] = {
    "none": (Bar("tensorstore", 2), Bar("zarr-python", 10)),
    "zstd": (Bar("tensorstore", 0.95), Bar("zarr-python", 10)),
}


def _successive(codec: Codec) -> Row:
    name = f"batches-{codec}"

    def measure(session: Session) -> Result:
        data = digits(session.scale.images)
        path = store(session.folder / "array", data, chunks=(BATCH, ROW_LENGTH), codec=codec)
        count = len(data) // BATCH
        selections = [slice(start, start + BATCH) for start in range(0, count * BATCH, BATCH)]
        work = f"each of {count} successive batches of {BATCH} rows, {len(data)}x{ROW_LENGTH} float32, "
        work += f"chunks {BATCH}x{ROW_LENGTH}, {codec_words(codec)}"
        candidates = piece_readers(session, path, data, selections)
        note = ratio_note(path, data.nbytes)
        return compete(session, name, work, candidates, SUCCESSIVE_BARS[codec], note=note, per=count)

    return Row(name, measure)


def _random(codec: Codec) -> Row:
    name = f"rows-{codec}"

    def measure(session: Session) -> Result:
        data = digits(session.scale.images)
        path = store(session.folder / "array", data, chunks=(BATCH, ROW_LENGTH), codec=codec)
        work = f"{BATCH} random rows (oindex), {len(data)}x{ROW_LENGTH} float32, "
        work += f"chunks {BATCH}x{ROW_LENGTH}, {codec_words(codec)}"
        sampled = list(draws(DRAWS, BATCH, len(data)))
        candidates = draw_readers(session, path, data, sampled)
        note = ratio_note(path, data.nbytes) + "; zarrs hands this selection back to zarr-python"
        return compete(session, name, work, candidates, RANDOM_BARS[codec], note=note, per=DRAWS)

    return Row(name, measure)


ROWS = (*map(_successive, SUCCESSIVE_BARS), *map(_random, RANDOM_BARS))
