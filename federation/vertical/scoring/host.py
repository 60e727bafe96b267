"""Joint scoring, host side: finds applicants by token and tells on which side of each of its cuts they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from federation.alignment.tokens import TOKEN_BYTES, id_bytes, pieces, points_of, token_of
from federation.ciphers import oprf
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import bad_value
from federation.vertical.bits import pack_bits
from federation.vertical.scoring.messages import BlindedApplicants, EvaluatedApplicants, Routes, RoutesWanted
from models.bundle import Half
from models.errors import ModelError
from models.table import Table

ALLOWED: tuple[type[Message], ...] = (BlindedApplicants, RoutesWanted)


@dataclass(slots=True)
class ScoringHost:
    """Answers for the rows of ``table`` and the halves it holds, by model id. Keeps nothing between messages.

    Raises:
        ModelError: ``missing_columns`` at once if a half needs a column the table lacks.
    """

    table: Table
    halves: Mapping[str, Half]
    policy: HostPolicy
    _key: bytes = field(default_factory=oprf.generate_key, repr=False)
    _row_of: dict[bytes, int] = field(init=False, repr=False)
    _digests: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        outputs = oprf.evaluate_own_all(self._key, [id_bytes(i) for i in self.table.ids])
        self._row_of = {token_of(output): row for row, output in enumerate(outputs)}
        self._digests = {model_id: half.digest() for model_id, half in self.halves.items()}
        for half in self.halves.values():
            half.routes(self.table.take(np.empty(0, dtype=np.intp)))

    def answer(self, request: Message) -> Message:
        match request:
            case BlindedApplicants():
                return self._evaluate(request)
            case RoutesWanted():
                return self._routes(request)
        raise LocalProtocolError("out_of_turn", "Only scoring is answered here.", "此处仅提供评分服务。")

    def _evaluate(self, m: BlindedApplicants) -> Message:
        try:
            points = points_of(m.points)
        except ValueError:
            raise bad_value("broken list of points", "点列表有误") from None
        if len(points) > self.policy.max_blinded_ids:
            raise LocalProtocolError("policy", "Too many applicants at once.", "单次申请人数过多。")
        return EvaluatedApplicants(points=b"".join(oprf.evaluate_all(self._key, points)))

    def _routes(self, m: RoutesWanted) -> Message:
        half = self.halves.get(m.model_id)
        if half is None or self._digests[m.model_id] != m.digest:
            raise ModelError(
                "unknown_model",
                "The half of the model that was asked for is not the one held here. Publish both halves of one run.",
                "所请求的模型部分与本方持有的不一致。请发布同一次运行产生的两部分。",
            )
        try:
            tokens = list(pieces(m.tokens, TOKEN_BYTES))
        except ValueError:
            raise bad_value("broken list of tokens", "令牌列表有误") from None
        rows = np.array([self._row_of.get(token, -1) for token in tokens], dtype=np.intp)
        known = rows >= 0
        left = np.zeros((len(half.splits), len(rows)), dtype=bool)
        left[:, known] = half.routes(self.table.take(rows[known]))
        return Routes(known=pack_bits(known), left=pack_bits(left))
