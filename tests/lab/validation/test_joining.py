"""A site takes the common model where its own rows show a gain, and keeps its own where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import log_loss

from lab.validation.joining import (
    FEWEST,
    WAYS,
    Calibration,
    Line,
    calibrate,
    choose,
    least_means,
    log_losses,
    mean_interval,
)
from models.errors import DataError
from models.losses import Floats


def rows(n: int = 2000, noise_own: float = 1.0, noise_common: float = 1.0, seed: int = 0) -> tuple[Floats, ...]:
    """Labels, and margins of two models that see the truth through noise."""
    rng = np.random.default_rng(seed)
    truth = 1.5 * rng.normal(size=n) - 1.5
    label = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    return label, truth + noise_own * rng.normal(size=n), truth + noise_common * rng.normal(size=n)


def test_a_site_keeps_its_own_where_the_common_one_is_worse() -> None:
    label, own, _ = rows()
    choice = choose(label, own, np.random.default_rng(1).normal(size=len(label)))
    assert (choice.way, choice.decided) == ("own", True)
    assert choice.gains["common"].high < 0
    assert choice.line.common == 0


def test_a_site_calibrates_a_common_one_that_ranks_well_but_elsewhere() -> None:
    label, own, common = rows(noise_own=5.0, noise_common=0.2)
    choice = choose(label, own, 2 * common + 3)
    assert choice.way in ("calibrated", "blend")
    assert choice.gains["common"].high < 0
    assert choice.lines["calibrated"].common == pytest.approx(0.5, abs=0.1)


def test_two_halves_of_the_truth_are_blended() -> None:
    label, own, common = rows(4000)
    choice = choose(label, own, common)
    assert choice.way == "blend"
    probability = choice.line.probability(own, common)
    assert log_loss(label, probability) < log_loss(label, choice.lines["calibrated"].probability(own, common))
    assert log_losses(label, probability).mean() == pytest.approx(log_loss(label, probability))


def test_under_chance_alone_few_sites_change() -> None:
    """Two models of the same worth, one of them as it is: with 95 % intervals hardly a site leaves its own."""
    left = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label, own, _ = rows(300, seed=seed)
        left += choose(label, own, rng.permutation(own), seed=seed).way != "own"
    assert left <= 3


def test_a_gain_that_might_be_none_is_not_taken() -> None:
    """A common model a little better, on few rows: better on average, but not for sure."""
    label, own, common = rows(200, noise_common=0.9, seed=1)
    choice = choose(label, own, common)
    assert any(gain.value > 0 for gain in choice.gains.values())
    assert all(least <= 0 for least in choice.least.values())
    assert choice.way == "own"


@pytest.mark.parametrize(("alike", "errors"), [(False, 2.121), (True, 1.645)])
def test_lower_ends_hold_all_at_once(alike: bool, errors: float) -> None:
    """Of three columns that have nothing to do with each other each must hold in 0.95 to the power of 1/3 of cases."""
    columns = np.random.default_rng(0).normal(size=(1000, 1 if alike else 3)) * [1.0, 2.0, 3.0]
    least = np.array(list(least_means(dict(zip("abc", columns.T, strict=True))).values()))
    found = (columns.mean(axis=0) - least) / (columns.std(axis=0) / np.sqrt(1000))
    np.testing.assert_allclose(found, errors, atol=0.1)


def test_a_lower_end_is_nearer_than_that_of_two_sides() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    [least] = least_means({"a": values}).values()
    assert mean_interval(values).low < least < values.mean()
    assert least == pytest.approx(bootstrap_low(values), abs=0.01)
    assert least_means({"a": np.zeros(5)})["a"] <= 0.0  # nothing to gain


def bootstrap_low(values: Floats) -> float:
    found = bootstrap((values,), np.mean, confidence_level=0.95, alternative="greater", method="percentile", rng=1)
    return float(found.confidence_interval.low)


def test_too_few_defaults_decide_nothing() -> None:
    label, own, common = rows(200)
    few = np.flatnonzero(label == 1)[: FEWEST - 1]
    at = np.concatenate([few, np.flatnonzero(label == 0)])
    choice = choose(label[at], own[at], common[at])
    assert (choice.way, choice.decided, choice.gains, choice.least) == ("own", False, {}, {})
    assert choose(label[at], None, common[at]).way == "common"  # nothing to lose


@pytest.mark.parametrize("n", [0, 1, 5])
def test_sites_of_one_class_or_without_rows_get_the_common_one_or_keep_their_own(n: int) -> None:
    empty = np.zeros(n)
    assert choose(empty, None, empty).way == "common"
    choice = choose(empty, empty, empty)
    assert choice.way == "own"
    assert np.isfinite(choice.line.probability(np.array([1.0]), np.array([1.0]))).all()


def test_a_site_without_a_model_compares_with_its_rate_of_defaults() -> None:
    label, _, common = rows()
    choice = choose(label, None, common)
    assert choice.way in ("common", "calibrated")
    assert choice.lines["own"].own == 0
    worse = choose(label, None, 5 * np.random.default_rng(9).normal(size=len(label)))
    assert worse.way == "own"


def test_a_model_turned_round_is_not_blended_in() -> None:
    label, own, common = rows()
    assert "blend" not in choose(label, own, -common).lines
    assert choose(label, own, -common).way == "own"


def test_the_interval_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    found = mean_interval(values)
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=1).confidence_interval
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.01)
    with pytest.raises(DataError):
        mean_interval(values[:0])


def test_a_line_is_kept_as_json() -> None:
    line = Line(0.1, 0.2, 0.3)
    assert Line.from_json(line.to_json()) == line
    assert set(choose(*rows()).lines) == set(WAYS)


# The common model on the scale of the site


def test_a_site_of_another_level_is_calibrated_and_one_of_the_same_is_not() -> None:
    label, _, common = rows(noise_common=0.0)
    assert calibrate(label, common).line is None
    found = calibrate(label, common + 1.0)
    assert found.line is not None
    assert found.gain is not None
    assert found.gain.low > 0
    assert (found.line.own, found.line.common) == (0.0, pytest.approx(1.0, abs=0.15))
    assert found.line.intercept == pytest.approx(-1.0, abs=0.2)


def test_a_calibration_that_might_not_help_is_left_out() -> None:
    label, _, common = rows(200, noise_common=0.0, seed=3)
    found = calibrate(label, common + 0.15)
    assert found.gain is not None
    assert found.line is None


def test_too_few_defaults_calibrate_nothing() -> None:
    label, _, common = rows(200)
    few = np.flatnonzero(label == 1)[: FEWEST - 1]
    at = np.concatenate([few, np.flatnonzero(label == 0)])
    for part in (at, at[:0], at[-5:]):
        assert calibrate(label[part], common[part] + 3.0) == Calibration(None, None)
