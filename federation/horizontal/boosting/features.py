"""Bins as they travel, and back, and the rows of a table in them."""

from __future__ import annotations

from collections.abc import Iterable

from federation.horizontal.boosting.messages import FeatureFields
from models.binning import Codes, FeatureBins, encode
from models.errors import DataError
from models.table import Table


def to_fields(bins: Iterable[FeatureBins]) -> tuple[FeatureFields, ...]:
    """For a message."""
    return tuple((b.name, b.category, b.edges, b.levels, b.has_other, b.has_missing) for b in bins)


def from_fields(features: Iterable[FeatureFields]) -> tuple[FeatureBins, ...]:
    """Of a message."""
    return tuple(FeatureBins(*fields) for fields in features)


def codes_of(table: Table, bins: Iterable[FeatureBins]) -> Codes:
    """Code of every row in every feature.

    Raises:
        DataError: ``missing_columns``; ``bins_do_not_fit`` for missing values or levels that the bins do not have.
    """
    bins = tuple(bins)
    absent = [b.name for b in bins if b.name not in table.columns]
    if absent:
        raise DataError(
            "missing_columns",
            f"The run needs columns that this site does not have: {', '.join(absent)}.",
            f"本站点缺少运行所需的列：{'、'.join(absent)}。",
        )
    codes = encode(table, bins)
    beyond = [b.name for b, c in zip(bins, codes, strict=True) if (c >= b.n_bins).any()]
    if beyond:
        raise DataError(
            "bins_do_not_fit",
            f"Columns {', '.join(beyond)} have missing values or levels here that the joint bins have no room for.",
            f"列 {'、'.join(beyond)} 存在共同分箱未包含的缺失值或类别。",
        )
    return codes
