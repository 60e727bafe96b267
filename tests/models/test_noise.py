"""Noise follows its distribution, is bounded, and hides one applicant as well as it says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, dlaplace

from models.errors import ModelError
from models.losses import Integers
from models.noise import LEAST_EPSILON, MOST_EPSILON, bounded, draw, furthest, likely, spent

#: OpenDP takes its randomness from the operating system and no seed. With this level one of a thousand million runs of
#: a test fails by chance.
BY_CHANCE = 1e-9


@pytest.mark.parametrize("epsilon", [0.1, 0.3, 1.0, 3.0])
def test_noise_is_discrete_laplace(epsilon: float) -> None:
    """Against SciPy's probabilities, tails joined so that every cell expects ten or more."""
    n = 40_000
    found = draw(epsilon, n)
    edge = next(k for k in range(furthest(epsilon)) if n * dlaplace.sf(k, epsilon) < 10) - 1
    inner = np.arange(-edge, edge + 1)
    expected = np.array([dlaplace.cdf(-edge - 1, epsilon), *dlaplace.pmf(inner, epsilon), dlaplace.sf(edge, epsilon)])
    clipped = np.clip(found, -edge - 1, edge + 1)
    observed = np.bincount(clipped + edge + 1, minlength=len(expected))
    assert chisquare(observed, expected * n).pvalue > BY_CHANCE
    assert chisquare(observed, np.roll(expected, 1) * n).pvalue < BY_CHANCE  # moved by one, it would show


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_what_is_released_of_two_neighbouring_tables_differs_by_no_more_than_epsilon(epsilon: float) -> None:
    """A membership test: the best guess is whether the noisy count is above the middle, at any threshold."""
    n = 40_000
    without, with_one = 100 + draw(epsilon, n), 101 + draw(epsilon, n)
    shown = 0.0
    for threshold in (95, 99, 100, 101, 105):
        hits, false_alarms = int((with_one >= threshold).sum()), int((without >= threshold).sum())
        for more, less in ((hits, false_alarms), (n - false_alarms, n - hits)):
            low = binomtest(more, n).proportion_ci(1 - BY_CHANCE).low
            high = binomtest(less, n).proportion_ci(1 - BY_CHANCE).high
            shown = max(shown, math.log(low / high))
    assert epsilon / 2 < shown <= epsilon


@dataclass
class Scripted:
    """A source that gives what it is told, in turn."""

    turns: list[list[int]]
    asked: list[int] = field(default_factory=list)

    def __call__(self, epsilon: float, n: int) -> Integers:
        self.asked.append(n)
        return np.array(self.turns.pop(0), dtype=np.int64)


def test_noise_out_of_bounds_is_drawn_again() -> None:
    far = furthest(1.0)
    source = Scripted([[far + 1, far, -far - 1, 3], [2, -far - 9], [-far]])
    assert bounded(source, 1.0, 4).tolist() == [2, far, -far, 3]
    assert source.asked == [4, 2, 1]


def test_the_bound_is_out_of_reach() -> None:
    for epsilon in (LEAST_EPSILON, 1.0, MOST_EPSILON):
        assert 2 * dlaplace.sf(furthest(epsilon), epsilon) < 2**-100
        assert 2 * dlaplace.sf(likely(epsilon), epsilon) < 1e-3


def test_what_is_spent_adds_up() -> None:
    assert spent([]) == 0
    assert spent([(1.0, 0)]) == 0
    assert spent([(1.0, 3), (0.3, 10)]) == pytest.approx(6.0, rel=1e-12)
    assert spent([(0.3, 1)] * 7) >= 2.1 - 1e-15


@pytest.mark.parametrize("epsilon", [0.1, 0.3, 0.7, 1 / 3, 3.3, 20.0])
def test_one_release_spends_no_more_than_it_says(epsilon: float) -> None:
    assert 0.999 * epsilon < spent([(epsilon, 1)]) <= epsilon


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 0.09, 20.1, math.inf, math.nan])
def test_an_epsilon_out_of_range_is_refused(epsilon: float) -> None:
    for asked in (lambda: draw(epsilon, 1), lambda: spent([(epsilon, 1)])):
        with pytest.raises(ModelError) as caught:
            asked()
        assert caught.value.code == "bad_epsilon"
