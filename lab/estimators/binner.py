"""WOE binning as a scikit-learn transformer, over the columns of one party."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from lab.estimators.frames import as_table
from models.losses import Floats
from models.woe.fitting import Method, WoeRules, count_prebins, fit_woe
from models.woe.prebins import PrebinRules, fit_prebins


class WoeBinner(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns → their weight of evidence, ln(share of goods / share of bads): higher is safer.

    Args:
        method: how neighbouring prebins are merged (``models.woe.fitting.WoeRules``).
        max_bins: most regular bins of a column.
        min_bin_share: least share of the rows in a regular bin.
        n_prebins: how fine columns are cut before merging.
        smoothing: added to goods and bads of a bin of one class.
        cut_points: column → its cut points, given by hand.
        special_codes: column → values to keep apart, say -999.

    Attributes:
        prebins_: ``models.woe.prebins.Prebins`` per column.
        woe_: ``models.woe.tables.WoeBins`` per column.
        tables_: ``models.woe.tables.BinningTable`` per column.
        information_value_: per column, shape ``(n_features_in_,)``.
        classes_: the label that counts as good, then the one that counts as bad (a default).
    """

    def __init__(
        self,
        method: Method = "auto",
        *,
        max_bins: int = 8,
        min_bin_share: float = 0.05,
        n_prebins: int = 20,
        smoothing: float = 0.5,
        cut_points: Mapping[str, Sequence[float]] | None = None,
        special_codes: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.method = method
        self.max_bins = max_bins
        self.min_bin_share = min_bin_share
        self.n_prebins = n_prebins
        self.smoothing = smoothing
        self.cut_points = cut_points
        self.special_codes = special_codes

    def fit(self, X: Any, y: Any) -> WoeBinner:  # noqa: N803 - scikit-learn's names
        """Choose bins. Raises ``ValueError`` for what scikit-learn refuses, ``DataError`` for cuts that do not fit."""
        kept = X if hasattr(X, "iloc") else None
        X = validate_data(self, X, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=2)  # noqa: N806
        label = self._label(y, len(X))
        table = as_table(X if kept is None else kept, self._names())
        rules = PrebinRules(n_prebins=self.n_prebins)
        self.prebins_ = fit_prebins(table, rules, self.cut_points, self.special_codes)
        merging = WoeRules(
            method=self.method,
            max_bins=self.max_bins,
            min_bin_share=self.min_bin_share,
            smoothing=self.smoothing,
        )
        fitted = [
            fit_woe(count_prebins(p, p.encode(table.columns[p.name]), label), merging, p.describe)
            for p in self.prebins_
        ]
        self.woe_ = tuple(f.bins for f in fitted)
        self.tables_ = tuple(f.table for f in fitted)
        self.information_value_ = np.array([f.table.information_value for f in fitted])
        return self

    def transform(self, X: Any) -> Floats:  # noqa: N803
        """WOE of each value, float64, shape ``(n_rows, n_features_in_)``."""
        check_is_fitted(self)
        kept = X if hasattr(X, "iloc") else None
        X = validate_data(self, X, dtype=None, ensure_all_finite="allow-nan", reset=False)  # noqa: N806
        table = as_table(X if kept is None else kept, self._names())
        columns = [w.transform(p.encode(table.columns[p.name])) for p, w in zip(self.prebins_, self.woe_, strict=True)]
        return np.stack(columns, axis=1)

    def _label(self, y: Any, n_rows: int) -> Floats:
        if y is None:
            raise ValueError("WoeBinner requires y to be passed, but the target y is None.")
        y = column_or_1d(y, warn=True)
        if len(y) != n_rows:
            raise ValueError(f"X has {n_rows} rows and y {len(y)}: they have inconsistent numbers of samples.")
        if type_of_target(y, input_name="y", raise_unknown=True) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        self.classes_, coded = np.unique(y, return_inverse=True)
        return coded.astype(np.float64)

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{k}" for k in range(self.n_features_in_)] if names is None else [str(name) for name in names]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.classifier_tags = ClassifierTags(multi_class=False)  # says that y has two classes
        return tags
