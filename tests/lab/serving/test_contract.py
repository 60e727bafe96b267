"""The bank's service against its own OpenAPI, by schemathesis: corners and requests at random, wrong ones too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from federation.ciphers.suite import secret_cipher
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.guest import Arrangement, TrainingJob, train
from lab.serving.access.caller import RIGHTS
from lab.serving.access.guard import API_KEY, FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.decisions import decider
from lab.serving.server import running
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from tests.lab.serving.conftest import BANK, RULES, World
from tests.lab.serving.test_decided import POLICY

UNLIMITED = "".join(f"[{name}]\nper_second = 1e6\nburst = 1000000\n" for name in ("limits", "wrong_credentials"))


@pytest.fixture(scope="module")
def model_alone(world: World) -> JointModel:
    """A model without hosts, to which every applicant is known: so answers with a score are met too."""
    job = TrainingJob(
        model_id="alone-7",
        party=BANK,
        table=world.table,
        label=(np.nan_to_num(world.table.columns["Amount"]) > 0).astype(float),
        hosts=(),
        parameters=BoostingParameters(n_estimators=4, max_depth=3, max_bin=12, min_child_samples=5),
        new_cipher=lambda n: secret_cipher("plain", 2048, RULES, n),
        arrange=lambda rows: Arrangement(rows, len(rows), 0),
    )
    return run(train(job), MemoryWire({})).fitted.model


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", ["joint", "alone"])
def test_schemathesis_finds_nothing(world: World, model_alone: JointModel, tmp_path: Path, which: str, n: int) -> None:
    folder = tmp_path / "access"
    folder.mkdir(mode=0o700)
    (folder / "access.toml").write_text(UNLIMITED)
    _, key = KeyBook(folder).add("tester", RIGHTS, 1.0)
    model = world.model if which == "joint" else model_alone
    with running(world.app(FolderGuard(folder), model=model, decider=decider(POLICY))) as url:
        finds_nothing(url, key, n, tmp_path)


def finds_nothing(url: str, key: str, n: int, folder: Path) -> None:
    """schemathesis, with ``n`` examples of each operation."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", f"{url}/openapi.json", "--header", f"{API_KEY.title()}: {key}"),
        *("--checks", "all", "--max-examples", str(n), "--seed", "35", "--generation-deterministic"),
        *("--suppress-health-check", "all", "--no-color"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 selected" not in done.stdout
    assert " passed" in done.stdout
