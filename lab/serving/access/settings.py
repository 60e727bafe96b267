"""``access.toml``: whose tokens and certificates are taken for whom, and how much each caller may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.errors import ConfigError
from lab.section_file import read_section
from lab.serving.access.caller import Caller, Right
from lab.serving.access.limits import Rate

FILE: Final = "access.toml"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
CallerName = Annotated[str, Field(pattern=r"^(key|oauth|certificate):.")]
#: Signatures only: a secret shared with the issuer (HS256) would let every service that checks tokens make them.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limit(_Section):
    """Attributes:
    per_second: calls and rows of batches, in the long run.
    burst: so many at once after a rest.
    concurrent: calls under way at the same time, in each worker.
    """

    per_second: float = Field(default=200.0, gt=0, le=1e6)
    burst: int = Field(default=400, ge=1, le=10**6)
    concurrent: int = Field(default=64, ge=1, le=10**5)

    @property
    def rate(self) -> Rate:
        """As a meter takes it."""
        return Rate(self.per_second, self.burst)


class Limits(Limit):
    """``callers``: name, as ``key:loan-desk`` → its own limit."""

    callers: dict[CallerName, Limit] = Field(default_factory=dict)

    def of(self, caller: str) -> Limit:
        """A caller's own, or what holds for all."""
        return self.callers.get(caller, self)


class WrongCredentials(_Section):
    """Keys and tokens from one address, in each worker, that were not good; then all from there wait. Behind a proxy
    all callers have its address: give them room, or let the proxy limit.

    Attributes:
        per_second: in the long run.
        burst: so many at once after a rest.
    """

    per_second: float = Field(default=1.0, gt=0, le=1e6)
    burst: int = Field(default=30, ge=1, le=10**6)

    @property
    def rate(self) -> Rate:
        return Rate(self.per_second, self.burst)


class OAuth(_Section):
    """Access tokens of the bank's authorisation server (RFC 9068), taken for client credentials (RFC 6749 §4.4).

    Attributes:
        issuer, audience: as in the tokens, to the letter.
        jwks: file with the server's public keys (RFC 7517), beside this one or absolute; read again when replaced.
        type: what the token's header must say it is; ``JWT`` for servers that know no better.
        caller_claim, scope_claim: where the token names its bearer and its scopes (words of a text, or a list), for
            servers that do not follow RFC 9068: Entra ID has ``azp`` and ``roles``, Okta ``cid`` and ``scp``.
        scopes: scope in the token → rights here; without the table a scope is the right of its name.
        purposes: what bearers may score for; empty: for any.
        revoked: callers by name and tokens by ``jti`` that are refused though their tokens have not ended.
    """

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks: Path = Path("jwks.json")
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "PS256", "ES256", "EdDSA"), min_length=1)
    type: Literal["at+jwt", "JWT"] = "at+jwt"
    caller_claim: str = "client_id"
    scope_claim: str = "scope"
    scopes: dict[str, tuple[Right, ...]] = Field(default_factory=dict)
    purposes: tuple[str, ...] = ()
    revoked: frozenset[str] = frozenset()


class Certificate(_Section):
    """A caller known by its certificate: exactly one of the names that RFC 8705 §2.1.2 goes by.

    Attributes:
        dns, uri: among the certificate's alternative names.
        subject: all of its subject, as RFC 4514 writes it.
    """

    name: Name
    dns: str | None = None
    uri: str | None = None
    subject: str | None = None
    scopes: tuple[Right, ...] = Field(min_length=1)
    purposes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_name(self) -> Certificate:
        if sum(given is not None for given in (self.dns, self.uri, self.subject)) != 1:
            raise ValueError("exactly one of dns, uri and subject")
        return self

    @property
    def caller(self) -> Caller:
        """Who shows it."""
        return Caller(f"certificate:{self.name}", frozenset(self.scopes), frozenset(self.purposes))


class AccessSettings(_Section):
    """The file; each section may be absent, and so may the file."""

    limits: Limits = Limits()
    wrong_credentials: WrongCredentials = WrongCredentials()
    oauth: OAuth | None = None
    certificates: tuple[Certificate, ...] = ()


def read_settings(path: Path) -> AccessSettings:
    """Raises ``ConfigError`` (``access_unusable``), naming the field."""
    if not path.exists():
        return AccessSettings()
    return read_section(path, AccessSettings, _unusable("it cannot be read"), _unusable)


def _unusable(what: str) -> ConfigError:
    return ConfigError(
        "access_unusable",
        f"{FILE} cannot be used: {what}.",
        f"{FILE} 无法使用：{what}。",
    )
