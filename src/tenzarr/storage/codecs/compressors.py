"""The compressors: zstd, blosc, lz4, gzip, zlib, bz2 and lzma, each decoding into a bounded buffer.

Encoding is numcodecs' (whose streams are the reference for v2). Decoding goes
to the libraries below it with the declared size in hand: see `frames`.
"""

from __future__ import annotations

import bz2
import functools
import importlib
import lzma
import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from tenzarr.storage.codecs.errors import ChecksumMismatch, UndecodableError
from tenzarr.storage.codecs.frames import blosc_sizes, lz4_size, zstd_content, zstd_first_size
from tenzarr.storage.codecs.stage import Bytes, Stage, expect_size, place

__all__ = ["BloscStage", "Bz2Stage", "DeflateStage", "LZ4Stage", "LzmaStage", "ZstdStage"]

UNSIZED_ZSTD_BYTES = 16 * 2**20
"""A zstd stream in the middle of a chain that declares no size may decode to this much."""

REUSED_CONTEXT_BYTES = 512 * 1024
"""Up to this chunk size a decoder that is kept saves more than the copy out of its buffer costs.

numcodecs makes and frees a decoder for every chunk, a quarter of the time that 100 kB take.
"""

LZMA_MEMORY_BYTES = 256 * 2**20
"""More than any preset asks of a decoder; a frame that wants more is refused."""


@functools.cache
def library(name: str) -> Any:
    """A module of numcodecs, imported when an array first needs it; the compiled ones have no type stubs."""
    module: Any = importlib.import_module(f"numcodecs.{name}")
    if name == "blosc":
        # Blosc's own threads are slower for chunks than ours, and take a lock across the process.
        module.use_threads = False
    return module


def as_bytes(data: Any) -> Bytes:
    """Any buffer as a one-dimensional array of bytes."""
    return np.frombuffer(data, np.uint8)


@functools.cache
def zstandard() -> Any:
    """The zstandard package."""
    return importlib.import_module("zstandard")


class ZstdStage(Stage):
    """Zstandard, RFC 8878."""

    name = "zstd"

    def __init__(self, level: int, checksum: bool) -> None:
        self.level = level
        self.checksum = checksum
        self.checks = "zstd checksum" if checksum else None
        self.library = library("zstd")
        self.contexts = threading.local()

    def encoded_bound(self, nbytes: int) -> int:
        # A frame of raw blocks is the worst case; other writers may cut smaller blocks than libzstd.
        return nbytes + nbytes // 64 + 1024

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.library.compress(data, self.level, self.checksum))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        declared = zstd_first_size(data.data)
        if not exact or (declared is not None and declared != size):
            return self._decode_unusual(data, size, exact, out)
        if declared is not None and size <= REUSED_CONTEXT_BYTES:
            return place(self._run_small(data), out)
        if out is None:
            out = np.empty(size, np.uint8)
        self._run(data, out)
        return out

    def _decode_unusual(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        """Several frames, or a size that is only bounded: look at every header first."""
        content = zstd_content(data.data)
        if content.size_bytes is None:
            if content.bound_bytes > max(size + 2**17, UNSIZED_ZSTD_BYTES):
                raise UndecodableError(f"it may decode to {content.bound_bytes} bytes, {size} are declared")
            decoded = self._run(data, None)
            expect_size(decoded.nbytes, size, exact)
            return place(decoded, out)
        expect_size(content.size_bytes, size, exact)
        if content.bound_bytes < content.size_bytes:
            raise UndecodableError(f"it declares {content.size_bytes} bytes and holds {content.bound_bytes} at most")
        decoded = out if out is not None else np.empty(content.size_bytes, np.uint8)
        self._run(data, decoded)
        return decoded

    def _run_small(self, data: Bytes) -> Bytes:
        """Decode one frame whose declared size was checked; its memory is that size."""
        held = self.contexts
        context = getattr(held, "decompressor", None)
        if context is None:
            context = held.decompressor = zstandard().ZstdDecompressor()
        try:
            return as_bytes(context.decompress(data, allow_extra_data=False))
        except zstandard().ZstdError as error:
            kind = ChecksumMismatch if "checksum" in str(error) else UndecodableError
            raise kind(str(error)) from None

    def _run(self, data: Bytes, out: Bytes | None) -> Bytes:
        try:
            return as_bytes(self.library.decompress(data, out))
        except (RuntimeError, ValueError) as error:
            kind = ChecksumMismatch if "checksum" in str(error) else UndecodableError
            raise kind(str(error)) from None


class BloscStage(Stage):
    """Blosc 1 with any of its inner compressors."""

    name = "blosc"

    def __init__(self, cname: str, clevel: int, shuffle: int, blocksize: int, typesize: int) -> None:
        self.cname = cname
        self.clevel = clevel
        self.shuffle = (2 if typesize == 1 else 1) if shuffle == -1 else shuffle
        self.blocksize = blocksize
        self.typesize = typesize
        self.library = library("blosc")

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + 16

    def encode(self, data: Bytes) -> Bytes:
        if data.nbytes > 2**31 - 17:
            raise UndecodableError(f"Blosc takes chunks below 2 GiB, this one has {data.nbytes} bytes")
        return as_bytes(
            self.library.compress(data, self.cname.encode(), self.clevel, self.shuffle, self.blocksize, self.typesize)
        )

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        content, frame = blosc_sizes(data.data)
        if frame != data.nbytes:
            raise UndecodableError(f"the Blosc frame declares {frame} bytes and has {data.nbytes}")
        expect_size(content, size, exact)
        if out is None:
            out = np.empty(content, np.uint8)
        if content:
            try:
                self.library.decompress(data, out)
            except (RuntimeError, ValueError) as error:
                raise UndecodableError(str(error)) from None
        return out


class LZ4Stage(Stage):
    """An LZ4 block behind numcodecs' four bytes of size."""

    name = "lz4"

    def __init__(self, acceleration: int) -> None:
        self.acceleration = acceleration
        self.library = library("lz4")

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + nbytes // 255 + 20

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.library.compress(data, self.acceleration))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        content = lz4_size(data.data)
        expect_size(content, size, exact)
        if out is None:
            out = np.empty(content, np.uint8)
        try:
            self.library.decompress(data, out)
        except (RuntimeError, ValueError) as error:
            raise UndecodableError(str(error)) from None
        return out


