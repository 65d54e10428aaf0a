"""The house checks find what they are for, and the project passes them."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tools import constraints, house

ROOT = Path(__file__).parents[1]


def module(path: str, source: str) -> house.Module:
    return house.Module(Path(path), source, ast.parse(source))


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("src/tenzarr/a.py", "__all__ = []\n" + "x = 1\n" * 600, "has 601 lines"),
        ("src/tenzarr/a.py", "__all__ = []\ndef f():\n    from tenzarr.errors import X\n", "inside a function"),
        ("src/tenzarr/a.py", "__all__ = []\nasync def f():\n    import tenzarr\n", "inside a function"),
        ("src/tenzarr/a.py", "x = 1\n", "has no `__all__`"),
        ("src/tenzarr/b/__init__.py", '"""B."""\n__all__ = []\nx = len("")\n', "docstring, re-exports"),
        ("src/tenzarr/b/__init__.py", "__all__ = []\n", "has no docstring"),
        (
            "tests/test_a.py",
            "def test_a():\n    with pytest.raises(ValueError):\n        assert f()\n",
            "without match=",
        ),
        ("tests/test_a.py", "def test_a():\n    f()\n", "test_a asserts nothing"),
    ],
)
def test_each_rule_is_enforced(path: str, source: str, problem: str) -> None:
    findings = house.check([module(path, source)])
    assert len(findings) == 1
    assert problem in str(findings[0])


def test_cycles_are_found_and_shown() -> None:
    a = module("src/tenzarr/a.py", "from tenzarr.b import x\n__all__ = []\n")
    b = module("src/tenzarr/b.py", "from tenzarr import c\n__all__ = []\n")
    c = module("src/tenzarr/c.py", "from tenzarr.a import y\n__all__ = []\n")
    assert house.check([a, b]) == []
    found = house.check([a, b, c])
    assert len(found) == 1
    assert all(name in found[0].problem for name in ("import cycle", "tenzarr.a", "tenzarr.b", "tenzarr.c"))


def test_a_package_and_its_own_module_can_form_a_cycle() -> None:
    package = module("src/tenzarr/p/__init__.py", '"""P."""\nfrom tenzarr.p.m import x\n__all__ = []\n')
    inner = module("src/tenzarr/p/m.py", "from tenzarr.p import y\n__all__ = []\n")
    assert "import cycle" in house.check([package, inner])[0].problem


def test_what_is_allowed_is_not_reported() -> None:
    fine = [
        module("src/tenzarr/a.py", "import numpy\n__all__ = ['f']\ndef f():\n    import zarr\n"),
        module("tests/test_a.py", "def test_a():\n    with pytest.raises(ValueError, match='x'):\n        f()\n"),
        module("tests/test_b.py", "def test_b():\n    assert_equal(1, 1)\n"),
    ]
    assert house.check(fine) == []


def test_the_project_keeps_its_rules() -> None:
    assert [str(finding) for finding in house.check(house.read_modules(ROOT))] == []


def test_constraints_follow_the_interpreter() -> None:
    lines = constraints.merge(
        {
            "3.11": {"zarr": "3.1.6", "rich": "15", "old": "1"},
            "3.12": {"zarr": "3.4.2", "rich": "15", "new": "1"},
            "3.13": {"zarr": "3.5.0", "rich": "15", "new": "1"},
        }
    )
    assert lines == [
        "new==1",
        "old==1",
        "rich==15",
        'zarr==3.1.6; python_version < "3.12"',
        'zarr==3.4.2; python_version >= "3.12" and python_version < "3.13"',
        'zarr==3.5.0; python_version >= "3.13"',
    ]


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)}
    names = {re.split(r"[\[<>=]", requirement)[0].replace("-", "_").lower() for requirement in wanted} - {"tenzarr"}
    pinned = {
        re.split("==", line)[0].replace("-", "_").lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert names - pinned == set()
    assert "numpy" in names
