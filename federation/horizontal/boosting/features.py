"""Bins as they travel, and back."""

from __future__ import annotations

from collections.abc import Iterable

from federation.horizontal.boosting.messages import FeatureFields
from models.binning import FeatureBins


def to_fields(bins: Iterable[FeatureBins]) -> tuple[FeatureFields, ...]:
    """For a message."""
    return tuple((b.name, b.category, b.edges, b.levels, b.has_other, b.has_missing) for b in bins)


def from_fields(features: Iterable[FeatureFields]) -> tuple[FeatureBins, ...]:
    """Of a message."""
    return tuple(FeatureBins(*fields) for fields in features)
