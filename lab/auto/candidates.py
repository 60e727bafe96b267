"""What is tried: a short list of scorecards and trees from simple to complex, on top of what the run's file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from lab.config import Config
from lab.config_sections import ScorecardSection, SplitSection
from models.boosting.parameters import BoostingParameters

Kind = Literal["scorecard", "trees"]

#: Share of the rows to fit that only watch, in a trial of trees: they say how many trees there should be.
WATCHING: Final = 0.2
#: Trees without a better loss on the watching rows before a trial stops.
PATIENCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to build the model.

    Attributes:
        settings: keys of ``[scorecard]`` or ``[boosting]``; they go before the file's own.
        work: how much a session of it has to do, in units that compare candidates of one kind.
    """

    name: str
    kind: Kind
    settings: Mapping[str, Any]
    work: float
    english: str
    chinese: str

    def applied(self, config: Config, seed: int, n_trees: int | None = None) -> Config:
        """The run of this candidate.

        Args:
            n_trees: grow so many, with all rows; None: stop early, by rows that only watch.
        """
        valid = WATCHING if self.kind == "trees" and n_trees is None else 0.0
        split = SplitSection(**{**config.split.model_dump(), "valid": valid})
        if self.kind == "scorecard":
            section = _scorecard(config, {**self.settings, "random_state": seed})
            return config.model_copy(update={"scorecard": section, "split": split})
        boosting = {**config.boosting, **self.settings, "early_stopping_rounds": PATIENCE}
        if n_trees is not None:
            least = config.boosting.get("first_trees_guest_only", 0) + 1
            boosting |= {"n_estimators": max(n_trees, least), "early_stopping_rounds": 0}
        return config.model_copy(update={"boosting": boosting, "scorecard": None, "split": split})


_SCORECARDS: Final = (
    (
        "scorecard-strong",
        {"method": "auto", "max_bins": 4, "min_information_value": 0.1, "l2": 10.0, "nonpositive": True},
        "scorecard, strong features only, at most 4 monotone bins, signs held",
        "评分卡：仅强特征，单调分箱至多 4 个，系数符号受约束",
    ),
    (
        "scorecard-usual",
        {"method": "auto", "max_bins": 6, "min_information_value": 0.02, "l2": 10.0, "nonpositive": True},
        "scorecard, at most 6 monotone bins, signs held",
        "评分卡：单调分箱至多 6 个，系数符号受约束",
    ),
    (
        "scorecard-fine",
        {"method": "auto", "max_bins": 10, "min_information_value": 0.02, "l2": 1.0, "nonpositive": False},
        "scorecard, at most 10 monotone bins",
        "评分卡：单调分箱至多 10 个",
    ),
    (
        "scorecard-free",
        {"method": "tree", "max_bins": 8, "min_information_value": 0.01, "l2": 1.0, "nonpositive": False},
        "scorecard, at most 8 bins of any shape",
        "评分卡：任意形状分箱至多 8 个",
    ),
)
_TREES: Final = (
    ("trees-2", {"max_depth": 2, "learning_rate": 0.1, "min_child_samples": 20}),
    ("trees-3", {"max_depth": 3, "learning_rate": 0.1, "min_child_samples": 20}),
    ("trees-4", {"max_depth": 4, "learning_rate": 0.1, "min_child_samples": 20}),
    ("trees-5", {"max_depth": 5, "learning_rate": 0.1, "min_child_samples": 20}),
    ("trees-5-slow", {"max_depth": 5, "learning_rate": 0.05, "min_child_samples": 50}),
)


def candidates_of(config: Config) -> tuple[Candidate, ...]:
    """The list for ``config``, simplest first; what its file asks for is among them if it says more than the list.

    Keys of the file that the list does not set, such as constraints and seeds, hold for all.
    """
    cards = [
        Candidate(name=n, kind="scorecard", settings=s, work=1.0, english=e, chinese=z) for n, s, e, z in _SCORECARDS
    ]
    if config.scorecard and config.scorecard.model_fields_set:
        own = "scorecard as the file says", "评分卡：按配置文件"
        cards.append(
            Candidate(name="scorecard-file", kind="scorecard", settings={}, work=1.0, english=own[0], chinese=own[1])
        )
    cards.sort(key=lambda c: _plainness(_scorecard(config, c.settings)))
    trees = [_trees(config, name, settings) for name, settings in _TREES]
    if {"max_depth", "learning_rate", "min_child_samples", "num_leaves"} & set(config.boosting):
        trees.append(_trees(config, "trees-file", {}))
    trees.sort(key=lambda c: (c.settings.get("max_depth", _parameters(config, c).max_depth), c.work))
    return (*cards, *trees)


def _trees(config: Config, name: str, settings: Mapping[str, Any]) -> Candidate:
    rate = settings.get("learning_rate", 0.1)
    most = {"n_estimators": config.boosting.get("n_estimators", round(10 / rate))}
    p = BoostingParameters(**{**config.boosting, **settings, **most})
    english, chinese = (
        f"trees of depth {p.max_depth}, learning rate {p.learning_rate:g}, leaves from {p.min_child_samples} rows",
        f"树：深度 {p.max_depth}，学习率 {p.learning_rate:g}，叶子不少于 {p.min_child_samples} 行",
    )
    if name == "trees-file":
        english, chinese = f"{english}, as the file says", f"{chinese}（按配置文件）"
    # Hosts sum the smaller sibling, so a level below the root costs about half of it (lab/forecast.py).
    work = p.n_estimators * (1 + 0.5 * (p.max_depth - 1))
    return Candidate(
        name=name, kind="trees", settings={**settings, **most}, work=work, english=english, chinese=chinese
    )


def _parameters(config: Config, candidate: Candidate) -> BoostingParameters:
    return BoostingParameters(**{**config.boosting, **candidate.settings})


def _scorecard(config: Config, settings: Mapping[str, Any]) -> ScorecardSection:
    own = config.scorecard.model_dump(exclude_unset=True) if config.scorecard else {}
    return ScorecardSection.model_validate({**own, **settings})


def _plainness(s: ScorecardSection) -> tuple[bool, bool, float, int]:
    """Fewer features and bins are plainer; bins of any shape and coefficients of any sign come last."""
    return (s.method in ("tree", "as_is"), not s.nonpositive, -s.min_information_value, s.max_bins)
