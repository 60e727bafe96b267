"""Rooms point one way: the contracts of import-linter, run as a test."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_contracts_of_the_rooms_are_kept() -> None:
    """In a process of its own: import-linter sets up logging for itself."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
    assert ": 0 kept" not in done.stdout


@pytest.mark.parametrize(
    ("module", "only"),
    [
        ("phe", "federation/ciphers/paillier.py"),
        ("ctypes", "federation/ciphers/suites/sm2.py"),
        ("lightgbm", "models/baselines.py"),
        ("opendp", "models/mechanisms.py"),
    ],
)
def test_a_library_has_one_import_site(module: str, only: str) -> None:
    sites = set()
    for path in (p for room in ("models", "federation", "lab") for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if module in {name.split(".")[0] for name in names}:
                sites.add(str(path.relative_to(ROOT)))
    assert sites == {only}
