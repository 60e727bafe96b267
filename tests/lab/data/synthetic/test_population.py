"""The city as a bank would find it: rates, outcomes, consents, and features worth having that give nothing away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.data.synthetic import bank, consents, credit, guarantee, population, tax, utility
from lab.data.synthetic.bank import base_log_odds
from lab.data.synthetic.columns import Rows
from lab.data.synthetic.quarters import N_QUARTERS, SNAPSHOT, quarter_of
from lab.data.synthetic.records import draw_records
from lab.data.synthetic.state import Settings, draw_city, draw_enterprises
from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.table import Table
from models.validation.metrics import auc

Tables = dict[str, pd.DataFrame]
HOSTS = (credit.FEATURES, tax.FEATURES, guarantee.FEATURES, utility.FEATURES)


@pytest.fixture(scope="module")
def block() -> population.Block:
    """25,000 enterprises."""
    settings = Settings(n_enterprises=25_000, seed=11)
    city = draw_city(settings.rng(0))
    return population.draw_block(settings, city, base_log_odds(city, settings), 0)[0]


def joined(block: population.Block, hosts: tuple[Any, ...]) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Columns of the bank and of all hosts on applicants common to all, label and day."""
    frames = [pd.DataFrame(block[bank.FEATURES]).set_index("subject")]
    frames += [
        pd.DataFrame(block[s]).set_index("subject").drop(columns="as_of").add_prefix(f"{s.party}.") for s in hosts
    ]
    frame = pd.concat(frames, axis=1, join="inner")
    label, day = frame.pop("default"), frame.pop("as_of")
    return {n: frame[n].to_numpy(dtype=np.float64) for n in frame}, label.to_numpy(dtype=np.float64), day.to_numpy()


def test_rates_are_those_of_a_bank(block: population.Block) -> None:
    loans = block[bank.APPLICATIONS]
    assert 0.65 < loans["booked"].mean() < 0.85
    assert abs(np.nanmean(loans["defaulted_12m"]) - 0.045) < 0.01
    days = loans["applied_on"][~np.isnan(loans["defaulted_12m"])]
    by_year = pd.Series(loans["defaulted_12m"][~np.isnan(loans["defaulted_12m"])]).groupby(days.astype("datetime64[Y]"))
    assert by_year.size().min() > 300
    assert by_year.mean().between(0.015, 0.10).all()
    lost = loans["loss_given_default"][~np.isnan(loans["loss_given_default"])]
    assert 0.25 < lost.mean() < 0.65
    assert lost.min() >= 0
    assert lost.max() <= 1


def test_the_default_rate_can_be_set() -> None:
    for rate in (0.03, 0.06):
        settings = Settings(n_enterprises=25_000, seed=2, default_rate=rate)
        city = draw_city(settings.rng(0))
        loans = population.draw_block(settings, city, base_log_odds(city, settings), 0)[0][bank.APPLICATIONS]
        assert abs(np.nanmean(loans["defaulted_12m"]) - rate) < 0.01


def test_only_booked_loans_have_outcomes(tables: Tables) -> None:
    loans = tables["bank/applications"]
    rejected = loans[~loans["booked"]]
    assert len(rejected) > 100
    outcome = [
        "defaulted_12m",
        "months_to_default",
        "exposure_at_default",
        "loss_given_default",
        "balance",
        "annual_rate",
    ]
    assert rejected[outcome].isna().all(axis=None)
    booked = loans[loans["booked"]]
    assert booked["balance"].notna().all()
    over = pd.to_datetime(booked["applied_on"]) + pd.DateOffset(months=12) <= pd.Timestamp(str(SNAPSHOT))
    assert (booked["defaulted_12m"].notna() == over).all()
    months = booked["months_to_default"]
    assert (booked.loc[over, "defaulted_12m"] == (months[over] <= 12).fillna(False)).all()
    bad = booked[months.notna()]
    assert (bad["months_to_default"] >= 1).all()
    assert (bad["months_to_default"] <= bad["term_months"] + 3).all()
    assert (bad["months_to_default"] > 12).any()
    assert bad[["exposure_at_default", "loss_given_default"]].notna().all(axis=None)
    assert booked.loc[months.isna(), ["exposure_at_default", "loss_given_default"]].isna().all(axis=None)
    assert (bad["exposure_at_default"] <= bad["amount"]).all()


