"""An invitation: the file by which a party joins. Signed by the hub's authority, for one use, until it expires.

It carries a secret: hand it over as you would a password. The fingerprint of the authority, compared over another
channel, tells the party that the file is the hub's.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from lab.config_party import PARTY_NAME
from lab.errors import ConfigError
from lab.hub.authority import Papers, fingerprint, is_signed, sign
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="secrets in invitations",
        purpose_zh="邀请文件中的秘密",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

KIND: Final = "lianmo invitation"
FORMAT: Final = 1
MAXIMUM_BYTES: Final = 16 * 1024

#: What a member may do: a host answers; a guest also starts runs and is their label holder. Over sites: a coordinator
#: starts runs and has no data; a site answers, and so does a guest, which has labels.
Role = Literal["guest", "host", "coordinator", "site"]


def role_of(party: str) -> Role:
    """The role that goes with a party's name: ``host:…``, ``site:…``, ``coordinator``; all others are guests."""
    kind = party.partition(":")[0]
    roles: dict[str, Role] = {"host": "host", "site": "site", "coordinator": "coordinator"}
    return roles.get(kind, "guest") if ":" in party or kind == "coordinator" else "guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Attributes:
    hub: name of the federation.
    address: "host:port" to dial.
    authority: the hub's authority, PEM.
    party, role: who may join with it.
    expires: ISO 8601 with offset.
    token: the secret; the hub keeps its digest only.
    """

    hub: str
    address: str
    authority: str
    party: str
    role: Role
    expires: str
    token: str

    def __repr__(self) -> str:
        return f"Invitation(party={self.party!r}, role={self.role!r}, expires={self.expires!r}, <redacted>)"

    @property
    def fingerprint(self) -> str:
        """Of the authority."""
        return fingerprint(self.authority.encode())


def invite(
    authority: Papers, hub: str, address: str, party: str, role: Role, days: float, now: datetime | None = None
) -> Invitation:
    """A fresh one, valid for ``days``. Raises ``ConfigError`` (``party_name``)."""
    if not re.fullmatch(PARTY_NAME, party) or role != role_of(party):
        raise ConfigError(
            "party_name",
            "A host is called host:NAME (host:tax), a guest NAME (bank), a site site:NAME, a coordinator coordinator: "
            "lower-case letters, digits, - and _.",
            "数据方如 host:tax，银行如 bank，站点如 site:east，协调方为 coordinator：限小写字母、数字、- 与 _。",
        )
    return Invitation(
        hub=hub,
        address=address,
        authority=authority.certificate.decode(),
        party=party,
        role=role,
        expires=((now or datetime.now(UTC)) + timedelta(days=days)).isoformat(timespec="seconds"),
        token=secrets.token_urlsafe(32),
    )


def to_text(invitation: Invitation, authority: Papers) -> str:
    """The file's content, signed."""
    body = {"kind": KIND, "format": FORMAT, **asdict(invitation)}
    signature = base64.b64encode(sign(authority, _signed(body))).decode()
    return json.dumps({**body, "signature": signature}, ensure_ascii=False, indent=1) + "\n"


def from_text(text: str, now: datetime | None = None) -> Invitation:
    """What ``to_text`` wrote.

    Raises:
        ConfigError: ``invitation_unreadable``: not written by a hub of this release, or changed since;
            ``invitation_expired``.
    """
    try:
        if len(text) > MAXIMUM_BYTES:
            raise _unreadable()
        data = json.loads(text)
        body = {name: value for name, value in data.items() if name != "signature"}
        if (body.pop("kind"), body.pop("format")) != (KIND, FORMAT):
            raise _unreadable()
        found = Invitation(**body)
        if not all(isinstance(value, str) for value in body.values()) or found.role not in get_args(Role):
            raise _unreadable()
        signature = base64.b64decode(data["signature"], validate=True)
        whole = {"kind": KIND, "format": FORMAT, **body}
        if not is_signed(found.authority.encode(), _signed(whole), signature):
            raise _unreadable()
        expires = datetime.fromisoformat(found.expires)
        late = expires < (now or datetime.now(UTC))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _unreadable() from error
    if late:
        raise ConfigError(
            "invitation_expired",
            f"The invitation of {found.party} expired on {found.expires}. Ask the hub's operator for a new one.",
            f"{found.party} 的邀请已于 {found.expires} 过期，请向枢纽运营方重新索取。",
        )
    return found


def _signed(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{KIND} {FORMAT}\n{text}".encode()


def _unreadable() -> ConfigError:
    return ConfigError(
        "invitation_unreadable",
        "The file is no invitation of this release, or was changed on its way. Ask the hub's operator for a new one.",
        "该文件不是本版本的邀请文件，或在传递中被改动。请向枢纽运营方重新索取。",
    )
