"""What the figures were measured on: the class of the machine, never its name."""

from __future__ import annotations

import datetime
import os
import platform
import time
from pathlib import Path

from bench.peers import versions

__all__ = ["OtherLoad", "describe"]


def describe(folder: Path) -> dict[str, str]:
    """Processor, memory, file system of `folder`, system, versions and date, in words."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB",
        "files": f"{_filesystem(folder)}, warm page cache",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "versions": ", ".join(f"{package} {version}" for package, version in versions().items()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


class OtherLoad:
    """How busy other processes keep the machine, from construction to `cores`."""

    def __init__(self) -> None:
        self._start = _busy_seconds(), _own_seconds(), time.monotonic()

    def cores(self) -> float:
        """Processors busy with the work of others, on average since construction."""
        busy, own, start = self._start
        passed = max(time.monotonic() - start, 1e-9)
        return max(0.0, (_busy_seconds() - busy - _own_seconds() + own) / passed)


def _busy_seconds() -> float:
    """Seconds that all processors together have worked, or were taken away, since the start of the machine."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{platform.machine()} {line.split(':', 1)[1].strip()}"
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the file system that holds `folder`: the longest mount point above it."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]
