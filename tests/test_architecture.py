"""Imports flow one way, files stay small, functions short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "kompot"
LEVELS = {
    "_version": 0,
    "_typing": 0,
    "_threads": 0,
    "_checks": 0,
    "_file_names": 0,
    "_paths": 0,
    "_labels": 0,
    "_callables": 0,
    "_memory": 0,
    "_interrupts": 0,
    "_files": 0,
    "errors": 0,
    "settings": 0,
    "_names": 0,
    "gp": 1,
    "stats": 2,
    "differential": 3,
    "datasets": 3,
    "anndata": 4,
    "demo": 6,
    "__main__": 7,
    "__init__": 7,
}
FILES = sorted(ROOT.rglob("*.py"))


def part_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_parts(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kompot":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            yield from names
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("kompot."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_flow_one_way(path):
    part = part_of(path)
    level = LEVELS[part]
    for other in imported_parts(ast.parse(path.read_text())):
        assert other == part or LEVELS[other] < level or level == LEVELS[other] == 0, f"{part} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno + 1 <= 60, node.name


def test_only_warnings_and_demo_print_or_log_configuration():
    for path in FILES:
        if part_of(path) == "demo" or path.name == "show.py":
            continue
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls), path


def test_no_foreign_engine():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("mellon", "jax", "numba", "torch") for name in names), path
