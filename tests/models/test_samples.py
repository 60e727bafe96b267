"""What may be measured, and what is refused by which name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.errors import DataError, LianmoError, ModelError
from models.samples import (
    check_parameter,
    checked_cells,
    checked_counts,
    checked_groups,
    checked_label,
    checked_probability,
    checked_score,
    checked_weight,
    need_both_classes,
    need_rows,
    need_spread,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: checked_label([]), "no_rows"),
        (lambda: checked_label([0, 1, 2]), "bad_label"),
        (lambda: checked_label([0, NAN]), "bad_label"),
        (lambda: checked_label([[0, 1]]), "wrong_shape"),
        (lambda: checked_label(["good", "bad"]), "not_numbers"),
        (lambda: checked_score([1.0], 2), "wrong_length"),
        (lambda: checked_score([]), "no_rows"),
        (lambda: checked_score([1.0, NAN], 2), "score_missing"),
        (lambda: checked_score([1.0, -INF], 2), "score_missing"),
        (lambda: checked_probability([1.1]), "bad_probability"),
        (lambda: checked_probability([-0.1]), "bad_probability"),
        (lambda: checked_probability([0.0], inside=True), "bad_probability"),
        (lambda: checked_probability([1.0], inside=True), "bad_probability"),
        (lambda: checked_weight([1.0], 2), "wrong_length"),
        (lambda: checked_weight([1.0, -1.0], 2), "bad_weight"),
        (lambda: checked_weight([0.0, 0.0], 2), "bad_weight"),
        (lambda: checked_weight([NAN, 1.0], 2), "score_missing"),
        (lambda: checked_groups([0, 2], 2, 2), "bad_group"),
        (lambda: checked_groups([0, -1], 2, 2), "bad_group"),
        (lambda: checked_groups([0, 0.5], 2, 2), "bad_group"),
        (lambda: checked_counts([1.5]), "bad_count"),
        (lambda: checked_counts([-1]), "bad_count"),
        (lambda: checked_cells([1, 2], [1, 3]), "bad_count"),
        (lambda: need_both_classes(np.zeros(2)), "one_class"),
        (lambda: need_both_classes(np.ones(2)), "one_class"),
        (lambda: need_spread(np.ones(2)), "constant_score"),
        (lambda: need_rows(np.zeros(2, dtype=np.int64)), "no_rows"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_both_languages(call: Callable[[], object], code: str) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.english.isascii()
    assert not caught.value.chinese.isascii()


def test_no_value_of_an_applicant_is_in_the_text() -> None:
    with pytest.raises(LianmoError) as caught:
        checked_probability([0.5, 17.125])
    assert "17" not in str(caught.value)


def test_what_is_sound_comes_back_as_floats_or_integers() -> None:
    assert checked_label([True, False]).tolist() == [1.0, 0.0]
    assert checked_probability([0, 1]).dtype == np.float64
    assert checked_weight(None, 2).tolist() == [1.0, 1.0]
    assert checked_groups([1.0, 0.0], 2, 2).dtype == np.int64
    rows, defaults = checked_cells([3, 0], [1, 0])
    assert (rows.tolist(), defaults.tolist()) == ([3, 0], [1, 0])


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN])
def test_a_parameter_outside_its_range_is_named(value: float) -> None:
    check_parameter("share", 0.5, 0.0, 1.0)
    with pytest.raises(ModelError, match="share") as caught:
        check_parameter("share", value, 0.0, 1.0)
    assert caught.value.code == "bad_parameter"
