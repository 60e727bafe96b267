"""Joint scoring, host side: finds applicants by token and answers with what its half of the model makes of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.alignment.tokens import TOKEN_BYTES, id_bytes, pieces, points_of, token_of
from federation.ciphers import oprf
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import bad_value
from federation.vertical.bits import pack_bits
from federation.vertical.logistic.layout import margins_to_bytes
from federation.vertical.scoring.messages import (
    KEY_ID_BYTES,
    BlindedApplicants,
    EvaluatedApplicants,
    Parts,
    Routes,
    Wanted,
)
from models.bundle import Half
from models.errors import ModelError
from models.joint import JointHalf
from models.losses import Floats
from models.reasons import Words
from models.scorecard.card import ScorecardHalf
from models.table import Table

ALLOWED: tuple[type[Message], ...] = (BlindedApplicants, Wanted)

#: How a bank may name a question; it may leave it unnamed.
REQUEST: Final = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What a host is about to answer.

    Attributes:
        request: the bank's name for the question; "": it gave none.
        subjects: the rows that are answered for.
        n_unknown: applicants who are not held, or may not be used now.
        shadow: for a model on trial, of which nobody is told.
    """

    request: str
    model_id: str
    subjects: tuple[str, ...]
    n_unknown: int
    shadow: bool


def as_it_is(rows: Table) -> Table:
    """Rows that nothing changes while the service runs."""
    return rows


