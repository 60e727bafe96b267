"""Certificates of made-up authorities as files, and a data node behind TLS that demands one of its bank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from federation.endpoint import Endpoint
from lab.serving.access.listening import Listening
from lab.serving.host_api import create_host_app
from lab.serving.server import running


@dataclass(frozen=True)
class Papers:
    """Written into ``folder``: one authority issues for the bank, another for the data nodes."""

    folder: Path
    of_banks: trustme.CA = field(default_factory=trustme.CA)
    of_hosts: trustme.CA = field(default_factory=trustme.CA)

    def authority(self, name: str, ca: trustme.CA) -> Path:
        ca.cert_pem.write_to_path(self.folder / name)
        return self.folder / name

    def issued(self, name: str, ca: trustme.CA, address: str, common_name: str | None = None) -> tuple[Path, Path]:
        """Certificate and key, as ``NAME.pem`` and ``NAME.key``."""
        made = ca.issue_cert(address, common_name=common_name)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        return certificate, key

    def bank(self, name: str = "bank", common_name: str = "bank") -> Path:
        """The bank's certificate."""
        return self.issued(name, self.of_banks, "bank.example", common_name)[0]

    def door(self, bank: Path | None = None, hosts: trustme.CA | None = None) -> Listening:
        """Of a data node: certificates under ``of_banks`` are taken; ``bank`` names whose key."""
        certificate, key = self.issued("node", hosts or self.of_hosts, "127.0.0.1")
        authority = self.authority("banks-ca.pem", self.of_banks)
        return Listening(bind="127.0.0.1", certificate=certificate, key=key, authority=authority, bank=bank)

    @contextmanager
    def node(self, endpoint: Endpoint, door: Listening) -> Iterator[str]:
        """Served as ``lianmo serve`` does; yields its address."""
        door.check()
        with running(create_host_app(endpoint, bank_keys=door.bank_keys()), tls=door.tls()) as url:
            yield url

    def hosts_file(self, urls: dict[str, str], shown: str | None = "bank", own: str = "", name: str = "hosts") -> Path:
        """A file for ``--hosts``; ``shown``: whose certificate; ``own``: the section of the first host beyond its
        address."""
        self.authority("hosts-ca.pem", self.of_hosts)
        lines = ['authority = "hosts-ca.pem"']
        lines += [f'certificate = "{shown}.pem"', f'key = "{shown}.key"'] if shown else []
        for party, url in urls.items():
            lines += [f'[hosts."{party}"]', f'url = "{url}"', own]
            own = ""
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines), "utf-8")
        return path
