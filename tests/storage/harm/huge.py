"""Documents that declare more than an address space holds.

Run as a program with a directory: everything that can be asked of each array is asked in a forked
child, which reports how much its peak memory grew. One line of JSON for each question.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tenzarr as tz
from tests.storage.harm.bombs import BLOSC, BYTES, CRC, GZIP, ZSTD, document, frame, measured, other, runs

INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, CRC]


def sharding(inner: list[int], codecs: list[Any]) -> dict[str, Any]:
    """A sharding codec with its index at the end."""
    values = {"chunk_shape": inner, "codecs": codecs, "index_codecs": INDEX_CODECS, "index_location": "end"}
    return {"name": "sharding_indexed", "configuration": values}


def v2(shape: list[int], compressor: Any, filters: Any = None, order: str = "C") -> bytes:
    """A ``.zarray`` of one chunk."""
    return json.dumps(
        {
            "zarr_format": 2,
            "shape": shape,
            "chunks": shape,
            "dtype": "|u1",
            "compressor": compressor,
            "filters": filters,
            "fill_value": 0,
            "order": order,
        }
    ).encode()


def documents() -> dict[str, bytes]:
    """By name."""
    chains: dict[str, list[Any]] = {
        "raw": [BYTES],
        "checked": [BYTES, CRC],
        "zstd": [BYTES, ZSTD],
        "zstd checked": [BYTES, ZSTD, CRC],
        "gzip": [BYTES, GZIP],
        "blosc": [BYTES, BLOSC],
        "lz4": [BYTES, other("lz4")],
        "xz": [BYTES, other("lzma", format=1)],
        "bz2": [BYTES, other("bz2", level=1)],
        "transposed": [{"name": "transpose", "configuration": {"order": [0]}}, BYTES, ZSTD],
    }
    found = {f"{name}, 2**50": document([2**50], [2**50], codecs) for name, codecs in chains.items()}
    for power in (53, 62):
        found[f"zstd, 2**{power}"] = document([2**power], [2**power], chains["zstd checked"])
        found[f"raw, 2**{power}"] = document([2**power], [2**power], chains["checked"])
    found["many chunks"] = document([2**62], [1], chains["zstd"])
    found["many rows"] = document([2**12, 2**50], [1, 2**50], chains["checked"])
    found["two axes"] = document([2**31, 2**31], [2**31, 2**31], chains["raw"])
    found["overflows"] = document([2**63 - 1] * 3, [2**63 - 1] * 3, chains["raw"])
    found["overflows at once"] = document([2**64] * 2, [2**64] * 2, chains["raw"])
    tiny = sharding([1], chains["zstd"])
    found["a shard of one"] = document([2**50], [2**50], [sharding([2**50], chains["zstd"])])
    found["a shard of many"] = document([2**50], [2**50], [tiny])
    found["a shard of too many"] = document([2**31] * 2, [2**31] * 2, [sharding([1, 1], chains["raw"])])
    found["a shard of 2**64"] = document([2**32] * 2, [2**32] * 2, [sharding([1, 1], chains["raw"])])
    found["shards in shards"] = document([2**50], [2**50], [sharding([2], [tiny])])
    found["a shard in zstd"] = document([2**50], [2**50], [sharding([2], chains["raw"]), ZSTD])
    found["v2 zlib"] = v2([2**50], {"id": "zlib", "level": 1})
    found["v2 Fortran"] = v2([2**25] * 2, None, None, "F")
    found["v2 delta"] = v2([2**50], {"id": "zlib", "level": 1}, [{"id": "delta", "dtype": "|u1"}])
    return found


def corner(array: tz.Array) -> tuple[int, ...]:
    return (0,) * array.ndim


def three(array: tz.Array) -> tuple[slice, ...]:
    return (slice(0, 3),) * array.ndim


def describe(array: tz.Array) -> str:
    """Everything that says how the array is stored."""
    facts = (array.nbytes, array.size, array.chunks, array.shards, array.blocks.shape, array.blocks.size)
    return f"{array!r}{array._repr_html_()}{array.info}{facts}{array.fingerprint}{array.nbytes_stored}{array.attrs!r}"


def put(array: tz.Array) -> None:
    array[corner(array)] = 1


def cut(array: tz.Array) -> None:
    array.resize((5,) * array.ndim)


QUESTIONS: dict[str, Callable[[tz.Array], Any]] = {
    "describe": describe,
    "first": lambda a: a[corner(a)],
    "last": lambda a: a[(-1,) * a.ndim],
    "some": lambda a: a[three(a)],
    "backwards": lambda a: a[(slice(2, None, -1),) * a.ndim],
    "oindex": lambda a: a.oindex[([0, 2],) * a.ndim],
    "vindex": lambda a: a.vindex[([0, 2],) * a.ndim],
    "alias": lambda a: a.read(corner(a)),
    "out": lambda a: a.read(three(a), out=np.ones((3,) * a.ndim, np.uint8)),
    "write": put,
    "resize": cut,
    "all": lambda a: a[...],
}


def ask(place: Path, question: str) -> str:
    """``"fine"``, or the kind of error."""
    try:
        answer = QUESTIONS[question](tz.open_array(place))
    except tz.TenzarrError as error:
        return type(error).__name__
    return "fine" if answer is None or isinstance(answer, str) or not np.any(answer) else f"gave {answer!r}"


def main(folder: str) -> None:
    """Ask everything of every document, without and with a chunk of 14 kB that would decode to much."""
    root = Path(folder)
    bomb = frame(runs(3500 * 128 * 1024), None)[:14_000]
    place = root / "array"
    tz.create(place, shape=4, dtype="uint8")[...] = 1
    ask(place, "describe")
    for name, text in documents().items():
        for with_chunk in (False, True):
            for question in QUESTIONS:
                shutil.rmtree(place)
                place.mkdir()
                old = text.startswith(b'{"zarr_format": 2')
                (place / (".zarray" if old else "zarr.json")).write_bytes(text)
                if with_chunk:
                    zeros = ["0"] * len(json.loads(text)["shape"])
                    chunk = place / (".".join(zeros) if old else "/".join(["c", *zeros]))
                    chunk.parent.mkdir(parents=True, exist_ok=True)
                    chunk.write_bytes(bomb)
                report = measured(lambda question=question: signal.alarm(20) * "" + ask(place, question))
                sys.stdout.write(json.dumps(report | {"name": name, "chunk": with_chunk, "question": question}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