@dataclass(slots=True)
class ScoringHost:
    """Answers for the rows of ``table`` and the halves it holds, by model id. Keeps nothing between messages.

    Attributes:
        fresh: brings rows up to date at the moment they are asked for.
        note: told of every answer before it leaves; what it raises keeps the answer here.

    Raises:
        ModelError: ``missing_columns`` at once if a half needs a column the table lacks.
    """

    table: Table
    halves: Mapping[str, JointHalf]
    policy: HostPolicy
    fresh: Callable[[Table], Table] = as_it_is
    note: Callable[[Answering], None] | None = None
    _key: bytes = field(default_factory=oprf.generate_key, repr=False)
    _key_id: bytes = field(default_factory=lambda: os.urandom(KEY_ID_BYTES), repr=False)
    _row_of: dict[bytes, int] = field(init=False, repr=False)
    _digests: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        outputs = oprf.evaluate_own_all(self._key, [id_bytes(i) for i in self.table.ids])
        self._row_of = {token_of(output): row for row, output in enumerate(outputs)}
        self._digests = {model_id: half.digest() for model_id, half in self.halves.items()}
        for half in self.halves.values():
            self.check(half)

    def hold(self, half: JointHalf) -> None:
        """Answer for ``half`` from now on, besides those held; one of the same model id is replaced, and questions
        under way end with what they began with. Raises as ``check``; then nothing changes."""
        self.check(half)
        self._digests = {**self._digests, half.model_id: half.digest()}
        self.halves = {**self.halves, half.model_id: half}

    def drop(self, model_id: str) -> None:
        """Answer for the half of this model no longer."""
        self.halves = {name: half for name, half in self.halves.items() if name != model_id}

    def digest_of(self, model_id: str) -> str:
        """Of the half held for this model; "": there never was one."""
        return self._digests.get(model_id, "")

    def check(self, half: JointHalf) -> None:
        """Raises ``ModelError`` (``missing_columns``, ``wrong_column_type``) if the table does not fit the half."""
        self._answer_for(half, np.empty(0, dtype=np.intp), reasons=True)

    def answer(self, request: Message) -> Message:
        match request:
            case BlindedApplicants():
                return self._evaluate(request)
            case Wanted():
                half, rows = self._half(request), self._rows(request)
                answer = self._answer_for(half, rows, reasons=request.reasons)
                self._noted(request, rows)
                return answer
        raise LocalProtocolError("out_of_turn", "Only scoring is answered here.", "此处仅提供评分服务。")

    def _noted(self, m: Wanted, rows: NDArray[np.intp]) -> None:
        if self.note:
            subjects = tuple(self.table.ids[row] for row in rows[rows >= 0])
            n_unknown = len(rows) - len(subjects)
            self.note(
                Answering(
                    request=m.request, model_id=m.model_id, subjects=subjects, n_unknown=n_unknown, shadow=m.shadow
                )
            )

    def _evaluate(self, m: BlindedApplicants) -> Message:
        try:
            points = points_of(m.points)
        except ValueError:
            raise bad_value("broken list of points", "点列表有误") from None
        self._check_count(len(points))
        return EvaluatedApplicants(points=b"".join(oprf.evaluate_all(self._key, points)), key_id=self._key_id)

    def _check_count(self, n_applicants: int) -> None:
        if n_applicants > self.policy.max_blinded_ids:
            raise LocalProtocolError("policy", "Too many applicants at once.", "单次申请人数过多。")

    def _half(self, m: Wanted) -> JointHalf:
        half = self.halves.get(m.model_id)
        kind = "scorecard" if isinstance(half, ScorecardHalf) else "trees"
        if half is None or m.model != kind or self.digest_of(m.model_id) != m.digest:
            raise ModelError(
                "unknown_model",
                "The half of the model that was asked for is not the one held here. Publish both halves of one run.",
                "所请求的模型部分与本方持有的不一致。请发布同一次运行产生的两部分。",
            )
        return half

    def _rows(self, m: Wanted) -> NDArray[np.intp]:
        """Row of each applicant, -1 where it is not held, or may not be used now."""
        if m.key_id != self._key_id:  # else whoever asked across a restart would be told that nobody is held
            raise LocalProtocolError(
                "stale_tokens",
                "Tokens were made under another key: this service was started anew between two messages.",
                "令牌由其他密钥生成：本服务在两条消息之间重新启动过。",
            )
        try:
            tokens = list(pieces(m.tokens, TOKEN_BYTES))
        except ValueError:
            raise bad_value("broken list of tokens", "令牌列表有误") from None
        self._check_count(len(tokens))
        if not REQUEST.fullmatch(m.request):
            raise bad_value("name of a question that is none", "查询编号格式有误")
        rows = np.array([self._row_of.get(token, -1) for token in tokens], dtype=np.intp)
        held = np.flatnonzero(rows >= 0)
        # Who does not consent now is answered as who was never held.
        permitted = self.policy.permitted_in_shadow if m.shadow else self.policy.permitted
        rows[held[~permitted([self.table.ids[row] for row in rows[held]])]] = -1
        return rows

    def _answer_for(self, half: JointHalf, rows: NDArray[np.intp], *, reasons: bool) -> Message:
        known = rows >= 0
        there = self.fresh(self.table.take(rows[known]))
        if isinstance(half, Half):
            left = np.zeros((len(half.splits), len(rows)), dtype=bool)
            left[:, known] = half.routes(there)
            names = [name for _, name in sorted(half.names_of_numbers().items())]
            return Routes(known=pack_bits(known), left=pack_bits(left), words=self._words(names, reasons))

        def placed(values: Floats) -> Floats:
            """Values of the known in the places of all."""
            out = np.zeros((*values.shape[:-1], len(rows)))
            out[..., known] = values
            return out

        # Points and margins say the same, so neither is told more finely than the other.
        points = self.policy.round_parts
        log_odds = points / half.rules.factor
        contributions = b""
        if reasons:
            each = half.contributions(there).T
            told = each if self._gives_reasons else each.sum(axis=0)
            contributions = margins_to_bytes(placed(_nearest(told, log_odds)))
        return Parts(
            known=pack_bits(known),
            margins=margins_to_bytes(placed(_nearest(half.margin(there), log_odds))),
            points=placed(_nearest(half.points(there), points)).astype("<f8").tobytes(),
            contributions=contributions,
            words=self._words([f.name for f in half.features], reasons),
        )

    @property
    def _gives_reasons(self) -> bool:
        return self.policy.reasons is not None

    def _words(self, names: Sequence[str], reasons: bool) -> tuple[Words, ...]:
        given = self.policy.reasons
        return tuple(given.get(name, ("", "")) for name in names) if reasons and given is not None else ()


def _nearest(values: Floats, step: float) -> Floats:
    """Multiples of ``step``; the values themselves if it is 0."""
    return np.rint(values / step) * step if step else values
