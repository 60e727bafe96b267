"""Joint scoring, guest side: ask every host what its half makes of the applicants, then put scores together at home.

One applicant or many: the same messages and the same additions, hence the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from federation.alignment.tokens import id_bytes, tokens_from
from federation.ciphers import oprf
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.messages import Message
from federation.script import Script
from federation.vertical.bits import unpack_bits
from federation.vertical.logistic.layout import MARGIN_FRACTION, MOST_PART
from federation.vertical.scoring.messages import (
    KEY_ID_BYTES,
    BlindedApplicants,
    EvaluatedApplicants,
    Parts,
    Routes,
    Wanted,
)
from models.boosting.reasons import contributions
from models.boosting.splits import Mask
from models.bundle import JointModel
from models.joint import Joint
from models.losses import Floats, Integers
from models.reasons import Player, Reason, Words, fit_to_show, strongest
from models.scorecard.card import JointScorecard
from models.table import Table

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Scored:
    """Attributes:
    margin: log-odds of default, shape ``(n_rows,)``; NaN where a host does not know the applicant.
    known: host → whether it knows each applicant.
    points: of a scorecard: what the tables of all parties add up to, same shape, NaN alike; None: trees have no table.
    reasons: of every row those that raise its margin most, greatest first; none where there is no margin.
    words: host → words for each of its numbered features, as its operator gives them; none from other hosts.
    """

    margin: Floats
    known: dict[PartyId, Mask]
    points: Floats | None = None
    reasons: tuple[tuple[Reason, ...], ...] = ()
    words: Mapping[PartyId, Mapping[int, Words]] = field(default_factory=dict)


def score(model: Joint, table: Table, n_reasons: int = 0, request: str = "", *, shadow: bool = False) -> Script[Scored]:
    """Score every row of ``table`` with all parties of ``model``.

    Args:
        n_reasons: so many reasons for every row, in the same messages.
        request: names the question in hosts' audit logs, as ``host.REQUEST``; must say nothing of applicants.
        shadow: the model is on trial and nobody is told; hosts may refuse this.

    Raises:
        RemoteProtocolError: a host's answer does not fit.
        ModelError: the table lacks a column of the guest's half.
    """
    asking = _Asking(n_reasons, request, shadow)
    if isinstance(model, JointScorecard):
        return (yield from _score_card(model, table, asking))
    return (yield from _score_trees(model, table, asking))


class _Asking(NamedTuple):
    """As ``score`` has it."""

    n_reasons: int
    request: str
    shadow: bool


def _score_trees(model: JointModel, table: Table, asking: _Asking) -> Script[Scored]:
    n, n_reasons = len(table), asking.n_reasons
    routes = {model.party: model.own.routes(table)}
    replies = yield from _asked(model, "trees", table.ids, Routes, asking)
    known, words = {}, {}
    for host, reply in replies.items():
        known[host] = _bits(host, reply.known, n)
        routes[host] = _bits(host, reply.left, model.n_splits(host), n)
        words[host] = _checked(host, reply.words, sorted({*model.host_features.get(host, ())}))
    margin = model.walk.margins(model.base_margin, model.walk.sides(routes, n))
    everywhere = _everywhere(known, n)
    reasons: tuple[tuple[Reason, ...], ...] = ()
    if n_reasons:
        found = contributions(model, routes, n)
        reasons = tuple(found.top(row, n_reasons) if seen else () for row, seen in enumerate(everywhere.tolist()))
    return Scored(np.where(everywhere, margin, np.nan), known, None, reasons, words)


def _score_card(model: JointScorecard, table: Table, asking: _Asking) -> Script[Scored]:
    """Margins as at the end of ``federation.vertical.logistic``: hosts' parts are added as integers, then the own."""
    half, n, n_reasons = model.half, len(table), asking.n_reasons
    margin, points, added = half.margin(table), half.points(table), [half.contributions(table)]
    players = [Player(model.party, f.name) for f in half.features]
    replies = yield from _asked(model, "scorecard", table.ids, Parts, asking)
    known, words, total = {}, {}, np.zeros(n, dtype=np.int64)
    for host, reply in replies.items():
        numbers = model.host_features[host]
        known[host] = _bits(host, reply.known, n)
        words[host] = _checked(host, reply.words, numbers)
        total += _fixed(host, reply.margins, 1, n)[0]
        points += _points(host, reply.points, n)
        if n_reasons:
            shown = [Player(host, number=k) for k in numbers] if words[host] else [Player(host)]
            added.append(_float(_fixed(host, reply.contributions, len(shown), n)).T)
            players += shown
    everywhere = _everywhere(known, n)
    reasons: tuple[tuple[Reason, ...], ...] = ()
    if n_reasons:
        values = np.hstack(added)
        reasons = tuple(
            strongest(players, values[row], n_reasons) if seen else () for row, seen in enumerate(everywhere.tolist())
        )
    return Scored(
        np.where(everywhere, margin + _float(total), np.nan),
        known,
        np.where(everywhere, half.rules.score(points), np.nan),
        reasons,
        words,
    )


