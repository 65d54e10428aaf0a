"""What the pages say is so."""

from __future__ import annotations

import builtins
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import tenzarr as tz
from tenzarr import errors
from tenzarr.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    copied = tz.open_array("v2.zarr")
    assert (copied.info.zarr_format, copied.chunks) == (2, (100, 72, 144))
    assert np.array_equal(copied[0:32], tz.open_array("obs.zarr")[0:32])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_error_is_on_its_page() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "docs/errors.md").read_text(), flags=re.MULTILINE))
    assert set(rows) == set(errors.__all__) - {"TenzarrError"}
    for name, words in rows.items():
        mro = getattr(errors, name).__mro__
        builtin = next(c for c in mro if c.__module__ == "builtins" and c is not object)
        assert f"`{builtin.__name__}`" in words
        assert hasattr(builtins, builtin.__name__)


def test_the_readme_shows_every_command_that_is_there() -> None:
    commands = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    shown = set(re.findall(r"^tenzarr (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert shown <= commands
    assert commands - shown == {"demo"}


def test_the_makefile_has_what_the_pages_name() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([\w-]+)`", page.read_text())}
    assert named
    assert named <= targets


def test_the_architecture_names_what_is_there() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    storage = ROOT / "src/tenzarr/storage"
    inside, read = page.split("## Inside storage")[1].split("## One read, followed")
    named = re.findall(r"`(\w+(?:\.py|/))`", inside)
    assert len(named) > 20
    assert [name for name in named if not (storage / name).exists()] == []
    followed = re.findall(r"`(\w+/\w+\.py)`", read)
    assert len(followed) > 3
    assert [name for name in followed if not ((storage / name).exists() or (storage.parent / name).exists())] == []


def test_the_public_names_are_these() -> None:
    assert sorted(tz.__all__) == [
        "Array",
        "Group",
        "Statistics",
        "TenzarrError",
        "__version__",
        "create",
        "dtypes",
        "load",
        "open",
        "open_array",
        "open_group",
        "save",
        "statistics",
    ]


@pytest.mark.parametrize("name", [name for name in tz.__all__ if not name.startswith("_")])
def test_everything_public_is_documented(name: str) -> None:
    thing = getattr(tz, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        assert ">>>" in str(thing.__doc__)
        assert "Traceback" in str(thing.__doc__)
    if inspect.isclass(thing):
        # A dataclass's fields are described in the source, one line under each.
        fields = set(getattr(thing, "__dataclass_fields__", ()))
        members = {attribute for attribute in vars(thing) if not attribute.startswith("_")} - fields
        assert [attribute for attribute in members if not inspect.getdoc(getattr(thing, attribute))] == []
