"""``tenzarr verify``: every chunk of an array, or of every array in a group."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tenzarr.core.progress import Progress
from tenzarr.core.text import format_count, printable
from tenzarr.storage import Array, Group
from tenzarr.storage.verify import ChunkReport, verify

__all__ = ["Findings", "check"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one array."""

    location: str
    checks: str
    """What verifies its data, or ``"unverified"``."""
    sound: int
    """Chunks, or shards, that read back."""
    damaged: list[ChunkReport]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found below a path."""

    arrays: list[Checked] = field(default_factory=list[Checked])
    removed: list[str] | None = None
    """What dead writers had left; None where nobody asked for its removal."""

    @property
    def damaged(self) -> bool:
        """Whether any chunk is."""
        return any(array.damaged for array in self.arrays)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "damaged": self.damaged,
            "arrays": [
                {
                    "location": array.location,
                    "checks": array.checks,
                    "sound": array.sound,
                    "damaged": [dataclasses.asdict(damage) for damage in array.damaged],
                }
                for array in self.arrays
            ],
            "removed": self.removed,
        }

    def in_words(self) -> Iterator[str]:
        """Line by line: each damaged chunk, then each array, then what was removed."""
        for array in self.arrays:
            for damage in array.damaged:
                inner = "" if damage.inner is None else f", inner chunk {damage.inner}"
                yield f"damaged  {printable(damage.key)}  chunk {damage.chunk}{inner}: {damage.problem}"
        for array in self.arrays:
            count = format_count(array.sound, "sound chunk")
            state = f"{len(array.damaged):,} damaged, {count}" if array.damaged else count
            checked = "nothing checks its data, so only decoding was tested" if _is_blind(array) else array.checks
            yield f"{printable(array.location)}: {state} ({checked})"
        for name in self.removed or ():
            yield f"removed  {printable(name)}"
        if self.removed == []:
            yield "dead writers left nothing behind"


def _is_blind(array: Checked) -> bool:
    return array.checks == "unverified"


def check(node: Array | Group, progress: Progress, *, clean: bool) -> Findings:
    """Read every stored chunk at or below `node`; with `clean`, remove what dead writers left first."""
    removed = node.source.clean(node.path, remove=True) if clean else None
    arrays = [node] if isinstance(node, Array) else [found for _, found in node.walk() if isinstance(found, Array)]
    return Findings([_check_array(array, progress) for array in arrays], removed)


def _check_array(array: Array, progress: Progress) -> Checked:
    sound = 0
    damaged: list[ChunkReport] = []
    for report in verify(array, progress=progress):
        if report.problem is None:
            sound += 1
        else:
            damaged.append(report)
    return Checked(array.location, array.info.checks, sound, damaged)
