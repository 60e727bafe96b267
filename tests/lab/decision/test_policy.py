"""Policies as data: what is refused, with one reason, and what a digest is of."""

from __future__ import annotations

import random
from decimal import Context, Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.decision.policy import SAMPLE, load_policy, read_policy
from lab.decision.rules import band_of
from lab.errors import ConfigError
from models.scale import BANDS, band
from tests.lab.decision.cases import edited, edited_text, sample

#: What a careless or hostile hand writes in place of something else.
PIECES = [
    b"", b"0", b"-1", b"1e999999999", b"1e99999999999999999999", b"nan", b"inf", b"true", b'"x"', b"[]", b"{}",
    b"[" * 2000, b"2026-13-01", b"\x00", b"\xff", b"0.1234567890123456789", b"9" * 24, b"\n[extra]\n", b"=",
    b"'''", b"\xe5\x90\x8d", b"1_0", b"approve", b"1979-05-27T07:32:00Z",
]  # fmt: skip


def reason_of(text: bytes) -> str:
    """Why it is refused, in one line; empty if it is not."""
    try:
        read_policy(text)
    except ConfigError as caught:
        error = caught
    else:
        return ""
    assert error.code == "policy_unusable"
    assert error.english.startswith("The decision policy cannot be used: ")
    assert error.english.count("\n") == error.chinese.count("\n") == 0
    assert len(error.english) < 500
    return error.english


def reason(text: bytes) -> str:
    assert reason_of(text)
    return reason_of(text)


def test_the_sample_says_that_it_is_one_and_has_the_bands_of_the_service() -> None:
    assert sample().sample
    assert [(b.name, float(b.below)) for b in sample().bands] == [(n, min(below, 1)) for n, below in BANDS]
    assert load_policy(SAMPLE).digest == sample().digest


@given(st.floats(0, 1))
def test_every_probability_has_the_band_that_the_service_gives_it(p: float) -> None:
    assert band_of(sample(), sample().products[0], Decimal(repr(p))).name == band(p)


