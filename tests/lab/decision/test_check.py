"""A policy's own examples are run, and what they leave out is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lab.decision.check import examine
from lab.decision.decision import decide
from tests.lab.decision.cases import case, edited, sample


def test_the_sample_comes_to_what_its_examples_say() -> None:
    assert not [finding for finding in examine(sample()) if finding.is_fault]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("funding = 0.0200\noperating = 0.0080", "funding = 0.0210\noperating = 0.0080", "rate is 0.0394, expected"),
        ('verdict = "decline"\nrules = ["dormant"]', 'verdict = "approve"', "verdict is decline, expected approve"),
        ('rules = ["price"]\nrole = "credit_officer"', 'role = "credit_committee"', "role is credit_officer, expected"),
        ("limit = 120_000", "limit = 121_000", "limit is 120000, expected 121000"),
        ('rules = ["band"]', 'rules = ["limit"]', "rules is ['band'], expected ['limit']"),
    ],
)  # fmt: skip
def test_an_example_that_comes_out_otherwise_is_a_fault_that_names_what_differs(old: str, new: str, said: str) -> None:
    faults = [f for f in examine(edited((old, new))) if f.is_fault]
    assert any(said in f.english for f in faults)
    assert all("示例" in f.chinese for f in faults)


def test_the_probability_from_which_the_ceiling_forbids_a_price_is_told_exactly() -> None:
    said = [f.english for f in examine(sample()) if f.code == "partly_priced"]
    assert "tax_credit_loan, none, joint, C: above a default probability of 0.0711 the rate" in "\n".join(said)
    assert decide(sample(), case("0.0711")).verdict == "approve"
    assert decide(sample(), case("0.0712")).verdict == "refer"


def test_a_band_that_is_approved_and_never_priced_is_told() -> None:
    raised = [(f"margin = {old} }}", "margin = 0.0400 }") for old in ("0.0050", "0.0100", "0.0150", "0.0200")]
    policy = edited(*raised)
    assert any(f.code == "never_priced" and "tax_credit_loan, none, joint, C" in f.english for f in examine(policy))
    for p in ("0.05", "0.07", "0.0999"):
        assert decide(policy, case(p)).rate is None


def test_against_an_earlier_version_every_changed_decision_is_told() -> None:
    dearer = ("funding = 0.0200\noperating = 0.0080", "funding = 0.0210\noperating = 0.0080")
    version, begins = ('version = "2026.1"', 'version = "2026.2"'), ("from = 2026-04-01", "from = 2026-12-01")
    changed = [f for f in examine(edited(dearer, version, begins), sample()) if f.code == "decided_otherwise"]
    assert len(changed) == 4
    assert "of 2026.1 changes: approve, 800,000, 3.84% → approve, 800,000, 3.94%." in changed[0].english
    assert not [f for f in examine(sample(), sample()) if f.code in ("decided_otherwise", "same_version")]
    assert [f.is_fault for f in examine(edited(dearer), sample()) if f.code == "same_version"] == [True]


def test_a_product_that_is_gone_is_told() -> None:
    renamed = edited(("park_limit", "village_limit"), ('version = "2026.1"', 'version = "2026.2"'))
    assert {f.english for f in examine(renamed, sample()) if f.code == "product_gone"} == {
        "The product park_limit is no longer there."
    }


def test_what_no_example_shows_is_told() -> None:
    [missing] = [f.english for f in examine(sample()) if f.code == "not_shown"]
    assert "B bank_only" in missing
    assert "abnormal_operation" in missing
    assert "A joint" not in missing
    assert Decimal("0.0384") == decide(sample(), case()).rate
