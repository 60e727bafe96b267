"""Shares of a gain: worked games, sums that must hold, and real coalitions on the same rows."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from lab.coalitions import keep_value, value_of_run
from lab.config import load_config
from lab.finish import report_run
from lab.party_value import Coalition, MoneyTerms, coalitions_of, party_values, shapley
from lab.runs import train_run
from models.bundle import load
from models.errors import DataError, ModelError
from models.losses import Floats
from models.validation.decisions import bad_rate_at
from tests.lab.conftest import Write


def test_the_glove_game_and_the_airport_game() -> None:
    """Two left gloves and a right one: 1/6, 1/6, 2/3. A runway for costs 1, 2, 3: 1/3, 5/6, 11/6 (Littlechild & Owen
    1973)."""
    players = ("a", "b", "c")
    sets = [frozenset(c) for n in range(4) for c in combinations(players, n)]
    gloves = {s: np.array([float("c" in s and len(s) > 1)]) for s in sets}
    assert [shapley(players, gloves)[p][0] for p in players] == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    cost = {"a": 1.0, "b": 2.0, "c": 3.0}
    runway = {s: np.array([max((cost[p] for p in s), default=0.0)]) for s in sets}
    assert [shapley(players, runway)[p][0] for p in players] == pytest.approx([1 / 3, 5 / 6, 11 / 6])


LABEL = (np.arange(600) % 4 == 0).astype(float)
HOSTS = ("host:tax", "host:court", "host:idle")
_noise = np.random.default_rng(0).normal(size=(3, 600))


def margin_of(coalition: Coalition) -> Floats:
    """``host:idle`` tells nothing; the others each sharpen the score."""
    strength = 0.4 + 0.8 * ("host:tax" in coalition) + 0.3 * ("host:court" in coalition)
    return strength * LABEL + _noise[0]


def test_shares_sum_to_the_whole_gain_and_an_idle_host_gets_nothing() -> None:
    values = party_values(LABEL, HOSTS, margin_of, seed=1, n_resamples=50)
    for measure in ("auc", "ks", "money"):
        total = sum(values.shapley[h][measure].value for h in HOSTS)
        assert total == pytest.approx(values.together[measure].value)
        assert values.shapley["host:idle"][measure].value == pytest.approx(0)
        assert values.left_out["host:idle"][measure].value == 0
    whole, alone = margin_of(frozenset(HOSTS)), margin_of(frozenset())
    gain = roc_auc_score(LABEL, whole) - roc_auc_score(LABEL, alone)
    assert values.together["auc"].value == pytest.approx(gain)
    without = roc_auc_score(LABEL, whole) - roc_auc_score(LABEL, margin_of(frozenset(HOSTS[1:])))
    tax = values.left_out["host:tax"]["auc"]
    assert tax.value == pytest.approx(without)
    assert tax.low < tax.value < tax.high
    assert values.shapley["host:tax"]["auc"].value > values.shapley["host:court"]["auc"].value > 0
    assert len(values.coalitions) == 8
    assert json.loads(json.dumps(values.to_json()))["hosts"] == list(HOSTS)


def test_money_is_the_loss_saved_under_the_stated_terms() -> None:
    money = MoneyTerms(approval_rate=0.5, amount=2000, loss_given_default=0.4)
    values = party_values(LABEL, HOSTS[:1], margin_of, money=money, seed=1, n_resamples=20)
    rates = [bad_rate_at(LABEL, margin_of(c), 0.5) for c in (frozenset(), frozenset(HOSTS[:1]))]
    assert values.together["money"].value == pytest.approx((rates[0] - rates[1]) * 0.5 * 2000 * 0.4)
    double = party_values(
        LABEL, HOSTS[:1], margin_of, money=MoneyTerms(approval_rate=0.5, amount=4000, loss_given_default=0.4), seed=1
    )
    assert double.together["money"].value == pytest.approx(2 * values.together["money"].value)


def test_every_coalition_is_asked_for_once_the_whole_first_and_the_bank_last() -> None:
    asked: list[Coalition] = []

    def note(coalition: Coalition) -> Floats:
        asked.append(coalition)
        return margin_of(coalition)

    party_values(LABEL, HOSTS, note, seed=1, n_resamples=20)
    assert asked == list(coalitions_of(HOSTS))
    assert (asked[0], asked[-1], len(set(asked))) == (frozenset(HOSTS), frozenset(), 8)


def test_too_many_hosts_twins_and_wrong_rows_are_refused() -> None:
    with pytest.raises(ModelError, match="32 coalitions"):
        coalitions_of([f"host:{k}" for k in range(5)])
    with pytest.raises(ModelError, match="each once"):
        coalitions_of(["host:tax", "host:tax"])
    with pytest.raises(DataError, match="599 values for 600 rows"):
        party_values(LABEL, HOSTS[:1], lambda c: margin_of(c)[1:], seed=1)
    with pytest.raises(ModelError, match="loss_given_default"):
        MoneyTerms(loss_given_default=45)


def test_coalitions_of_a_run_have_the_same_rows_and_leave_only_their_worth(write_config: Write, files: Path) -> None:
    config = load_config(write_config())
    quiet = Console(quiet=True)
    result = train_run(config, quiet, finish=(report_run,))
    before = sorted(p.name for p in (files / "runs").iterdir())
    values = value_of_run(config, quiet, MoneyTerms(), n_resamples=20)
    assert sorted(p.name for p in (files / "runs").iterdir()) == before
    assert values.hosts == ("host:tax", "host:court")
    assert values.n_rows == result["rows"]["holdout"]
    assert values.coalitions["host:tax+host:court"]["auc"] == pytest.approx(result["auc"]["joint"]["value"])
    assert values.coalitions[""]["auc"] == pytest.approx(result["auc"]["bank_only"]["value"])
    assert values.coalitions["host:tax"]["auc"] != values.coalitions["host:court"]["auc"]

    assert keep_value(config, values.to_json())
    run = files / "runs" / "small"
    assert load(run / "value.json") == json.loads(json.dumps(values.to_json()))
    assert "Shapley" in (run / "report.html").read_text(encoding="utf-8")
    other = config.model_copy(update={"boosting": {**config.boosting, "n_estimators": 2}})
    assert not keep_value(other, values.to_json())
