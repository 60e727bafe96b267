"""Which applicants do all parties know? Guest side.

Private set intersection from an oblivious pseudorandom function (Freedman, Ishai, Pinkas & Reingold 2005; Jarecki &
Liu 2010) with RFC 9497 as the function. The guest learns the intersection; a host learns which of its rows the guest
then chooses. See docs/protocols/alignment.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from federation.alignment.messages import BlindedIds, EvaluatedIds, RowsAccepted, RowsChosen, Tokens, TokensWanted
from federation.alignment.tokens import BATCH, TOKEN_BYTES, id_bytes, pieces, tokens_from
from federation.ciphers import oprf
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from models.errors import DataError

#: host → position of each guest row among the host's tokens, -1 where the host does not know it; shape ``(n_rows,)``
Positions = Mapping[PartyId, NDArray[np.int64]]


def find_common(ids: Sequence[str], hosts: Sequence[PartyId]) -> Script[Positions]:
    """Learn which rows each host knows.

    Raises:
        DataError: ``no_common_applicants`` if no row is known to all hosts.
    """
    tokens: dict[PartyId, list[bytes]] = {host: [] for host in hosts}
    for start in range(0, len(ids), BATCH):
        inputs = [id_bytes(i) for i in ids[start : start + BATCH]]
        blinded = oprf.blind_all(inputs)
        request = BlindedIds(points=b"".join(point for _, point in blinded))
        replies = yield dict.fromkeys(hosts, request)
        scalars = [scalar for scalar, _ in blinded]
        for host in hosts:
            tokens[host] += tokens_from(host, inputs, scalars, expect(replies, host, EvaluatedIds).points)
    replies = yield {host: TokensWanted() for host in hosts}
    positions: dict[PartyId, NDArray[np.int64]] = {}
    for host in hosts:
        position_of = {token: i for i, token in enumerate(_tokens(host, expect(replies, host, Tokens).tokens))}
        positions[host] = np.array([position_of.get(token, -1) for token in tokens[host]], dtype=np.int64)
    if hosts and not np.all([p >= 0 for p in positions.values()], axis=0).any():
        raise DataError(
            "no_common_applicants",
            "No applicant is known to all parties. Check that all files use the same kind of identifier.",
            "没有为各方共有的申请人。请检查各方文件是否使用同一种标识。",
        )
    return positions


def choose_rows(positions: Positions, rows: NDArray[np.intp]) -> Script[None]:
    """Tell every host which of its rows take part, in the order of ``rows`` (indices into the guest's ids)."""
    replies = yield {host: RowsChosen(positions=p[rows].astype(np.uint32).tobytes()) for host, p in positions.items()}
    for host in positions:
        if expect(replies, host, RowsAccepted).n_rows != len(rows):
            raise RemoteProtocolError(host, "bad_value", "accepted another number of rows.", "确认的行数不一致。")


def _tokens(host: PartyId, data: bytes) -> list[bytes]:
    try:
        return list(pieces(data, TOKEN_BYTES))
    except ValueError:
        raise RemoteProtocolError(host, "bad_value", "sent a broken list of tokens.", "发送的令牌列表有误。") from None
