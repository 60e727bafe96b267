"""AUC and KS from bands beside scikit-learn's and scipy's of single scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from models.errors import DataError
from models.losses import Floats, Integers
from models.validation.banded import banded_quality


def counted(label: Floats, band: Integers) -> tuple[Integers, Integers]:
    goods, bads = (np.bincount(band[label == of], minlength=40) for of in (0.0, 1.0))
    return goods.astype(np.int64), bads.astype(np.int64)


def test_bands_give_what_their_numbers_give_as_scores() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(2000) < 0.2).astype(float)
    band = np.clip(np.round(rng.normal(18 + 4 * label, 5)), 0, 39).astype(np.int64)
    auc, ks = banded_quality(*counted(label, band), seed=1)
    assert auc.value == pytest.approx(roc_auc_score(label, band), abs=1e-12)
    assert ks.value == pytest.approx(ks_2samp(band[label == 1], band[label == 0]).statistic, abs=1e-12)
    assert auc.low < auc.value < auc.high
    assert auc.high - auc.low == pytest.approx(0.06, abs=0.02)
    assert ks.low < ks.value < ks.high


def test_one_class_has_no_discrimination() -> None:
    with pytest.raises(DataError, match="one class"):
        banded_quality(np.array([1, 2]), np.array([0, 0]), seed=0)
