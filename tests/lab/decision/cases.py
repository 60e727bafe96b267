"""Cases and policies for tests: the sample policy, and cases as hypothesis draws them."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from lab.decision.case import Case
from lab.decision.loan import Listing, Loan
from lab.decision.policy import SAMPLE, Policy, load_policy, read_policy
from models.scale import band

DAY = date(2026, 6, 1)
LISTS = ["serious_dishonesty", "dishonest_debtor", "abnormal_operation", "dormant_enterprise", "never_heard_of"]


@cache
def sample() -> Policy:
    return load_policy(SAMPLE)


def edited(*changes: tuple[str, str]) -> Policy:
    """The sample with texts replaced."""
    return read_policy(edited_text(*changes))


def edited_text(*changes: tuple[str, str]) -> bytes:
    text = SAMPLE.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


adverse = st.sampled_from(["refer", "decline"])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """The sample with other verdicts wherever it may have some, and other terms in its bands."""
    told = tomllib.loads(SAMPLE.read_text("utf-8"), parse_float=Decimal)
    told["checks"]["unchecked"] = draw(adverse)
    told["dormant"] |= {"verdict": draw(adverse), "unknown": draw(st.sampled_from(["approve", "refer", "decline"]))}
    for product in told["products"]:
        product |= {name: draw(adverse) for name in ("outside", "unknown", "too_small")}
        product["price"] |= {
            "over_ceiling": draw(adverse),
            "ceiling": draw(st.sampled_from([Decimal("0.05"), Decimal("0.09")])),
        }
        product["min_points"] = draw(st.integers(600, 700))
    previous = [0, 0]
    for band_told in told["bands"]:
        for k, mode in enumerate(("joint", "bank_only")):
            previous[k] = max(draw(st.sampled_from([0, 0, 1, 2])) + previous[k], previous[0])
            step = previous[k]
            if step >= 6:
                band_told[mode] = {"verdict": "decline"}
                continue
            share, cap = Decimal(6 - step) / 10, 1_200_000 // (1 + step)
            verdict = "approve" if step < 4 else "refer"
            band_told[mode] = {"verdict": verdict, "share": share, "cap": cap, "margin": Decimal(step) / 500}
    return Policy.model_validate(told)


def loan(**changes: Any) -> Loan:
    """One that every rule of the sample likes."""
    told = {
        "product": "tax_credit_loan",
        "amount": 800_000,
        "term_months": 12,
        "listings": [],
        "listings_checked": DAY,
        "turnover": 9_000_000,
        "tax_paid": 300_000,
        "months_trading": 60,
        "months_inactive": 0,
        "sector": "machinery",
        "headroom": 10_000_000,
    }
    return Loan.model_validate(told | changes)


def case(probability: str | None = "0.012", mode: str = "joint", day: date = DAY, **changes: Any) -> Case:
    if probability is None:
        return Case(as_of=day, mode="unscored", loan=loan(**changes))
    p = Decimal(probability)
    return Case(
        as_of=day,
        mode=mode,  # type: ignore[arg-type]
        default_probability=p,
        points=Decimal(700) - 200 * p,
        band=band(float(p)),
        loan=loan(**changes),
    )


#: Mostly where loans are made.
probabilities = st.one_of(
    st.decimals(0, "0.1", places=5),
    st.decimals(0, "0.1", places=5),
    st.decimals(0, 1, places=4),
    st.sampled_from(["0", "0.02", "0.05", "0.1", "0.2", "0.4", "1"]).map(Decimal),
).map(str)
days = st.dates(DAY - timedelta(days=900), DAY + timedelta(days=30))


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    listed = draw(days)
    removed = draw(st.none() | st.dates(listed - timedelta(days=9), listed + timedelta(days=900)))
    return Listing(code=draw(st.sampled_from(LISTS)), listed=listed, removed=removed, disputed=draw(st.booleans()))


def often(usual: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the usual, so that cases come through to limit and price."""
    return st.integers(0, 19).flatmap(lambda k: other if k == 19 else st.just(usual))


loans = st.sampled_from(["tax_credit_loan", "park_limit"]).flatmap(
    lambda product: st.fixed_dictionaries(
        {
            "product": st.just(product),
            "amount": st.integers(60_000, 2_000_000) | st.integers(1, 6_000_000),
            "term_months": often(12, st.integers(1, 60)),
            "guarantee": often("policy_guarantee", st.just("guarantor")) | often("none", st.just("never_heard_of")),
            "listings": often([], st.none() | st.lists(listings(), max_size=3)),
            "listings_checked": often(DAY, st.none() | days),
            "turnover": often(9_000_000, st.none() | st.integers(0, 5_000_000)),
            "tax_paid": often(300_000, st.none() | st.integers(0, 200_000)),
            "months_trading": often(60, st.none() | st.integers(0, 40)),
            "months_inactive": often(0, st.none() | st.integers(0, 40)),
            "sector": often("machinery", st.none() | st.just("real_estate")),
            "headroom": often(700_000, st.none() | st.integers(0, 2_000_000)),
        }
    )
)
