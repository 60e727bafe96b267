"""Countersigning, guest side: collect every party's head, have all parties sign them all, hand the signatures round."""

from __future__ import annotations

from collections.abc import Sequence

from federation.audit.heads import Countersigned, heads_statement
from federation.audit.keeper import HeadChecks, Keeper
from federation.audit.messages import AllHeads, AllSignatures, HeadShown, HeadsSigned, HeadWanted, Kept
from federation.errors import PartyId
from federation.expect import expect
from federation.script import Script


def countersign(party: PartyId, session: str, hosts: Sequence[PartyId], keeper: Keeper) -> Script[Countersigned]:
    """The end of a session, after each party's last entry about it and before ``Goodbye``.

    Raises:
        RemoteProtocolError: ``audit_mismatch``, naming the party whose head or signature is false.
        LocalProtocolError: ``audit_damaged``: the guest's own log lacks what a host keeps of it.
    """
    checks = HeadChecks(party, session, keeper)
    own = checks.own_head()
    replies = yield {host: HeadWanted(session=session, head=own.fields, held=checks.held_of(host)) for host in hosts}
    heads = {party: own}
    for host in hosts:
        shown = expect(replies, host, HeadShown)
        heads[host] = checks.read_head(host, host, shown.head)
        checks.check_held(host, shown.held)
    everyone = tuple(heads[name] for name in sorted(heads))
    statement = heads_statement(session, everyone)
    countersignatures = {party: keeper.sign(statement)}
    replies = yield dict.fromkeys(
        hosts, AllHeads(heads=tuple(head.fields for head in everyone), countersignature=countersignatures[party])
    )
    for host in hosts:
        countersignatures[host] = expect(replies, host, HeadsSigned).countersignature
        checks.check_countersignature(host, heads[host], statement, countersignatures[host])
    signed = Countersigned(session, everyone, countersignatures)
    keeper.keep(signed)  # before the last round: a host that leaves now cannot take its signature back
    replies = yield dict.fromkeys(hosts, AllSignatures(countersignatures=tuple(sorted(countersignatures.items()))))
    for host in hosts:
        expect(replies, host, Kept)
    return signed
