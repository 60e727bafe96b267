"""Points and bands."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scale import BANDS, band, points


@pytest.mark.parametrize(("good_to_bad", "expected"), [(20, 600), (40, 620), (80, 640), (10, 580)])
def test_twenty_points_double_the_odds(good_to_bad: float, expected: int) -> None:
    assert points(-math.log(good_to_bad)) == expected


@given(st.floats(-50, 50), st.floats(0, 50))
def test_more_risk_is_never_more_points(margin: float, more: float) -> None:
    assert points(margin + more) <= points(margin)


@given(st.floats(0, 1), st.floats(0, 1))
def test_bands_follow_the_default_probability(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert band(low) <= band(high)


def test_every_probability_has_a_band_and_every_band_one() -> None:
    assert [band(p) for p in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)] == ["A", "B", "C", "D", "E", "F", "F"]
    assert [below for _, below in BANDS] == sorted(below for _, below in BANDS)
