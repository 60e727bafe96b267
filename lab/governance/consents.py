"""Consent ledger of a data node: who allowed whom to use what, for which purpose, from when to when.

Asked at the moment of use, for every use; a revocation counts from the next question on. A consent is added whole or
not at all, revoked once, and never changed otherwise (Personal Information Protection Law of the PRC, art. 14–16).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Engine, Select, bindparam, func, insert, or_, select, true, update

from lab.errors import GovernanceError
from lab.governance.days import Moment
from lab.governance.ring import KeyRing
from lab.governance.store import AT_ONCE, in_pieces
from lab.governance.tables import GRANTS

#: Consents that one statement adds.
_AT_ONCE: Final = 5_000
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_:-]{0,63}$")]
#: Raises ``CipherError`` unless the signature (hexadecimal), under the key of that id, is one of these bytes.
CheckSignature = Callable[[bytes, str, str], None]


class Consent(BaseModel):
    """One consent as it is imported and exported, one JSON object per line.

    Attributes:
        consent: its number.
        subject: identifier of who gave it, as in the node's tables.
        purpose: what for, such as ``loan_model`` or ``loan_score``.
        parties: who may use the data.
        scopes: what may be used: groups of the catalogue, such as ``tax``.
        starts, ends: from (included) and until (excluded) when.
        revoked: when it was revoked, if it was.
        evidence: SHA-256 or SM3 of the document it was given on, hexadecimal.
        signature, key_id: of whoever recorded it, over ``signed``, hexadecimal; both empty if nobody signed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    consent: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    subject: str = Field(pattern=r"^[^\s\x00-\x1f]{1,64}$")
    purpose: Name
    parties: Annotated[list[Name], Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Name], Field(min_length=1, max_length=100)]
    starts: Moment
    ends: Moment
    revoked: Moment | None = None
    evidence: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(default="", max_length=1024)
    key_id: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends <= self.starts:
            raise ValueError("ends must lie after starts / ends 须晚于 starts")
        if self.revoked and self.revoked < self.starts:
            raise ValueError("revoked must not lie before starts / revoked 不得早于 starts")
        if len(set(self.parties)) < len(self.parties) or len(set(self.scopes)) < len(self.scopes):
            raise ValueError("parties and scopes must not repeat / parties 与 scopes 不得重复")
        return self

    @property
    def signed(self) -> bytes:
        """What a signature is over: all but the signature and the revocation, as canonical JSON."""
        told = self.model_dump(mode="json", exclude={"signature", "revoked"})
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class ConsentLedger:
    """Over the node's store.

    Attributes:
        check: signatures are checked with it on import; None: signed consents are refused, since nobody can check them.
    """

    engine: Engine
    check: CheckSignature | None = None

    def allowed(
        self, subjects: Sequence[str], *, party: str, purpose: str, scopes: Sequence[str], at: datetime
    ) -> NDArray[np.bool_]:
        """Which subjects allow ``party`` to use all of ``scopes`` for ``purpose`` at that moment.

        Args:
            scopes: none: any consent for that party and purpose will do, for what is open to all.
            at: with a time zone.

        Returns:
            One bit per subject, in order.
        """
        wanted = sorted(set(scopes))
        query, given = _asked(_allowed, subjects, party, purpose, wanted, at)
        with self.engine.connect() as connection:
            found = set(connection.scalars(query, {**given, "n_scopes": len(wanted)}))
        return np.fromiter((s in found for s in subjects), dtype=bool, count=len(subjects))

    def used(
        self, subjects: Sequence[str], *, party: str, purpose: str, scopes: Sequence[str], at: datetime
    ) -> list[str]:
        """Numbers of the consents by which ``allowed`` lets these subjects through, in order."""
        query, given = _asked(_used, subjects, party, purpose, sorted(set(scopes)), at)
        asked = set(subjects)
        with self.engine.connect() as connection:
            return sorted({row.consent for row in connection.execute(query, given) if row.subject in asked})

    def add(self, consents: Sequence[Consent]) -> int:
        """Add consents, all or none; those that are there already, equal in all, are passed over.

        Returns:
            How many were new.

        Raises:
            GovernanceError: ``consent_exists`` if one is there with other content, ``consent_repeated``,
                ``consent_unchecked`` without a way to check signatures.
            CipherError: a signature is wrong.
        """
        if len({c.consent for c in consents}) < len(consents):
            raise GovernanceError(
                "consent_repeated",
                "A consent number occurs twice in the import. Nothing was added.",
                "导入的授权编号有重复，未作任何添加。",
            )
        for c in consents:
            self._check(c)
        known = self._known([c.consent for c in consents])
        for c in consents:
            if c.consent in known and known[c.consent] != _rows(c):
                raise GovernanceError(
                    "consent_exists",
                    f"Consent {c.consent} is in the ledger with other content. Revoke it and record a new one. Nothing "
                    "was added.",
                    f"授权 {c.consent} 已在台账中且内容不同，请先撤销再登记新的授权。未作任何添加。",
                )
        new = [c for c in consents if c.consent not in known]
        with self.engine.begin() as connection:
            for k in range(0, len(new), _AT_ONCE):
                connection.execute(insert(GRANTS), [row for c in new[k : k + _AT_ONCE] for row in _rows(c)])
        return len(new)

    def revoke(self, consent: str, at: datetime) -> str:
        """Revoke a consent from ``at`` on; returns its subject, for whom caches must be dropped.

        Raises:
            GovernanceError: ``consent_unknown``; ``consent_revoked`` if it was before: the first time stays.
        """
        g = GRANTS.c
        with self.engine.begin() as connection:
            row = connection.execute(select(g.subject, g.revoked).where(g.consent == consent).limit(1)).first()
            if row is None:
                raise GovernanceError(
                    "consent_unknown", f"There is no consent {consent}.", f"不存在编号为 {consent} 的授权。"
                )
            if row.revoked is not None:
                raise GovernanceError(
                    "consent_revoked", f"Consent {consent} is revoked already.", f"授权 {consent} 此前已撤销。"
                )
            connection.execute(update(GRANTS).where(g.consent == consent).values(revoked=_utc(at)))
        return str(row.subject)

    def all(self) -> Iterator[Consent]:
        """Every consent, by number."""
        with self.engine.connect() as connection:
            rows: list[Any] = []
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(
                select(GRANTS).order_by(GRANTS.c.consent)
            ):
                if rows and row.consent != rows[0].consent:
                    yield _consent(rows)
                    rows = []
                rows.append(row)
            if rows:
                yield _consent(rows)

    def _check(self, c: Consent) -> None:
        if not c.signature and not c.key_id:
            return
        if self.check is None:
            raise GovernanceError(
                "consent_unchecked",
                f"Consent {c.consent} is signed, and this node has no key to check it with. Import the signer's key.",
                f"授权 {c.consent} 带有签名，但本节点没有可用于验签的公钥。请先导入签名方公钥。",
            )
        self.check(c.signed, c.signature, c.key_id)

    def _known(self, numbers: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Rows of those consents that are in the ledger, as ``_rows`` gives them."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self.engine.connect() as connection:
            for piece in in_pieces(numbers):
                query = select(GRANTS).where(GRANTS.c.consent.in_(piece)).order_by(GRANTS.c.party, GRANTS.c.scope)
                for row in connection.execute(query).mappings():
                    found.setdefault(row["consent"], []).append(dict(row))
        return found


# Written once: to put a statement together takes longer than to run it.


@cache
def _allowed(by_scope: bool, by_subject: bool) -> Select[Any]:
    g = GRANTS.c
    counted = func.count(g.scope.distinct()) >= bindparam("n_scopes")
    return _valid(select(g.subject), by_scope, by_subject).group_by(g.subject).having(counted)


@cache
def _used(by_scope: bool, by_subject: bool) -> Select[Any]:
    return _valid(select(GRANTS.c.consent, GRANTS.c.subject), by_scope, by_subject).distinct()


def _valid(query: Select[Any], by_scope: bool, by_subject: bool) -> Select[Any]:
    """Only what was granted to a party for a purpose, of these scopes if there are any, and counts at a moment."""
    g, now = GRANTS.c, bindparam("now", type_=GRANTS.c.starts.type)
    return query.where(
        g.party == bindparam("party"),
        g.purpose == bindparam("purpose"),
        g.scope.in_(bindparam("scopes", expanding=True)) if by_scope else true(),
        g.subject.in_(bindparam("subjects", expanding=True)) if by_subject else true(),
        g.starts <= now,
        g.ends > now,
        or_(g.revoked.is_(None), g.revoked > now),
    )


def _asked(
    query: Callable[[bool, bool], Select[Any]],
    subjects: Sequence[str],
    party: str,
    purpose: str,
    scopes: Sequence[str],
    at: datetime,
) -> tuple[Select[Any], dict[str, Any]]:
    """A statement and what to fill in; of more subjects than one statement can name, it asks for all."""
    by_scope, by_subject = bool(scopes), len(subjects) <= AT_ONCE
    given: dict[str, Any] = {"party": party, "purpose": purpose, "now": _utc(at)}
    given |= {"scopes": list(scopes)} if by_scope else {}
    given |= {"subjects": list(subjects)} if by_subject else {}
    return query(by_scope, by_subject), given


def checked_by(ring: KeyRing) -> CheckSignature:
    """Signatures by parties whose public keys the node knows. The check raises what ``KeyRing.verify`` raises."""

    def check(message: bytes, signature: str, key_id: str) -> None:
        ring.verify({"suite": ring.find(key_id).suite, "key_id": key_id, "signature": signature}, message)

    return check


def _rows(c: Consent) -> list[dict[str, Any]]:
    """As the ledger keeps them, by party and scope."""
    shared = {
        "consent": c.consent,
        "subject": c.subject,
        "purpose": c.purpose,
        "starts": _utc(c.starts),
        "ends": _utc(c.ends),
        "revoked": c.revoked and _utc(c.revoked),
        "evidence": c.evidence,
        "signature": c.signature,
        "key_id": c.key_id,
    }
    return [{**shared, "party": p, "scope": s} for p in sorted(c.parties) for s in sorted(c.scopes)]


def _consent(rows: Sequence[Any]) -> Consent:
    first = rows[0]
    return Consent(
        consent=first.consent,
        subject=first.subject,
        purpose=first.purpose,
        parties=sorted({r.party for r in rows}),
        scopes=sorted({r.scope for r in rows}),
        starts=first.starts.replace(tzinfo=UTC),
        ends=first.ends.replace(tzinfo=UTC),
        revoked=first.revoked and first.revoked.replace(tzinfo=UTC),
        evidence=first.evidence,
        signature=first.signature,
        key_id=first.key_id,
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
