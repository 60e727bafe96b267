"""Names that would be misread are not used; nothing is pickled."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("models", "federation", "lab")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
BANNED = {"psi", "iv", "client"}
BANNED_MODULES = {*BANNED, "bucket", "utils", "helpers", "common", "misc"}
ALLOWED = {"client_app"}  # Flower's word for its entry point
PICKLES = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}


def identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or name.split(".")[-1]


def definitions(tree: ast.AST) -> Iterator[str]:
    """Names a file gives, not those it only uses of other libraries."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def bad_names(names: Iterator[str]) -> list[str]:
    return sorted({n for n in names if n.lower() in BANNED | {"bucket"} and n not in ALLOWED})


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_banned_name_is_given(path: Path) -> None:
    assert bad_names(definitions(parse(path))) == []
    assert path.stem not in BANNED_MODULES
    assert path.parent.name not in BANNED_MODULES


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_pickled(path: Path) -> None:
    for node in ast.walk(parse(path)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        assert not {m.split(".")[0] for m in modules} & PICKLES
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"read_pickle", "to_pickle"}


def test_the_check_finds_what_it_looks_for() -> None:
    tree = ast.parse("def f(psi): iv = 1\nclass Bucket: pass\nx.client = 2")
    assert bad_names(definitions(tree)) == ["Bucket", "iv", "psi"]
    assert {"client", "x"} <= set(identifiers(tree))
    assert len(SOURCES) > 40
