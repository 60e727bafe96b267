"""Joint scoring, guest side: ask every host for its side of all cuts, then walk the trees at home.

One applicant or many: the same messages and the same additions, hence the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federation.alignment.tokens import id_bytes, tokens_from
from federation.ciphers import oprf
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.bits import unpack_bits
from federation.vertical.scoring.messages import BlindedApplicants, EvaluatedApplicants, Routes, RoutesWanted
from models.boosting.reasons import Reason, contributions
from models.boosting.splits import Mask
from models.boosting.trees import margins
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table


@dataclass(frozen=True, slots=True)
class Scored:
    """Attributes:
    margin: log-odds of default, shape ``(n_rows,)``; NaN where a host does not know the applicant.
    known: host → whether it knows each applicant.
    reasons: of every row those that raise its margin most, greatest first; none where there is no margin.
    """

    margin: Floats
    known: dict[PartyId, Mask]
    reasons: tuple[tuple[Reason, ...], ...] = ()


def score(model: JointModel, table: Table, n_reasons: int = 0) -> Script[Scored]:
    """Score every row of ``table`` with all parties of ``model``.

    Args:
        n_reasons: so many reasons for every row; they need no further message.

    Raises:
        RemoteProtocolError: a host's answer does not fit.
        ModelError: the table lacks a column of the guest's half.
    """
    own = model.own.routes(table)
    hosts = model.needed_hosts
    tokens = yield from _tokens(table.ids, hosts)
    requests = {
        host: RoutesWanted(model_id=model.model_id, digest=model.host_digests[host], tokens=b"".join(tokens[host]))
        for host in hosts
    }
    replies = yield requests
    routes, known = {model.own.party: own}, {}
    for host in hosts:
        reply = expect(replies, host, Routes)
        try:
            known[host] = unpack_bits(reply.known, len(table))
            routes[host] = unpack_bits(reply.left, model.n_splits(host), len(table))
        except ValueError:
            raise _misfit(host) from None
    margin = margins(model.trees, model.base_margin, routes, len(table))
    everywhere = np.logical_and.reduce([np.ones(len(table), dtype=bool), *known.values()])
    reasons: tuple[tuple[Reason, ...], ...] = ()
    if n_reasons:
        found = contributions(model, routes, len(table))
        reasons = tuple(found.top(row, n_reasons) if seen else () for row, seen in enumerate(everywhere.tolist()))
    return Scored(np.where(everywhere, margin, np.nan), known, reasons)


def _tokens(ids: Sequence[str], hosts: Sequence[PartyId]) -> Script[dict[PartyId, list[bytes]]]:
    """Each host's tokens of the applicants, learnt without showing their identifiers."""
    inputs = [id_bytes(i) for i in ids]
    blinded = oprf.blind_all(inputs)
    request = BlindedApplicants(points=b"".join(point for _, point in blinded))
    replies = yield dict.fromkeys(hosts, request)
    scalars = [scalar for scalar, _ in blinded]
    return {
        host: tokens_from(host, inputs, scalars, expect(replies, host, EvaluatedApplicants).points) for host in hosts
    }


def _misfit(host: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(host, "bad_value", "answered for other applicants or cuts.", "返回的申请人或切分不符。")