def test_a_digest_is_of_what_is_said_not_of_how_it_is_written() -> None:
    digest = sample().digest
    assert len(digest) == 64
    assert edited(("fee = 0.0080", "fee   = 0.008  # remark"), ("cap = 5_000_000", "cap = 5000000")).digest == digest
    assert edited(('unknown = "refer"\ntoo_small', "too_small")).digest == digest
    with localcontext(Context(prec=2)):
        assert load_policy(SAMPLE).digest == digest
    assert edited(("fee = 0.0080", "fee = 0.0081")).digest != digest
    assert edited(('version = "2026.1"', 'version = "2026.2"')).digest != digest
    assert edited(("points = 629", "points = 630")).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("below = 0.05", "below = 0.02", "overlap"),
        ("below = 0.05", "below = 0.01", "overlap"),
        ("below = 1\n", "below = 0.9\n", "would have none"),
        ('name = "F"', 'name = "A"', "occurs twice"),
        ('code = "dishonest_debtor"', 'code = "serious_dishonesty"', "occurs twice"),
        ('code = "park_limit"', 'code = "tax_credit_loan"', "occurs twice"),
        ('severity = "ordinary"', 'severity = "serious"', "occurs twice"),
        ('code = "dormant_enterprise"', 'code = "dormant"', "cannot be that of a list"),
        ('guarantees = ["none", "policy_guarantee"]', 'guarantees = ["none", "uncle"]', "not among guarantees"),
        ('bank_only = { verdict = "refer", share = 0.2', 'bank_only = { verdict = "approve", share = 0.2', "D is mild"),
        ("share = 0.50, cap = 1_000_000, margin = 0.0050", "share = 0.50, cap = 6_000_000", "milder for bank_only"),
        ("cap = 3_000_000", "cap = 6_000_000", "B is milder than A"),
        ("cap = 3_000_000, margin = 0.0000", "cap = 3_000_000, margin = 0.0060", "C is milder"),
        ('joint = { verdict = "decline" }', 'joint = { verdict = "decline", cap = 5 }', "share and cap"),
        ('joint = { verdict = "decline" }', 'joint = { verdict = "approve" }', "share and cap"),
        ("bank = 0.20, government = 0.10", "bank = 0.21, government = 0.10", "add up to 1"),
        ("ceiling = 0.0700", "ceiling = 0.0300", "floor lies above"),
        ("years = [0.5, 0.3, 0.0]", "years = [0.3, 0.5]", "rise"),
        ("min_months = 3\n", "min_months = 40\n", "above its maximum"),
        ("in_force_until = 2027-03-31", "in_force_until = 2026-03-31", "before in_force_from"),
        ('rules = ["serious_dishonesty", ', 'rules = ["seriously", ', "a rule that there is not"),
        ("days = 3\n", "days = 3\nmin_amount = 1\n", "the last must"),
        ("days = 7\nmin_amount = 2_000_000\n", "days = 7\n", "never reached"),
        ("sample = true", "sample = true\nsurprise = 1", "surprise"),
        ('product = "park_limit"', 'product = "no_such_loan"', "a product that there is not"),
        ('chinese = "授信审批岗"', 'chinese = "授信\\u202e审批岗"', "not printable"),
        ("fee = 0.0080", "fee = nan", "fee"),
        ('verdict = "refer"\ndisputed = "refer"', 'verdict = "refer"\ndisputed = "decline"', "would fare worse"),
        ("fee = 0.0080", "fee = 0.00800000001", "fee"),
        ("fee = 0.0080", 'fee = "0.008"', "fee"),
        ("sample = true", 'sample = "yes"', "sample"),
        ("in_force_from = 2026-04-01", "in_force_from = 2026-04-01T00:00:00Z", "in_force_from"),
        ("in_force_from = 2026-04-01", 'in_force_from = "2026-04-01"', "in_force_from"),
        ("amount = 100_000\n", "amount = 100_000.0\n", "amount"),
        ("as_of = 2026-06-01", "as_of = 9999-12-31", "no day of our time"),
        ('mode = "unscored"', 'mode = "joint"', "a score goes with"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_reason(old: str, new: str, said: str) -> None:
    assert said in reason(edited_text((old, new)))


@pytest.mark.slow
def test_ten_thousand_malformed_policies_are_refused_with_one_reason_each() -> None:
    """One or more random pieces of the sample are cut out, doubled, moved or replaced; what still says the same, or
    another sound policy, is not counted."""
    drawn, original = random.Random(8), SAMPLE.read_bytes()
    head = original[: original.index(b"[[examples]]", original.index(b"[[examples]]") + 1)]  # one example is enough
    refused = kept = 0
    while refused < 10_000:
        text = bytearray(head)
        for _ in range(drawn.choice([1, 1, 1, 2, 3])):
            start = drawn.randrange(len(text))
            end = min(len(text), start + drawn.choice([1, 1, 2, 5, 20, 200]))
            replaced = drawn.choice([drawn.choice(PIECES), bytes(text[start:end]) * 2, bytes([drawn.randrange(256)])])
            text[start:end] = replaced
        told = reason_of(bytes(text))
        refused, kept = refused + bool(told), kept + (not told)
    assert kept < 15_000


@pytest.mark.parametrize("value", [b"[" * 100_000, b"[" * 300 + b"]" * 300, b"1e99999999999999999999", b"{a=" * 400])
def test_values_that_break_readers_are_refused(value: bytes) -> None:
    reason(b"version = " + value)
    reason(SAMPLE.read_bytes() + b"\n[more]\nx = " + value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_other_bytes_are_refused(text: bytes) -> None:
    reason(text)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_policy(tmp_path / "none.toml")
    assert refused.value.code == "policy_missing"
    assert "1 MiB" in reason(SAMPLE.read_bytes() + b"#" * (1 << 20))


@pytest.mark.parametrize(
    ("old", "new"), [("sample = true", 'sample = "yes"'), ("ceiling = 0.0700", ""), ("days = 20", "days = 200")]
)
def test_reasons_are_in_both_languages(old: str, new: str) -> None:
    with pytest.raises(ConfigError) as refused:
        edited((old, new))
    said = refused.value.chinese.removeprefix("决策策略无法使用：").removesuffix("。不会据此作出任何决策。")
    assert any("\u4e00" <= c <= "\u9fff" for c in said)
    assert refused.value.english.isascii()


def test_an_unknown_name_is_not_repeated() -> None:
    said = reason(SAMPLE.read_bytes() + b'\n"91310000MA1FL0XX0X" = 1\n')
    assert "91310000" not in said
