"""What each party keeps of a run under way, so that it can go on from there: secret, on its own disk, never a message.

A checkpoint is taken between two trees. The guest's names the digests of the hosts' halves, as a finished model does,
so the parties' checkpoints of one moment are tied together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from federation.checkpoint import need_same_rows, rows_digest
from federation.policy import HostPolicy
from federation.state import SecretState
from models.boosting.trees import Tree
from models.bundle import Half, JointModel
from models.errors import ModelError
from models.losses import Floats
from models.table import Table


@dataclass(slots=True)
class Course:
    """Where the guest stands between two trees.

    Attributes:
        margin: of all rows of the run.
        losses: on the watching rows after each tree; empty if there are none.
        best, best_margin: number of the tree with the lowest loss so far, and the margins after it; without losses
            the last tree.
    """

    trees: list[Tree]
    margin: Floats
    losses: list[float]
    best: int
    best_margin: Floats

    @classmethod
    def fresh(cls, base: float, n_rows: int) -> Self:
        margin = np.full(n_rows, base)
        return cls([], margin, [], 0, margin)

    def add(self, tree: Tree, margin: Floats, loss: Sequence[float]) -> None:
        """One tree more. ``margin``: after it; ``loss``: on the watching rows, if there are any."""
        self.trees.append(tree)
        self.margin = margin
        self.losses += loss
        if not self.losses or self.losses[-1] < min(self.losses[:-1], default=np.inf):
            self.best, self.best_margin = len(self.trees) - 1, margin

    def stops(self, rounds: int) -> bool:
        """Whether the loss has not fallen for so many trees; 0: never."""
        return bool(self.losses and rounds) and len(self.trees) - 1 - self.best >= rounds


@dataclass(slots=True, repr=False)
class GuestCheckpoint(SecretState):
    """Attributes:
    model: the guest's half so far, as JSON, with the digests of the hosts' halves so far.
    rows: ``rows_digest`` of what it was trained on.
    losses, best, margin, best_margin: as in ``Course``. What hosts have told is in the margins: nothing of it has to
        be told again.
    """

    model: bytes
    rows: str
    losses: tuple[float, ...]
    best: int
    margin: NDArray[np.float64]
    best_margin: NDArray[np.float64]

    @classmethod
    def of(cls, model: JointModel, rows: str, course: Course) -> Self:
        data = json.dumps(model.to_json(), ensure_ascii=False).encode()
        return cls(data, rows, tuple(course.losses), course.best, course.margin, course.best_margin)

    @property
    def joint(self) -> JointModel:
        """Raises ``ModelError`` if it is damaged."""
        return JointModel.from_json(json.loads(self.model))

    def course(self) -> Course:
        return Course(list(self.joint.trees), self.margin, list(self.losses), self.best, self.best_margin)


@dataclass(slots=True, repr=False)
class HostCheckpoint(SecretState):
    """Attributes:
    half: the host's half so far, as JSON.
    rows: ``rows_digest`` of what its cuts were made on.
    """

    half: bytes
    rows: str

    @classmethod
    def of(cls, half: Half, rows: str) -> Self:
        return cls(json.dumps(half.to_json(), ensure_ascii=False).encode(), rows)

    @property
    def sealed(self) -> Half:
        """Raises ``ModelError`` if it is damaged."""
        return Half.from_json(json.loads(self.half))


def named(kept: Sequence[HostCheckpoint], digest: str, rows: str) -> Half | None:
    """The half with this digest, if it is kept.

    Args:
        rows: ``rows_digest`` of the rows that were chosen now.

    Raises:
        LocalProtocolError: ``rows_changed`` if it was made on others.
    """
    for checkpoint in kept:
        half = checkpoint.sealed
        if half.digest() == digest:
            need_same_rows(checkpoint.rows, rows)
            return half
    return None


def finished(earlier: Half | None, digest: str) -> Half | None:
    """The half of a finished model that a run adds trees to, if it does.

    Raises:
        ModelError: ``unknown_model`` if it is not the one held here.
    """
    if not digest:
        return None
    if earlier is None or earlier.digest() != digest:
        raise ModelError(
            "unknown_model",
            "The run adds trees to a model whose half is not the one held here. Give the half of that model.",
            "本次运行要在某模型上续训，但本方持有的不是该模型的相应部分，请提供该部分。",
        )
    return earlier


def host_rows(table: Table, policy: HostPolicy) -> str:
    """Digest of all that a host's bins and cuts follow from, besides what the guest says."""
    rules = [policy.min_rows_per_bin, policy.share_levels, dict(policy.monotone_constraints)]
    return rows_digest(table, {"rules": rules})
