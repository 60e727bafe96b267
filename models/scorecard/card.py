"""Points of a scorecard: each party's own table, made of coefficients and WOE bins.

``points = offset - factor * margin`` with ``factor = PDO / ln 2`` and ``offset = base - factor * ln odds`` (Siddiqi
2006, "Credit Risk Scorecards", ch. 6), taken apart by features: higher is safer. A party that holds no intercept has a
table of relative points; the sum over all parties is the score.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np

from models.binning import FeatureBins
from models.bundle import digest
from models.errors import LianmoError, ModelError
from models.losses import Floats
from models.samples import check_parameter
from models.scale import BASE_ODDS, POINTS_AT_BASE, POINTS_TO_DOUBLE_ODDS
from models.table import Table
from models.woe.prebin_json import prebins_from_json, prebins_to_json
from models.woe.prebins import Prebins
from models.woe.tables import WoeBins

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardRules:
    """How margins become points.

    Attributes:
        base_points, base_odds: so many points at so many goods to one bad; -1e6 to 1e6, 1e-6 to 1e6.
        points_to_double: points that double the odds, above 0 to 1e6.
        rounding: every entry of a table is a whole number, and so is every score.
        intercept: ``own``: a row of its own; ``shared``: spread evenly over the features of the party that holds it.
        minimum, maximum: scores beyond are cut to these; None: no bound.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    base_points: float = float(POINTS_AT_BASE)
    base_odds: float = BASE_ODDS
    points_to_double: float = POINTS_TO_DOUBLE_ODDS
    rounding: bool = True
    intercept: Literal["own", "shared"] = "own"
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        check_parameter("base_points", self.base_points, -1e6, 1e6)
        check_parameter("base_odds", self.base_odds, 1e-6, 1e6)
        check_parameter("points_to_double", self.points_to_double, 1e-6, 1e6)
        check_parameter("minimum", 0.0 if self.minimum is None else self.minimum, -1e6, 1e6)
        lowest = -1e6 if self.minimum is None else self.minimum
        check_parameter("maximum", 1e6 if self.maximum is None else self.maximum, lowest, 1e6)
        if self.intercept not in {"own", "shared"}:
            raise ModelError(
                "bad_parameter",
                f"intercept is '{self.intercept}'; it must be 'own' or 'shared'.",
                f"intercept 为“{self.intercept}”，应为 own 或 shared。",
            )

    @property
    def factor(self) -> float:
        """Points of one unit of log-odds."""
        return self.points_to_double / math.log(2.0)

    @property
    def offset(self) -> float:
        """Points at odds of 1 to 1."""
        return self.base_points - self.factor * math.log(self.base_odds)

    def entry(self, points: float) -> float:
        """One entry of a table."""
        return float(round(points)) if self.rounding else points

    def score(self, points: Floats) -> Floats:
        """Sums over all parties, shape ``(n_applicants,)``, within the bounds."""
        return np.clip(points, self.minimum, self.maximum)


@dataclass(frozen=True, slots=True)
class FeaturePoints:
    """Points of one feature: per final bin, and of codes never seen."""

    name: str
    points: tuple[float, ...]
    unseen_points: float


@dataclass(frozen=True, slots=True)
class PointsTable:
    """One party's table; ``intercept_points`` is 0 at a party that holds no intercept."""

    intercept_points: float
    features: tuple[FeaturePoints, ...]


def points_table(
    bins: Sequence[WoeBins], coefficients: Sequence[float], intercept: float | None, rules: ScorecardRules
) -> PointsTable:
    """The table of one party.

    Args:
        coefficients: of the WOE of each feature in the margin (log-odds of default).
        intercept: of the margin; None at a party that does not hold it.
    """
    base = 0.0 if intercept is None else rules.offset - rules.factor * intercept
    n_shares = len(bins) if rules.intercept == "shared" else 0
    share = base / n_shares if n_shares else 0.0

    def points(coefficient: float, woe: float) -> float:
        return rules.entry(share - rules.factor * coefficient * woe)

    features = tuple(
        FeaturePoints(b.name, tuple(points(c, woe) for woe in b.woe), points(c, b.unseen_woe))
        for b, c in zip(bins, coefficients, strict=True)
    )
    return PointsTable(rules.entry(0.0 if n_shares else base), features)


@dataclass(frozen=True, slots=True)
class WoeFeature:
    """A feature from its raw column to WOE."""

    prebins: Prebins
    bins: WoeBins

    @property
    def name(self) -> str:
        return self.bins.name


def woe_of(features: Sequence[WoeFeature], table: Table) -> Floats:
    """WOE of all rows, shape ``(n_rows, n_features)``.

    Raises:
        ModelError: ``missing_columns`` if the table lacks a column; ``wrong_column_type``.
    """
    absent = [f.name for f in features if f.name not in table.columns]
    if absent:
        raise ModelError(
            "missing_columns",
            f"The model needs columns that are not given: {', '.join(absent)}.",
            f"缺少模型所需的列：{'、'.join(absent)}。",
        )
    woe = [f.bins.transform(f.prebins.encode(table.columns[f.name])) for f in features]
    return np.column_stack([np.empty((len(table), 0)), *woe])


def margin_of(woe: Floats, coefficients: Sequence[float], intercept: float = 0.0) -> Floats:
    """``intercept + woe @ coefficients``, shape ``(n_rows,)``: the same bits for one row as for many."""
    margin = np.full(len(woe), intercept)
    for coefficient, column in zip(coefficients, woe.T, strict=True):
        margin += coefficient * column
    return margin


