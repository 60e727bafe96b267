"""The demonstration end to end, as a newcomer starts it, with few trees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


@pytest.mark.slow
def test_the_demo_runs_under_flower_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab.cli", "demo", "--directory", str(tmp_path), "--trees", "6", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "demo" / "result.json").read_text(encoding="utf-8"))
    assert result["transport"] == "flower"
    assert result["key_bits"] == 2048
    assert set(result["auc"]) == set(result["ks"]) == {"bank_only", "joint", "pooled"}
    assert result["auc"]["joint"]["value"] > result["auc"]["bank_only"]["value"] + 0.1
    assert abs(result["auc"]["joint"]["value"] - result["auc"]["pooled"]["value"]) < 0.02
    assert result["score"]["parties_used"] == ["bank", "host:social", "host:registry"]
    assert 0 < result["score"]["default_probability"] < 1
    assert result["mlflow"]["model_uri"] == "models:/lianmo-demo@champion"
    for name in ("report.html", "curves.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 10_000
    assert survivors(tmp_path) == []


def survivors(directory: Path) -> list[psutil.Process]:
    """Processes that Flower or Ray started for a run below ``directory`` and that are still at work."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLWR_HOME", "").startswith(str(directory)):
                found.append(process)
        except psutil.Error:
            continue
    return found
