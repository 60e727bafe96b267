"""Swap sets by counting, approval rates by trying every cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError, ModelError
from models.validation.decisions import approval_gain, approval_rate_at, bad_rate_at, swap_set

row = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-5, 5).map(float), st.integers(-5, 5).map(float))
rows = st.lists(row, min_size=1, max_size=50)


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(13)
    label = (rng.random(1000) < 0.2).astype(float)
    return label, 1.5 * label + rng.normal(size=1000), 0.5 * label + rng.normal(size=1000)


def test_a_swap_set_is_what_sets_say(scored: tuple[np.ndarray, ...]) -> None:
    label, score, reference = scored
    new, old = set(np.argsort(score)[:600]), set(np.argsort(reference)[:600])
    found = swap_set(label, score, reference, 0.6)
    for cell, members in (
        (found.both, new & old),
        (found.swapped_in, new - old),
        (found.swapped_out, old - new),
        (found.neither, set(range(1000)) - new - old),
    ):
        bad = label[sorted(members)]
        assert (cell.n_rows, cell.n_defaults) == (len(bad), bad.sum())
        assert cell.default_rate == pytest.approx(bad.mean())
    assert found.swapped_in.default_rate < found.swapped_out.default_rate


@given(rows, st.floats(0.01, 1))
def test_as_many_come_in_as_go_out(drawn: list[tuple[float, float, float]], approval_rate: float) -> None:
    label, score, reference = np.array(drawn).T
    found = swap_set(label, score, reference, approval_rate)
    cells = (found.both, found.swapped_in, found.swapped_out, found.neither)
    assert found.swapped_in.n_rows == found.swapped_out.n_rows
    assert found.both.n_rows + found.swapped_in.n_rows == round(approval_rate * len(label))
    assert sum(c.n_rows for c in cells) == len(label)
    assert sum(c.n_defaults for c in cells) == label.sum()
    assert all((c.default_rate is None) == (c.n_rows == 0) for c in cells)


@given(rows, st.floats(0.01, 1))
def test_ties_make_no_swaps_of_their_own(drawn: list[tuple[float, float, float]], approval_rate: float) -> None:
    label, score, _ = np.array(drawn).T
    for other in (score, np.zeros(len(score))):
        assert swap_set(label, score, other, approval_rate).swapped_in.n_rows == 0
        assert swap_set(label, other, score, approval_rate).swapped_in.n_rows == 0


def test_the_bad_rate_counts_the_safest_and_ties_by_the_part_that_fits() -> None:
    assert bad_rate_at([0, 0, 1, 0, 1], [1, 2, 3, 4, 5], 0.6) == pytest.approx(1 / 3)
    assert bad_rate_at([0, 0, 1, 1], [1, 2, 2, 2], 0.5) == pytest.approx((2 / 3) / 2)


@given(rows, st.floats(1e-6, 1))
def test_the_bad_rate_is_a_rate(drawn: list[tuple[float, float, float]], approval_rate: float) -> None:
    label, score, _ = np.array(drawn).T
    assert 0 <= bad_rate_at(label, score, approval_rate) <= 1
    assert bad_rate_at(np.ones(len(label)), score, approval_rate) == pytest.approx(1, rel=1e-9)
    assert bad_rate_at(np.ones(7), [0, 1, 1, 2, 2, 2, 2], 0.9684008466044959) <= 1  # rounding alone would lift it above


def test_the_approval_rate_is_the_last_cut_that_keeps_to_the_bad_rate(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    down = label[np.argsort(score)]
    rates = np.cumsum(down) / np.arange(1, 1001)
    for bad_rate in (0.02, 0.05, 0.1, 0.19):
        last = np.flatnonzero(rates <= bad_rate)[-1] + 1
        assert last <= 1000 * approval_rate_at(label, score, bad_rate) <= last + 1
    assert approval_rate_at(label, score, label.mean()) == 1.0


@given(rows, st.floats(0, 1))
def test_the_approval_rate_keeps_to_the_bad_rate(drawn: list[tuple[float, float, float]], bad_rate: float) -> None:
    label, score, _ = np.array(drawn).T
    found = approval_rate_at(label, score, bad_rate)
    assert 0 <= found <= 1
    if found > 1e-6:
        assert bad_rate_at(label, score, found) <= bad_rate + 1e-6
    if found < 1:
        assert bad_rate_at(label, score, 1.0) > bad_rate


def test_if_the_safest_default_no_one_is_approved() -> None:
    assert approval_rate_at([1, 1, 0], [1, 2, 3], 0.5) == 0.0
    assert approval_rate_at([1, 0, 0], [3, 1, 2], 0.0) == pytest.approx(2 / 3)


def test_a_better_score_approves_more_at_the_same_bad_rate(scored: tuple[np.ndarray, ...]) -> None:
    label, score, reference = scored
    found = approval_gain(label, score, reference, 0.6, seed=1, n_resamples=60)
    assert found.bad_rate == bad_rate_at(label, reference, 0.6)
    assert found.reference_rate >= 0.6 - 1e-9
    assert found.gain.value == pytest.approx(found.rate - found.reference_rate)
    assert 0 < found.gain.low < found.gain.value < found.gain.high
    assert found == approval_gain(label, score, reference, 0.6, seed=1, n_resamples=60)


def test_its_interval_is_that_of_rows_drawn_one_by_one(scored: tuple[np.ndarray, ...]) -> None:
    label, score, reference = scored[0], np.round(scored[1], 1), np.round(scored[2], 1)
    target, rng, draws = bad_rate_at(label, reference, 0.6), np.random.default_rng(1), []
    for _ in range(60):
        rows = np.concatenate([rng.choice(np.flatnonzero(label == of), int((label == of).sum())) for of in (1, 0)])
        new, old = (approval_rate_at(label[rows], s[rows], target) for s in (score, reference))
        draws.append(new - old)
    gain = approval_gain(label, score, reference, 0.6, seed=1, n_resamples=60).gain
    assert (gain.low, gain.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=1e-12)


def test_a_score_gains_nothing_over_itself(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    gain = approval_gain(label, score, score, 0.6, seed=1, n_resamples=10).gain
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: swap_set([0, 1], [1, 2], [1], 0.5), "wrong_length"),
        (lambda: swap_set([0, 1], [1, np.nan], [1, 2], 0.5), "score_missing"),
        (lambda: swap_set([0, 1], [1, 2], [1, 2], 0.0), "bad_parameter"),
        (lambda: swap_set([], [], [], 0.5), "no_rows"),
        (lambda: bad_rate_at([0, 1], [1, 2], 1.5), "bad_parameter"),
        (lambda: approval_rate_at([0, 1], [1, 2], -0.1), "bad_parameter"),
        (lambda: approval_gain([0, 0], [1, 2], [1, 2], 0.5, seed=0), "one_class"),
    ],
)
def test_what_cannot_be_decided_is_refused(call: Any, code: str) -> None:
    with pytest.raises((DataError, ModelError)) as caught:
        call()
    assert caught.value.code == code
