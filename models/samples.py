"""What labels, scores, probabilities, weights and counts must be before anything is measured on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError, ModelError
from models.losses import Floats, Integers


def checked_label(label: ArrayLike) -> Floats:
    """Labels as float64, shape ``(n_rows,)``, at least one row.

    Raises:
        DataError: ``wrong_shape``, ``no_rows``, or ``bad_label`` if a label is neither 0 nor 1, or missing.
    """
    values = _line(label, "label")
    if not len(values):
        raise DataError(
            "no_rows", "There is no row to measure. Give at least one.", "没有可评估的数据行，请至少提供一行。"
        )
    n_bad = int(np.count_nonzero((values != 0) & (values != 1)))
    if n_bad:
        raise DataError(
            "bad_label",
            f"{n_bad} rows have a label other than 0 and 1. Leave them out or repair them.",
            f"有 {n_bad} 行的标签不是 0 或 1，请剔除或修正。",
        )
    return values


def checked_score(score: ArrayLike, n_rows: int | None = None, name: str = "score") -> Floats:
    """Scores as float64, shape ``(n_rows,)``, all finite, at least one.

    Args:
        n_rows: how many there must be; None: any number but none.
        name: what to call them in an error.

    Raises:
        DataError: ``wrong_shape``, ``wrong_length``, ``no_rows``, or ``score_missing`` for NaN and infinities.
    """
    values = _line(score, name)
    if n_rows is not None and len(values) != n_rows:
        raise DataError(
            "wrong_length",
            f"'{name}' has {len(values)} values for {n_rows} rows. Give one value per row.",
            f"“{name}”有 {len(values)} 个值，而数据有 {n_rows} 行，应每行一个值。",
        )
    if not len(values):
        raise DataError("no_rows", f"'{name}' is empty. Give at least one row.", f"“{name}”为空，请至少提供一行。")
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            "score_missing",
            f"{n_bad} rows have no finite '{name}'. Leave them out before measuring.",
            f"有 {n_bad} 行的“{name}”缺失或为无穷，评估前请剔除。",
        )
    return values


def checked_probability(
    probability: ArrayLike, n_rows: int | None = None, *, inside: bool = False, name: str = "default_probability"
) -> Floats:
    """Probabilities as ``checked_score`` gives scores, in [0, 1], or in (0, 1) if ``inside``.

    Raises:
        DataError: as ``checked_score``, and ``bad_probability`` if one lies outside.
    """
    values = checked_score(probability, n_rows, name)
    outside = (values <= 0) | (values >= 1) if inside else (values < 0) | (values > 1)
    if outside.any():
        english, chinese = (
            ("strictly between 0 and 1", "0 与 1 之间（不含端点）") if inside else ("in [0, 1]", "0 到 1")
        )
        raise DataError(
            "bad_probability",
            f"'{name}' must lie {english}; {int(outside.sum())} rows do not. Give probabilities, not margins.",
            f"“{name}”应在{chinese}，有 {int(outside.sum())} 行不符。请提供概率，而非对数几率。",
        )
    return values


def checked_weight(weight: ArrayLike | None, n_rows: int) -> Floats:
    """Weights as float64, shape ``(n_rows,)``, not negative, not all zero; ones if None.

    Raises:
        DataError: ``wrong_shape``, ``wrong_length``, ``score_missing`` or ``bad_weight``.
    """
    if weight is None:
        return np.ones(n_rows)
    values = checked_score(weight, n_rows, "weight")
    if (values < 0).any() or not values.any():
        raise DataError(
            "bad_weight",
            f"{int((values < 0).sum())} weights are negative, or all are zero. Weights must be 0 or more.",
            f"有 {int((values < 0).sum())} 个权重为负，或全部为零。权重应不小于 0。",
        )
    return values


def checked_groups(group: ArrayLike, n_rows: int, n_groups: int) -> Integers:
    """Group of each row as int64 in ``0 .. n_groups - 1``, shape ``(n_rows,)``.

    Raises:
        DataError: as ``checked_score``, and ``bad_group`` if one is no such integer.
    """
    values = checked_score(group, n_rows, "group")
    n_bad = int(np.count_nonzero((values != np.floor(values)) | (values < 0) | (values >= n_groups)))
    if n_bad:
        raise DataError(
            "bad_group",
            f"{n_bad} rows have a group that is no integer from 0 to {n_groups - 1}.",
            f"有 {n_bad} 行的分组不是 0 到 {n_groups - 1} 的整数。",
        )
    return values.astype(np.int64)


def checked_counts(counts: ArrayLike, n_counts: int | None = None, name: str = "n_rows") -> Integers:
    """Counts as int64, shape ``(n_counts,)``, at least one of them.

    Raises:
        DataError: as ``checked_score``, and ``bad_count`` if one is negative or not whole.
    """
    values = checked_score(counts, n_counts, name)
    if ((values < 0) | (values != np.floor(values))).any():
        raise DataError(
            "bad_count",
            f"'{name}' must hold whole numbers of 0 or more.",
            f"“{name}”应为不小于 0 的整数。",
        )
    return values.astype(np.int64)


def checked_cells(n_rows: ArrayLike, n_defaults: ArrayLike) -> tuple[Integers, Integers]:
    """Rows and defaults per grade or group, int64, same shape ``(n_grades,)``.

    Raises:
        DataError: as ``checked_counts``, and ``bad_count`` if there are more defaults than rows.
    """
    rows = checked_counts(n_rows)
    defaults = checked_counts(n_defaults, len(rows), "n_defaults")
    n_bad = int(np.count_nonzero(defaults > rows))
    if n_bad:
        raise DataError(
            "bad_count",
            f"{n_bad} grades have more defaults than rows. Check the order of the two counts.",
            f"有 {n_bad} 个等级的违约数多于总数，请检查两列计数的顺序。",
        )
    return rows, defaults


def need_rows(counts: Integers, name: str = "n_rows") -> None:
    """Raises ``DataError`` ``no_rows`` if all counts are zero."""
    if not counts.any():
        raise DataError("no_rows", f"'{name}' counts no row at all. Give rows.", f"“{name}”计数全为零，请提供数据。")


def need_both_classes(label: Floats) -> None:
    """Raises ``DataError`` ``one_class`` unless both defaults and non-defaults occur."""
    if not 0 < label.sum() < len(label):
        raise DataError(
            "one_class",
            "The label has only one class in these rows, so this measure has no meaning. Use more rows.",
            "这些行的标签只有一个类别，该指标无意义。请使用更多数据行。",
        )


def need_spread(score: Floats, name: str = "score") -> None:
    """Raises ``DataError`` ``constant_score`` if all rows have the same score."""
    if score.min() == score.max():
        raise DataError(
            "constant_score",
            f"'{name}' is the same for all rows, so this measure has no meaning. Check what was scored.",
            f"所有行的“{name}”相同，该指标无意义。请检查评分来源。",
        )


def check_parameter(name: str, value: float, low: float, high: float) -> None:
    """Raises ``ModelError`` ``bad_parameter`` unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise ModelError(
            "bad_parameter",
            f"{name} is {value}; it must lie between {low} and {high}.",
            f"{name} 为 {value}，应在 {low} 到 {high} 之间。",
        )


def _line(values: ArrayLike, name: str) -> Floats:
    try:
        line = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("not_numbers", f"'{name}' holds no numbers.", f"“{name}”不是数值。") from error
    if line.ndim != 1:
        raise DataError(
            "wrong_shape",
            f"'{name}' has {line.ndim} dimensions; it must have one value per row.",
            f"“{name}”有 {line.ndim} 维，应为每行一个值的一维数组。",
        )
    return line
