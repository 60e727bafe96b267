"""Tests of grades against scipy and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binomtest, chisquare, kstest

from models.errors import DataError, ModelError
from models.validation.backtest import binomial_test, hosmer_lemeshow, jeffreys_test, normal_test, traffic_light

grade = st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.floats(0.001, 0.999)))


def test_hosmer_lemeshow_is_pearsons_chi_square_of_defaults_and_the_rest() -> None:
    rng = np.random.default_rng(9)
    p = rng.uniform(0.01, 0.5, size=1000)
    label = (rng.random(1000) < p).astype(float)
    order = np.argsort(p).reshape(10, 100)
    bad, expected = label[order].sum(axis=1), p[order].sum(axis=1)
    pearson = chisquare(np.append(bad, 100 - bad), np.append(expected, 100 - expected), ddof=9, sum_check=False)
    found = hosmer_lemeshow(label, p)
    assert found.statistic == pytest.approx(pearson.statistic)
    assert (found.df, found.p_value) == (10, pytest.approx(pearson.pvalue))
    inside = hosmer_lemeshow(label, p, in_sample=True)
    assert (inside.statistic, inside.df) == (found.statistic, 8)


def test_p_values_are_even_when_the_probabilities_are_right() -> None:
    rng = np.random.default_rng(10)
    p = np.tile(np.linspace(0.05, 0.5, 10), 100)
    group = np.tile(np.arange(10), 100)
    drawn = [hosmer_lemeshow((rng.random(1000) < p).astype(float), p, group=group).p_value for _ in range(300)]
    assert kstest(drawn, "uniform").pvalue > 0.01


def test_grades_without_rows_do_not_count() -> None:
    assert hosmer_lemeshow([0, 1, 0], [0.1, 0.2, 0.3], group=[0, 7, 7]).df == 2


@given(st.lists(grade, min_size=1, max_size=5))
def test_the_binomial_test_is_that_of_scipy(grades: list[tuple[int, int, float]]) -> None:
    expected = [binomtest(d, n, p, alternative="greater").pvalue for n, d, p in grades]
    n, d, p = zip(*grades, strict=True)
    assert binomial_test(n, d, p) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_jeffreys_test_is_the_posterior_below_the_stated_probability() -> None:
    n, d, stated = 120, 5, 0.03

    def density(p: float) -> float:
        return p ** (d - 0.5) * (1 - p) ** (n - d - 0.5)

    expected = quad(density, 0, stated, epsabs=0)[0] / quad(density, 0, 1, epsabs=0)[0]
    assert jeffreys_test([n], [d], [stated])[0] == pytest.approx(expected, rel=1e-6)


@given(grade, st.floats(0, 1))
def test_jeffreys_lies_within_half_a_default_of_the_binomial_test(cell: tuple[int, int, float], more: float) -> None:
    n, d, p = cell
    found = jeffreys_test([n], [d], [p])[0]
    upper = binomial_test([n], [d], [p])[0]
    lower = binomial_test([n], [d + 1], [p])[0] if d < n else 0.0
    assert lower - 1e-9 <= found <= upper + 1e-9
    assert jeffreys_test([n], [d], [p + more * (0.9999 - p)])[0] >= found  # a higher statement is never less prudent


def test_all_three_agree_on_a_large_grade() -> None:
    exact, jeffreys, normal = (
        test([100_000], [2_060], [0.02])[0] for test in (binomial_test, jeffreys_test, normal_test)
    )
    assert exact == pytest.approx(jeffreys, rel=0.03)  # half a default apart
    assert normal == pytest.approx(jeffreys, rel=0.03)


@pytest.mark.parametrize("test", [binomial_test, jeffreys_test, normal_test])
def test_a_grade_without_rows_is_no_evidence(test: object) -> None:
    assert test([0, 50], [0, 50], [0.1, 0.1]).tolist() == [1.0, pytest.approx(0.0, abs=1e-30)]


def test_lights_change_at_their_limits() -> None:
    assert traffic_light([0.0, 0.01, 0.049, 0.05, 1.0]) == ("red", "amber", "amber", "green", "green")
    assert traffic_light([0.15], amber=0.2, red=0.1) == ("amber",)
    with pytest.raises(ModelError):
        traffic_light([0.5], amber=0.1, red=0.2)
    with pytest.raises(DataError):
        traffic_light([1.5])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: hosmer_lemeshow([0, 1], [0.0, 0.5]), "bad_probability"),
        (lambda: hosmer_lemeshow([0, 1], [0.5, 0.5], in_sample=True), "too_few_groups"),
        (lambda: hosmer_lemeshow([], []), "no_rows"),
        (lambda: hosmer_lemeshow([0, 1], [0.5, np.nan]), "score_missing"),
        (lambda: binomial_test([2], [3], [0.1]), "bad_count"),
        (lambda: binomial_test([2], [1], [1.0]), "bad_probability"),
        (lambda: jeffreys_test([2, 2], [1], [0.1, 0.1]), "wrong_length"),
        (lambda: normal_test([2, 2], [1, 1], [0.1]), "wrong_length"),
    ],
)
def test_what_cannot_be_tested_is_refused(call: object, code: str) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.code == code