class _Decompressor(Protocol):
    """What zlib, bz2 and lzma decoders have in common."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: Any, max_length: int, /) -> bytes: ...


def _stream(
    data: Bytes, size: int, exact: bool, out: Bytes | None, start: Callable[[], _Decompressor], several: bool
) -> Bytes:
    """Decode streams one after another, asking for one byte more than may come.

    `several` says whether the format allows more than one stream in a row.
    """
    parts: list[bytes] = []
    left = size + 1
    rest: Any = data
    while True:
        decoder = start()
        part = decoder.decompress(rest, left)
        parts.append(part)
        left -= len(part)
        if left == 0:
            raise UndecodableError(f"it decodes to more than the {size} bytes that the array declares")
        if not decoder.eof:
            raise UndecodableError("the compressed stream is truncated")
        rest = decoder.unused_data
        if not rest:
            break
        if not several:
            raise UndecodableError(f"{len(rest)} bytes follow the compressed stream")
    decoded = as_bytes(parts[0] if len(parts) == 1 else b"".join(parts))
    expect_size(decoded.nbytes, size, exact)
    return place(decoded, out)


class DeflateStage(Stage):
    """gzip (RFC 1952) and zlib (RFC 1950)."""

    name = "gzip"

    def __init__(self, container: str, level: int) -> None:
        self.container = container
        self.checks = f"{container} checksum"
        self.codec: Any = library("gzip").GZip(level) if container == "gzip" else library("zlib").Zlib(level)
        self.wbits = 31 if container == "gzip" else 15

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + nbytes // 100 + 1024

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.codec.encode(data))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        def start() -> _Decompressor:
            return cast(_Decompressor, zlib.decompressobj(self.wbits))

        try:
            return _stream(data, size, exact, out, start, self.container == "gzip")
        except zlib.error as error:
            kind = ChecksumMismatch if "check" in str(error) else UndecodableError
            raise kind(str(error)) from None


class Bz2Stage(Stage):
    """bzip2."""

    name = "bz2"
    checks = "bz2 checksum"

    def __init__(self, level: int) -> None:
        self.codec: Any = library("bz2").BZ2(level)

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + nbytes // 100 + 1024

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.codec.encode(data))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        try:
            return _stream(data, size, exact, out, _start_bz2, several=True)
        except (OSError, ValueError, EOFError) as error:
            raise UndecodableError(str(error)) from None


def _start_bz2() -> _Decompressor:
    return cast(_Decompressor, bz2.BZ2Decompressor())


class LzmaStage(Stage):
    """xz, LZMA alone, or raw LZMA with the filters of the metadata."""

    name = "lzma"
    formats: ClassVar[Mapping[int, str]] = {
        lzma.FORMAT_XZ: "xz",
        lzma.FORMAT_ALONE: "lzma alone",
        lzma.FORMAT_RAW: "raw",
    }

    def __init__(self, format: int, check: int, preset: int | None, filters: Any) -> None:
        self.codec: Any = library("lzma").LZMA(format, check, preset, filters)
        self.format = format
        self.filters = filters
        self.checks = "xz checksum" if format == lzma.FORMAT_XZ and check != lzma.CHECK_NONE else None

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + nbytes // 50 + 4096

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.codec.encode(data))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        try:
            return _stream(data, size, exact, out, self._start, several=self.format == lzma.FORMAT_XZ)
        except (lzma.LZMAError, ValueError, EOFError) as error:
            kind = ChecksumMismatch if "orrupt" in str(error) else UndecodableError
            raise kind(str(error)) from None

    def _start(self) -> _Decompressor:
        if self.format == lzma.FORMAT_RAW:
            return cast(_Decompressor, lzma.LZMADecompressor(self.format, None, self.filters))
        return cast(_Decompressor, lzma.LZMADecompressor(self.format, LZMA_MEMORY_BYTES))
