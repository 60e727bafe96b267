"""How a bank reaches its data nodes over HTTP: their addresses, whom it trusts for each, and what it shows itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation.errors import PartyId
from lab.errors import ConfigError
from lab.section_file import read_section
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="the bank's certificate shown to data nodes, and their authorities pinned",
        purpose_zh="银行向数据方出示证书，并限定其签发机构",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostAddress(_Section):
    """Attributes:
    url: base address of its service.
    authority: PEM file of those who may have issued its certificate; absent: the file's own.
    """

    url: str = Field(pattern="^https?://.")
    authority: Path | None = None


class HostsFile(_Section):
    """Paths are beside the file, or absolute.

    Attributes:
        certificate, key: what we show to hosts that ask, PEM; both or neither.
        authority: PEM file of those who may have issued the hosts' certificates; absent: the public authorities.
        hosts: party → where it is.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    hosts: dict[PartyId, HostAddress] = Field(min_length=1)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


@dataclass(frozen=True, slots=True)
class Hosts:
    """Attributes:
    urls: party → base address.
    tls: party → whom we trust for it and what we show; who is not there: the public authorities, and nothing shown.
    """

    urls: Mapping[PartyId, str] = field(default_factory=dict)
    tls: Mapping[PartyId, ssl.SSLContext] = field(default_factory=dict)


def hosts_of(urls: Mapping[PartyId, str], file: Path | None = None) -> Hosts:
    """Where hosts are.

    Args:
        urls: addresses named one by one; they come before those of the file.
        file: TOML, as ``HostsFile``; None: there is none.

    Raises:
        ConfigError: ``hosts_file``, naming the field; ``hosts_papers``, naming the files.
    """
    if file is None:
        return Hosts(urls)
    told = read_section(file, HostsFile, _unusable("it is not there"), _unusable)
    known: dict[Path | None, ssl.SSLContext] = {}
    tls = {}
    for party, host in told.hosts.items():
        authority = host.authority or told.authority
        if authority not in known:
            known[authority] = _context(file.parent, authority, told)
        tls[party] = known[authority]
    return Hosts({party: host.url for party, host in told.hosts.items()} | dict(urls), tls)


def _context(beside: Path, authority: Path | None, told: HostsFile) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=beside / authority if authority else None)
        if told.certificate and told.key:
            context.load_cert_chain(beside / told.certificate, beside / told.key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        named = ", ".join(path.name for path in (authority, told.certificate, told.key) if path)
        raise ConfigError(
            "hosts_papers",
            f"One of {named} is missing, is no PEM file, is under a passphrase, or key and certificate do not belong "
            "together.",
            f"{named} 之一缺失、不是 PEM 文件、受口令保护，或密钥与证书不匹配。",
        ) from error
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask the terminal, and a service has none."""
    return ""


def _unusable(what: str) -> ConfigError:
    return ConfigError(
        "hosts_file", f"The file of hosts cannot be used: {what}.", f"数据方文件（--hosts）无法使用：{what}。"
    )