def test_nobody_borrows_while_a_loan_runs_or_after_a_default(tables: Tables) -> None:
    loans = tables["bank/applications"]
    booked = loans[loans["booked"]].sort_values(["subject", "applied_on"])
    following = loans.sort_values(["subject", "applied_on"]).groupby("subject")["applied_on"].shift(-1)
    defaulted = booked["months_to_default"].notna()
    assert following[booked.index][defaulted].isna().all()
    again = following[booked.index].notna()
    assert again.sum() > 50
    due = pd.to_datetime(booked.loc[again, "applied_on"]) + pd.to_timedelta(
        30 * booked.loc[again, "term_months"], unit="D"
    )
    assert (pd.to_datetime(following[booked.index][again]) > due - pd.Timedelta(days=95)).all()


def test_guaranteed_loans_are_in_the_guarantors_books(tables: Tables) -> None:
    loans, books = tables["bank/applications"], tables["host-guarantee/guarantees"]
    ours = books[books["lender"] == "bank"]
    guaranteed = loans[loans["booked"] & (loans["product"] == "guaranteed_loan")]
    pairs = guaranteed.merge(ours, left_on=["subject", "applied_on"], right_on=["subject", "starts_on"])
    assert len(pairs) == len(guaranteed) == len(ours) > 20
    assert (pairs["months_to_default"].notna() | pairs["claimed_on"].isna()).all()
    assert books["claim_amount"].notna().equals(books["claimed_on"].notna())
    claimed = books[books["claimed_on"].notna()]
    assert (claimed["claimed_on"] > claimed["starts_on"]).all()
    assert (claimed["claim_amount"] <= claimed["amount"]).all()


def test_consents_are_revoked_while_they_hold(tables: Tables) -> None:
    ledger = tables["ledger/consents"]
    assert (ledger["starts_on"] < ledger["ends_on"]).all()
    revoked = ledger[ledger["revoked_on"].notna()]
    assert len(revoked) > 20
    assert (revoked["revoked_on"] > revoked["starts_on"]).all()
    assert (revoked["revoked_on"] <= revoked["ends_on"]).all()
    assert ledger["evidence_digest"].str.fullmatch("[0-9a-f]{64}").all()
    assert ledger["evidence_digest"].is_unique
    verified = tables["host-credit/enterprises"].set_index("subject")["real_name_verified_on"]
    assert (verified[ledger["subject"]].to_numpy() <= ledger["starts_on"].to_numpy()).all()


def test_the_share_that_consents_grows_and_meets_the_targets(block: population.Block) -> None:
    loans, ledger = block[bank.APPLICATIONS], block[consents.CONSENTS]
    asked = pd.DataFrame({"subject": loans["subject"], "day": loans["applied_on"]})
    signed = pd.DataFrame({"subject": ledger["subject"], "day": ledger["starts_on"]}).drop_duplicates()
    shares = asked.merge(signed, how="left", indicator="signed")
    by_year = (shares["signed"] == "both").groupby(shares["day"].dt.year).mean()
    assert by_year.is_monotonic_increasing
    assert by_year.iloc[0] < 0.55
    assert by_year.iloc[-1] > 0.80
    verified = ~np.isnat(block[credit.ENTERPRISES]["real_name_verified_on"])
    authorised = np.unique(ledger["subject"][consents.in_force(ledger, SNAPSHOT)])
    assert verified.mean() > 0.25
    assert len(authorised) / verified.sum() > 0.5
    assert np.isin(authorised, loans["subject"][loans["booked"]]).mean() > 0.5


def test_no_column_alone_gives_the_label_away(block: population.Block) -> None:
    columns, label, _ = joined(block, HOSTS)
    assert len(columns) > 40
    for name, values in columns.items():
        gone = np.isnan(values)
        for filled in (np.where(gone, -1e18, values), np.where(gone, 1e18, values)):
            value = auc(label, filled)
            assert max(value, 1 - value) < 0.8, name  # the limit asked for is 0.9


