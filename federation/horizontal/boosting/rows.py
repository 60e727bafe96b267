"""What a site's part of boosting asks of the features of its rows, wherever they lie, and the answer of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.interface import Numbers
from federation.horizontal.boosting.features import codes_of, from_fields
from federation.horizontal.boosting.messages import CutFields, FeatureFields
from federation.responder import bad_value
from models.binning import Codes
from models.boosting.derivatives import Derivatives
from models.boosting.histograms import bin_sums
from models.boosting.splits import Candidates, Mask, Split, goes_left
from models.table import Table


class Features(Protocol):
    """Features of a site's rows: of its own table, or of others, too (``federation.hybrid``)."""

    def open(self, features: tuple[FeatureFields, ...]) -> None:
        """Bin the rows by these.

        Raises:
            DataError: ``missing_columns``, ``bins_do_not_fit``.
        """
        ...

    def left(self, tree: int, cuts: Sequence[CutFields]) -> Mask:
        """Which rows of the node that is cut go left, shape ``(n_cuts, n_rows)``; of other rows it says nothing.

        Raises:
            LocalProtocolError: ``bad_value``: there is no such cut.
        """
        ...

    def sums(
        self, tree: int, told: Derivatives, at: NDArray[np.int64], cuts: Sequence[CutFields], nodes: Sequence[int]
    ) -> Numbers:
        """What the site contributes: of each node sums of g, then of h, per bin.

        Args:
            at: node of each row, after ``cuts``.
        """
        ...

    @property
    def bound(self) -> int | None:
        """Largest magnitude of what ``sums`` gives; ``None``: that of a sum over as many rows as a site may have."""
        ...


@dataclass(slots=True)
class TableFeatures:
    """All features lie in ``table``."""

    table: Table
    candidates: Candidates = field(init=False)
    codes: Codes = field(init=False)

    def open(self, features: tuple[FeatureFields, ...]) -> None:
        bins = from_fields(features)
        self.candidates, self.codes = Candidates(bins), codes_of(self.table, bins)

    def left(self, tree: int, cuts: Sequence[CutFields]) -> Mask:  # noqa: ARG002 - hosts ask which tree it is
        bins = self.candidates.bins
        if not all(0 <= f < len(bins) and 0 <= code < bins[f].n_bins for _, f, code, *_ in cuts):
            raise bad_value("cuts", "切分")
        sides = [goes_left(Split(f, code, missing), bins[f], self.codes[f]) for _, f, code, missing, *_ in cuts]
        return np.array(sides, dtype=bool).reshape(len(cuts), len(self.table))

    def sums(
        self,
        tree: int,  # noqa: ARG002
        told: Derivatives,
        at: NDArray[np.int64],
        cuts: Sequence[CutFields],  # noqa: ARG002
        nodes: Sequence[int],
    ) -> Numbers:
        flat = self.candidates.flat(self.codes)
        found = []
        for node in nodes:
            rows = np.flatnonzero(at == node)
            found += [bin_sums(flat[:, rows], values[rows], self.candidates.n_bins) for values in (told.g, told.h)]
        return np.concatenate(found)

    @property
    def bound(self) -> int | None:
        return None
