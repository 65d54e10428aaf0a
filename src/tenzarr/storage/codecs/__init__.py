"""Codecs: what turns the bytes of a chunk into an array, and back.

`compile_chain` turns the chain that a document declares into a `LeafCodec` or
a `ShardCodec`, which know every size before a byte is decoded.
"""

from __future__ import annotations

from tenzarr.storage.codecs.chain import ChunkCodec, compile_chain
from tenzarr.storage.codecs.configuration import UnknownCodecError
from tenzarr.storage.codecs.errors import ChecksumMismatch, UndecodableError
from tenzarr.storage.codecs.leaf import LeafCodec
from tenzarr.storage.codecs.shard import MISSING_INNER, ShardCodec, ShardIndex

__all__ = [
    "MISSING_INNER",
    "ChecksumMismatch",
    "ChunkCodec",
    "LeafCodec",
    "ShardCodec",
    "ShardIndex",
    "UndecodableError",
    "UnknownCodecError",
    "compile_chain",
]
