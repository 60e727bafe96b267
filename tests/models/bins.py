"""Bins of every form, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from models.binning import FeatureBins

_EDGES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=0, max_size=6, unique=True).map(
    lambda edges: tuple(sorted(edges))
)
_LEVELS = st.lists(st.text(max_size=8), max_size=5, unique=True).map(lambda levels: tuple(sorted(levels)))


def features_bins() -> st.SearchStrategy[FeatureBins]:
    """One feature: a number with any edges, or a category with any levels."""
    numbers = st.builds(
        FeatureBins, st.just("x"), category=st.just(value=False), edges=_EDGES, has_missing=st.booleans()
    )
    categories = st.builds(
        FeatureBins, st.just("x"), category=st.just(value=True), levels=_LEVELS, has_other=st.booleans()
    )
    return numbers | categories
