"""A probe finds what remembers a repaired penalty, and nothing where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from lab.governance.probe import probe_repaired
from models.errors import DataError
from models.table import Table


def subjects(n: int, trace: float, seed: int = 0) -> tuple[Table, np.ndarray]:
    rng = np.random.default_rng(seed)
    repaired = (rng.random(n) < 0.3).astype(np.float64)
    columns = {"turnover": rng.normal(size=n), "inspections": rng.normal(size=n) + trace * repaired}
    return Table(tuple(map(str, range(n))), columns), repaired


def test_a_column_that_the_penalty_changed_is_found() -> None:
    probed = probe_repaired(*subjects(1500, 1.0), seed=0)
    assert probed.tells
    assert probed.auc.value > 0.65


@pytest.mark.parametrize("seed", range(3))
def test_features_that_know_nothing_tell_nothing(seed: int) -> None:
    probed = probe_repaired(*subjects(1500, 0.0, seed), seed=seed)
    assert not probed.tells
    assert abs(probed.auc.value - 0.5) < 0.06


def test_too_few_subjects_tell_nothing_either_way() -> None:
    table, repaired = subjects(100, 1.0)
    with pytest.raises(DataError) as caught:
        probe_repaired(table, repaired, seed=0)
    assert caught.value.code == "too_few_rows"
