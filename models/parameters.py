"""Parameters of boosting, under LightGBM's names."""

from __future__ import annotations

from dataclasses import dataclass

from models.binning import MAX_BINS
from models.errors import ModelError
from models.splits import SplitRules


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingParameters:
    """What LightGBM calls by the same names; defaults follow it unless said otherwise.

    Attributes:
        n_estimators: most trees, 1 to 10,000.
        learning_rate: shrinkage of every leaf, in (0, 1].
        max_depth: levels of cuts, 1 to 12 (LightGBM: unbounded).
        max_bin: most regular bins of a feature, 2 to 253 (LightGBM: 255); missing values have one more.
        min_child_samples: fewest rows on either side of a cut.
        min_child_weight: least sum of hessians on either side of a cut.
        reg_lambda: L2 penalty on leaf values (LightGBM: 0).
        min_split_gain: a cut must gain more than this.
        early_stopping_rounds: stop when the loss on held-out rows has not fallen for this many trees; 0: never.
        random_state: seed of every draw that shapes the model.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    max_depth: int = 5
    max_bin: int = 32
    min_child_samples: int = 20
    min_child_weight: float = 1e-3
    reg_lambda: float = 1.0
    min_split_gain: float = 0.0
    early_stopping_rounds: int = 0
    random_state: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("n_estimators", 1, 10_000),
            ("learning_rate", 1e-6, 1.0),
            ("max_depth", 1, 12),
            ("max_bin", 2, MAX_BINS),
            ("min_child_samples", 0, 10**9),
            ("min_child_weight", 0.0, 1e12),
            ("reg_lambda", 0.0, 1e12),
            ("min_split_gain", 0.0, 1e12),
            ("early_stopping_rounds", 0, 10_000),
            ("random_state", 0, 2**32 - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ModelError(
                    "bad_parameter",
                    f"{name} is {value}; it must lie between {low} and {high}.",
                    f"{name} 为 {value}，应在 {low} 到 {high} 之间。",
                )

    @property
    def rules(self) -> SplitRules:
        return SplitRules(self.reg_lambda, self.min_split_gain, self.min_child_weight)
