"""Joint boosted trees as a scikit-learn classifier, with parties in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from federation.script import run
from federation.vertical.guest import Trained, TrainingJob, train
from lab.estimators.joint import GUEST, JointClassifier, everything
from models.boosting.parameters import BoostingParameters
from models.bundle import Half
from models.losses import Floats
from models.table import Table


class JointGBDTClassifier(JointClassifier):
    """Newton boosting over the features of all parties; parameters under LightGBM's names.

    Args:
        hosts, cipher, key_bits, min_rows_per_bin: see ``JointClassifier``.
        n_estimators, learning_rate, max_depth, max_bin, min_child_samples, reg_lambda, random_state: see
            ``models.boosting.parameters.BoostingParameters``.
        options: further parameters of boosting by name.

    Attributes:
        trained_: the guest's half and its margins (``federation.vertical.guest.Trained``).
        halves_: host → its half.
    """

    def __init__(
        self,
        hosts: Mapping[str, Any] | None = None,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        max_depth: int = 5,
        max_bin: int = 32,
        min_child_samples: int = 20,
        reg_lambda: float = 1.0,
        random_state: int = 0,
        options: Mapping[str, Any] | None = None,
        cipher: Literal["paillier", "plain"] = "paillier",
        key_bits: int = 2048,
        min_rows_per_bin: int = 10,
    ) -> None:
        self.hosts = hosts
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_bin = max_bin
        self.min_child_samples = min_child_samples
        self.reg_lambda = reg_lambda
        self.random_state = random_state
        self.options = options
        self.cipher = cipher
        self.key_bits = key_bits
        self.min_rows_per_bin = min_rows_per_bin

    def _run(self, table: Table, label: Floats) -> Trained:
        parties = self._parties()
        parameters = BoostingParameters(
            n_estimators=self.n_estimators,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            max_bin=self.max_bin,
            min_child_samples=self.min_child_samples,
            reg_lambda=self.reg_lambda,
            random_state=self.random_state,
            **(self.options or {}),
        )
        job = TrainingJob(
            model_id="notebook",
            party=GUEST,
            table=table,
            label=label,
            hosts=tuple(parties),
            parameters=parameters,
            new_cipher=self._new_cipher,
            arrange=everything,
        )
        self.trained_ = run(train(job), self._wire(parties))
        self.halves_ = {party: _sealed(host.half) for party, host in parties.items()}
        return self.trained_

    def _margin(self, table: Table) -> Floats:
        return self._scored(self.trained_.fitted.model, self.halves_, table).margin


def _sealed(half: object) -> Half:
    assert isinstance(half, Half)
    return half
