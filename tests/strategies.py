"""What Hypothesis draws in several tests."""

from __future__ import annotations

from hypothesis import strategies as st

from models.binning import FeatureBins


def _numeric(n_edges: int, has_missing: bool) -> FeatureBins:
    return FeatureBins("x", category=False, edges=tuple(float(e) for e in range(n_edges)), has_missing=has_missing)


def _category(n_levels: int, has_other: bool, has_missing: bool) -> FeatureBins:
    levels = tuple(f"L{k}" for k in range(n_levels))
    return FeatureBins("c", category=True, levels=levels, has_other=has_other, has_missing=has_missing)


feature = st.one_of(
    st.builds(_numeric, st.integers(0, 5), st.booleans()),
    st.builds(_category, st.integers(1, 5), st.booleans(), st.booleans()),
)
features = st.lists(feature, min_size=1, max_size=3).map(tuple)
