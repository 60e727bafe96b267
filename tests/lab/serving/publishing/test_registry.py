"""An alias of the registry is followed; a registry that is down, and a host that refuses, leave the models in force."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from federation.errors import Refused
from lab import tracking
from lab.config import load_config
from lab.errors import ServiceError
from lab.finish import record_run, report_run
from lab.runs import train_run
from lab.serving.publishing.registry import RETRY_SECONDS, RegistryWatch
from lab.serving.publishing.shelf import FollowingShelf
from lab.serving.publishing.stored import loaded_from
from tests.lab.serving.publishing.conftest import TAX, Lab, write_run


class Registry:
    """Stands in for MLflow: versions are runs of the lab, an alias points to one."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.version, self.n_fetched = lab, "first", 0

    def version_behind(self, uri: str, name: str, alias: str) -> str:
        return self.version

    def fetch(self, uri: str, name: str, version: str, into: Path) -> Path:
        self.n_fetched += 1
        return self.lab.bank(version)


@pytest.fixture
def registry(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Registry:
    stand_in = Registry(lab)
    monkeypatch.setattr(tracking, "version_behind", stand_in.version_behind)
    monkeypatch.setattr(tracking, "fetch", stand_in.fetch)
    return stand_in


def test_a_version_is_put_in_force_when_the_alias_moves_and_only_then(lab: Lab, registry: Registry) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        watch = RegistryWatch(publisher, "sqlite://", "lianmo-loans")
        first = watch.look()
        assert first
        assert watch.look() is None
        registry.version = "second"
        second = watch.look()
        assert second
        assert second.previous == first.champion
        assert registry.n_fetched == 2
        # Another process that follows the same shelf sees what was done.
        assert RegistryWatch(publisher, "sqlite://", "lianmo-loans").look() is None


def test_a_version_that_was_rolled_back_stays_so_until_the_alias_moves(lab: Lab, registry: Registry) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        watch = RegistryWatch(publisher, "sqlite://", "lianmo-loans")
        watch.look()
        registry.version = "second"
        watch.look()
        back = publisher.rollback()
        assert watch.look() is None
        assert lab.shelf.in_force() == back
        registry.version = "third"
        assert watch.look()


def test_a_refused_version_is_offered_again_later_not_all_the_time(lab: Lab, registry: Registry) -> None:
    half = lab.host("second", TAX) / "half.json"
    kept = half.read_bytes()
    half.unlink()
    now = [0.0]
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        watch = RegistryWatch(publisher, "sqlite://", "lianmo-loans", clock=lambda: now[0])
        first = watch.look()
        registry.version = "second"
        with pytest.raises(Refused):
            watch.look()
        half.write_bytes(kept)
        assert watch.look() is None
        assert lab.shelf.in_force() == first
        now[0] = RETRY_SECONDS
        assert watch.look()


def test_a_registry_that_is_down_is_said_and_changes_nothing(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        state = publisher.publish(lab.bank("first"))
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            watch = RegistryWatch(publisher, f"http://127.0.0.1:{closed.getsockname()[1]}", "lianmo-loans")
            with pytest.raises(ServiceError) as caught:
                watch.look()
            assert caught.value.code == "registry_unreachable"
            assert watch.look_quietly() is None
        assert "registry_unreachable" in caplog.text
        assert lab.shelf.in_force() == state
    # and the service starts from its own disk
    assert (
        FollowingShelf(lab.shelf).held().champion.joint.model.digest()
        == loaded_from(lab.bank("first")).joint.model.digest()
    )


def test_from_training_through_mlflow_to_the_shelf(lab: Lab) -> None:
    import mlflow

    config = load_config(write_run(lab.folder, "fourth", 4))
    result: dict[str, Any] = train_run(config, Console(quiet=True), finish=(report_run, record_run))
    uri, name = result["mlflow"]["tracking_uri"], result["mlflow"]["model_name"]
    assert tracking.version_behind(uri, name, "champion") == result["mlflow"]["model_version"]
    assert tracking.version_behind(uri, name, "nobody") is None
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
        state = RegistryWatch(publisher, uri, name).look()
        assert state
        loaded = lab.shelf.load(state.champion)
        assert loaded.joint.model.digest() == result["digest"]
        assert loaded.bank_only
        assert loaded.bank_only.model.digest() == result["served"]["bank_only"]["digest"]
        assert (loaded.published.name, loaded.published.version) == (name, result["mlflow"]["model_version"])
        assert lab.scores(urls, loaded)

        mlflow.set_tracking_uri(uri)
        scorer = mlflow.pyfunc.load_model(result["mlflow"]["model_uri"])
        frame = pd.read_csv(lab.folder / "bank.csv", dtype={"id": str}).drop(columns="bad").head(8)
        joint = scorer.predict(frame, params={"hosts": json.dumps(urls)})
        alone = scorer.predict(frame)
        with pytest.raises(Exception, match="host:court"):  # some of the hosts are not all of them
            scorer.predict(frame, params={"hosts": json.dumps({TAX: urls[TAX]})})
    assert set(joint["mode"]) == {"joint"}
    assert set(alone["mode"]) == {"bank_only"}
    assert [a.default_probability for a in lab_alone(lab, loaded)] == alone["default_probability"].tolist()
    assert joint["default_probability"].tolist() != alone["default_probability"].tolist()
    assert alone["band"].notna().all()


def lab_alone(lab: Lab, loaded: Any) -> list[Any]:
    from lab.serving.publishing.selftest import answers_alone

    return answers_alone(loaded.bank_only.model, loaded.bank_only.calibrator, lab.table())
