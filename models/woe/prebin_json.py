"""Prebins as JSON that a person can read and edit: cut points, special codes, levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from models.binning import MAX_FLOAT, FeatureBins
from models.errors import DataError
from models.woe.prebins import Prebins

FORMAT: Final = 1
NUMERIC_FIELDS: Final = {"cut_points", "special_codes", "missing"}
CATEGORY_FIELDS: Final = {"levels", "other", "missing"}


def prebins_to_json(prebins: tuple[Prebins, ...]) -> dict[str, Any]:
    """Format and, per feature in order, its cut points and special codes, or its levels: made to be edited by hand."""
    return {"format": FORMAT, "features": {p.name: _entry(p) for p in prebins}}


def prebins_from_json(data: Mapping[str, Any]) -> tuple[Prebins, ...]:
    """Exactly what ``prebins_to_json`` was given; ``special_codes``, ``other`` and ``missing`` may be left out.

    Raises:
        DataError: ``prebins_unreadable``, ``cut_points_not_finite``, ``cut_points_not_increasing``,
            ``too_many_prebins``. Whether they fit a table, ``check_prebins`` tells.
    """
    features = data.get("features")
    if data.get("format") != FORMAT or not isinstance(features, Mapping):
        raise DataError(
            "prebins_unreadable",
            f"The file of cut points needs 'format' {FORMAT} and 'features'.",
            f"切点文件需要 format {FORMAT} 与 features 两项。",
        )
    return tuple(_read(name, entry) for name, entry in features.items())


def _entry(p: Prebins) -> dict[str, Any]:
    if p.bins.category:
        return {"levels": list(p.bins.levels), "other": p.bins.has_other, "missing": p.bins.has_missing}
    return {
        "cut_points": list(p.bins.edges),
        "special_codes": list(p.special_codes),
        "missing": p.bins.has_missing,
    }


def _read(name: str, entry: object) -> Prebins:
    fields: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    flags = [fields.get("missing", False), fields.get("other", False)]
    levels = fields.get("levels", [])
    numeric = "cut_points" in fields
    known = set(fields) <= NUMERIC_FIELDS if numeric else "levels" in fields and set(fields) <= CATEGORY_FIELDS
    distinct = isinstance(levels, list) and all(isinstance(v, str) for v in levels) and len({*levels}) == len(levels)
    if not (known and distinct and all(isinstance(flag, bool) for flag in flags)):
        raise DataError(
            "prebins_unreadable",
            f"The entry of '{name}' must have either 'cut_points' (and 'special_codes', 'missing') or distinct "
            "'levels' (and 'other', 'missing').",
            f"“{name}”一项应为 cut_points（及 special_codes、missing）或互不相同的 levels（及 other、missing）。",
        )
    if not numeric:
        return Prebins(FeatureBins(name, category=True, levels=tuple(levels), has_other=flags[1], has_missing=flags[0]))
    edges = _numbers(name, "cut_points", fields["cut_points"])
    specials = _numbers(name, "special_codes", fields.get("special_codes", []))
    return Prebins(FeatureBins(name, category=False, edges=edges, has_missing=flags[0]), specials)


def _numbers(name: str, field: str, values: object) -> tuple[float, ...]:
    """``values`` as floats; JSON's true, texts and numbers beyond float64 are none."""
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        raise DataError(
            "cut_points_not_finite",
            f"'{field}' of '{name}' must be a list of finite numbers.",
            f"“{name}”的 {field} 应为有限数值的列表。",
        )
    return tuple(float(v) if abs(v) <= MAX_FLOAT else math.inf for v in cast(Sequence[float], values))
