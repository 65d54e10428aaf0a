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

from tenzarr.errors import UnsupportedError
from tenzarr.storage.codecs.errors import ChecksumMismatch, UndecodableError
from tenzarr.storage.codecs.frames import blosc_sizes, lz4_size, zstd_content, zstd_first_size, zstd_frame_length
from tenzarr.storage.codecs.stage import Bytes, Stage, expect_size, place

__all__ = ["BloscStage", "Bz2Stage", "DeflateStage", "LZ4Stage", "LzmaStage", "ZstdStage"]

MAXIMUM_BLOSC_BYTES = 2**31 - 17
MAXIMUM_LZ4_BYTES = 0x7E000000
"""What the formats can say."""

STREAM_PIECE_BYTES = 64 * 1024
"""How much of what follows a first stream is given to a decoder at once."""

BLOSC_SNAPPY = 2
"""What the upper three bits of a Blosc frame's flags say where Snappy compressed it."""

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


_kept = threading.local()
"""One Zstandard decoder for each thread, whatever number of arrays it reads."""


class ZstdStage(Stage):
    """Zstandard, RFC 8878."""

    name = "zstd"
    bytes_per_second = 1.5e9

    def __init__(self, level: int, checksum: bool) -> None:
        self.level = level
        self.checksum = checksum
        self.checks = "zstd checksum" if checksum else None
        self.library = library("zstd")
        # Now, by whoever opens the array: an import in a worker may meet a fork or an interrupted import.
        self.zstandard = zstandard()

    def encoded_bound(self, nbytes: int) -> int:
        # A frame of raw blocks is the worst case; other writers may cut smaller blocks than libzstd.
        return nbytes + nbytes // 64 + 1024

    def encode(self, data: Bytes) -> Bytes:
        return as_bytes(self.library.compress(data, self.level, self.checksum))

    def decode(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        declared = zstd_first_size(data.data)
        if not exact or (declared is not None and declared != size):
            return self._decode_unusual(data, size, exact, out)
        if out is None:
            out = np.empty(size, np.uint8)
        if declared is None or not self._run_frame(data, out):
            self._run(data, out)
        return out

    def _decode_unusual(self, data: Bytes, size: int, exact: bool, out: Bytes | None) -> Bytes:
        """Several frames, or a size that is only bounded: look at every header first."""
        content = zstd_content(data.data)
        if content.size_bytes is None:
            if not exact:
                return self._run_bounded(data, size)
            # The decoder stops where the buffer ends.
            return self._run(data, np.empty(size, np.uint8) if out is None else out)
        expect_size(content.size_bytes, size, exact)
        if content.bound_bytes < content.size_bytes:
            raise UndecodableError(f"it declares {content.size_bytes} bytes and holds {content.bound_bytes} at most")
        decoded = out if out is not None else np.empty(content.size_bytes, np.uint8)
        self._run(data, decoded)
        return decoded

    def _run_bounded(self, data: Bytes, size: int) -> Bytes:
        """Decode whole frames that do not say to how much, and stop behind `size` bytes."""
        try:
            with self.zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
                decoded = as_bytes(reader.read(size + 1))
        except self.zstandard.ZstdError as error:
            kind = ChecksumMismatch if "checksum" in str(error) else UndecodableError
            raise kind(str(error)) from None
        expect_size(decoded.nbytes, size, exact=False)
        return decoded

    def decode_stream(self, stored: Any, out: Bytes) -> None:
        """Decode what `stored`, an object with ``read``, gives, into `out`, of exactly the declared size."""
        reader = self.zstandard.ZstdDecompressor().stream_reader(stored, read_size=2**20, read_across_frames=True)
        filled = 0
        try:
            while filled < out.nbytes and (count := reader.readinto(out[filled : filled + 2**24])):
                filled += count
            surplus = len(reader.read(1))
        except self.zstandard.ZstdError as error:
            kind = ChecksumMismatch if "checksum" in str(error) else UndecodableError
            raise kind(str(error)) from None
        expect_size(filled + surplus, out.nbytes, exact=True)

    def _run_frame(self, data: Bytes, out: Bytes) -> bool:
        """Decode one frame, which declares the size of `out`, with the decoder that this thread keeps.

        To make and free one for every chunk, as numcodecs does, takes a quarter of the time that 100 kB do. False
        if `data` is anything but one frame that is whole and sound: the other decoder says best what is wrong.
        """
        context = getattr(_kept, "decompressor", None)
        if context is None:
            context = _kept.decompressor = self.zstandard.ZstdDecompressor()
        try:
            if zstd_frame_length(data.data) != data.nbytes:
                return False
            # The frame is there as a whole, and so is room for it: libzstd decodes it straight into `out`.
            return bool(context.stream_reader(data).readinto(out) == out.nbytes)
        except (self.zstandard.ZstdError, UndecodableError):
            return False

    def _run(self, data: Bytes, out: Bytes | None) -> Bytes:
        try:
            return as_bytes(self.library.decompress(data, out))
        except (RuntimeError, ValueError) as error:
            kind = ChecksumMismatch if "checksum" in str(error) else UndecodableError
            raise kind(str(error)) from None


class BloscStage(Stage):
    """Blosc 1 with any of its inner compressors."""

    name = "blosc"
    bytes_per_second = 7e9

    def __init__(self, cname: str, clevel: int, shuffle: int, blocksize: int, typesize: int) -> None:
        self.cname = cname
        self.clevel = clevel
        self.shuffle = (2 if typesize == 1 else 1) if shuffle == -1 else shuffle
        self.blocksize = blocksize
        self.typesize = typesize
        self.library = library("blosc")
        self.available: tuple[str, ...] = tuple(self.library.list_compressors())

    def _without(self, cname: str) -> str:
        return (
            f"`cname` must be one of {', '.join(self.available)}, which is what Blosc was built with here, "
            f"got {cname!r}; copy the array to another compressor where Blosc has it"
        )

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + 16

    def encode(self, data: Bytes) -> Bytes:
        if data.nbytes > MAXIMUM_BLOSC_BYTES:
            raise UnsupportedError(
                f"Blosc takes chunks of at most {MAXIMUM_BLOSC_BYTES} bytes, this one has {data.nbytes}; "
                "choose smaller chunks, or zstd"
            )
        if self.cname not in self.available:
            raise UnsupportedError(self._without(self.cname))
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
                if data[2] >> 5 == BLOSC_SNAPPY and "snappy" not in self.available:
                    raise UnsupportedError(self._without("snappy")) from None
                raise UndecodableError(str(error)) from None
        return out


class LZ4Stage(Stage):
    """An LZ4 block behind numcodecs' four bytes of size."""

    name = "lz4"
    bytes_per_second = 3e9

    def __init__(self, acceleration: int) -> None:
        self.acceleration = acceleration
        self.library = library("lz4")

    def encoded_bound(self, nbytes: int) -> int:
        return nbytes + nbytes // 255 + 20

    def encode(self, data: Bytes) -> Bytes:
        if data.nbytes > MAXIMUM_LZ4_BYTES:
            raise UnsupportedError(
                f"LZ4 takes chunks of at most {MAXIMUM_LZ4_BYTES} bytes, this one has {data.nbytes}; "
                "choose smaller chunks, or zstd"
            )
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
    position = 0
    # One stream takes everything at once. Behind it only pieces are given, because a decoder copies what it leaves.
    step = data.nbytes
    while not parts or position < data.nbytes:
        if position and not several:
            raise UndecodableError(f"{data.nbytes - position} bytes follow the compressed stream")
        decoder = start()
        while not decoder.eof:
            piece = data[position : position + step]
            if not piece.nbytes:
                raise UndecodableError("the compressed stream is truncated")
            part = decoder.decompress(piece, left)
            position += piece.nbytes - len(decoder.unused_data)
            left -= len(part)
            if left == 0:
                raise UndecodableError(f"it decodes to more than the {size} bytes that the array declares")
            if part or not parts:
                parts.append(part)
        step = STREAM_PIECE_BYTES
    decoded = as_bytes(parts[0] if len(parts) == 1 else b"".join(parts))
    expect_size(decoded.nbytes, size, exact)
    return place(decoded, out)


class DeflateStage(Stage):
    """gzip (RFC 1952) and zlib (RFC 1950)."""

    name = "gzip"
    bytes_per_second = 0.4e9

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
            kind = ChecksumMismatch if "data check" in str(error) else UndecodableError
            raise kind(str(error)) from None


class Bz2Stage(Stage):
    """bzip2."""

    name = "bz2"
    bytes_per_second = 0.05e9
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
    bytes_per_second = 0.1e9
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
