"""Examples are made up from the bins, keep every bit, and tell a half from any other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from models.binning import FeatureBins
from models.boosting.splits import Split
from models.bundle import Half
from models.errors import ModelError
from models.examples import N_EXAMPLES, check_examples, columns_from_json, columns_to_json, drawn, examples_of, told
from tests.models.bins import features_bins

BINS = (
    FeatureBins("Income", category=False, edges=(-1.5, 0.1, 2.0 / 3.0), has_missing=True),
    FeatureBins("职业", category=True, levels=("clerk", "农民"), has_other=True),
)
HALF = Half("m-1", "bank", BINS, (Split(0, 1, missing_left=True), Split(1, 0, missing_left=False)))


def test_a_half_answers_its_own_examples() -> None:
    stored = json.loads(json.dumps(examples_of(HALF)))
    check_examples(HALF, stored)


@pytest.mark.parametrize(
    "other",
    [
        replace(HALF, bins=(replace(BINS[0], edges=(-1.5, 0.1000001, 2.0 / 3.0)), BINS[1])),
        replace(HALF, splits=(Split(0, 2, missing_left=True), HALF.splits[1])),
        replace(HALF, splits=(Split(0, 1, missing_left=False), HALF.splits[1])),
        replace(HALF, salt="00"),
    ],
)
def test_another_half_does_not(other: Half) -> None:
    with pytest.raises(ModelError, match="examples") as caught:
        check_examples(other, examples_of(HALF))
    assert caught.value.code == "selftest_failed"


def test_a_changed_answer_is_seen_even_if_the_digest_fits() -> None:
    stored = examples_of(HALF)
    stored["told"]["left"] = f"{int(stored['told']['left'], 16) ^ 1:0{len(stored['told']['left'])}x}"
    with pytest.raises(ModelError) as caught:
        check_examples(HALF, stored)
    assert caught.value.code == "selftest_failed"


@pytest.mark.parametrize("part", ["digest", "columns", "told"])
def test_examples_that_lack_a_part_are_unreadable(part: str) -> None:
    stored = examples_of(HALF)
    del stored[part]
    with pytest.raises(ModelError) as caught:
        check_examples(HALF, stored)
    assert caught.value.code == "examples_unreadable"


def test_examples_reach_every_bin_missing_values_and_levels_never_seen() -> None:
    rows = drawn(BINS, n_rows=400)
    codes = [b.encode(rows.columns[b.name]) for b in BINS]
    assert set(codes[0].tolist()) == {0, 1, 2, 3, 4}
    assert set(codes[1].tolist()) == {0, 1, 2, 3}
    assert set(BINS[0].edges) <= set(rows.columns["Income"].tolist())


@given(features_bins())
def test_columns_survive_json_with_every_bit(bins: FeatureBins) -> None:
    rows = drawn((bins,), seed=3)
    back = columns_from_json(json.loads(json.dumps(columns_to_json(rows), allow_nan=False)), (bins,))
    assert len(back) == N_EXAMPLES
    if bins.category:
        assert back.columns[bins.name].tolist() == rows.columns[bins.name].tolist()
    else:
        assert np.array_equal(back.columns[bins.name], rows.columns[bins.name], equal_nan=True)
    half = Half("m-1", "bank", (bins,), (Split(0, 0, missing_left=True),))
    assert told(half, back) == told(half, rows)
