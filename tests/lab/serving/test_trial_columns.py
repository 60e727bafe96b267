"""A model on trial may read columns of the bank that the champion does not: callers may send them, and need not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from federation.transports.memory import MemoryWire
from lab.config import load_config
from lab.errors import ServiceError
from lab.runs import train_run
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.loaded import Mode
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing import halves
from lab.serving.publishing.folder import Challenger, InForce
from lab.serving.publishing.shadow import ShadowBook
from lab.serving.schemas import request_schema, sent
from models.binning import FeatureBins
from models.table import Table
from tests.lab.serving.publishing.conftest import COURT, TAX, Lab, trained, write_run  # noqa: F401 - a fixture
from tests.lab.serving.test_shadows import LEFT_OUT, SCORES, Service, Wire, service_of

N = 6
PASSED_OVER = "lianmo_canary_left_out_total"


@pytest.fixture(scope="module")
def wider(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:  # noqa: F811
    """Two runs more: ``wider`` reads the column ``turnover`` as well, ``worded`` has ``amount`` as text."""
    folder = tmp_path_factory.mktemp("wider")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    bank = pd.read_csv(folder / "bank.csv", dtype={"id": str})
    turnover = bank["amount"] + np.random.default_rng(5).normal(size=len(bank))
    bank.assign(turnover=turnover).to_csv(folder / "wider.csv", index=False)
    bank.assign(amount=np.where(bank["amount"] > 0, "high", "low")).to_csv(folder / "worded.csv", index=False)
    for name in ("wider", "worded"):
        train_run(load_config(write_run(folder, name, 4, f"{name}.csv")), Console(quiet=True))
    lab = Lab(folder)
    for name in ("first", "wider", "worded"):
        lab.shelf.add(lab.bank(name))
    return lab


def on_trial(lab: Lab, champion: str, challenger: str, mode: Mode) -> Service:
    """The service with one run's model in force and another's on trial for all applications."""
    first, second = (lab.shelf.add(lab.bank(run)) for run in (champion, challenger))
    lab.shelf.switch(InForce(first, None, Challenger(second, mode, 1.0)))
    wire = Wire(nodes(lab))
    wire.free.set()
    return service_of(lab, wire)


def nodes(lab: Lab) -> MemoryWire:
    """Both nodes in this process, with the halves of both runs."""
    endpoints = {party: scoring_endpoint(lab.host("first", party)) for party in (TAX, COURT)}
    for party, endpoint in endpoints.items():
        endpoint.responder.host.hold(halves.tested_half(lab.host("wider", party)))  # type: ignore[attr-defined]
    return MemoryWire({party: endpoint.answer for party, endpoint in endpoints.items()})


def rows(lab: Lab, columns: tuple[str, ...]) -> Table:
    frame = pd.read_csv(lab.folder / "wider.csv", dtype={"id": str}).head(N)
    return Table(tuple(frame["id"]), {name: frame[name].to_numpy() for name in columns})


def body(lab: Lab, row: int, **features: Any) -> dict[str, Any]:
    """Of the applicant in ``row``, as the champion ``first`` asks for it; ``features`` are sent beside."""
    table = rows(lab, ("amount",))
    given = {"amount": float(table.columns["amount"][row]), **features}
    return {"application_id": f"a-{row}", "applicant_id": table.ids[row], "features": given}


def turnover(lab: Lab, row: int) -> float:
    return float(rows(lab, ("turnover",)).columns["turnover"][row])


def by_batch(lab: Lab, run: str, table: Table) -> list[float]:
    joint = lab.shelf.load(lab.shelf.add(lab.bank(run))).joint
    found = score_table(joint.model, table, nodes(lab), calibrator=joint.calibrator)
    return [answer.default_probability for answer in found if isinstance(answer, Answer)]


def test_the_service_says_what_is_asked_for_and_what_may_be_sent(wider: Lab) -> None:
    async def run() -> None:
        service = on_trial(wider, "first", "wider", "shadow")
        told = (await service.caller.get("/v1/models/current")).json()
        assert told["features"] == [
            {"name": "amount", "type": "number", "required": True},
            {"name": "turnover", "type": "number", "required": False},
        ]
        schemas = (await service.caller.get("/openapi.json")).json()["components"]["schemas"]
        assert schemas["Features"]["required"] == ["amount"]
        offered = schemas["Features"]["properties"]["turnover"]
        assert "default" not in offered  # what is left out is not null
        assert "on trial" in offered["description"]

    asyncio.run(run())


def test_a_shadow_is_asked_of_those_whose_columns_were_sent_and_the_rest_are_counted(wider: Lab) -> None:
    version = wider.shelf.add(wider.bank("wider"))
    (wider.shelf.folder(version) / "shadow.jsonl").unlink(missing_ok=True)

    async def run() -> None:
        service = on_trial(wider, "first", "wider", "shadow")
        bodies = [body(wider, row, turnover=turnover(wider, row)) for row in range(4)]
        bodies += [body(wider, 4, turnover=None), body(wider, 5)]
        told = [await service.score("/v1/scores", one) for one in bodies]
        assert {answer["mode"] for answer in told} == {"joint"}
        assert [a["default_probability"] for a in told] == by_batch(wider, "first", rows(wider, ("amount",)))
        await service.until(SCORES, {"joint": 5.0})
        assert await service.metrics(LEFT_OUT) == {"missing_columns": 1.0}

    asyncio.run(run())
    table = rows(wider, ("amount", "turnover")).take(np.arange(5))
    table.columns["turnover"][4] = np.nan  # null is a value that is not known; what was not sent is none
    pairs = ShadowBook(wider.shelf).pairs(version, wider.shelf.add(wider.bank("first")))["joint"]
    assert pairs.probabilities[:, 1].tolist() == by_batch(wider, "wider", table)


def test_a_canary_answers_those_whose_columns_were_sent_and_the_champion_the_rest(wider: Lab) -> None:
    digests = {
        run: wider.shelf.load(wider.shelf.add(wider.bank(run))).joint.model.digest() for run in ("first", "wider")
    }

    async def run() -> None:
        service = on_trial(wider, "first", "wider", "canary")
        batch = [body(wider, row, turnover=turnover(wider, row)) for row in range(3)]
        batch += [body(wider, row) for row in range(3, N)]
        told = (await service.score("/v1/scores:batch", {"applications": batch}))["items"]
        answers = [item["score"] for item in told]
        assert [a["model"]["digest"] for a in answers] == [digests["wider"]] * 3 + [digests["first"]] * 3
        expected = by_batch(wider, "wider", rows(wider, ("amount", "turnover")))[:3]
        expected += by_batch(wider, "first", rows(wider, ("amount",)))[3:]
        assert [a["default_probability"] for a in answers] == expected
        assert await service.metrics(PASSED_OVER) == {"missing_columns": 3.0}
        one = await service.score("/v1/scores", batch[0])
        assert one["model"]["digest"] == digests["wider"]

    asyncio.run(run())


def test_what_the_champion_asks_for_stays_required_and_what_nobody_reads_is_refused(wider: Lab) -> None:
    async def run() -> None:
        service = on_trial(wider, "first", "wider", "canary")
        lacking = body(wider, 0, turnover=1.0)
        del lacking["features"]["amount"]
        for wrong, field in ((lacking, "features.amount"), (body(wider, 0, sector=1.0), "features.sector")):
            answer = await service.caller.post("/v1/scores", json=wrong)
            assert (answer.status_code, answer.json()["fields"]) == (422, [field])
        answer = await service.caller.post("/v1/scores", json=body(wider, 0, turnover="much"))
        assert (answer.status_code, answer.json()["fields"]) == (422, ["features.turnover"])
        wide = on_trial(wider, "wider", "first", "canary")  # a challenger that reads less
        answer = await wide.caller.post("/v1/scores", json=body(wider, 0))
        assert (answer.status_code, answer.json()["fields"]) == (422, ["features.turnover"])
        assert (await wide.score("/v1/scores", body(wider, 0, turnover=1.0)))["mode"] == "joint"

    asyncio.run(run())


def test_a_column_of_two_types_cannot_be_on_trial(wider: Lab) -> None:
    with wider.hosts() as urls, wider.publisher(urls) as publisher:
        publisher.publish(wider.bank("first"))
        before = wider.shelf.in_force()
        with pytest.raises(ServiceError, match="amount") as caught:
            publisher.trial(wider.bank("worded"), "canary", 1.0)
        assert caught.value.code == "columns_differ"
        assert wider.shelf.in_force() == before


def test_a_column_sent_as_another_type_was_not_sent() -> None:
    number, text = FeatureBins("amount", category=False), FeatureBins("amount", category=True)
    schema = request_schema([number])
    asked = schema.model_validate({"application_id": "a", "applicant_id": "b", "features": {"amount": 1.0}})
    assert sent(asked, [number])
    assert not sent(asked, [text])
