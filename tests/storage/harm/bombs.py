"""Chunks that decode to far more than their array declares, and frames that lie about their size.

Run as a program with a directory: every case is read in a forked child, which reports how much its
peak memory grew. One line of JSON for each case.
"""

from __future__ import annotations

import bz2
import functools
import json
import lzma
import os
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c
from numcodecs import blosc, lz4, zstd

import tenzarr as tz

MEBIBYTE = 2**20
LIMIT_BYTES = 16 * MEBIBYTE
FILE_BYTES = 16 * 1024
BYTES: dict[str, Any] = {"name": "bytes"}
CRC: dict[str, Any] = {"name": "crc32c"}
ZSTD: dict[str, Any] = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
GZIP: dict[str, Any] = {"name": "gzip", "configuration": {"level": 1}}
BLOSC: dict[str, Any] = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 1, "blocksize": 0},
}
BLOSC_CNAMES = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
RAW_FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**24}]
HUGE_FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**32 - 1}]


def other(name: str, **configuration: Any) -> dict[str, Any]:
    """A codec of numcodecs."""
    return {"name": f"numcodecs.{name}", "configuration": configuration}


@dataclass(frozen=True)
class Case:
    """One hostile chunk."""

    name: str
    codecs: tuple[dict[str, Any], ...]
    """After ``bytes``."""
    chunk_bytes: int
    """What the array declares."""
    content: bytes
    """Of the chunk file."""
    inner: bool = False
    """Whether it lies in a shard, as the only inner chunk but one."""
    fine: bytes | None = None
    """What it may decode to; None where only an error will do."""


# zstd, written by hand (RFC 8878)


def frame(
    blocks: bytes, declared: int | None, *, single: bool = True, window: int = 0x38, width: int = 8, dictionary: int = 0
) -> bytes:
    """A frame around `blocks`, with or without a content size."""
    code = {1: 0, 2: 1, 4: 2, 8: 3}[width]
    descriptor = dictionary
    header = b""
    if declared is None:
        return b"\x28\xb5\x2f\xfd" + bytes([descriptor, window]) + blocks
    descriptor |= code << 6 | (0x20 if single else 0)
    header = b"" if single else bytes([window])
    size = (declared - (256 if width == 2 else 0)).to_bytes(width, "little")
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + header + size + blocks


def runs(total: int, step: int = 128 * 1024) -> bytes:
    """Blocks that each repeat one byte, 4 bytes of input for `step` of output."""
    blocks = bytearray()
    while True:
        size = min(total, step)
        total -= size
        blocks += (size << 3 | 1 << 1 | (0 if total else 1)).to_bytes(3, "little") + b"x"
        if not total:
            return bytes(blocks)


def raw_blocks(*parts: bytes) -> bytes:
    """Blocks that hold their content as it is."""
    blocks = b""
    for number, part in enumerate(parts):
        blocks += (len(part) << 3 | (number == len(parts) - 1)).to_bytes(3, "little") + part
    return blocks


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0skip"


