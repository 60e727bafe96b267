"""Joint boosting, guest side: from which model, finished or a checkpoint of its own, a run can go on."""

from __future__ import annotations

from collections.abc import Sequence

from federation.checkpoint import need_same_rows
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.boosting.checkpoint import GuestCheckpoint
from federation.vertical.boosting.messages import Recall, Recalled
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.errors import ModelError


def recall(hosts: Sequence[PartyId], kept: Sequence[GuestCheckpoint], rows: str) -> Script[GuestCheckpoint | None]:
    """The newest checkpoint of which every host still has its own part; None: there is none, begin anew.

    Args:
        kept: newest first.
        rows: ``rows_digest`` of the rows as they are now.

    Raises:
        LocalProtocolError: ``rows_changed``; ``Refused`` with that code if they changed at a host.
    """
    if not kept:
        return None
    for checkpoint in kept:
        need_same_rows(checkpoint.rows, rows)
    models = [checkpoint.joint for checkpoint in kept]
    replies = yield {host: Recall(digests=tuple(m.host_digests[host] for m in models)) for host in hosts}
    held = {host: expect(replies, host, Recalled).held for host in hosts}
    for host, flags in held.items():
        if len(flags) != len(kept):
            raise RemoteProtocolError(host, "bad_value", "answered for other checkpoints.", "返回的检查点不符。")
    return next((c for k, c in enumerate(kept) if all(flags[k] for flags in held.values())), None)


def check_start(start: JointModel, party: PartyId, hosts: Sequence[PartyId], p: BoostingParameters) -> None:
    """Raises ``ModelError`` (``warm_start``) for a model of other parties or objective, or one with trees enough."""
    same = (start.own.party, set(start.host_digests), start.objective) == (party, set(hosts), p.objective)
    if not same or len(start.trees) >= p.n_estimators:
        raise ModelError(
            "warm_start",
            f"Trees cannot be added to this model: it must be of the same parties and objective, and n_estimators "
            f"({p.n_estimators}) above the {len(start.trees)} trees it has.",
            f"无法在该模型上续训：参与方与目标须相同，且 n_estimators（{p.n_estimators}）须大于其已有的"
            f" {len(start.trees)} 棵树。",
        )