def test_joining_helps_and_is_not_perfect(block: population.Block) -> None:
    """Out of time, with LightGBM; experiment 0010 has the figures."""
    columns, label, day = joined(block, HOSTS[:3])
    late = day >= 20240101
    parameters = BoostingParameters(n_estimators=80, max_depth=3, min_child_samples=40, reg_lambda=5.0)

    def reached(names: list[str]) -> float:
        table = Table(tuple(map(str, range(len(label)))), {n: columns[n] for n in names})
        fitted = fit_baseline(table.take(np.flatnonzero(~late)), label[~late], parameters)
        return auc(label[late], fitted.margin(table.take(np.flatnonzero(late))))

    own = [n for n in columns if not n.startswith("host:")]
    alone, joint = reached(own), reached(list(columns))
    assert 0.58 < alone < 0.74
    assert 0.70 < joint < 0.88
    assert joint - alone > 0.06


def test_the_bank_sees_nothing_of_the_quarter_it_decides_in() -> None:
    """With all hidden states unknown from then on, the quarter's applications and decisions are the same."""
    settings = Settings(n_enterprises=5_000, seed=3)
    e = draw_enterprises(draw_city(settings.rng(0)), 5_000, settings.rng(1))
    blind = replace(
        e, **{k: np.where(np.arange(N_QUARTERS)[:, None] < 8, getattr(e, k), np.nan) for k in ("business", "burden")}
    )
    with np.errstate(invalid="ignore"):  # later quarters have nothing to go by
        seen, unseen = (bank.draw_applications(x, -5.0, 0, settings.rng(2)) for x in (e, blind))
    for name in ("booked", "annual_rate", *(c.name for c in bank.FEATURES.columns if c.name in seen)):
        first = [rows[name][quarter_of(rows["applied_on"]) == bank.FIRST_APPLICATIONS] for rows in (seen, unseen)]
        assert len(first[0]) > 50
        np.testing.assert_array_equal(*first)


def test_young_enterprises_lack_history(block: population.Block) -> None:
    features = pd.DataFrame(block[tax.FEATURES]).set_index("subject")
    age = pd.DataFrame(block[credit.FEATURES]).set_index("subject")["age_years"].reindex(features.index)
    missing = features["sales_growth_4q"].isna()
    assert missing[age < 2].all()
    assert missing[age > 3].mean() < 0.05
    small = features["insured_employees"] < 5
    assert features["fund_share"].isna()[small].mean() > features["fund_share"].isna()[~small].mean() + 0.1


def test_repair_says_nothing_of_default_but_through_conduct() -> None:
    """Of enterprises once penalised, those repaired and those not have the same conduct years later."""
    settings = Settings(n_enterprises=25_000, seed=4)
    city = draw_city(settings.rng(0))
    e = draw_enterprises(city, 25_000, settings.rng(5))
    records = draw_records(e, 0, settings.rng(6))
    chosen = (records["kind"] == 0) & (records["effective_from"] < np.datetime64("2024-01-01"))
    conduct = e.conduct[-1, records["subject"][chosen]]
    repaired = ~np.isnat(records["repaired_on"][chosen])
    error = np.sqrt(conduct.var() * (1 / repaired.sum() + 1 / (~repaired).sum()))
    assert repaired.sum() > 200
    assert abs(conduct[repaired].mean() - conduct[~repaired].mean()) < 3 * error
    assert conduct.mean() < -3 * conduct.std() / np.sqrt(len(conduct))  # what lasts of conduct does stay behind


def test_seasons_and_shocks_are_seen_in_sales(tables: Tables) -> None:
    quarters = tables["host-tax/quarters"]
    median = quarters[quarters["sales_invoiced"] > 0].groupby("quarter")["sales_invoiced"].median().astype(float)
    for year in (2019, 2023, 2025):
        assert median[f"{year}Q4"] > 1.1 * median[f"{year}Q1"]
    assert median["2020Q1"] < 0.85 * median["2019Q1"]