@dataclass(frozen=True, slots=True)
class ScorecardHalf:
    """What one party keeps of a joint scorecard.

    Attributes:
        coefficients: of its features.
        intercept: None at a host.
        means: mean WOE of each feature over the fitted rows.
    """

    model_id: str
    party: str
    features: tuple[WoeFeature, ...]
    coefficients: tuple[float, ...]
    intercept: float | None
    rules: ScorecardRules
    means: tuple[float, ...]
    salt: str = field(default_factory=lambda: os.urandom(16).hex(), repr=False)

    @property
    def table(self) -> PointsTable:
        return points_table([f.bins for f in self.features], self.coefficients, self.intercept, self.rules)

    def margin(self, rows: Table) -> Floats:
        """This party's part of the margin, shape ``(n_rows,)``. Raises as ``woe_of``."""
        return margin_of(woe_of(self.features, rows), self.coefficients, self.intercept or 0.0)

    def points(self, rows: Table) -> Floats:
        """This party's points, shape ``(n_rows,)``: entries of its table, added up. Raises as ``woe_of``."""
        table = self.table
        entries = [
            WoeFeature(f.prebins, WoeBins(f.name, f.bins.bin_of, p.points, p.unseen_points))
            for f, p in zip(self.features, table.features, strict=True)
        ]
        total: Floats = woe_of(entries, rows).sum(axis=1) + table.intercept_points
        return total

    def contributions(self, rows: Table) -> Floats:
        """What each feature adds to the margin against the average fitted row, shape ``(n_rows, n_features)``.

        Shapley values, exactly, of a linear model with each feature's own mean as background (Lundberg & Lee 2017, "A
        unified approach to interpreting model predictions", corollary 1). Raises as ``woe_of``.
        """
        shifted: Floats = woe_of(self.features, rows) - np.array(self.means, dtype=np.float64)
        return shifted * np.array(self.coefficients, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Everything, and the table of points for people to read."""
        return {
            "format": FORMAT,
            "model_id": self.model_id,
            "party": self.party,
            "prebins": prebins_to_json(tuple(f.prebins for f in self.features)),
            "bins": [f.bins.to_json() for f in self.features],
            "coefficients": list(self.coefficients),
            "intercept": self.intercept,
            "rules": asdict(self.rules),
            "means": list(self.means),
            "points": asdict(self.table),
            "salt": self.salt,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScorecardHalf:
        """Exactly what ``to_json`` was given. Raises ``ModelError`` ``scorecard_unreadable``, also if the points do not
        follow from the rest."""
        try:
            bins = [WoeBins.from_json(entry) for entry in data["bins"]]
            pairs = zip(prebins_from_json(data["prebins"]), bins, strict=True)
            features = tuple(WoeFeature(prebins, final) for prebins, final in pairs)
            numbers = [
                *data["coefficients"],
                *data["means"],
                *([] if data["intercept"] is None else [data["intercept"]]),
            ]
            half = cls(
                data["model_id"],
                data["party"],
                features,
                tuple(data["coefficients"]),
                data["intercept"],
                ScorecardRules(**data["rules"]),
                tuple(data["means"]),
                data["salt"],
            )
            sound = (
                data["format"] == FORMAT
                and all(type(v) is float and math.isfinite(v) for v in numbers)
                and all(type(v) is str for v in (half.model_id, half.party, half.salt))
                and len(half.coefficients) == len(half.means) == len(features)
                and all(f.prebins.name == f.name for f in features)
                and digest(half.to_json()) == digest(data)
            )
        except (KeyError, TypeError, ValueError, AttributeError, LianmoError) as error:
            raise _unreadable() from error
        if not sound:
            raise _unreadable()
        return half

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal; the salt keeps it from telling anything."""
        return digest(self.to_json())


@dataclass(frozen=True, slots=True)
class JointScorecard:
    """The guest's half, and what ties the others to it.

    Attributes:
        host_digests: host → digest of its half.
        host_features: host → number of each unnamed feature of its half, in that order, from 0; it is told to people
            from 1, as in joint binning: "host:tax feature 3" is number 2.
    """

    half: ScorecardHalf
    host_digests: Mapping[str, str]
    host_features: Mapping[str, tuple[int, ...]]

    @property
    def model_id(self) -> str:
        return self.half.model_id

    @property
    def party(self) -> str:
        return self.half.party

    @property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """The columns of the guest that scoring needs."""
        return tuple(f.prebins.bins for f in self.half.features)

    @property
    def needed_hosts(self) -> list[str]:
        """Hosts with a feature in the scorecard: the others are not asked when scoring."""
        return [host for host, numbers in self.host_features.items() if numbers]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "half": self.half.to_json(),
            "host_digests": dict(self.host_digests),
            "host_features": {host: list(numbers) for host, numbers in self.host_features.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JointScorecard:
        """Exactly what ``to_json`` was given. Raises ``ModelError`` ``scorecard_unreadable``."""
        try:
            digests, numbers = data["host_digests"], data["host_features"]
            sound = (
                data["format"] == FORMAT
                and all(type(v) is str for pair in digests.items() for v in pair)
                and list(numbers) == list(digests)
                and all(type(k) is int and k >= 0 for of_host in numbers.values() for k in of_host)
            )
            half = ScorecardHalf.from_json(data["half"])
            joint = cls(half, dict(digests), {host: tuple(of_host) for host, of_host in numbers.items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise _unreadable() from error
        if not sound:
            raise _unreadable()
        return joint

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return digest(self.to_json())


def _unreadable() -> ModelError:
    return ModelError(
        "scorecard_unreadable",
        "The stored scorecard lacks fields or has wrong ones. Fit it again or restore the file.",
        "存储的评分卡缺少字段或字段有误，请重新拟合或恢复文件。",
    )
