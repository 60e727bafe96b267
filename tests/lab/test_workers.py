"""The workers the operator chose do the work, it comes out the same, and what was started ends."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from numpy.typing import NDArray
from ray.util.joblib.ray_backend import RayBackend
from rich.console import Console

from federation.ciphers import oprf, workers
from federation.policy import HostPolicy
from lab import flower_programs, simulation
from lab.config import load_config
from lab.errors import ConfigError, ServiceError
from lab.runs import train_run
from lab.workers import party_workers
from models.bundle import load
from tests.builders import Problem, Session
from tests.conftest import Key
from tests.lab.conftest import Write


def whereabouts(numbers: NDArray[np.int64]) -> tuple[int, int]:
    """Where it ran, and that the array arrived."""
    return os.getpid(), int(numbers.sum())


def places(n_pieces: int = 4) -> set[int]:
    """Processes in which pieces with arrays over joblib's megabyte run."""
    found = workers.spread(whereabouts, [(np.full(200_000, k),) for k in range(n_pieces)])
    assert [total for _, total in found] == [200_000 * k for k in range(n_pieces)]
    return {pid for pid, _ in found}


ANEW = {"model_id", "salt", "host_digests", "host_features", "data_digest"}


def bare(data: Any) -> Any:
    """Without what is drawn anew for every model: its id, the salts, and hence the digests."""
    if isinstance(data, dict):
        return {
            k: bare(v)
            for k, v in data.items()
            if k not in ("model_id", "salt", "host_digests", "host_features", "data_digest")
        }
    return [bare(v) for v in data] if isinstance(data, list | tuple) else data


def set_workers(path: Path, kind: str, n_jobs: int) -> Path:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[run]", f'[run]\nworkers = "{kind}"\nn_jobs = {n_jobs}'), encoding="utf-8")
    return path


def plain_run(path: Path) -> list[Any]:
    """All parties' halves, and the bytes of the scores, of a run in memory."""
    config = load_config(path)
    train_run(config, Console(quiet=True))
    nodes = config.run.directory / "nodes"
    halves = ("bank/model.json", "host-tax/half.json", "host-court/half.json")
    return [(nodes / "bank" / "scores.csv").read_bytes(), *(bare(load(nodes / name)) for name in halves)]


def encrypted_session(problem: Problem, key: Key) -> list[Any]:
    """The same of a session under Paillier, with a short key."""
    session = Session(problem, key.secret, HostPolicy(min_rows_per_bin=1, cipher=key.rules))
    fitted = session.train().fitted
    halves = [host.half.to_json() for host in session.hosts.values() if host.half]
    return [fitted.margin.tobytes(), *map(bare, (fitted.model.to_json(), *halves))]


def test_loky_works_in_other_processes_and_ends_with_the_block() -> None:
    with party_workers("loky", 2):
        assert workers.lanes() == 2
        assert os.getpid() not in places()
    assert workers.lanes() == 1


@pytest.mark.parametrize(("kind", "n_jobs"), [("spark", 2), ("ray", 1), ("dask", 1)])
def test_unknown_workers_or_too_few_are_refused(write_config: Write, kind: str, n_jobs: int) -> None:
    with pytest.raises(ConfigError, match="workers"):
        load_config(set_workers(write_config(), kind, n_jobs))


def test_dask_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="pip install distributed") as raised, party_workers("dask", 2):
        pass
    assert "pip install distributed" in raised.value.chinese


def test_a_ray_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:1 .*RAY_ADDRESS"), party_workers("ray", 2):
        pass


@pytest.fixture(scope="module")
def ray_workers() -> Iterator[None]:
    """Ray of our own on this machine, two workers; gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with party_workers("ray", 2):
            yield
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_workers")
def test_ray_works_in_its_own_processes_and_keeps_them() -> None:
    assert workers.lanes() == 2
    first = places()
    assert len(first) == 2
    assert all(psutil.Process(pid).cmdline()[0].startswith("ray::PoolActor") for pid in first)
    assert places() == first


@pytest.mark.slow
@pytest.mark.usefixtures("ray_workers")
def test_an_error_comes_back_from_ray_and_work_goes_on() -> None:
    with pytest.raises(oprf.InvalidPoint):
        oprf.evaluate_all(oprf.generate_key(), [b"\xff" * 32] * 4)
    assert os.getpid() not in places()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_workers")
def test_ray_that_is_there_already_is_used_and_left_alone() -> None:
    with pytest.raises(ConfigError, match="2 cores"), party_workers("ray", 3):
        pass
    outside = places()
    with party_workers("ray", -1):
        assert workers.lanes() == 2
        assert places().isdisjoint(outside)
    assert places() == outside


@pytest.mark.slow
@pytest.mark.usefixtures("ray_workers")
def test_ray_trains_the_same_model(
    write_config: Write, problem: Problem, short_keys: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_submitted = 0
    submit = RayBackend.submit

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal n_submitted
        n_submitted += 1
        return submit(*arguments, **named)

    monkeypatch.setattr(RayBackend, "submit", counted)
    with party_workers("loky", 1):
        encrypted = encrypted_session(problem, short_keys)
        plain = plain_run(write_config())
    assert n_submitted == 0
    assert encrypted_session(problem, short_keys) == encrypted
    assert (n_encrypted := n_submitted) > 0
    assert plain_run(set_workers(write_config(), "ray", 2)) == plain
    assert n_submitted > n_encrypted


#: In place of ``lab.flower_node``, which every party has installed: says how many other processes worked for it.
STAND_IN = """
import os

from federation.ciphers.workers import spread
from federation.flower.client_app import make_client_app
from lab.workers import party_workers


def place(_):
    return os.getpid()


def run_session(party, settings):
    with party_workers("ray", 2):
        return {"n_elsewhere": len(set(spread(place, [(k,) for k in range(4)])) - {os.getpid()})}


app = make_client_app(run_session)
"""


@pytest.mark.slow
def test_inside_flowers_simulation_its_ray_does_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "shim"
    shutil.copytree(flower_programs.SHIM, shim)
    entry = shim / "lianmo_shim" / "client_app.py"
    entry.write_text(entry.read_text().replace("lab.flower_node", "stand_in_node"))
    (tmp_path / "stand_in_node.py").write_text(STAND_IN)
    monkeypatch.setattr(flower_programs, "SHIM", shim)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = tmp_path / "result.json"
    settings = {"jobs": str(tmp_path), "result": str(result)}
    assert simulation.run_flower(("bank", "host:tax"), settings, tmp_path / "flower", tmp_path / "log.txt") == 0
    assert load(result) == {party: {"n_elsewhere": 2, "code": ""} for party in ("bank", "host:tax")}
