"""What the guest can still gain by itself after each round with several hosts.

Margins are linear in the coefficients. So along every direction in which hosts have moved before, and in its own
coefficients, the guest knows the loss exactly and finds its least point without asking anyone. Steps that do not know
how features of different hosts go together then converge like conjugate gradients rather than like plain iteration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from models.losses import Floats
from models.scorecard.logistic import Newton

_MOST_STEPS: Final = 20
#: Directions that lie this close together count as one.
_RANK: Final = 1e-10


@dataclass(slots=True)
class KnownDirections:
    """Attributes:
    design: the guest's columns, the first 1, shape ``(n_fit, n_guest)``.
    steps: changes of hosts' coefficients, of unit length, each of shape ``(n_hosts_features,)``.
    changes: what each does to the margin, shape ``(n_fit,)``.
    """

    design: Floats
    steps: list[Floats] = field(default_factory=list)
    changes: list[Floats] = field(default_factory=list)

    def add(self, step: Floats, change: Floats) -> None:
        """A change of all coefficients, and of the margins with it."""
        n_guest = self.design.shape[1]
        own, of_hosts = step[:n_guest], step[n_guest:]
        length = float(np.linalg.norm(of_hosts))
        if length > 0.0:
            self.steps.append(of_hosts / length)
            self.changes.append((change - self.design @ own) / length)

    def settle(self, newton: Newton) -> None:
        """Take ``newton`` to the least penalised loss that these directions reach; not if L1 or signs bend the way."""
        if not newton.penalty.smooth:
            return
        columns = np.column_stack([self.design, *self.changes])
        n_guest, n_all = self.design.shape[1], len(newton.coefficients)
        directions = np.zeros((n_all, columns.shape[1]))
        directions[:n_guest, :n_guest] = np.eye(n_guest)
        if self.steps:
            directions[n_guest:, n_guest:] = np.column_stack(self.steps)
        l2 = newton.penalty.l2
        for _ in range(_MOST_STEPS):
            gradient, weight = newton.derivatives()
            slope = columns.T @ gradient + directions.T @ (l2 * newton.coefficients)
            if np.abs(slope).max() <= 0.1 * newton.rules.tolerance * newton.weight.sum():
                return
            curved = columns.T @ (columns * weight[:, None]) + directions.T @ (l2[:, None] * directions)
            step = -np.linalg.pinv(curved, rcond=_RANK, hermitian=True) @ slope
            newton.approach(newton.coefficients + directions @ step, newton.margin + columns @ step)