def zstd_contents(size: int) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Name, content and what may come out, for a chunk of `size` bytes."""
    good = b"x" * size
    fit = (FILE_BYTES - 20) // 4 * 128 * 1024
    small = min(960, size + 900) // 4 * 128 * 1024
    for total, name in ((fit, "16 kB"), (small, "what a tiny chunk may have")):
        yield f"{name}, honest", frame(runs(total), total), None
        yield f"{name}, no size", frame(runs(total), None), None
        yield f"{name}, no size, large window", frame(runs(total), None, window=0x88), None
        yield f"{name}, no size, largest window", frame(runs(total), None, window=0xF8), None
        for claim in (0, size - 1, size, size + 1, 2**31, 2**40, 2**63, 2**64 - 1):
            yield f"{name}, says {claim}", frame(runs(total), claim), None
            yield f"{name}, says {claim}, windowed", frame(runs(total), claim, single=False), None
    for claim in (0, size - 1, size + 1, 2**31, 2**40, 2**63, 2**64 - 1):
        yield f"good, says {claim}", frame(runs(size), claim), None
    one = frame(runs(size), size)
    bomb = frame(runs(small), None)
    yield "good, then no size", one + bomb, None
    yield "no size, then good", bomb + one, None
    yield "good, then honest", one + frame(runs(small), small), None
    yield "good twice", one + one, None
    yield "sizes that overflow together", frame(runs(2), 2**63) + frame(runs(2), 2**63 + size), None
    yield "good", one, good
    yield "good, no size", frame(runs(size), None), good
    yield "good, behind what is skipped", SKIPPABLE + one, good
    yield "good, before what is skipped", one + SKIPPABLE, good
    yield "good, no size, before what is skipped", frame(runs(size), None) + SKIPPABLE, good
    yield "skips only", SKIPPABLE * 3, None
    yield "skips 4 GiB", b"\x50\x2a\x4d\x18\xff\xff\xff\xff", None
    half = size // 2
    yield "two halves", frame(runs(half), half) + frame(runs(size - half), size - half), good
    yield "two halves, one without a size", frame(runs(half), None) + frame(runs(size - half), size - half), good
    yield "two halves without sizes", frame(runs(half), None) + frame(runs(size - half), None), good
    yield "empty, then good", frame(raw_blocks(b""), 0) + one, good
    yield "dictionary", frame(runs(size), size, dictionary=1)[:5] + b"\1" + one[5:], None
    yield "no block", frame(b"", size), None
    yield "block of 2 MiB", frame((2**21 - 1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"x", None), None
    yield "reserved block", frame((4 << 3 | 3 << 1 | 1).to_bytes(3, "little") + b"x", size), None
    yield "magic only", b"\x28\xb5\x2f\xfd", None
    yield "nothing", b"", None


# The others


@functools.cache
def zeros(kind: str, total: int) -> bytes:
    """`total` zeros, compressed piece by piece."""
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "zlib": lambda: zlib.compressobj(9),
        "bz2": lambda: bz2.BZ2Compressor(9),
        "xz": lambda: lzma.LZMACompressor(lzma.FORMAT_XZ, preset=1),
        "alone": lambda: lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=1),
        "raw": lambda: lzma.LZMACompressor(lzma.FORMAT_RAW, filters=RAW_FILTERS),
    }
    maker = makers[kind]()
    piece = bytes(MEBIBYTE)
    parts = [maker.compress(piece) for _ in range(total // MEBIBYTE)]
    parts += [maker.compress(bytes(total % MEBIBYTE)), maker.flush()]
    return b"".join(parts)


STREAMS: dict[str, tuple[dict[str, Any], int]] = {
    "gzip": (GZIP, 16),
    "zlib": (other("zlib", level=1), 16),
    "bz2": (other("bz2", level=1), 20),
    "xz": (other("lzma", format=1), 64),
    "alone": (other("lzma", format=2), 64),
    "raw": (other("lzma", format=3, filters=RAW_FILTERS), 64),
}
"""Codec, and how many MiB of zeros fit in 16 kB or less."""


def stream_cases(kind: str) -> Iterator[Case]:
    codec, mebibytes = STREAMS[kind]
    for size in (4, 65536):
        good = zeros(kind, size)
        large = zeros(kind, mebibytes * MEBIBYTE)
        yield Case(f"{kind}, {size}, large", (codec,), size, large)
        yield Case(f"{kind}, {size}, large, twice", (codec,), size, large * 2)
        yield Case(f"{kind}, {size}, one byte more", (codec,), size, zeros(kind, size + 1))
        yield Case(f"{kind}, {size}, one byte less", (codec,), size, zeros(kind, size - 1))
        yield Case(f"{kind}, {size}, good", (codec,), size, good, fine=bytes(size))
        yield Case(f"{kind}, {size}, good, then large", (codec,), size, good + zeros(kind, MEBIBYTE))
        yield Case(f"{kind}, {size}, cut", (codec,), size, good[:-1])
        yield Case(f"{kind}, {size}, empty", (codec,), size, b"")
        yield Case(f"{kind}, {size}, in a shard", (codec,), size, zeros(kind, MEBIBYTE), inner=True)
    empty = zeros(kind, 0)
    yield Case(f"{kind}, empty streams", (codec,), 2**20, empty * (2**20 // max(1, len(empty)) - 8))
    if kind == "gzip":
        for claim in (0, 3, 5, 2**31, 2**32 - 1):
            lie = good[:-4] + claim.to_bytes(4, "little")
            yield Case(f"gzip, trailer says {claim}", (codec,), 65536, lie)
    if kind == "alone":
        for claim in (0, 65535, 65537, 2**31, 2**40, 2**63):
            lie = good[:5] + claim.to_bytes(8, "little") + good[13:]
            yield Case(f"alone, header says {claim}", (codec,), 65536, lie)
        for dictionary in (2**27, 2**31, 2**32 - 1):
            lie = good[:1] + dictionary.to_bytes(4, "little") + good[5:]
            yield Case(f"alone, dictionary of {dictionary}", (codec,), 65536, lie, fine=bytes(65536))
    if kind == "raw":
        wide = other("lzma", format=3, filters=HUGE_FILTERS)
        yield Case("raw, dictionary of 4 GiB", (wide,), 65536, large)


def lz4_cases() -> Iterator[Case]:
    codec = other("lz4", acceleration=1)
    for size in (4, 65536):
        good = lz4.compress(bytes(size))
        big = lz4.compress(bytes(4 * MEBIBYTE))
        for claim in (0, 1, size - 1, size + 1, 2**31 - 1, 2**31, 2**32 - 1):
            for name, body in (("good", good), ("large", big)):
                content = claim.to_bytes(4, "little") + body[4:]
                yield Case(f"lz4, {size}, {name}, says {claim}", (codec,), size, content)
        yield Case(f"lz4, {size}, large, says the size", (codec,), size, size.to_bytes(4, "little") + big[4:])
        yield Case(f"lz4, {size}, honest", (codec,), size, big)
        yield Case(f"lz4, {size}, good", (codec,), size, good, fine=bytes(size))
        yield Case(f"lz4, {size}, cut", (codec,), size, good[:-1])
        yield Case(f"lz4, {size}, header only", (codec,), size, good[:4])
        yield Case(f"lz4, {size}, in a shard", (codec,), size, big, inner=True)


def blosc_cases() -> Iterator[Case]:
    for cname in BLOSC_CNAMES:
        codec = {"name": "blosc", "configuration": {**BLOSC["configuration"], "cname": cname}}
        large = blosc.compress(bytes(32 * MEBIBYTE), cname.encode(), 9, 0)
        size = 65536
        good = blosc.compress(bytes(size), cname.encode(), 9, 0)
        yield Case(f"blosc {cname}, good", (codec,), size, good, fine=bytes(size))
        yield Case(f"blosc {cname}, honest", (codec,), size, large)
        yield Case(f"blosc {cname}, honest, tiny chunk", (codec,), 4, large[:1000])
        yield Case(f"blosc {cname}, in a shard", (codec,), size, large[:60000], inner=True)
        for at, field in ((4, "content"), (8, "block"), (12, "frame")):
            for claim in (0, 3, size - 1, size + 1, 2**31 - 1, 2**31, 2**32 - 1):
                content = good[:at] + claim.to_bytes(4, "little") + good[at + 4 :]
                yield Case(f"blosc {cname}, {field} says {claim}", (codec,), size, content)
            for claim in (size, 2**31 - 1):
                content = large[:at] + claim.to_bytes(4, "little") + large[at + 4 : 60000]
                yield Case(f"blosc {cname}, large, {field} says {claim}", (codec,), size, content)
        yield Case(f"blosc {cname}, version", (codec,), size, b"\x07" + good[1:], fine=bytes(size))
        for flags in range(0, 256, 51):
            lie = good[:2] + bytes([flags]) + good[3:]
            # Flags change how elements are shuffled, and zeros are zeros however that goes.
            yield Case(f"blosc {cname}, flags {flags}", (codec,), size, lie, fine=bytes(size))
        whole = size.to_bytes(4, "little") + size.to_bytes(4, "little")
        lie = large[:4] + whole + large[12:1000]
        lie = lie[:12] + len(lie).to_bytes(4, "little") + lie[16:]
        yield Case(f"blosc {cname}, large, says the size", (codec,), size, lie)


def chained_cases() -> Iterator[Case]:
    """Compressed twice: what lies between has no declared size, only a bound."""
    for name, size in (("tiny", 4), ("small", 65536)):
        inside = {
            "zstd": zstd.compress(bytes(64 * MEBIBYTE), 3),
            "gzip": zeros("gzip", 16 * MEBIBYTE),
            "bz2": zeros("bz2", 20 * MEBIBYTE),
        }
        codecs = {"zstd": ZSTD, "gzip": GZIP, "bz2": other("bz2", level=1)}
        for first, content in inside.items():
            chain = codecs[first]
            yield Case(f"{first}+zstd, {name}", (chain, ZSTD), size, zstd.compress(content, 3))
            yield Case(f"{first}+zstd without size, {name}", (chain, ZSTD), size, frame(runs(4_000_000_00), None))
            few = frame(runs(30 * 128 * 1024), None)
            yield Case(f"{first}+little zstd without size, {name}", (chain, ZSTD), size, few)
            yield Case(f"{first}+gzip, {name}", (chain, GZIP), size, zlib.compress(content, 9, 31))
            yield Case(f"{first}+large gzip, {name}", (chain, GZIP), size, zeros("gzip", 16 * MEBIBYTE))
            yield Case(f"{first}+bz2, {name}", (chain, codecs["bz2"]), size, zeros("bz2", 20 * MEBIBYTE))
            yield Case(f"{first}+blosc, {name}", (chain, BLOSC), size, blosc.compress(content, b"lz4", 5, 0))
            big = blosc.compress(bytes(32 * MEBIBYTE), b"zstd", 9, 0)
            yield Case(f"{first}+large blosc, {name}", (chain, BLOSC), size, big)
            yield Case(f"{first}+lz4, {name}", (chain, other("lz4")), size, lz4.compress(bytes(4 * MEBIBYTE)))
            yield Case(f"{first}+xz, {name}", (chain, other("lzma", format=1)), size, zeros("xz", 64 * MEBIBYTE))
    plain = bytes(65536)
    yield Case("zstd+zstd, good", (ZSTD, ZSTD), 65536, zstd.compress(zstd.compress(plain, 3), 3), fine=plain)
    stored = zstd.compress(plain, 3)
    unsized = frame(raw_blocks(stored), None)
    yield Case("zstd+zstd without size, good", (ZSTD, ZSTD), 65536, unsized, fine=plain)
    yield Case("zstd+zstd without size, skipping", (ZSTD, ZSTD), 65536, SKIPPABLE + unsized + SKIPPABLE, fine=plain)
    parts = frame(raw_blocks(stored[:9]), None) + frame(raw_blocks(stored[9:]), None)
    yield Case("zstd+two zstd without size, good", (ZSTD, ZSTD), 65536, parts, fine=plain)
    yield Case("zstd+zstd without size, cut", (ZSTD, ZSTD), 65536, unsized[:-1])
    yield Case("zstd+zstd without size, cut between", (ZSTD, ZSTD), 65536, parts[: -len(stored)])


def zstd_cases() -> Iterator[Case]:
    for size in (4, 65536, 2**20):
        for name, content, fine in zstd_contents(size):
            yield Case(f"zstd, {size}, {name}", (ZSTD,), size, content, fine=fine)
            if len(content) < 1000 and size == 65536:
                yield Case(f"zstd, {size}, {name}, in a shard", (ZSTD,), size, content, inner=True, fine=fine)


def cases(family: str) -> Iterator[Case]:
    """Every case of a family, each also with a correct checksum behind it."""
    makers: dict[str, Callable[[], Iterator[Case]]] = {
        "zstd": zstd_cases,
        "lz4": lz4_cases,
        "blosc": blosc_cases,
        "chained": chained_cases,
        **{kind: functools.partial(stream_cases, kind) for kind in STREAMS},
    }
    for case in makers[family]():
        yield case
        if case.chunk_bytes != 65536:
            continue
        content = case.content + int(crc32c(case.content)).to_bytes(4, "little")
        name = f"{case.name}, checksum"
        yield Case(name, (*case.codecs, CRC), case.chunk_bytes, content, case.inner, case.fine)


FAMILIES = ("zstd", "lz4", "blosc", "chained", *STREAMS)


# Reading them


def document(shape: list[int], chunks: list[int], codecs: list[Any], dtype: str = "uint8") -> bytes:
    """A ``zarr.json``."""
    return json.dumps(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": codecs,
        }
    ).encode()


def index_of(entries: list[tuple[int, int]]) -> bytes:
    """A shard index with its checksum."""
    table = np.array(entries, np.uint64).astype("<u8").tobytes()
    return table + int(crc32c(table)).to_bytes(4, "little")


def lay_out(case: Case, root: Path) -> None:
    """The array of a case, on disk."""
    codecs = [BYTES, *case.codecs]
    shape, content = [case.chunk_bytes], case.content
    if case.inner:
        index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, CRC]
        sharding = {"chunk_shape": shape, "codecs": codecs, "index_codecs": index_codecs, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        shape = [2 * case.chunk_bytes]
        content += index_of([(0, len(content)), (2**64 - 1, 2**64 - 1)])
    (root / "c").mkdir(parents=True, exist_ok=True)
    (root / "zarr.json").write_bytes(document(shape, shape, codecs))
    (root / "c" / "0").write_bytes(content)


def peak_bytes() -> int:
    """The largest resident size of this process so far."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measured(work: Callable[[], str]) -> dict[str, Any]:
    """Run `work` in a child: what it said, and how much its peak memory grew."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before, began = peak_bytes(), time.monotonic()
            said = work()
            grown = peak_bytes() - before
            report = {"said": said, "grown": grown, "seconds": time.monotonic() - began}
        except BaseException:
            report: dict[str, Any] = {"said": "failed: " + traceback.format_exc(), "grown": 0, "seconds": 0}
        os.write(writer, json.dumps(report)[:60_000].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else {"said": f"died: {status}", "grown": 0, "seconds": 0}


def read_all(root: Path, fine: bytes | None) -> str:
    """Every kind of read, each of which has to raise, or give `fine`."""
    array = tz.open_array(root)
    length = array.chunks[0]
    reads: list[Callable[[], Any]] = [
        lambda: array[:length],
        lambda: array[0],
        lambda: array.read(slice(0, length), verify=False),
        lambda: array.oindex[[0]],
        lambda: array.vindex[[0]],
        lambda: array.read(slice(0, length), out=np.empty(length, np.uint8)),
    ]
    outcomes: set[str] = set()
    for read in reads:
        try:
            got = np.asarray(read()).reshape(-1)
        except tz.TenzarrError as error:
            outcomes.add("raised" if type(error).__name__ in ("ChecksumError", "CorruptChunkError") else repr(error))
            continue
        if fine is not None and got.tobytes() in (fine, fine[:1]):
            outcomes.add("fine")
        else:
            outcomes.add(f"gave {got.nbytes} bytes")
    return " and ".join(sorted(outcomes))


def zipped(root: Path) -> Iterator[dict[str, Any]]:
    """Chunks of 4 bytes that a zip file holds deflated, 64 MiB each."""
    index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, CRC]
    for place in ("start", "end"):
        values = {"chunk_shape": [2], "codecs": [BYTES], "index_codecs": index_codecs, "index_location": place}
        sharding = {"name": "sharding_indexed", "configuration": values}
        for codecs in ([BYTES], [BYTES, CRC], [BYTES, ZSTD], [BYTES, GZIP], [sharding], [sharding, ZSTD]):
            path = root / "array.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("zarr.json", document([4], [4], codecs))
                with file.open("c/0", "w") as value:
                    for _ in range(64):
                        value.write(bytes(MEBIBYTE))
            name = f"zip, {place}, {[codec['name'] for codec in codecs]}"
            yield measured(lambda path=path: read_all(path, None)) | {
                "name": name,
                "allowed": "raised",
                "size": path.stat().st_size,
            }


def main(folder: str, family: str) -> None:
    """Read every case of `family`."""
    root = Path(folder)
    if family == "zip":
        for report in zipped(root):
            sys.stdout.write(json.dumps(report) + "\n")
        return
    warm = Case("warm", (ZSTD, GZIP, BLOSC, other("lz4"), other("bz2", level=1), other("lzma", format=1)), 4, b"")
    array = tz.create(root / "warm", shape=64, chunks=64, dtype="uint8", codecs=[BYTES, *warm.codecs])
    array[...] = 7
    for _ in range(2):
        read_all(root / "warm", bytes([7]) * 64)
    for number, case in enumerate(cases(family)):
        place = root / str(number)
        lay_out(case, place)
        report = measured(lambda case=case, place=place: read_all(place, case.fine))
        allowed = "raised" if case.fine is None else "fine or raised"
        report |= {"name": case.name, "allowed": allowed, "size": len(case.content)}
        sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
