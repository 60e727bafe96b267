"""Joint boosted trees as a scikit-learn classifier and a regressor, with parties in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from sklearn.utils import Tags

from federation.script import run
from federation.vertical.guest import Trained, TrainingJob, train
from lab.estimators.joint import GUEST, JointClassifier, JointEstimator, JointRegressor, everything
from models.boosting.importance import by_feature
from models.boosting.parameters import BoostingParameters
from models.bundle import Half, JointModel
from models.losses import Floats, ObjectiveName
from models.table import Table


@dataclass(eq=False, repr=False)
class JointTrees(JointEstimator):
    """Newton boosting over the features of all parties; parameters under LightGBM's names.

    Args:
        hosts, cipher, key_bits, min_rows_per_bin: see ``JointEstimator``.
        n_estimators, learning_rate, max_depth, max_bin, min_child_samples, reg_lambda, random_state: see
            ``models.boosting.parameters.BoostingParameters``.
        options: further parameters of boosting by name, such as ``{"scale_pos_weight": 4.0}``.
        warm_start: fitting again adds trees to those there are, up to ``n_estimators`` in all; bins are kept.

    Attributes:
        trained_: the guest's half and its margins (``federation.vertical.guest.Trained``).
        halves_: host → its half.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    max_depth: int = 5
    max_bin: int = 32
    min_child_samples: int = 20
    reg_lambda: float = 1.0
    random_state: int = 0
    options: Mapping[str, Any] | None = None
    warm_start: bool = False

    @property
    def importance_(self) -> pd.DataFrame:
        """Every feature with a cut: ``party``, ``feature`` (the guest's by name, a host's as ``#`` and the number it
        gave), ``gain`` and ``n_splits`` as LightGBM's importances, greatest gain first.
        """
        rows = [
            (player.party, player.feature or f"#{player.number}", found.gain, found.n_splits)
            for player, found in by_feature(self._model).items()
        ]
        return pd.DataFrame(rows, columns=["party", "feature", "gain", "n_splits"])

    @property
    def _objective(self) -> ObjectiveName:
        return "binary"

    @property
    def _model(self) -> JointModel:
        return self.trained_.fitted.model

    def _run(self, table: Table, label: Floats, weight: Floats | None) -> Trained:
        parties = self._parties()
        parameters = BoostingParameters(
            n_estimators=self.n_estimators,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            max_bin=self.max_bin,
            min_child_samples=self.min_child_samples,
            reg_lambda=self.reg_lambda,
            random_state=self.random_state,
            objective=self._objective,
            **(self.options or {}),
        )
        start = self._model if self.warm_start and hasattr(self, "trained_") else None
        if start:
            if self.n_estimators < len(start.trees):
                raise ValueError(
                    f"warm_start: n_estimators={self.n_estimators} is below the {len(start.trees)} trees there are."
                )
            if self.n_estimators == len(start.trees):
                warnings.warn("warm_start: no trees are added, as n_estimators has not grown.", stacklevel=3)
                return self.trained_
            for party, host in parties.items():
                host.earlier = self.halves_.get(party)
        job = TrainingJob(
            model_id="notebook",
            party=GUEST,
            table=table,
            label=label,
            hosts=tuple(parties),
            parameters=parameters,
            new_cipher=self._new_cipher,
            arrange=everything,
            weight=weight,
            start=start,
        )
        self.trained_: Trained = run(train(job), self._wire(parties))
        self.halves_: dict[str, Half] = {party: _sealed(host.half) for party, host in parties.items()}
        return self.trained_

    def _margin(self, table: Table) -> Floats:
        return self._scored(self._model, self.halves_, table).margin


@dataclass(eq=False, repr=False)
class JointGBDTClassifier(JointTrees, JointClassifier):
    """Defaults: see ``JointTrees`` and ``JointClassifier``."""


@dataclass(eq=False, repr=False)
class JointGBDTRegressor(JointTrees, JointRegressor):
    """Amounts, shares and counts: see ``JointTrees``.

    Args:
        objective: ``"regression"`` (squared error), ``"poisson"`` or ``"tweedie"``; the last two need labels of 0 or
            more, and say ``DataError`` otherwise.
    """

    objective: Literal["regression", "poisson", "tweedie"] = "regression"

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Expected label, shape ``(n_rows,)``.

        Raises:
            DataError: ``unknown_applicants`` if a host does not know some of them.
        """
        margin = self._told_margin(X)
        return self._model.predict(margin)

    @property
    def _objective(self) -> ObjectiveName:
        if self.objective not in ("regression", "poisson", "tweedie"):
            raise ValueError(f"objective must be regression, poisson or tweedie, not {self.objective!r}.")
        return self.objective

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.objective != "regression"
        return tags


def _sealed(half: object) -> Half:
    assert isinstance(half, Half)
    return half
