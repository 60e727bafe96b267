"""Features hold what was known on their day: computed anew, one enterprise at a time, from earlier rows only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

Tables = dict[str, pd.DataFrame]
DAY = timedelta(days=1)


def day_of(number: int) -> Any:
    return pd.Timestamp(str(number)).date()


def known_quarters(frame: pd.DataFrame, day: Any) -> pd.DataFrame:
    """Rows of quarters that ended at least 20 days before, newest first."""
    end = pd.PeriodIndex(frame["quarter"], freq="Q").end_time.date
    return frame[end + 20 * DAY < day].sort_values("quarter", ascending=False)


def credit(t: dict[str, pd.DataFrame], day: Any) -> dict[str, Any]:
    r = t["records"]
    r = r[(r["reported_on"] <= day) & (r["publicity_end"] >= day)]
    r = r[~(r["repaired_on"] <= day).fillna(False) & ~(r["withdrawn_on"] <= day).fillna(False)]
    open_dispute = (r["disputed_from"] <= day).fillna(False) & ~(r["disputed_to"] <= day).fillna(False)
    r = r[~open_dispute]
    penalties = r[r["kind"] == "penalty"]
    corrected = (penalties["corrected_on"] <= day).fillna(False)
    severity = penalties["severity"].where(~corrected, penalties["corrected_severity"])
    ranks = severity.map({"minor": 1, "general": 2, "serious": 3})
    past = t["evaluations"][t["evaluations"]["evaluated_on"] <= day].sort_values("evaluated_on")["evaluation"].tolist()
    since = day - 3 * 365 * DAY
    bids = t["bids"][(t["bids"]["won_on"] <= day) & (t["bids"]["won_on"] >= since)]
    patents = t["patents"][(t["patents"]["granted_on"] <= day) & (t["patents"]["granted_on"] >= since)]
    return {
        "penalties_in_force": len(penalties),
        "worst_severity": 0 if penalties.empty else ranks.max(),
        "days_since_penalty": None if penalties.empty else (day - penalties["effective_from"].max()).days,
        "serious_dishonesty": int((r["kind"] == "serious_dishonesty").any()),
        "honours": int((r["kind"] == "honour").sum()),
        "evaluation": past[-1] if past else None,
        "evaluation_change": past[-1] - past[-2] if len(past) > 1 else None,
        "patents_3y": len(patents),
        "bids_won_3y": len(bids),
        "bid_amount_3y": None if bids.empty else bids["amount"].sum(),
    }


def tax(t: dict[str, pd.DataFrame], day: Any) -> dict[str, Any]:
    q = known_quarters(t["quarters"], day)
    sales, tax_paid, profit = (q[c].astype(float).tolist() for c in ("sales_invoiced", "tax_paid", "profit_declared"))
    insured = q["insured_employees"].astype(float).tolist()
    grades = t["grades"][t["grades"]["effective_from"] <= day].sort_values("effective_from")["grade"].tolist()
    year, before = sum(sales[:4]), sum(sales[4:8])
    whole = len(sales) >= 4
    fund = q["fund_employees"].iloc[0] if len(q) else pd.NA
    return {
        "sales_4q": year if whole else None,
        "sales_growth_4q": year / before - 1 if len(sales) >= 8 and before else None,
        "sales_swing_4q": 4 * (max(sales[:4]) - min(sales[:4])) / year if whole and year else None,
        "zero_declarations_8q": sales[:8].count(0) if sales else None,
        "tax_paid_4q": sum(tax_paid[:4]) if whole else None,
        "tax_to_sales_4q": sum(tax_paid[:4]) / year if whole and year else None,
        "profit_margin_4q": sum(profit[:4]) / year if whole and year else None,
        "sales_per_employee_4q": round(year / insured[0]) if whole and insured[0] else None,
        "arrears_days_8q": q["arrears_days"].head(8).sum() if sales else None,
        "insurance_arrears_8q": q["insurance_arrears_months"].head(8).sum() if sales else None,
        "insured_employees": insured[0] if insured else None,
        "insured_growth_4q": insured[0] / insured[4] - 1 if len(insured) > 4 and insured[4] else None,
        "fund_share": None if pd.isna(fund) or not insured[0] else fund / insured[0],
        "taxpayer_grade": grades[-1] if grades else None,
    }


def utility(t: dict[str, pd.DataFrame], day: Any) -> dict[str, Any]:
    q = known_quarters(t["quarters"], day)
    power, water, gas = (q[c].astype(float).tolist() for c in ("electricity_index", "water_index", "gas_index"))
    return {
        "electricity_2q": round(sum(power[:2]) / 2, 1) if len(power) > 1 else None,
        "electricity_growth_4q": power[0] / power[4] - 1 if len(power) > 4 else None,
        "water_2q": round(sum(water[:2]) / 2, 1) if len(water) > 1 else None,
        "gas_2q": round(sum(gas[:2]) / 2, 1) if len(gas) > 1 and not np.isnan(gas[0]) else None,
        "arrears_days_4q": q["arrears_days"].head(4).sum() if len(q) else None,
    }


def guarantee(t: dict[str, pd.DataFrame], day: Any) -> dict[str, Any]:
    def known(g: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        begun = g[g["starts_on"] < day].sort_values(["starts_on", "guarantee_id"])
        claimed = (begun["claimed_on"] < day).fillna(False)
        return begun, begun[(begun["ends_on"] >= day) & ~claimed], begun[claimed]

    begun, is_open, claims = known(t["guarantees"])
    _, open_of_others, claims_of_others = known(t["of_group"])
    return {
        "guarantees_open": len(is_open),
        "guaranteed_open": None if is_open.empty else is_open["amount"].sum(),
        "counter_share": None if is_open.empty else is_open["counter_guarantee"].mean(),
        "guarantees_3y": int((begun["starts_on"] >= day - 3 * 365 * DAY).sum()),
        "rating": None if begun.empty else begun["rating"].iloc[-1],
        "claims": len(claims),
        "group_members": t["n_members"],
        "group_guaranteed": open_of_others["amount"].sum() if t["n_members"] > 1 else None,
        "group_claims": len(claims_of_others) if t["n_members"] > 1 else None,
    }


@pytest.mark.parametrize(
    ("party", "compute"), [("credit", credit), ("tax", tax), ("utility", utility), ("guarantee", guarantee)]
)
def test_features_are_what_was_known_on_the_day(tables: Tables, party: str, compute: Any) -> None:
    own = {n.split("/")[1]: f for n, f in tables.items() if n.startswith(f"host-{party}/")}
    features = own.pop("features").set_index("subject")
    by_subject = {name: dict(list(frame.groupby("subject"))) for name, frame in own.items()}
    heads = tables["host-credit/enterprises"].set_index("subject")["group_head"]
    members = heads.groupby(heads).groups
    # Those that most can go wrong with come first: records of any kind, and groups.
    rich = own.get("records", own.get("guarantees", own.get("grades", own.get("quarters"))))
    order = rich["subject"].value_counts().index
    chosen = [s for s in order if s in features.index][:40] + list(features.index[:40])
    seen: dict[str, set[bool]] = {}
    for subject in dict.fromkeys(chosen):
        day = day_of(features.loc[subject, "as_of"])
        mine: dict[str, Any] = {n: by_subject[n].get(subject, f.head(0)) for n, f in own.items()}
        if party == "guarantee":
            others = [m for m in members[heads[subject]] if m != subject]
            mine["n_members"] = len(others) + 1
            mine["of_group"] = own["guarantees"][own["guarantees"]["subject"].isin(others)]
        for name, expected in compute(mine, day).items():
            found = features.loc[subject, name]
            seen.setdefault(name, set()).add(pd.isna(found))
            if expected is None or pd.isna(expected):
                assert pd.isna(found), name
            elif isinstance(expected, str):
                assert found == expected, name
            else:
                assert float(found) == pytest.approx(
                    float(expected), abs=0.0501 if "_2q" in name else 1.01e-3, rel=1e-6
                ), name
    assert set(seen) >= set(features.columns) - {
        "as_of", "synthetic", "age_years", "industry", "size_class", "district", "registered_capital",
    }  # fmt: skip


def test_the_day_is_that_of_the_application(tables: Tables) -> None:
    bank = tables["bank/features"].set_index("subject")
    applications = tables["bank/applications"]
    booked = applications[applications["defaulted_12m"].notna()].sort_values("applied_on")
    first = booked.groupby("subject").first()
    assert set(first.index) == set(bank.index)
    first = first.loc[bank.index]
    assert (pd.to_datetime(first["applied_on"]).dt.strftime("%Y%m%d").astype(int) == bank["as_of"]).all()
    for name in ("amount", "term_months", "product", "collateral_share", "existing_exposure", "customer_years"):
        assert (first[name] == bank[name]).all()
    assert (first["defaulted_12m"].astype(int) == bank["default"]).all()
    for party in ("credit", "tax", "guarantee", "utility"):
        host = tables[f"host-{party}/features"].set_index("subject")
        both = host.index.intersection(bank.index)
        assert len(both) > 200
        assert (host.loc[both, "as_of"] == bank.loc[both, "as_of"]).all()


def test_hosts_show_only_those_who_consented_to_them_by_that_day(tables: Tables) -> None:
    consents = tables["ledger/consents"]
    modelling = consents[(consents["purpose"] == "joint_modelling") & consents["revoked_on"].isna()]
    for party in ("credit", "tax", "guarantee", "utility"):
        named = modelling[modelling["parties"].str.contains(f"host:{party}")]
        first = named.groupby("subject")["starts_on"].min()
        host = tables[f"host-{party}/features"]
        assert set(host["subject"]) <= set(first.index)
        assert (first.loc[host["subject"]].to_numpy() <= host["as_of"].map(day_of).to_numpy()).all()
        assert len(host) > 0.95 * first.index.isin(host["subject"]).sum()
    assert len(tables["host-utility/features"]) < 0.92 * len(tables["host-tax/features"])