def _asked(model: Joint, kind: str, ids: Sequence[str], answer: type[M], asking: _Asking) -> Script[dict[PartyId, M]]:
    """What every needed host says of the applicants, who are named to it without showing their identifiers."""
    hosts = model.needed_hosts
    if not hosts:
        return {}
    inputs = [id_bytes(i) for i in ids]
    blinded = oprf.blind_all(inputs)
    replies = yield dict.fromkeys(hosts, BlindedApplicants(points=b"".join(point for _, point in blinded)))
    scalars = [scalar for scalar, _ in blinded]
    evaluated = {host: expect(replies, host, EvaluatedApplicants) for host in hosts}
    for host, reply in evaluated.items():
        if len(reply.key_id) != KEY_ID_BYTES:
            raise _misfit(host)
    tokens = {host: tokens_from(host, inputs, scalars, reply.points) for host, reply in evaluated.items()}
    replies = yield {
        host: Wanted(
            model=kind,
            model_id=model.model_id,
            digest=model.host_digests[host],
            tokens=b"".join(tokens[host]),
            key_id=evaluated[host].key_id,
            reasons=asking.n_reasons > 0,
            request=asking.request,
            shadow=asking.shadow,
        )
        for host in hosts
    }
    return {host: expect(replies, host, answer) for host in hosts}


def _everywhere(known: Mapping[PartyId, Mask], n: int) -> Mask:
    held: Mask = np.ones(n, dtype=bool)
    for mask in known.values():
        held &= mask
    return held


# -- checks of what hosts answer ---------------------------------------------------------------------------------------


def _bits(host: PartyId, data: bytes, *shape: int) -> Mask:
    try:
        return unpack_bits(data, *shape)
    except ValueError:
        raise _misfit(host) from None


def _fixed(host: PartyId, data: bytes, *shape: int) -> Integers:
    """Numbers that parts of margins can be, in their units."""
    if len(data) != 8 * int(np.prod(shape)):
        raise _misfit(host)
    numbers = np.frombuffer(data, dtype="<i8").astype(np.int64).reshape(shape)
    if not (np.abs(_float(numbers)) <= MOST_PART).all():
        raise _misfit(host)
    return numbers


def _points(host: PartyId, data: bytes, n: int) -> Floats:
    if len(data) != 8 * n:
        raise _misfit(host)
    points = np.frombuffer(data, dtype="<f8").astype(np.float64)
    if not np.isfinite(points).all():
        raise _misfit(host)
    return points


def _checked(host: PartyId, words: Sequence[Words], numbers: Sequence[int]) -> dict[int, Words]:
    """Number → words; a host gives them for all its numbered features, or for none."""
    if words and numbers and (len(words) != len(numbers) or not all(map(fit_to_show, words))):
        raise _misfit(host)
    return dict(zip(numbers, words, strict=False))


def _float(numbers: Integers) -> Floats:
    margin: Floats = np.ldexp(numbers.astype(np.float64), -MARGIN_FRACTION)
    return margin


def _misfit(host: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        host, "bad_value", "answered for other applicants or another half.", "返回的申请人或模型部分不符。"
    )
