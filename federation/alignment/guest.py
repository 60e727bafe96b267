"""Which applicants do all parties know? Guest side.

Private set intersection from an oblivious pseudorandom function (Freedman, Ishai, Pinkas & Reingold 2005; Jarecki &
Liu 2010) with RFC 9497 as the function. The guest learns the intersection; a host learns which of its rows the guest
then chooses. See docs/protocols/alignment.md.

Everything travels in batches; between them only 16 packed bytes per identifier are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from federation.alignment.tokens import BATCH, TOKEN_BYTES, id_bytes, tokens_from
from federation.ciphers import oprf
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from models.errors import DataError

#: host → position of each guest row among the host's tokens, -1 where the host does not know it; shape ``(n_rows,)``
Positions = Mapping[PartyId, NDArray[np.int64]]
#: Tokens of one party, packed end to end.
Packed = Mapping[PartyId, bytearray]

#: Most rows a host may claim to hold, so that one that never ends cannot fill the guest's memory: 256 MiB of tokens.
MAX_HOST_ROWS: Final = 2**24


def find_common(ids: Sequence[str], hosts: Sequence[PartyId]) -> Script[Positions]:
    """Learn which rows each host knows.

    Raises:
        DataError: ``no_common_applicants`` if no row is known to all hosts.
        RemoteProtocolError: a host sent a point or a list of tokens that cannot be.
    """
    mine = yield from _own_tokens(ids, hosts)
    theirs = yield from _host_tokens(hosts)
    positions = {host: _positions(mine[host], theirs[host]) for host in hosts}
    if hosts and not np.all([p >= 0 for p in positions.values()], axis=0).any():
        strangers = ", ".join(host for host, p in positions.items() if not (p >= 0).any())
        none_en = f" {strangers}: none of ours." if strangers else ""
        none_zh = f"{strangers}：没有我方任何申请人。" if strangers else ""
        raise DataError(
            "no_common_applicants",
            f"No applicant is known to all parties.{none_en} Check that all files use the same kind of identifier.",
            f"没有为各方共有的申请人。{none_zh}请检查各方文件是否使用同一种标识。",
        )
    return positions


def choose_rows(positions: Positions, rows: NDArray[np.intp]) -> Script[None]:
    """Tell every host which of its rows take part, in the order of ``rows`` (indices into the guest's ids)."""
    for start in range(0, max(1, len(rows)), BATCH):
        end = min(start + BATCH, len(rows))
        kind = RowsChosen if end == len(rows) else RowsPart
        replies = yield {
            host: kind(positions=p[rows[start:end]].astype(np.uint32).tobytes()) for host, p in positions.items()
        }
        for host in positions:
            if expect(replies, host, RowsAccepted).n_rows != end:
                raise RemoteProtocolError(host, "bad_value", "accepted another number of rows.", "确认的行数不一致。")


def _own_tokens(ids: Sequence[str], hosts: Sequence[PartyId]) -> Script[Packed]:
    """Each host's tokens of ``ids``, in their order, learnt without showing them."""
    tokens = {host: bytearray() for host in hosts}
    for start in range(0, len(ids), BATCH):
        inputs = [id_bytes(i) for i in ids[start : start + BATCH]]
        blinded = oprf.blind_all(inputs)
        request = BlindedIds(points=b"".join(point for _, point in blinded))
        replies = yield dict.fromkeys(hosts, request)
        scalars = [scalar for scalar, _ in blinded]
        for host in hosts:
            found = tokens_from(host, inputs, scalars, expect(replies, host, EvaluatedIds).points)
            tokens[host] += b"".join(found)
    return tokens


def _host_tokens(hosts: Sequence[PartyId]) -> Script[Packed]:
    """The tokens of every host's own rows, in the order it shows them; a batch that is not full is its last."""
    tokens = {host: bytearray() for host in hosts}
    showing = list(hosts)
    for start in range(0, MAX_HOST_ROWS, BATCH):
        if not showing:
            return tokens
        replies = yield dict.fromkeys(showing, TokensWanted(start=start))
        for host in showing:
            batch = expect(replies, host, Tokens).tokens
            if len(batch) % TOKEN_BYTES or len(batch) > BATCH * TOKEN_BYTES:
                raise RemoteProtocolError(host, "bad_value", "sent a broken list of tokens.", "发送的令牌列表有误。")
            tokens[host] += batch
        showing = [host for host in showing if len(tokens[host]) == (start + BATCH) * TOKEN_BYTES]
    if showing:
        raise RemoteProtocolError(
            showing[0],
            "bad_value",
            f"showed {MAX_HOST_ROWS:,} rows and more. Give it a file with fewer rows.",
            f"展示的行数达到或超过 {MAX_HOST_ROWS:,}。请使用行数更少的文件。",
        )
    return tokens


def _positions(mine: bytearray, theirs: bytearray) -> NDArray[np.int64]:
    """Where each of my tokens stands among theirs, or -1."""
    wanted, shown = (np.frombuffer(packed, dtype=f"S{TOKEN_BYTES}") for packed in (mine, theirs))
    if not len(shown):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(shown, kind="stable")
    place = order[np.minimum(np.searchsorted(shown, wanted, sorter=order), len(shown) - 1)]
    return np.where(shown[place] == wanted, place, -1)
