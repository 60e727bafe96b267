"""Shares of noise add up to what one draw would be, and spend what is published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm

from models.errors import ModelError
from models.shared_noise import LEAST_SCALE, draw_share, multiplier_for, spent

#: OpenDP takes no seed: with this level one of a thousand million runs fails by chance.
BY_CHANCE = 1e-9


@pytest.mark.parametrize("n_shares", [1, 5, 40])
def test_shares_add_up_to_a_gaussian_of_the_whole_scale(n_shares: int) -> None:
    """Against SciPy's normal distribution, from which a lattice this fine differs by nothing that shows."""
    scale = 2.0**33
    found = sum(draw_share(scale / math.sqrt(n_shares), 4000) for _ in range(n_shares))
    assert kstest(found / scale, norm.cdf).pvalue > BY_CHANCE
    assert kstest(found / scale, norm(scale=1.3).cdf).pvalue < BY_CHANCE  # a wrong scale would show


@pytest.mark.parametrize(("multiplier", "n", "delta"), [(1.0, 1, 1e-6), (10.0, 61, 1e-6), (30.0, 200, 1e-5)])
def test_epsilon_is_between_that_of_the_exact_curve_and_the_published_bound(
    multiplier: float, n: int, delta: float
) -> None:
    """Exact: n releases are one with sqrt(n) times the shift (Balle & Wang 2018, Theorem 8). Bound: Bun & Steinke 2016,
    Proposition 1.3."""
    found, mu = spent(multiplier, n, delta), math.sqrt(n) / multiplier
    rho = mu**2 / 2
    assert found <= rho + 2 * math.sqrt(rho * math.log(1 / delta)) + 1e-6
    exact = norm.cdf(mu / 2 - found / mu) - math.exp(found) * norm.cdf(-mu / 2 - found / mu)
    assert exact <= delta  # it protects as well as it says
    # and the curve is right: from its definition, the mass by which one side exceeds exp(epsilon) times the other
    excess = quad(lambda x: max(0.0, norm.pdf(x - mu) - math.exp(found) * norm.pdf(x)), mu / 2 + found / mu, mu + 40)[0]
    assert excess == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 20.0])
def test_the_multiplier_found_spends_no_more_and_not_much_less(epsilon: float) -> None:
    found = multiplier_for(epsilon, 61, 1e-6)
    assert 0.99 * epsilon < spent(found, 61, 1e-6) <= epsilon


def test_what_makes_no_sense_is_refused() -> None:
    for multiplier, n, delta in ((0.0, 1, 1e-6), (1.0, 0, 1e-6), (1.0, 1, 0.0), (math.nan, 1, 1e-6)):
        with pytest.raises(ModelError):
            spent(multiplier, n, delta)
    for scale in (LEAST_SCALE / 2, 2.0**60, math.nan):
        with pytest.raises(ModelError):
            draw_share(scale, 3)
    with pytest.raises(ModelError, match="Release less"):
        multiplier_for(1e-5, 1000, 1e-6)


def test_no_share_lies_beyond_the_room_that_is_proven() -> None:
    scale = LEAST_SCALE
    assert np.abs(draw_share(scale, 10_000)).max() <= 12 * scale
