"""Who belongs to a hub, and who has been invited: ``members.json`` in its folder.

A token is kept as its digest: the file lets nobody join.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from lab.errors import ServiceError
from lab.governance import folder as private
from lab.hub.invitations import Invitation, Role
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="invitations the hub gave out, kept as digests",
        purpose_zh="枢纽所发邀请的摘要保存",
        standard="FIPS 180-4",
        library="hashlib",
    ),
    Declared(
        algorithm="comparison in constant time",
        purpose="digests of invitations",
        purpose_zh="邀请摘要的比对",
        standard="none",
        library="hmac",
    ),
)

FILE: Final = "members.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Attributes:
    serial: of its certificate, hexadecimal; an earlier certificate is worth nothing.
    node_key: with which its Flower node signs; SSH form of a P-384 key.
    seal_key: with which it proves to other members who it is: suite and public key, hexadecimal.
    flower_node: Flower's number of the node, decimal.
    version: of Lianmo when it joined.
    """

    party: str
    role: Role
    serial: str
    node_key: str
    seal_suite: str
    seal_key: str
    flower_node: str
    version: str
    joined: str


class Pending(NamedTuple):
    """An invitation given out and not used."""

    party: str
    role: Role
    expires: str
    digest: str


class Members:
    """The file, one process at a time; every change is there for good once a call returns."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock

    def all(self) -> list[Member]:
        """By name."""
        return [Member(**data) for _, data in sorted(self._read()["members"].items())]

    def find(self, party: str) -> Member | None:
        """None: it is no member."""
        data = self._read()["members"].get(party)
        return Member(**data) if data else None

    def of_certificate(self, party: str, serial: str) -> Member | None:
        """The member whose certificate in force this is."""
        found = self.find(party)
        # OpenSSL writes whole bytes, so there may be a zero in front.
        return found if found and found.serial == serial.upper().lstrip("0") else None

    def pending(self) -> list[Pending]:
        """Invitations that could still be used."""
        now = self._clock().isoformat(timespec="seconds")
        return [p for p in (Pending(**data) for data in self._read()["invited"]) if p.expires >= now]

    def invited(self, invitation: Invitation) -> None:
        """Remember an invitation; an earlier one of the same party is worth nothing from now on."""
        with private.locked(self._folder):
            data = self._read()
            kept = [given for given in data["invited"] if given["party"] != invitation.party]
            new = Pending(invitation.party, invitation.role, invitation.expires, _digest(invitation.token))
            private.write(self._file, {**data, "invited": [*kept, new._asdict()]})

    def spend(self, token: str) -> Pending:
        """Use an invitation up; from now on it is worth nothing, whatever becomes of its bearer.

        Raises:
            ServiceError: ``invitation_unknown``: never given out, used before, replaced, or expired.
        """
        digest, now = _digest(token), self._clock().isoformat(timespec="seconds")
        with private.locked(self._folder):
            data = self._read()
            found = [given for given in data["invited"] if hmac.compare_digest(given["digest"], digest)]
            private.write(self._file, {**data, "invited": [g for g in data["invited"] if g not in found]})
        if not found or found[0]["expires"] < now:
            raise ServiceError(
                "invitation_unknown",
                "The hub does not know this invitation: it was used, replaced or has expired. Ask for a new one; if "
                "nobody of yours used it, tell the hub's operator.",
                "枢纽不认可该邀请：已被使用、替换或过期。请重新索取；如非本方使用，请告知枢纽运营方。",
            )
        return Pending(**found[0])

    def give_back(self, pending: Pending) -> None:
        """An invitation that was spent for nothing is good again."""
        with private.locked(self._folder):
            data = self._read()
            private.write(self._file, {**data, "invited": [*data["invited"], pending._asdict()]})

    def put(self, member: Member) -> Member | None:
        """Add a member or replace it; returns what it was before."""
        with private.locked(self._folder):
            data = self._read()
            before = data["members"].get(member.party)
            private.write(self._file, {**data, "members": {**data["members"], member.party: asdict(member)}})
        return Member(**before) if before else None

    def remove(self, party: str) -> Member:
        """Raises ``ServiceError`` (``no_member``)."""
        with private.locked(self._folder):
            data = self._read()
            found = data["members"].pop(party, None)
            if found is None:
                raise ServiceError("no_member", f"{party} is no member of this hub.", f"{party} 不是该枢纽的成员。")
            invited = [given for given in data["invited"] if given["party"] != party]
            private.write(self._file, {**data, "invited": invited})
        return Member(**found)

    @property
    def _file(self) -> Path:
        return self._folder / FILE

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {"format": 1, "members": {}, "invited": []}
        return private.read(self._file)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
