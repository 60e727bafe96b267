"""What joint estimators have in common: parties in memory, rows matched by the index of frames.

For notebooks and trials by one person who may see all tables. Between the parties of the estimator go the messages of a
real run, encrypted as there; between machines use ``lianmo train``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.ciphers.suite import CipherRules, secret_cipher
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import MemoryWire
from federation.vertical.guest import Arrangement
from federation.vertical.host import ALLOWED, TrainingHost
from federation.vertical.scoring.guest import Scored, score
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import ScoringHost
from lab.estimators.frames import as_table
from models.errors import DataError
from models.joint import Joint, JointHalf
from models.losses import Floats, default_probability
from models.table import Table

GUEST = "bank"


class JointClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Base: subclasses fit over a wire and tell margins.

    Their constructors take ``hosts``, ``cipher``, ``key_bits`` and ``min_rows_per_bin`` beside their own parameters:

    Args:
        hosts: party, such as ``"host:tax"`` → DataFrame whose index holds applicants; none: an ordinary local model.
        cipher: ``"paillier"``, or ``"plain"``, which does not encrypt, for quick trials.
        min_rows_per_bin: the hosts' floor.
    """

    hosts: Mapping[str, Any] | None
    cipher: str
    key_bits: int
    min_rows_per_bin: int

    def fit(self, X: Any, y: Any) -> JointClassifier:  # noqa: N803 - scikit-learn's names
        """Fit on the rows of ``X`` that every host knows.

        Raises:
            ValueError: what scikit-learn refuses; labels of one class or of more than two.
        """
        table = self._table(X, reset=True)
        label = self._label(y, len(table))
        self._fitted = self._run(table, label)
        return self

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Probability of each of ``classes_``, shape ``(n_rows, 2)``.

        Raises:
            DataError: ``unknown_applicants`` if a host does not know some of them.
        """
        bad = default_probability(self.decision_function(X))
        return np.stack([1.0 - bad, bad], axis=1)

    def decision_function(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds of the second class, a default."""
        check_is_fitted(self)
        return self._margin(self._table(X, reset=False))

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The likelier class."""
        margin = self.decision_function(X)
        classes: NDArray[Any] = self.classes_[(margin > 0).astype(int)]
        return classes

    @abstractmethod
    def _run(self, table: Table, label: Floats) -> Any:
        """Fit; what is returned marks the estimator as fitted."""

    @abstractmethod
    def _margin(self, table: Table) -> Floats: ...

    def _parties(self) -> dict[str, TrainingHost]:
        policy = HostPolicy(self.min_rows_per_bin, min_rows=1, cipher=self._cipher_rules())
        return {party: TrainingHost(party, self._host_table(party), policy) for party in self.hosts or {}}

    def _host_table(self, party: str) -> Table:
        frame = (self.hosts or {})[party]
        return as_table(frame, [str(name) for name in frame.columns])

    def _wire(self, parties: Mapping[str, TrainingHost]) -> Wire:
        return MemoryWire({party: Endpoint(host, GUEST, ALLOWED).answer for party, host in parties.items()})

    def _cipher_rules(self) -> CipherRules:
        return CipherRules(insecure_allow_plaintext=self.cipher == "plain")

    def _new_cipher(self, expected: int) -> SecretCipher:
        if not self.hosts:
            return PlainSecret()  # nobody to hide anything from
        return secret_cipher(self.cipher, self.key_bits, self._cipher_rules(), expected)

    def _scored(self, model: Joint, halves: Mapping[str, JointHalf], table: Table) -> Scored:
        """Scores over the messages of a real call."""
        policy = HostPolicy(min_rows=1)
        wire = MemoryWire(
            {
                party: Endpoint(
                    ScoringHost(self._host_table(party), {half.model_id: half}, policy), GUEST, SCORING
                ).answer
                for party, half in halves.items()
            }
        )
        scored = run(score(model, table), wire)
        for party, known in scored.known.items():
            if not known.all():
                raise unknown_applicants(party, int((~known).sum()))
        return scored

    def _table(self, x: Any, *, reset: bool) -> Table:
        kept = x if hasattr(x, "iloc") else None
        x = validate_data(self, x, dtype=None, ensure_all_finite="allow-nan", reset=reset, ensure_min_samples=1)
        names = getattr(self, "feature_names_in_", None)
        columns = [f"x{k}" for k in range(self.n_features_in_)] if names is None else [str(name) for name in names]
        return as_table(x if kept is None else kept, columns)

    def _label(self, y: Any, n_rows: int) -> Floats:
        if y is None:
            raise ValueError("This classifier requires y to be passed, but the target y is None.")
        y = column_or_1d(y, warn=True)
        if len(y) != n_rows:
            raise ValueError(f"X has {n_rows} rows and y {len(y)}: they have inconsistent numbers of samples.")
        check_classification_targets(y)
        if type_of_target(y) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        self.classes_, coded = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("The labels have only one class: a model needs defaults and non-defaults.")
        return coded.astype(np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def everything(rows: NDArray[np.intp]) -> Arrangement:
    """All common rows fit."""
    return Arrangement(rows, len(rows), 0)


def unknown_applicants(party: str, count: int) -> DataError:
    return DataError(
        "unknown_applicants",
        f"{party} does not know {count} of the applicants: its frame lacks them in its index. Leave them out.",
        f"{party} 没有其中 {count} 个申请人的数据（其索引中不存在）。请先剔除。",
    )
