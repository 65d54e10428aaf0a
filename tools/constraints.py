"""Merge ``pip freeze`` outputs of several Python versions into one constraints file.

    python -m tools.constraints 3.11=freeze-3.11.txt 3.12=freeze-3.12.txt 3.13=freeze-3.13.txt > constraints.txt

A package whose version differs between interpreters gets one line for each, with an environment marker.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["merge", "read_freeze"]

OWN = {"tenzarr", "pip", "setuptools", "wheel"}
HEADER = """\
# The versions that the tests run with. Written by `make constraints`; edit pyproject.toml instead.
"""


def read_freeze(text: str) -> dict[str, str]:
    r"""Versions by package, without the project itself and what comes with a virtual environment.

    >>> read_freeze("numpy==2.4.6\ntorch==2.13.0+cpu\ntenzarr @ file:///x\npip==24.2\n")
    {'numpy': '2.4.6', 'torch': '2.13.0'}
    """
    pins: dict[str, str] = {}
    for line in text.splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==([^+\s;]+)", line)
        if found and found[1].lower() not in OWN:
            pins[found[1]] = found[2]
    return pins


def merge(pins: dict[str, dict[str, str]]) -> list[str]:
    """Lines of a constraints file, from versions by package by Python version.

    >>> merge({"3.11": {"zarr": "3.1.6", "rich": "15.0"}, "3.12": {"zarr": "3.4.2", "rich": "15.0"}})
    ['rich==15.0', 'zarr==3.1.6; python_version < "3.12"', 'zarr==3.4.2; python_version >= "3.12"']
    """
    lines: list[str] = []
    for package in sorted({p for by_python in pins.values() for p in by_python}, key=str.lower):
        runs: list[tuple[str, str]] = []
        for python in sorted(pins, key=lambda v: tuple(map(int, v.split(".")))):
            version = pins[python].get(package)
            if version is not None and (not runs or runs[-1][1] != version):
                runs.append((python, version))
        for i, (python, version) in enumerate(runs):
            bounds = [f'python_version >= "{python}"'] if i else []
            bounds += [f'python_version < "{runs[i + 1][0]}"'] if i + 1 < len(runs) else []
            lines.append(f"{package}=={version}" + (f"; {' and '.join(bounds)}" if bounds else ""))
    return lines


def main(arguments: list[str]) -> None:
    pins = {python: read_freeze(Path(path).read_text()) for python, path in (a.split("=", 1) for a in arguments)}
    sys.stdout.write(HEADER + "\n".join(merge(pins)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
