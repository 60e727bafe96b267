"""Labels that row sets reveal are found; row sets drawn at random give chance; unknown labels change no guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lab.leakage.guesses import by_clusters, by_small_nodes, from_labels, own_points, place_rows, with_own
from lab.leakage.label_inference import LabelInference, label_inference
from lab.leakage.rowsets import RowSets
from models.errors import DataError
from models.losses import Floats
from models.table import Table
from models.validation.metrics import auc

N = 600
RNG = np.random.default_rng(11)
LABEL = (RNG.random(N) < 0.3).astype(np.float64)
#: One column that says little of the label, one category that says nothing, values missing.
OWN = Table(
    tuple(map(str, range(N))),
    {
        "amount": np.where(RNG.random(N) < 0.1, np.nan, LABEL * 0.3 + RNG.normal(size=N)),
        "sector": np.array([None if v == "none" else v for v in RNG.choice(["a", "b", "none"], N)], dtype=object),
    },
)


def row_sets(*, planted: bool = True, seed: int = 5, n_trees: int = 6) -> RowSets:
    """Trees of depth two whose first cut follows the label for nine rows of ten; else a label dealt out anew."""
    rng = np.random.default_rng(seed)
    trees = {}
    for tree in range(n_trees):
        followed = LABEL if planted else rng.permutation(LABEL)
        left = (followed == 1) ^ (rng.random(N) < 0.1)
        again = rng.random(N) < 0.5
        trees[tree + 2] = np.array([left, ~left, left & again, left & ~again, ~left & again, ~left & ~again])
    return RowSets(N, trees)


def attacked(seen: RowSets, label: Floats = LABEL) -> LabelInference:
    return label_inference("host:tax", seen, OWN, label, n_resamples=20)


def test_labels_that_row_sets_reveal_are_found() -> None:
    found = attacked(row_sets())
    assert found.verdict == "beyond_own_features"
    assert (found.n_trees, found.n_sets) == (6, 36)
    assert min(found.clusters.low, found.small_nodes.low, found.few_labels.low) > 0.9
    assert found.own_features.high < 0.7
    assert found.gain.value == pytest.approx(found.few_labels.value - found.own_features.value)


def test_random_row_sets_give_chance() -> None:
    found = attacked(row_sets(planted=False))
    assert found.verdict == "not_found"
    assert found.gain.low < 0
    many = [row_sets(planted=False, seed=seed) for seed in range(10)]
    for guess in (by_clusters, by_small_nodes):
        areas = [auc(LABEL, guess(seen)) for seen in many]
        # Standard error of an area by chance: sqrt((n + 1) / (12 n_bad n_good)), about 0.026.
        assert np.mean(areas) == pytest.approx(0.5, abs=3 * 0.026 / np.sqrt(len(many)))
        assert np.std(areas) < 0.05


def test_a_host_that_saw_no_tree_has_its_own_features_only() -> None:
    found = attacked(RowSets(N, {}))
    assert found.clusters.value == found.small_nodes.value == 0.5
    assert found.verdict == "not_found"


def test_row_sets_that_repeat_the_hosts_own_features_are_no_gain() -> None:
    """Own features tell the label: above chance without labels, but nothing beyond what the host had."""
    own = Table(OWN.ids, {"arrears": LABEL + np.random.default_rng(1).normal(0, 0.4, N)})
    high = np.asarray(own.columns["arrears"] > 0.5)
    found = label_inference("host:tax", RowSets(N, {0: np.array([high, ~high])}), own, LABEL, n_resamples=20)
    assert found.verdict == "above_chance"


def test_the_same_seed_gives_the_same_report() -> None:
    assert attacked(row_sets()) == attacked(row_sets())


def test_labels_of_other_rows_do_not_reach_the_guess_with_known_labels() -> None:
    known = np.concatenate([np.flatnonzero(LABEL == 1)[:20], np.flatnonzero(LABEL == 0)[:30]])
    points = with_own(row_sets(), OWN)
    other = 1 - LABEL
    other[known] = LABEL[known]
    guess = from_labels(points, known, LABEL[known])
    assert np.array_equal(guess, from_labels(points, known, other[known]))
    assert not np.array_equal(guess, from_labels(points, known, 1 - LABEL[known]))


def test_rows_that_share_every_node_stand_on_one_point() -> None:
    seen = row_sets()
    signature = np.concatenate(list(seen.trees.values())).T
    twins = [
        np.flatnonzero((signature == row).all(axis=1)) for row in signature[:50] if (signature == row).all(1).sum() > 1
    ]
    for place in (place_rows(seen), by_clusters(seen)[:, None], by_small_nodes(seen)[:, None]):
        for rows in twins:
            assert np.allclose(place[rows], place[rows[0]])
    assert twins


def test_own_features_are_standard_and_tell_missing_values() -> None:
    points = own_points(OWN)
    assert points.shape == (N, 2 + 3)
    assert np.allclose(points.mean(axis=0), 0)
    assert np.allclose(points.std(axis=0), 1)
    constant = Table(OWN.ids, {"constant": np.ones(N)})
    assert not own_points(constant).any()


def test_too_few_defaults_are_refused() -> None:
    label = np.zeros(N)
    label[:99] = 1
    with pytest.raises(DataError, match="the rarer are 99") as caught:
        attacked(row_sets(), label)
    assert caught.value.code == "too_few_rows"
    label[99] = 1
    assert replace(attacked(row_sets(), label), party="").n_sets == 36
