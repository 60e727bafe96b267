"""Which applicants do all parties know? Host side: evaluates blinded points, shows tokens, accepts rows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.alignment.messages import (
    BlindedIds,
    EvaluatedIds,
    RowsAccepted,
    RowsChosen,
    RowsPart,
    Tokens,
    TokensWanted,
)
from federation.alignment.tokens import BATCH, id_bytes, points_of, token_of
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
    n_shown: tokens shown so far.
    rows: rows chosen so far, in run order.
    """

    phase: str = "open"
    key: bytes = field(default_factory=oprf.generate_key)
    n_evaluated: int = 0
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n_shown: int = 0
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("open", BlindedIds): "open",
    ("open", TokensWanted): "shown",
    ("shown", TokensWanted): "shown",
    ("shown", RowsPart): "choosing",
    ("choosing", RowsPart): "choosing",
    ("shown", RowsChosen): "chosen",
    ("choosing", RowsChosen): "chosen",
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
                reply = self._show(request)
            case RowsPart() | RowsChosen():
                reply = self._choose(request)
        self.state.phase = phase
        return reply

    def _evaluate(self, request: BlindedIds) -> Message:
        try:
            points = points_of(request.points)
        except ValueError:
            raise bad_value("broken list of points", "点列表有误") from None
        if len(points) > BATCH:
            raise bad_value("too many points at once", "单次点数过多")
        if self.state.n_evaluated + len(points) > self.policy.max_blinded_ids:
            raise LocalProtocolError(
                "policy",
                f"More than {self.policy.max_blinded_ids:,} identifiers were asked for in one session.",
                f"单次会话询问的标识超过 {self.policy.max_blinded_ids:,} 个。",
            )
        evaluated = b"".join(oprf.evaluate_all(self.state.key, points))
        self.state.n_evaluated += len(points)
        return EvaluatedIds(points=evaluated)

    def _show(self, request: TokensWanted) -> Message:
        state, n_rows = self.state, len(self.ids)
        if request.start != state.n_shown:
            raise bad_value("tokens out of order", "令牌次序")
        order = state.order
        if state.phase == "open":
            keys = np.frombuffer(os.urandom(8 * n_rows), dtype=np.uint64)
            order = np.argsort(keys).astype(np.int64)
        batch = order[state.n_shown : state.n_shown + BATCH]
        outputs = oprf.evaluate_own_all(state.key, [id_bytes(self.ids[row]) for row in batch])
        state.order, state.n_shown = order, state.n_shown + len(batch)
        return Tokens(tokens=b"".join(map(token_of, outputs)))

    def _choose(self, request: RowsPart | RowsChosen) -> Message:
        state = self.state
        more = self.rows_at(request.positions)
        if len(state.rows) + len(more) > state.n_shown:
            raise _no_rows()
        rows = np.concatenate([state.rows, more])
        if isinstance(request, RowsChosen):
            self.policy.check_rows(len(rows))
            if len(np.unique(rows)) != len(rows):
                raise _no_rows()
            self.policy.check_subjects([self.ids[row] for row in rows])
        state.rows = rows
        return RowsAccepted(n_rows=len(rows))

    def rows_at(self, positions: bytes) -> NDArray[np.int64]:
        """Rows behind positions among the tokens shown: uint32, a batch at most. Raises ``bad_value``."""
        if len(positions) % 4 or len(positions) > 4 * BATCH:
            raise bad_value("broken list of positions", "位置列表有误")
        places = np.frombuffer(positions, dtype=np.uint32)
        if (places >= self.state.n_shown).any():
            raise _no_rows()
        return self.state.order[places]


def _no_rows() -> LocalProtocolError:
    return bad_value("unknown or repeated rows", "行不存在或重复")
