"""The rules of the house that no ready-made linter checks.

    python -m tools.house

One line for each place that breaks a rule, and exit code 1; otherwise one line that says what was looked at.
"""

from __future__ import annotations

import ast
import graphlib
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finding", "Module", "check", "main", "read_modules"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "tenzarr"
FOLDERS = ("src", "tests", "bench", "tools")
MOST_LINES = {"src": 600, "tests": 800, "bench": 600, "tools": 600}
LONG_FUNCTION = 60
"""Lines of body; the house wants few above it."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file."""

    path: Path
    """Relative to the root of the repository."""
    source: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        """The top folder: src, tests, bench or tools."""
        return self.path.parts[0]

    @property
    def name(self) -> str:
        """The dotted name of a module of the package."""
        parts = list(self.path.with_suffix("").parts[1:])
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule."""

    path: Path
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}"


def read_modules(root: Path) -> list[Module]:
    """Every Python file of the project."""
    paths = sorted(p for folder in FOLDERS for p in (root / folder).rglob("*.py"))
    return [Module(p.relative_to(root), text := p.read_text("utf-8"), ast.parse(text, str(p))) for p in paths]


def too_long(module: Module) -> Iterator[Finding]:
    """One concept a file, so no file is long."""
    lines, most = module.source.count("\n"), MOST_LINES[module.folder]
    if lines > most:
        yield Finding(module.path, 1, f"has {lines} lines, the most is {most}: does it hold two concepts?")


def own_import_inside_a_function(module: Module) -> Iterator[Finding]:
    """Imports of our own package stand at the top, where layers and cycles are seen."""
    if module.folder != "src":
        return
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if any(name.split(".")[0] == PACKAGE for name, _ in _imports(node)):
                    yield Finding(module.path, getattr(node, "lineno", 1), f"imports {PACKAGE} inside a function")


def no_all(module: Module) -> Iterator[Finding]:
    """Every module of the package says what it offers; ruff keeps the list sorted."""
    if module.folder != "src" or module.path.name == "__main__.py":
        return
    for node in module.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith("__all__"):
            return
    yield Finding(module.path, 1, "has no `__all__`")


def code_in_init(module: Module) -> Iterator[Finding]:
    """An ``__init__.py`` is a docstring, re-exports and ``__all__``."""
    if module.folder != "src" or module.path.name != "__init__.py":
        return
    if ast.get_docstring(module.tree) is None:
        yield Finding(module.path, 1, "has no docstring")
    for node in module.tree.body[1:]:
        named = isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith("__")
        if not (named or isinstance(node, ast.Import | ast.ImportFrom)):
            yield Finding(module.path, node.lineno, "an __init__.py holds a docstring, re-exports and `__all__` only")


def raises_without_match(module: Module) -> Iterator[Finding]:
    """A test of an error says which message it expects."""
    for node in ast.walk(module.tree):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in ("pytest.raises", "pytest.warns") and not any(k.arg in ("match", "check") for k in node.keywords):
            yield Finding(module.path, node.lineno, f"{called} without match=")


def asserts_nothing(module: Module) -> Iterator[Finding]:
    """Every test can fail: it asserts, expects an error, or calls a helper named ``assert_...`` or ``check...``."""
    if module.folder != "tests":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not _can_fail(node):
            yield Finding(module.path, node.lineno, f"{node.name} asserts nothing")


def _can_fail(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.split(".")[-1]
            if called in ("pytest.raises", "pytest.fail", "pytest.warns") or last.startswith(
                ("assert", "check", "run_state")
            ):
                return True
    return False


def cycles(modules: list[Module]) -> Iterator[Finding]:
    """No module imports itself by way of others; a package counts by its ``__init__.py``."""
    own = {m.name: m for m in modules if m.folder == "src"}
    graph: dict[str, set[str]] = {}
    for name, module in own.items():
        wanted = {t for node in module.tree.body for t in _targets(node, own)}
        graph[name] = wanted - {name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        chain: list[str] = error.args[1]
        yield Finding(own[chain[0]].path, 1, f"import cycle: {' <- '.join(chain)}")


def _targets(node: ast.AST, own: dict[str, Module]) -> Iterator[str]:
    for name, attributes in _imports(node):
        submodules = [f"{name}.{a}" for a in attributes if f"{name}.{a}" in own]
        # `from package import module` needs the module; what else is named comes from the package itself.
        if name in own and len(submodules) < max(1, len(attributes)):
            yield name
        yield from submodules


def _imports(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, []) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module, [alias.name for alias in node.names]


RULES: tuple[Callable[[Module], Iterator[Finding]], ...] = (
    too_long,
    own_import_inside_a_function,
    no_all,
    code_in_init,
    raises_without_match,
    asserts_nothing,
)


def check(modules: list[Module]) -> list[Finding]:
    """Every place that breaks a rule."""
    return [f for module in modules for rule in RULES for f in rule(module)] + list(cycles(modules))


def summary(modules: list[Module]) -> str:
    bodies = [
        node.body[-1].end_lineno - _first_statement(node).lineno + 1
        for module in modules
        if module.folder == "src"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.body[-1].end_lineno is not None
    ]
    long = sum(length > LONG_FUNCTION for length in bodies)
    median = statistics.median(bodies) if bodies else 0
    return (
        f"house: {len(modules)} files in order; {len(bodies)} functions in src, "
        f"median body {median:g} lines, {long} above {LONG_FUNCTION}"
    )


def _first_statement(function: ast.FunctionDef) -> ast.stmt:
    has_docstring = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.body[1 if has_docstring else 0]


def main(root: Path = ROOT) -> int:
    modules = read_modules(root)
    findings = check(modules)
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"house: {len(findings)} findings" if findings else summary(modules))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
