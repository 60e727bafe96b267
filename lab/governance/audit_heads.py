"""Do the countersigned heads in a log hold, and does the log still have what other parties' logs hold of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federation.audit.heads import head_statement, heads_statement
from federation.ciphers.suites.interface import Suite
from federation.errors import PartyId
from lab.governance.audit_entry import AuditKey, Entry, is_signed
from lab.governance.audit_keeper import signed_head
from lab.governance.audit_verify import Examined, Registered


def check_heads(log: Examined, suites: Mapping[str, Suite], registered: Registered = lambda *_: None) -> None:
    """Add what is wrong with the heads and countersignatures that ``log`` keeps, and what is not countersigned yet."""
    sessions: dict[str, Entry] = {}
    witnessed = 0
    for entry in log.told:
        session = entry.references.get("session", "")
        if entry.kind == "session_opened":
            sessions[session] = entry
        elif entry.kind == "head_disputed":
            _check_dispute(log, entry, suites)
        elif entry.kind == "heads_countersigned":
            opened = sessions.pop(session, None)
            expected = opened.references["parties"] if opened else ()
            if _check_statement(log, entry, expected, suites, registered):
                witnessed = max(witnessed, *(h["number"] for h in entry.references["heads"] if h["party"] == log.party))
    for session, opened in sessions.items():
        log.find("session_open", opened.number, session=session)
    if witnessed < log.last:
        log.find("unwitnessed", witnessed)


def compare(log: Examined, other: Examined, suites: Mapping[str, Suite]) -> None:
    """Add to ``log`` what ``other``, a log of another party, proves against it or against a third."""
    ours = {e.references["session"]: e for e in log.told if e.kind == "heads_countersigned"}
    for entry in other.told:
        if entry.kind != "heads_countersigned":
            continue
        session = entry.references["session"]
        for head in entry.references["heads"]:
            if head["party"] == log.party:
                _compare_own(log, other.party, session, head, suites)
            mine = ours.get(session)
            twin = next((h for h in mine.references["heads"] if h["party"] == head["party"]), None) if mine else None
            differs = twin is not None and twin["digest"] != head["digest"]
            if twin and differs and _signed(session, head, suites) and _signed(session, twin, suites):
                log.find("two_heads", head["number"], head["party"], other.party, session)
        if session not in ours and any(h["party"] == log.party for h in entry.references["heads"]):
            log.find("not_kept", entry.number, log.party, other.party, session)


def _compare_own(
    log: Examined, keeper: PartyId, session: str, head: Mapping[str, Any], suites: Mapping[str, Suite]
) -> None:
    number = head["number"]
    if not _signed(session, head, suites):
        log.find("head_forged", number, log.party, keeper, session)
    elif log.keys.get(head["key"]) != _key(head):
        log.find("head_unknown_key", number, log.party, keeper, session)
    elif number > log.last:
        log.find("cut", number, log.party, keeper, session)
    elif log.digests.get(number) != head["digest"]:
        log.find("rewritten", number, log.party, keeper, session)


def _check_statement(
    log: Examined, entry: Entry, expected: Sequence[PartyId], suites: Mapping[str, Suite], registered: Registered
) -> bool:
    """Whether another party's countersignature of our head holds."""
    session, heads = entry.references["session"], entry.references["heads"]
    statement = heads_statement(session, [signed_head(head) for head in heads])
    witnesses = 0
    present = {head["party"] for head in heads if head["countersignature"]}
    for party in sorted({*expected, *(head["party"] for head in heads)} - present):
        log.find("countersignature_missing", entry.number, party, session=session)
    for head in heads:
        party = head["party"]
        known = registered(party, head["key"])
        if known is not None and known != _key(head):
            log.find("head_unknown_key", entry.number, party, session=session)
        elif not _signed(session, head, suites):
            log.find("head_forged", entry.number, party, session=session)
        elif head["countersignature"] and not _holds(head, "countersignature", statement, suites):
            log.find("countersignature_wrong", entry.number, party, session=session)
        elif head["countersignature"]:
            witnesses += party != log.party
        if party == log.party and log.digests.get(head["number"]) != head["digest"]:
            log.find("own_head_differs", entry.number, session=session)
            witnesses = -len(heads)
    return witnesses > 0 and log.party in present


def _check_dispute(log: Examined, entry: Entry, suites: Mapping[str, Suite]) -> None:
    for head in entry.references["heads"]:
        signed = _signed(entry.references["session"], head, suites)
        log.find("disputed" if signed else "head_forged", entry.number, head["party"])


def _signed(session: str, head: Mapping[str, Any], suites: Mapping[str, Suite]) -> bool:
    statement = head_statement(session, head["party"], head["number"], bytes.fromhex(head["digest"]))
    return _holds(head, "signature", statement, suites)


def _holds(head: Mapping[str, Any], which: str, statement: bytes, suites: Mapping[str, Suite]) -> bool:
    return is_signed(suites, _key(head), statement, bytes.fromhex(head[which]))


def _key(head: Mapping[str, Any]) -> AuditKey:
    return AuditKey(head["suite"], bytes.fromhex(head["public"]))
