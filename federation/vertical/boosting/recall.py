"""Joint boosting, guest side: from which of its checkpoints a run can go on."""

from __future__ import annotations

from collections.abc import Sequence

from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.boosting.checkpoint import GuestCheckpoint, need_same_rows
from federation.vertical.boosting.messages import Recall, Recalled


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
