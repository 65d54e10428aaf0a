"""``import tenzarr`` loads NumPy and little else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp",
    "click",
    "dask",
    "fsspec",
    "google_crc32c",
    "jax",
    "jaxlib",
    "ml_dtypes",
    "numcodecs",
    "pandas",
    "rich",
    "scipy",
    "sklearn",
    "tensorstore",
    "torch",
    "tqdm",
    "typer",
    "xarray",
    "zarr",
    "zarrs",
}


def loaded_by(statements: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after `statements`."""
    program = f"{statements}\nimport sys, json\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_loads_nothing_heavy() -> None:
    assert loaded_by("import tenzarr") & HEAVY == set()


@pytest.mark.parametrize("package", ["tqdm", "zarr"])
def test_the_check_would_notice(package: str) -> None:
    assert package in loaded_by(f"import tenzarr, {package}") & HEAVY


def test_import_loads_few_modules_beyond_numpy() -> None:
    own = loaded_by("import tenzarr") - loaded_by("import numpy")
    foreign = {name for name in own if name not in sys.stdlib_module_names and name != "tenzarr"}
    # crc32c is one C function; everything else waits until it is needed.
    assert foreign == {"crc32c"}
