"""How well a host could have guessed the labels of fitted rows in a run (threats E4, E5): figures and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from federation.errors import PartyId
from lab.leakage.guesses import by_clusters, by_small_nodes, from_labels, own_points, with_own
from lab.leakage.rowsets import RowSets
from models.errors import DataError
from models.losses import Floats
from models.table import Table
from models.validation.metrics import Interval, auc, auc_of_counts, bootstrap

Verdict = Literal["beyond_own_features", "above_chance", "not_found"]

#: How often the known labels are drawn anew.
N_DRAWS: Final = 10


@dataclass(frozen=True, slots=True)
class LabelInference:
    """What one host could make of the row sets it saw: AUC on fitted rows with 95 % intervals; 0.5 is chance.

    Attributes:
        n_trees, n_sets: seen, besides roots.
        clusters, small_nodes: guesses from row sets without any label.
        few_labels: with row sets, own features and a few labels, on the other rows, over draws of those labels.
        own_features: the same without row sets: what the host could do without the run.
        gain: ``few_labels - own_features``, paired.
        verdict: ``"beyond_own_features"``: the gain lies above 0; ``"above_chance"``: it does not, but a guess without
            labels lies above 0.5; ``"not_found"``: neither, which proves nothing about other attacks.
    """

    party: PartyId
    n_trees: int
    n_sets: int
    clusters: Interval
    small_nodes: Interval
    few_labels: Interval
    own_features: Interval
    gain: Interval
    verdict: Verdict


def label_inference(
    party: PartyId,
    seen: RowSets,
    own: Table,
    label: Floats,
    *,
    n_known: int = 50,
    seed: int = 0,
    n_resamples: int = 200,
) -> LabelInference:
    """Attack as ``party``, then measure with the true labels, which the guesses do not get.

    Args:
        own: the host's features of the fitted rows, in run order.
        label: 1 = default, of the fitted rows; only the evaluator holds it.
        n_known: labels that the host knows from elsewhere, defaults in them at the rate of the run, at least 5.

    Raises:
        DataError: ``too_few_rows`` with fewer than ``2 * n_known`` defaults or others.
    """
    _check(label, n_known)
    rng = np.random.default_rng(seed)
    draws = [drawn(label, n_known, rng) for _ in range(N_DRAWS)]
    joined, alone = with_own(seen, own), own_points(own)
    informed = np.array([from_labels(joined, known, label[known]) for known in draws])
    honest = np.array([from_labels(alone, known, label[known]) for known in draws])
    few, base, gain = over_draws(label, informed, honest, draws, n_resamples, rng)
    clusters, small = (
        bootstrap(label, guess(seen), auc_of_counts, seed=seed, n_resamples=n_resamples)
        for guess in (by_clusters, by_small_nodes)
    )
    return LabelInference(
        party=party,
        n_trees=len(seen.trees),
        n_sets=sum(map(len, seen.trees.values())),
        clusters=clusters,
        small_nodes=small,
        few_labels=few,
        own_features=base,
        gain=gain,
        verdict=_verdict(gain, clusters, small),
    )


def _verdict(gain: Interval, *blind: Interval) -> Verdict:
    if gain.low > 0:
        return "beyond_own_features"
    return "above_chance" if any(found.low > 0.5 for found in blind) else "not_found"


def _check(label: Floats, n_known: int) -> None:
    least = int(min(label.sum(), len(label) - label.sum()))
    if least < 2 * n_known:
        raise DataError(
            "too_few_rows",
            f"Label inference needs at least {2 * n_known} defaults and as many others among the fitted rows; the "
            f"rarer are {least}. Use more rows or fewer known labels.",
            f"标签推断检测要求拟合行中违约与非违约各不少于 {2 * n_known} 个，较少的一类仅 {least} 个。"
            "请增加行数或减少已知标签数。",
        )


def drawn(label: Floats, n_known: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows whose label becomes known: at the rate of all, at least 5 of each."""
    n_bad = int(np.clip(round(label.mean() * n_known), 5, n_known - 5))
    bad, good = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    return np.concatenate([rng.choice(bad, n_bad, replace=False), rng.choice(good, n_known - n_bad, replace=False)])


def over_draws(
    label: Floats,
    informed: Floats,
    honest: Floats,
    draws: list[NDArray[np.intp]],
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[Interval, Interval, Interval]:
    """Mean AUC over draws of rows that are not known; draws and rows are both resampled, paired for both guesses."""
    bad, good = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    hidden = np.ones((len(draws), len(label)), dtype=bool)
    for mask, known in zip(hidden, draws, strict=True):
        mask[known] = False

    def areas(rows: NDArray[np.intp], taken: NDArray[np.intp]) -> tuple[float, float]:
        parts = [(d, rows[hidden[d, rows]]) for d in taken]
        both = [[auc(label[part], guess[d, part]) for d, part in parts] for guess in (informed, honest)]
        return float(np.mean(both[0])), float(np.mean(both[1]))

    point = areas(np.arange(len(label)), np.arange(len(draws)))
    resampled = np.array(
        [
            areas(
                np.concatenate([rng.choice(bad, len(bad)), rng.choice(good, len(good))]),
                rng.integers(len(draws), size=len(draws)),
            )
            for _ in range(n_resamples)
        ]
    )
    return (
        _interval(point[0], resampled[:, 0]),
        _interval(point[1], resampled[:, 1]),
        _interval(point[0] - point[1], resampled[:, 0] - resampled[:, 1]),
    )


def _interval(value: float, resampled: Floats) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(value, float(low), float(high))
