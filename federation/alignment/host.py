"""Which applicants do all parties know? Host side: evaluates blinded points, shows tokens, accepts rows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.alignment.messages import BlindedIds, EvaluatedIds, RowsAccepted, RowsChosen, Tokens, TokensWanted
from federation.alignment.tokens import id_bytes, points_of, token_of
from federation.ciphers import oprf
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class AlignmentState(SecretState):
    """Attributes:
    key: OPRF key, fresh per session.
    order: row behind each token, shape ``(n_rows,)``; empty until tokens were asked for.
    rows: chosen rows in run order; empty until they are chosen.
    """

    phase: str = "open"
    key: bytes = field(default_factory=oprf.generate_key)
    n_evaluated: int = 0
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("open", BlindedIds): "open",
    ("open", TokensWanted): "shown",
    ("shown", RowsChosen): "chosen",
}


@dataclass(slots=True)
class AlignmentHost:
    """Answers alignment for the rows with ``ids``; ``state.rows`` is the outcome."""

    ids: tuple[str, ...]
    policy: HostPolicy
    state: AlignmentState = field(default_factory=AlignmentState)

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case BlindedIds():
                reply = self._evaluate(request)
            case TokensWanted():
                reply = self._show()
            case RowsChosen():
                reply = self._choose(request)
        self.state.phase = phase
        return reply

    def _evaluate(self, request: BlindedIds) -> Message:
        try:
            points = points_of(request.points)
        except ValueError:
            raise bad_value("broken list of points", "点列表有误") from None
        if self.state.n_evaluated + len(points) > self.policy.max_blinded_ids:
            raise LocalProtocolError(
                "policy",
                f"More than {self.policy.max_blinded_ids:,} identifiers were asked for in one session.",
                f"单次会话询问的标识超过 {self.policy.max_blinded_ids:,} 个。",
            )
        evaluated = b"".join(oprf.evaluate_all(self.state.key, points))
        self.state.n_evaluated += len(points)
        return EvaluatedIds(points=evaluated)

    def _show(self) -> Message:
        n_rows = len(self.ids)
        keys = np.frombuffer(os.urandom(8 * n_rows), dtype=np.uint64)
        order = np.argsort(keys).astype(np.int64)
        key = self.state.key
        tokens = [token_of(o) for o in oprf.evaluate_own_all(key, [id_bytes(self.ids[row]) for row in order])]
        self.state.order = order
        return Tokens(tokens=b"".join(tokens))

    def _choose(self, request: RowsChosen) -> Message:
        if len(request.positions) % 4:
            raise bad_value("broken list of positions", "位置列表有误")
        positions = np.frombuffer(request.positions, dtype=np.uint32).astype(np.int64)
        self.policy.check_rows(len(positions))
        if positions.max() >= len(self.state.order) or len(np.unique(positions)) != len(positions):
            raise bad_value("unknown or repeated rows", "行不存在或重复")
        self.state.rows = self.state.order[positions]
        return RowsAccepted(n_rows=len(positions))
