"""The consents enterprises gave: for what, to whom, from when to when, and whether they took them back.

Consent is asked with an application; the share that signs grows with the years. Later a subject may revoke. Some
enterprises that never applied here have consented elsewhere: data nodes hold more than the bank's applicants.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import Column, Rows, TableSpec
from lab.data.synthetic.quarters import FIRST_MONTH, NEVER, SNAPSHOT, Dates, add_months
from lab.data.synthetic.state import Enterprises, chance

PURPOSES: Final = ("loan_approval", "joint_modelling", "post_loan_management")
#: Which nodes a consent names; the bank always.
PARTIES: Final = (
    "bank;host:credit;host:tax;host:guarantee;host:utility",
    "bank;host:credit;host:tax;host:guarantee",
    "bank;host:credit",
)
SCOPES: Final = ("all_catalogue_items", "no_written_consent_items", "public_items")

CONSENTS: Final = TableSpec(
    "ledger",
    "consents",
    "授权台账",
    (
        Column("consent_id", "int", "", "A53", "authorised", "授权编号", "number of the consent"),
        Column("purpose", "text", "", "A57", "authorised", "授权目的", "what the data may be used for", PURPOSES),
        Column("scope", "text", "", "A53", "authorised", "授权范围", "which items of the catalogue", SCOPES),
        Column("parties", "text", "", "A53", "authorised", "授权参与方", "who may use them, separated by ;", PARTIES),
        Column("starts_on", "date", "", "A53", "authorised", "授权生效日", "first day"),
        Column("ends_on", "date", "", "A53", "authorised", "授权到期日", "last day"),
        Column("revoked_on", "date", "", "A60", "authorised", "撤回日期", "day from which it no longer holds"),
        Column("evidence_digest", "token", "", "A53", "authorised", "存证摘要", "64 random hex digits: of no document"),
    ),
)

_YEARS_OF_MODELLING: Final = 8


def draw_consents(e: Enterprises, applications: Rows, first_id: int, rng: np.random.Generator) -> Rows:
    """All consents of one block."""
    subject, applied = applications["subject"], applications["applied_on"]
    asked = (applied.astype("datetime64[M]") - FIRST_MONTH).astype(np.int64) / 12 - 2  # years since 2020
    signs = rng.random(len(subject)) < chance(-0.3 + 0.45 * asked + 0.3 * e.conduct[0, subject])
    modelling = signs & (rng.random(len(subject)) < 0.9)
    after = signs & applications["booked"] & (rng.random(len(subject)) < 0.9)
    applicants = np.zeros(len(e), dtype=bool)
    applicants[subject] = True
    strangers = np.flatnonzero(~applicants & (rng.random(len(e)) < 0.15))
    earliest = np.maximum(e.registered_on[strangers] + 30, np.datetime64("2020-01-01", "D"))
    day = earliest + (rng.beta(2, 1, len(strangers)) * np.maximum((SNAPSHOT - earliest).astype(np.int64), 0)).astype(
        int
    )
    parts = [
        (0, subject[signs], applied[signs], add_months(applied[signs], 12)),
        (1, subject[modelling], applied[modelling], add_months(applied[modelling], 12 * _YEARS_OF_MODELLING)),
        (2, subject[after], applied[after], add_months(applied[after], applications["term_months"][after])),
        (1, strangers, day, add_months(day, 12 * _YEARS_OF_MODELLING)),
    ]
    who, start, end = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
    purpose = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])
    # One choice of parties and scope per enterprise: people sign the same form again.
    parties = rng.choice(3, len(e), p=[0.85, 0.11, 0.04])[who]
    scope = np.where(parties == 2, 2, (rng.random(len(e)) < 0.1).astype(np.int64)[who])
    n = len(who)
    revoked = start + (rng.random(n) * np.maximum((np.minimum(end, SNAPSHOT) - start).astype(np.int64), 1)).astype(int)
    rows: Rows = {
        "subject": who,
        "purpose": purpose,
        "scope": scope,
        "parties": parties,
        "starts_on": start,
        "ends_on": end,
        "revoked_on": np.where((rng.random(n) < 0.05) & (revoked <= SNAPSHOT) & (revoked > start), revoked, NEVER),
        "evidence_digest": _digests(n, rng),
    }
    kept = start <= SNAPSHOT
    return {"consent_id": first_id + np.arange(int(kept.sum())), **{name: v[kept] for name, v in rows.items()}}


def in_force(consents: Rows, on: Any) -> NDArray[np.bool_]:
    """Which consents hold on a day."""
    begun, over = consents["starts_on"] <= on, (consents["ends_on"] < on) | (consents["revoked_on"] <= on)
    holds: NDArray[np.bool_] = begun & ~over
    return holds


def consenting(consents: Rows, party: str, as_of: Dates) -> NDArray[np.bool_]:
    """Enterprises whose data of the day ``as_of`` the party may use for joint modelling, shape ``(n,)``.

    The consent must hold on that day and still on the last. One given later counts for nothing: who comes back for
    another loan has not defaulted on the first, and membership would tell.
    """
    names = np.array([party in text.split(";") for text in PARTIES])
    usable = (consents["purpose"] == 1) & names[consents["parties"]]
    usable &= in_force(consents, SNAPSHOT) & in_force(consents, as_of[consents["subject"]])
    may = np.zeros(len(as_of), dtype=bool)
    may[consents["subject"][usable]] = True
    return may


def first_days(consents: Rows, n: int) -> Dates:
    """First day of each enterprise's first consent, NaT: none."""
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, consents["subject"], consents["starts_on"].astype(np.int64))
    return np.where(first < np.iinfo(np.int64).max, first, np.iinfo(np.int64).min).astype("datetime64[D]")


def verified_days(e: Enterprises, consents: Rows, rng: np.random.Generator) -> Dates:
    """Day of real-name verification: before the first consent of those who gave one, and of some others; else NaT."""
    n = len(e)
    first = first_days(consents, n)
    before = np.maximum(first - rng.integers(0, 200, n), e.registered_on)
    other = e.registered_on + (rng.random(n) * (SNAPSHOT - e.registered_on).astype(np.int64)).astype(int)
    return np.where(np.isnat(first), np.where(rng.random(n) < 0.2, other, NEVER), before)


def _digests(n: int, rng: np.random.Generator) -> NDArray[np.bytes_]:
    """Random hexadecimal digits, dtype ``S64``."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    return digits[rng.integers(0, 16, (n, 64), dtype=np.uint8)].view("S64").ravel()
