"""Experiments run: each one's ``--quick`` on the shared data, without touching its RESULT.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = sorted(Path(__file__).parents[1].glob("experiments/*/run.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.parent.name)
def test_it_runs(path: Path, shared_data: Path) -> None:
    result = path.parent / "RESULT.md"
    before = result.read_bytes()
    command = [sys.executable, str(path), "--data", str(shared_data), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert result.read_bytes() == before
