"""What a document says of a model is what its numbers say."""

from __future__ import annotations

import pytest

from lab.validation.readings import gain_reading, reliability_reading


@pytest.mark.parametrize(
    ("low", "high", "english", "chinese"),
    [
        (0.01, 0.05, "better than the bank alone", "优于仅银行"),
        (-0.05, -0.01, "worse than the bank alone", "不如仅银行"),
        (-0.02, 0.03, "do not show", "不足以表明"),
    ],
)
def test_a_gain_is_claimed_only_where_its_interval_shows_one(
    low: float, high: float, english: str, chinese: str
) -> None:
    told = gain_reading({"value": (low + high) / 2, "low": low, "high": high})
    assert english in told[0]
    assert chinese in told[1]
    assert all(f"({low:+.3f} – {high:+.3f})" in text for text in told)


def _band(stated: float) -> dict[str, object]:
    return {"mean_probability": stated, "n_rows": 50, "default_rate": {"value": 0.3, "low": 0.2, "high": 0.4}}


def test_what_the_model_stated_before_calibration_is_said() -> None:
    calibration = {"method": "platt", "reliability": [_band(0.3)], "raw_reliability": [_band(0.1), _band(0.2)]}
    pack = {"calibration": calibration, "holdout": {"default_rate": {"value": 0.31}}}
    told = reliability_reading(pack)
    assert "30.0 % stated, 31.0 % observed; before calibration 15.0 % stated." in told[0]
    assert "校准前预测 15.0 %" in told[1]
    assert "before calibration" not in reliability_reading(pack | {"calibration": calibration | {"method": "raw"}})[0]
