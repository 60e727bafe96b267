"""How a host's features have moved, host side: counts at home, tells coarse shares of joined bins, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.vertical.stability.messages import Shifts, Wanted, Withheld
from federation.vertical.stability.state import StabilityState
from models.bundle import Half
from models.scorecard.card import WoeFeature
from models.table import Table
from models.validation.features import MINIMUM, FeatureShift, binned_by_cuts, binned_by_woe, feature_shifts
from models.validation.stability import Shift

#: (phase, request) → next phase; what is absent is refused. Once: two answers could be subtracted from each other.
TRANSITIONS: Final[Transitions] = {("closed", Wanted): "told"}

_MOST_ROWS: Final = 10**9


@dataclass(slots=True)
class StabilityHost:
    """Answers over ``table``, whose rows stand in run order.

    Attributes:
        features: those of a half of trees that it has sealed, or those that go into a scorecard, in order.
        n_fit: rows that are fitted, the first of the run.
    """

    table: Table
    features: Half | Sequence[WoeFeature]
    n_fit: int
    policy: HostPolicy
    state: StabilityState = field(default_factory=StabilityState)

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Wanted():
                reply = self._tell(request)
        self.state.phase = phase
        return reply

    def shifts(self, minimum: int = MINIMUM) -> tuple[FeatureShift, ...]:
        """Of all binned features by name, for this party alone."""
        own, rows = self.features, np.arange(len(self.table))
        binned = binned_by_cuts(self.table, own.bins) if isinstance(own, Half) else binned_by_woe(self.table, own)
        return feature_shifts(binned, rows[: self.n_fit], rows[self.n_fit + self.state.n_valid :], minimum)

    def _tell(self, m: Wanted) -> Message:
        # Of other rows than those it was fitted on it would tell what no run needs.
        if m.n_fit != self.n_fit or not 0 <= m.n_valid < len(self.table) - m.n_fit:
            raise bad_value("row counts", "行数")
        if not 1 <= m.minimum <= _MOST_ROWS:
            raise bad_value("fewest rows", "最少行数")
        self.state.n_valid = m.n_valid
        if not self.policy.share_stability or self.policy.noise:  # its shares have no noise
            return Withheld()
        shift_of = {s.name: s.stability for s in self.shifts(max(m.minimum, self.policy.min_rows_per_bin))}
        told = [shift_of[name] for name in self._told()]
        return Shifts(shifts=tuple(_coarse(shift) for shift in told if shift))

    def _told(self) -> list[str]:
        """Features that the guest knows of, in the order of its numbers."""
        if isinstance(self.features, Half):
            return [name for _, name in sorted(self.features.names_of_numbers().items())]
        return [f.name for f in self.features]


def _coarse(shift: Shift) -> tuple[int, int, int]:
    """As it travels: exact shares of many rows would tell counts to the row."""
    expected, actual = shift.most_moved
    return round(1000 * shift.index), round(100 * expected), round(100 * actual)
