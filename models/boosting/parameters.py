"""Parameters of boosting, under LightGBM's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from models.binning import MAX_BINS
from models.boosting.derivatives import DERIVATIVE_BITS, bits_of
from models.boosting.sets import SetRules
from models.boosting.splits import SplitRules
from models.errors import ModelError
from models.losses import LINKS, Objective, ObjectiveName

#: What ``num_leaves`` may be; 0: no bound but ``max_depth``.
LEAVES: Final = frozenset((0, *range(2, 4097)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingParameters:
    """What LightGBM calls by the same names; defaults follow it unless said otherwise.

    Attributes:
        n_estimators: most trees, 1 to 10,000.
        learning_rate: shrinkage of every leaf, in (0, 1].
        max_depth: levels of cuts, 1 to 12 (LightGBM: unbounded).
        num_leaves: most leaves of a tree, 2 to 4,096: nodes are then cut best first, within ``max_depth``; 0: no bound
            (LightGBM: 31).
        max_bin: most regular bins of a feature, 2 to 253 (LightGBM: 255); missing values have one more, and levels of a
            category as many as 99 % of the rows need.
        min_child_samples: fewest rows on either side of a cut.
        min_child_weight: least sum of hessians on either side of a cut.
        reg_lambda: L2 penalty on leaf values (LightGBM: 0).
        min_split_gain: a cut must gain more than this.
        max_cat_to_onehot: a category of at least so many levels (merged and missing ones counted) is cut into two sets
            of levels, one of fewer levels one against the rest. LightGBM's default: sets pay from a handful of levels
            on. Above 254: never; then hosts do not tell which cuts belong to one category.
        max_cat_threshold: most levels of the set that goes left.
        cat_l2: L2 penalty besides ``reg_lambda`` on the values of both sides of such a cut.
        cat_smooth: levels are sorted by ``g / (h + cat_smooth)``; those with fewer rows in a node stay right.
        min_data_per_group: least rows by which one set of levels differs from the next, and on its other side.
        early_stopping_rounds: stop when the loss on held-out rows has not fallen for this many trees; 0: never.
        random_state: seed of every draw that shapes the model.
        bagging_fraction: share of the rows that fit a tree, drawn anew for each (LightGBM's with ``bagging_freq`` 1).
        feature_fraction: share of every party's columns offered to a tree, drawn anew for each.
        data_sample_strategy: ``"bagging"``, or ``"goss"``: rows with large gradients, and some of the others.
        top_rate, other_rate: of goss, as shares of all rows; the first ``1 / learning_rate`` trees use every row.
        use_quantized_grad: look for cuts with gradients of few levels; leaf values stay exact (LightGBM's
            ``quant_train_renew_leaf``).
        num_grad_quant_bins: how many levels, 2 to 256.
        objective: ``"binary"``, ``"regression"`` (squared error), ``"poisson"`` or ``"tweedie"``.
        scale_pos_weight: binary only: weight of a default beside a non-default.
        tweedie_variance_power: tweedie only, between 1 (Poisson) and 2 (gamma), both excluded.
        monotone_constraints: the guest's feature → 1: predictions must rise with it, -1: fall (LightGBM's method
            "basic"; a list there). Hosts state their own.
        first_trees_guest_only: so many trees at the beginning use the guest's features alone, and hosts hear nothing
            of them; below ``n_estimators``.
        own_cuts_only: a host looks only at nodes below cuts of its own, so it learns no row set that another party's
            features made. The guest's features may cut anywhere. Against label inference from row sets (after the
            layered trees of SecureBoost+, arXiv 2110.10927).

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    max_depth: int = 5
    num_leaves: int = 0
    max_bin: int = 32
    min_child_samples: int = 20
    min_child_weight: float = 1e-3
    reg_lambda: float = 1.0
    min_split_gain: float = 0.0
    max_cat_to_onehot: int = 4
    max_cat_threshold: int = 32
    cat_l2: float = 10.0
    cat_smooth: float = 10.0
    min_data_per_group: int = 100
    early_stopping_rounds: int = 0
    random_state: int = 0
    bagging_fraction: float = 1.0
    feature_fraction: float = 1.0
    data_sample_strategy: Literal["bagging", "goss"] = "bagging"
    top_rate: float = 0.2
    other_rate: float = 0.1
    use_quantized_grad: bool = False
    num_grad_quant_bins: int = 4
    objective: ObjectiveName = "binary"
    scale_pos_weight: float = 1.0
    tweedie_variance_power: float = 1.5
    monotone_constraints: Mapping[str, int] = field(default_factory=dict)
    first_trees_guest_only: int = 0
    own_cuts_only: bool = False

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
            ("max_cat_to_onehot", 1, 10**9),
            ("max_cat_threshold", 1, 10**9),
            ("cat_l2", 0.0, 1e12),
            ("cat_smooth", 0.0, 1e12),
            ("min_data_per_group", 1, 10**9),
            ("early_stopping_rounds", 0, 10_000),
            ("random_state", 0, 2**32 - 1),
            ("bagging_fraction", 1e-3, 1.0),
            ("feature_fraction", 1e-3, 1.0),
            ("top_rate", 1e-3, 1.0),
            ("other_rate", 1e-3, 1.0),
            ("num_grad_quant_bins", 2, 256),
            ("scale_pos_weight", 1e-6, 1e6),
            ("tweedie_variance_power", 1.001, 1.999),
            ("first_trees_guest_only", 0, self.n_estimators - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise _bad(
                    name, f"is {value}; it must lie between {low} and {high}", f"为 {value}，应在 {low} 到 {high} 之间"
                )
        if self.data_sample_strategy not in ("bagging", "goss"):
            raise _bad("data_sample_strategy", "must be bagging or goss", "须为 bagging 或 goss")
        if not all(d in (-1, 0, 1) for d in self.monotone_constraints.values()):
            raise _bad("monotone_constraints", "must map features to -1, 0 or 1", "须将特征映射为 -1、0 或 1")
        if self.num_leaves not in LEAVES:
            raise _bad("num_leaves", "must lie between 2 and 4096, or be 0", "应在 2 到 4096 之间，或为 0")
        if self.objective not in LINKS:
            raise _bad("objective", f"must be one of {', '.join(LINKS)}", f"须为 {'、'.join(LINKS)} 之一")
        if self.scale_pos_weight != 1.0 and self.objective != "binary":
            raise _bad("scale_pos_weight", "goes with objective binary only", "仅用于目标 binary")
        for name in ("use_quantized_grad", "own_cuts_only"):
            if not isinstance(getattr(self, name), bool):
                raise _bad(name, "must be true or false", "须为 true 或 false")
        if self.goss and (self.bagging_fraction < 1.0 or self.top_rate + self.other_rate > 1.0):
            raise _bad(
                "data_sample_strategy",
                "goss goes without bagging_fraction, and top_rate + other_rate must not exceed 1",
                "为 goss 时不能再设置 bagging_fraction，且 top_rate 与 other_rate 之和不得超过 1",
            )

    @property
    def loss(self) -> Objective:
        """What the run minimises."""
        return Objective(self.objective, self.scale_pos_weight, self.tweedie_variance_power)

    @property
    def goss(self) -> bool:
        return self.data_sample_strategy == "goss"

    @property
    def row_share(self) -> float:
        """Share of the rows that carry gradients in a tree, once sampling has begun."""
        return self.top_rate + self.other_rate if self.goss else self.bagging_fraction

    @property
    def derivative_bits(self) -> int:
        """Bits of one derivative as hosts add it up."""
        return bits_of(self.num_grad_quant_bins) if self.use_quantized_grad else DERIVATIVE_BITS

    @property
    def rules(self) -> SplitRules:
        return SplitRules(self.reg_lambda, self.min_split_gain, self.min_child_weight)

    @property
    def set_rules(self) -> SetRules:
        return SetRules(
            self.max_cat_threshold,
            self.cat_smooth,
            self.min_data_per_group,
            self.min_child_samples,
            self.min_child_weight,
        )


def _bad(name: str, english: str, chinese: str) -> ModelError:
    return ModelError("bad_parameter", f"{name} {english}.", f"{name} {chinese}。")
