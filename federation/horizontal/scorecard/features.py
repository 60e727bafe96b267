"""Features with their WOE as they travel, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from federation.horizontal.boosting import features as bins
from federation.horizontal.scorecard.messages import WoeFields
from models.scorecard.card import WoeFeature
from models.woe.prebins import Prebins
from models.woe.tables import WoeBins


def to_fields(features: Sequence[WoeFeature]) -> tuple[WoeFields, ...]:
    """For a message."""
    return tuple(
        (own, f.prebins.special_codes, f.bins.bin_of, f.bins.woe, float(f.bins.unseen_woe))
        for f, own in zip(features, bins.to_fields(f.prebins.bins for f in features), strict=True)
    )


def from_fields(fields: Iterable[WoeFields]) -> tuple[WoeFeature, ...]:
    """Of a message. Raises ``DataError`` as ``Prebins`` does."""
    found = []
    for own, special_codes, bin_of, woe, unseen_woe in fields:
        [regular] = bins.from_fields([own])
        found.append(WoeFeature(Prebins(regular, special_codes), WoeBins(regular.name, bin_of, woe, unseen_woe)))
    return tuple(found)
