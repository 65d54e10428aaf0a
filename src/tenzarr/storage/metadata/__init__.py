"""Metadata documents, read strictly and written so that other implementations read them."""

from __future__ import annotations

from tenzarr.storage.metadata.documents import (
    read_array,
    read_group,
    read_node,
    with_attributes,
    write_array,
    write_group,
)
from tenzarr.storage.metadata.fields import Reader
from tenzarr.storage.metadata.groups import below
from tenzarr.storage.metadata.model import ArrayMetadata, ChunkKeys, CodecSpec, GroupMetadata
from tenzarr.storage.metadata.v3 import codecs_from_json, codecs_to_json

__all__ = [
    "ArrayMetadata",
    "ChunkKeys",
    "CodecSpec",
    "GroupMetadata",
    "Reader",
    "below",
    "codecs_from_json",
    "codecs_to_json",
    "read_array",
    "read_group",
    "read_node",
    "with_attributes",
    "write_array",
    "write_group",
]
