"""Jeffreys intervals against published values and the posterior itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from models.errors import DataError, ModelError
from models.validation.proportions import jeffreys_interval, proportion


def test_ends_cut_off_equal_tails_of_the_posterior() -> None:
    low, high = jeffreys_interval([40], [7], 0.9)

    def density(p: float) -> float:
        return p**6.5 * (1 - p) ** 32.5

    whole, below, above = (quad(density, *ends, epsabs=0)[0] for ends in ((0, 1), (0, low[0]), (high[0], 1)))
    assert below / whole == pytest.approx(0.05, rel=1e-6)
    assert above / whole == pytest.approx(0.05, rel=1e-6)


def test_ends_reach_the_corners_and_an_empty_group_tells_nothing() -> None:
    low, high = jeffreys_interval([10, 10, 0], [0, 10, 0])
    assert low.tolist()[0] == 0
    assert high.tolist()[1] == 1
    assert (low[2], high[2]) == (0, 1)
    assert 0 < high[0] < 0.3  # Brown, Cai & DasGupta 2001, Table 5: 0.217 for n = 10, x = 0
    assert high[0] == pytest.approx(0.217, abs=5e-4)
    assert low[1] == pytest.approx(1 - high[0])


def test_coverage_is_about_what_is_said() -> None:
    defaults = np.random.default_rng(0).binomial(200, 0.05, size=4000)
    low, high = jeffreys_interval(np.full(4000, 200), defaults)
    assert np.mean((low <= 0.05) & (high >= 0.05)) == pytest.approx(0.95, abs=0.02)


def test_a_proportion_lies_in_its_interval() -> None:
    found = proportion(50, 5)
    assert found.low < found.value == 0.1 < found.high
    with pytest.raises(ModelError):
        proportion(0, 0)
    with pytest.raises(DataError):
        jeffreys_interval([1], [2])
    with pytest.raises(ModelError):
        jeffreys_interval([1], [1], confidence=1.0)
