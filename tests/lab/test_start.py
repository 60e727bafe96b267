"""What is heavy is loaded where it is used: a command answers at once, a party loads what its part needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Each some tenths of a CPU second, or seconds.
HEAVY = frozenset(("flwr", "lightgbm", "matplotlib", "mlflow", "ray", "scipy.optimize", "scipy.stats", "sklearn"))
STARTS = {
    # ``lianmo --help``, and everything up to the command itself.
    "lab.cli": HEAVY | {"numpy", "pandas", "pyarrow", "scipy", "sqlalchemy"},
    "lab.hub.service": HEAVY | {"pandas", "pyarrow", "sqlalchemy"},
    "federation.transports.relay": HEAVY | {"numpy", "pandas", "sqlalchemy"},
    # A host of a run, before a bank or a coordinator loads what only its part needs.
    "lab.node": HEAVY | {"alembic", "duckdb", "sqlalchemy"},
    # What follows every run: figures and pages are drawn by what is loaded for them.
    "lab.finish": HEAVY | {"alembic", "duckdb", "sqlalchemy"},
    "lab.serving.command": HEAVY | {"duckdb"},
}


@pytest.mark.parametrize("module", STARTS)
def test_it_starts_without_what_it_does_not_need(module: str) -> None:
    program = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = STARTS[module] & set(json.loads(done.stdout))
    assert not found
