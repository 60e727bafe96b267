"""A governed run that dies: it goes on under the same gates, its logs verify, and a withdrawn consent ends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.checkpoints import PacedKeeping
from lab.cli import app
from lab.config import load_config
from lab.run_states import RunState
from lab.runs import train_run
from models.errors import LianmoError
from tests.lab.governance.test_session_record import NAMES, WORDS, Parties, parties, verify

__all__ = ["parties"]


class Died(BaseException):
    pass


@pytest.fixture
def dead(parties: Parties, files: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of parties with keys that died after its second tree: its id."""
    for party in NAMES:
        parties.store(party).generate(party, "international", WORDS, ["storage"])
    path = parties.config()
    text = path.read_text("utf-8").replace("n_estimators = 3", "n_estimators = 5")
    path.write_text(text.replace("party_seconds", "checkpoint_share = 1\nparty_seconds"), "utf-8")
    real = PacedKeeping.keep

    def keep(self: PacedKeeping, checkpoint: Any) -> None:
        real(self, checkpoint)
        if len(checkpoint.joint.trees) == 2:
            raise Died

    config = load_config(path)
    state = RunState.new(config, record=False)
    with monkeypatch.context() as patch:
        patch.setattr(PacedKeeping, "keep", keep)
        with pytest.raises(Died):
            train_run(config, Console(quiet=True), state=state)
    return state.run


def resume(files: Path, run: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["runs", "resume", run, "--directory", str(files / "runs"), "--json"])
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


def test_it_goes_on_and_ends_countersigned(parties: Parties, files: Path, dead: str) -> None:
    kept = list((files / "runs").glob(f".*.{dead}.unfinished/nodes/*/checkpoints/0*.json"))
    assert len(kept) == 6
    ids = {json.loads(f.read_text())["key_id"] for f in kept}
    assert ids == {parties.store(party).active("storage").key_id for party in NAMES}
    result = resume(files, dead)
    assert (result["resumed_after"], result["trees"], result["audit"]) == (2, 5, "countersigned")
    for party in NAMES:
        code, findings = verify(parties, party, *NAMES.keys() - {party})
        assert (code, [f["code"] for f in findings if f["grave"]]) == (0, [])
        assert len({e.references["session"] for e in parties.said(party, "session_opened")}) == 1
        assert len(parties.said(party, "session_opened")) == 2


def test_a_consent_withdrawn_in_between_ends_it(parties: Parties, files: Path, dead: str) -> None:
    bank, court = ({*(files / f"{n}.csv").read_text().split()} for n in ("bank", "court"))
    known = [{line.split(",")[0] for line in lines} for lines in (bank, court)]
    one = next(i for i in parties.tax.willing if i in known[0] & known[1] & set(parties.court.willing))
    parties.tax.revoke(one, "loan_model")
    with pytest.raises(LianmoError) as caught:
        resume(files, dead)
    assert caught.value.code == "rows_changed"
    assert one not in caught.value.english + caught.value.chinese


def test_a_project_stopped_in_between_ends_it(parties: Parties, files: Path, dead: str) -> None:
    parties.tax.book.decide("loans", "stopped", "Wang", datetime.now(UTC))
    with pytest.raises(LianmoError) as caught:
        resume(files, dead)
    assert caught.value.code == "project_not_approved"
