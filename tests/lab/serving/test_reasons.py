"""Reasons as people read them: in the words of whoever owns the feature, over HTTP and in files."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from federation.endpoint import Endpoint
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from lab.serving.answers import Answer, Told, told
from lab.serving.batch import answers_frame, score_table
from lab.serving.guest_api import create_guest_app
from models.reasons import Player, Reason
from tests.lab.serving.conftest import BANK, PATIENT, POLICY, TAX, TELECOM, Service, World, ask, problem_of

WORDS = {"Income": ("Income declared", "申报收入")}
OWN = {"Amount": ("Amount asked for", "申请金额")}


def test_a_reason_reads_as_its_owner_says_else_by_name_or_number() -> None:
    reasons = [Reason(p, 0.5) for p in (Player(BANK, "Amount"), Player(BANK, "职业"), Player(TAX, number=0))]
    reasons += [Reason(p, 0.5) for p in (Player(TAX, number=2), Player(TELECOM))]
    given = {TAX: {0: ("Income declared", ""), 2: ("", "")}}
    assert [(t.code, t.text, t.text_zh) for t in told(reasons, given, OWN)] == [
        ("bank/Amount", "Amount asked for", "申请金额"),
        ("bank/职业", "职业", "职业"),
        ("host:tax/1", "Income declared", "host:tax 特征 1"),
        ("host:tax/3", "host:tax feature 3", "host:tax 特征 3"),
        ("host:电信", "host:电信, all its features together", "host:电信 的全部特征"),
    ]


@pytest.fixture(scope="module")
def wire(world: World) -> MemoryWire:
    """As the world's own, but the tax node gives reasons."""
    tax = world.hosts[TAX]
    open_ = ScoringHost(tax.table, tax.halves, replace(POLICY, reasons=WORDS))
    return MemoryWire({TAX: Endpoint(open_, BANK, ALLOWED).answer, TELECOM: world.endpoint(TELECOM).answer})


def test_a_call_tells_the_reasons_of_the_batch(world: World, wire: MemoryWire) -> None:
    app = create_guest_app(world.shelf(**OWN), ThreadedWire(wire), rules=PATIENT)
    rows = world.trained.arrangement.rows[:12]
    batch = score_table(world.model, world.table.take(rows), wire, 3, OWN)
    said = set()
    for row, expected in zip(rows.tolist(), batch, strict=True):
        assert isinstance(expected, Answer)
        answer = ask(app, "POST", "/v1/scores", json=world.body(row) | {"reasons": 3}).json()
        assert [Told(**reason) for reason in answer["reasons"]] == list(expected.reasons)
        assert answer["default_probability"] == expected.default_probability
        said |= {reason["text"] for reason in answer["reasons"]}
        assert all(reason["contribution"] > 0 for reason in answer["reasons"])
    assert {"Amount asked for", "Income declared", "host:电信 feature 1"} <= said
    assert not said & {"Amount", "Income", "Debt", "Calls"}


def test_no_reason_unless_asked_for(world: World, service: Service) -> None:
    assert service.score(world.body(3)).json()["reasons"] == []
    assert len(service.score(world.body(3) | {"reasons": 1}).json()["reasons"]) == 1


@pytest.mark.parametrize("n", [-1, 51, 2.5, "3", True, None])
def test_a_wrong_number_of_reasons_is_named(world: World, service: Service, n: object) -> None:
    problem = problem_of(service.score(world.body(3) | {"reasons": n}), 422, "invalid_request")
    assert problem["fields"] == ["reasons"]
    assert "0 to 50" in problem["detail"]
    assert "0 到 50" in problem["detail_zh"]


def test_frames_with_reasons_hold_no_applicant_and_no_name_of_a_column(world: World, service: Service) -> None:
    service.wire.seen.clear()
    assert service.score(world.body(8) | {"reasons": 5}).status_code == 200
    for secret in (world.table.ids[8], *world.table.columns, "Income", "Debt", "Calls"):
        assert not any(secret.encode() in frame for frame in service.wire.seen)


def test_a_file_has_the_parts_of_each_reason_and_blanks_where_there_are_fewer(world: World, wire: MemoryWire) -> None:
    results = score_table(world.model, world.table, wire, 2)
    frame = answers_frame(world.table, results, 2)
    assert list(frame.columns[-10:]) == [
        f"reason_{k}_{part}" for k in (1, 2) for part in ("code", "party", "text", "text_zh", "contribution")
    ]
    for row, result in enumerate(results):
        given = result.reasons if isinstance(result, Answer) else ()
        for k in (1, 2):
            code = frame[f"reason_{k}_code"].iloc[row]
            assert pd.isna(code) if len(given) < k else code == given[k - 1].code
    assert list(answers_frame(world.table, results).columns) == [
        "id", "default_probability", "calibration", "points", "band", "unknown_at"
    ]  # fmt: skip
