"""What joint estimators have in common: parties in memory, rows matched by the index of frames.

For notebooks and trials by one person who may see all tables. Between the parties of the estimator go the messages of a
real run, encrypted as there; between machines use ``lianmo train``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_array, compute_sample_weight
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
_ONE_CLASS = "The labels have only one class: a model needs defaults and non-defaults."


@dataclass(eq=False, repr=False)
class JointEstimator(BaseEstimator):  # type: ignore[misc]
    """Base: subclasses read labels, fit over a wire and tell margins.

    Args:
        hosts: party, such as ``"host:tax"`` → DataFrame whose index holds applicants; none: an ordinary local model.
        cipher: ``"paillier"``, or ``"plain"``, which does not encrypt, for quick trials.
        key_bits: of the key.
        min_rows_per_bin: the hosts' floor.
    """

    hosts: Mapping[str, Any] | None = None
    _: KW_ONLY
    cipher: Literal["paillier", "plain"] = "paillier"
    key_bits: int = 2048
    min_rows_per_bin: int = 10

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Fit on the rows of ``X`` that every host knows.

        Args:
            sample_weight: per row, at least 0; rows of weight 0 are left out.

        Raises:
            ValueError: what scikit-learn refuses; labels of one class or of more than two; weights that are negative,
                not finite or all 0.
        """
        table = self._table(X, reset=True)
        label = self._label(y, len(table))
        weight = self._weight(sample_weight, y, len(table))
        if weight is not None and not weight.all():
            rows = np.flatnonzero(weight)
            table, label, weight = table.take(rows), label[rows], weight[rows]
        self._fitted = self._run(table, label, weight)
        return self

    @abstractmethod
    def _label(self, y: Any, n_rows: int) -> Floats:
        """What the model learns."""

    @abstractmethod
    def _run(self, table: Table, label: Floats, weight: Floats | None) -> Any:
        """Fit; what is returned marks the estimator as fitted. ``weight``: above 0."""

    @abstractmethod
    def _margin(self, table: Table) -> Floats: ...

    def _told_margin(self, x: Any) -> Floats:
        check_is_fitted(self)
        return self._margin(self._table(x, reset=False))

    def _weight(self, sample_weight: Any, y: Any, n_rows: int) -> Floats | None:  # noqa: ARG002 - of classes
        if sample_weight is None:
            return None
        weight = np.array(sample_weight, dtype=np.float64)
        if weight.ndim == 0:
            weight = np.full(n_rows, weight)
        if weight.shape != (n_rows,):
            raise ValueError(f"sample_weight has shape {weight.shape}, expected ({n_rows},).")
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise ValueError("sample_weight must be finite and at least 0.")
        if not weight.any():
            raise ValueError("All weights of sample_weight are zero.")
        return weight

    def _parties(self) -> dict[str, TrainingHost]:
        policy = self._policy()
        return {party: TrainingHost(party, self._host_table(party), policy) for party in self.hosts or {}}

    def _policy(self) -> HostPolicy:
        return HostPolicy(self.min_rows_per_bin, min_rows=1, cipher=self._cipher_rules())

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

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


@dataclass(eq=False, repr=False)
class JointClassifier(ClassifierMixin, JointEstimator):  # type: ignore[misc]
    """Base of models of a default.

    Args:
        class_weight: class → weight, or ``"balanced"``: each class weighs the same; times ``sample_weight``.

    Attributes:
        classes_: the two labels; the second counts as a default.
    """

    class_weight: Mapping[Any, float] | Literal["balanced"] | None = None

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Probability of each of ``classes_``, shape ``(n_rows, 2)``.

        Raises:
            DataError: ``unknown_applicants`` if a host does not know some of them.
        """
        bad = default_probability(self.decision_function(X))
        return np.stack([1.0 - bad, bad], axis=1)

    def decision_function(self, X: Any) -> Floats:  # noqa: N803
        """Log-odds of the second class, a default."""
        return self._told_margin(X)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The likelier class."""
        margin = self.decision_function(X)
        classes: NDArray[Any] = self.classes_[(margin > 0).astype(int)]
        return classes

    def _label(self, y: Any, n_rows: int) -> Floats:
        y = one_column(self, y, n_rows)
        check_classification_targets(y)
        if type_of_target(y) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        classes, coded = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(_ONE_CLASS)
        if getattr(self, "warm_start", False) and not np.array_equal(getattr(self, "classes_", classes), classes):
            raise ValueError("warm_start: the labels have other classes than those of the earlier fit.")
        self.classes_ = classes
        return coded.astype(np.float64)

    def _weight(self, sample_weight: Any, y: Any, n_rows: int) -> Floats | None:
        weight = super()._weight(sample_weight, y, n_rows)
        if weight is not None and len(np.unique(column_or_1d(y)[weight > 0])) < 2:
            raise ValueError(_ONE_CLASS)
        if self.class_weight is None:
            return weight
        of_class: Floats = compute_sample_weight(self.class_weight, column_or_1d(y))
        return of_class if weight is None else weight * of_class

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


@dataclass(eq=False, repr=False)
class JointRegressor(RegressorMixin, JointEstimator):  # type: ignore[misc]
    """Base of models of an amount, a share or a count."""

    def _label(self, y: Any, n_rows: int) -> Floats:
        label: Floats = check_array(one_column(self, y, n_rows), ensure_2d=False, dtype=np.float64, input_name="y")
        return label


def one_column(estimator: object, y: Any, n_rows: int) -> Any:
    """Labels as one column of as many rows; raises ``ValueError`` as scikit-learn's own estimators."""
    if y is None:
        raise ValueError(f"This {type(estimator).__name__} requires y to be passed, but the target y is None.")
    y = column_or_1d(y, warn=True)
    if len(y) != n_rows:
        raise ValueError(f"X has {n_rows} rows and y {len(y)}: they have inconsistent numbers of samples.")
    return y


def everything(rows: NDArray[np.intp]) -> Arrangement:
    """All common rows fit."""
    return Arrangement(rows, len(rows), 0)


def unknown_applicants(party: str, count: int) -> DataError:
    return DataError(
        "unknown_applicants",
        f"{party} does not know {count} of the applicants: its frame lacks them in its index. Leave them out.",
        f"{party} 没有其中 {count} 个申请人的数据（其索引中不存在）。请先剔除。",
    )
