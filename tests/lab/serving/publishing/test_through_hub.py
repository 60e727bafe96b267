"""Publishing to nodes that only dial out: over a real hub a model is in force everywhere or nowhere, as over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from federation.errors import Refused, TransportError
from lab.cli import app
from lab.membership.lines import LineServer, wire_through_hub
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.guest_api import create_guest_app
from lab.serving.loaded import Loaded
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing import publisher
from lab.serving.publishing.shelf import FollowingShelf
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.serving.conftest import PATIENT, ask
from tests.lab.serving.publishing.conftest import COURT, RUNS, TAX, Lab

SECONDS = 20.0


@dataclass
class City:
    """The parties of ``lab``, members of a hub. Hosts answer over it and nowhere else, each from its own folder with
    its halves of all runs."""

    hub: HubAtWork
    lab: Lab
    servers: dict[str, LineServer] = field(default_factory=dict)

    def node(self, party: str) -> Path:
        return self.lab.folder / "members" / party.replace(":", "-")

    def half(self, party: str, run: str) -> Path:
        return self.node(party) / "runs" / run

    def join(self, party: str) -> None:
        self.hub.joined(self.node(party), party)
        for run in RUNS if party != "bank" else ():
            shutil.copytree(self.lab.host(run, party), self.half(party, run))

    def start(self, party: str, run: str = "first") -> None:
        self.servers[party] = LineServer(self.node(party), scoring_endpoint(self.half(party, run)))
        threading.Thread(target=self.servers[party].serve, daemon=True).start()

    def models(self, *arguments: object) -> Any:
        """What ``lianmo models … --hub`` tells a machine."""
        shelf, hub = self.lab.shelf.directory, self.node("bank")
        words = ["models", *map(str, arguments), "--shelf", str(shelf), "--hub", str(hub), "--json"]
        done = CliRunner().invoke(app, words)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def scores(self, loaded: Loaded) -> list[object]:
        model = loaded.joint.model
        with wire_through_hub(self.node("bank"), [TAX, COURT], deadline_seconds=SECONDS) as wire:
            return list(score_table(model, self.lab.table(), wire, calibrator=loaded.joint.calibrator))


@pytest.fixture
def city(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    monkeypatch.setattr(publisher, "GRACE_SECONDS", 0.0)
    with hub_at_work(lab.folder / "hub") as hub:
        hub.lines.wait_seconds = 1.0
        made = City(hub, lab)
        for party in ("bank", TAX, COURT):
            made.join(party)
        for party in (TAX, COURT):
            made.start(party)
        yield made
        for server in made.servers.values():
            server.stop()


def test_a_models_life_through_the_hub(city: City) -> None:
    first = city.models("publish", city.lab.bank("first"))["champion"]
    shelf = FollowingShelf(city.lab.shelf)
    old = city.scores(shelf.held().champion)
    second = city.models("publish", city.lab.bank("second"))
    assert second["previous"] == first
    assert shelf.look()
    new = city.scores(shelf.held().champion)
    assert all(isinstance(answer, Answer) for answer in (*old, *new))
    assert new != old
    third = city.models("publish", city.lab.bank("third"))
    assert first not in city.lab.shelf.versions()
    kept = [list((city.node(party) / "published").rglob("half.json")) for party in (TAX, COURT)]
    assert [len(halves) for halves in kept] == [2, 2]  # the first is retired at both hosts
    assert city.models("rollback")["champion"] == second["champion"] != third["champion"]


@pytest.mark.parametrize("refusing", [TAX, COURT])
def test_of_two_hosts_one_refuses_and_the_old_model_stays_in_force_everywhere(city: City, refusing: str) -> None:
    lab = city.lab
    before = city.models("publish", lab.bank("first"))
    shelf = FollowingShelf(lab.shelf)
    answers = city.scores(shelf.held().champion)
    (city.half(refusing, "second") / "half.json").unlink()
    with pytest.raises(Refused) as caught:
        city.models("publish", lab.bank("second"))
    assert (caught.value.party, caught.value.code) == (refusing, "unknown_model")
    assert city.models("publish", lab.bank("first")) == before  # still in force, and still prepared everywhere
    assert lab.shelf.versions() == [before["champion"]]
    assert not shelf.look()
    assert city.scores(shelf.held().champion) == answers
    # The other node was told: it does not go on holding what is not used.
    with pytest.raises(Refused, match="unknown_model"):
        city.scores(lab.shelf.load(lab.shelf.add(lab.bank("second"))))


def test_a_host_that_is_away_leaves_the_old_model_in_force_and_one_that_comes_back_takes_the_new(city: City) -> None:
    before = city.models("publish", city.lab.bank("first"))
    city.servers[COURT].stop()
    with pytest.raises(TransportError) as caught:
        city.models("publish", city.lab.bank("second"))
    assert caught.value.party == COURT
    assert city.lab.shelf.versions() == [before["champion"]]
    city.hub.lines.wait_seconds = SECONDS
    city.start(COURT)
    assert city.models("publish", city.lab.bank("second"))["previous"] == before["champion"]


def test_a_service_at_the_hub_takes_over_what_is_published_through_it(city: City) -> None:
    city.models("publish", city.lab.bank("first"))
    shelf = FollowingShelf(city.lab.shelf)
    table = city.lab.table(1)
    body = {
        "application_id": "a-1",
        "applicant_id": table.ids[0],
        "features": {"amount": float(table.columns["amount"][0])},
    }
    with wire_through_hub(city.node("bank"), [TAX, COURT], deadline_seconds=SECONDS) as wire:
        service = create_guest_app(shelf, wire, rules=PATIENT)
        told = [ask(service, "POST", "/v1/scores", json=body).json()]
        city.models("publish", city.lab.bank("second"))
        assert shelf.look()
        told.append(ask(service, "POST", "/v1/scores", json=body).json())
    assert [answer["mode"] for answer in told] == ["joint", "joint"]
    assert told[0]["model"]["digest"] != told[1]["model"]["digest"]


def test_a_file_is_scored_through_the_hub_as_beside_the_bank(city: City) -> None:
    file = city.lab.folder / "applicants.csv"
    pd.read_csv(city.lab.folder / "bank.csv", dtype=str).head(20).to_csv(file, index=False)
    found = []
    for way in (["--hub", str(city.node("bank"))], ["--local"]):
        done = CliRunner().invoke(app, ["score", str(city.lab.bank("first")), str(file), *way])
        assert done.exit_code == 0, done.output
        found.append(done.stdout)
    assert found[0] == found[1]
    assert found[0].count("\n") == 21
