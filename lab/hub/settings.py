"""The hub's folder: where it listens, its authority and its own papers; readable by its owner only."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lab.errors import ConfigError
from lab.governance.folder import write_secret
from lab.hub.authority import Papers, hub_papers, new_authority
from lab.section_file import checked_section, read_section

FILE: Final = "hub.toml"
_AUTHORITY: Final = "authority"
_OWN: Final = "hub"


class HubSettings(BaseModel):
    """``hub.toml``.

    Attributes:
        name: of the federation, shown to nodes.
        address: "host:port" that nodes dial; one TLS port for everything.
        also: other names or addresses of this machine, for the certificate.
        listen: address to bind; the port is that of ``address``. 0.0.0.0: all interfaces.
        metrics: "host:port" of the metrics page, in clear; keep it inside. Empty: none.
        mlflow: "host:port" of an MLflow server started beside, in clear; keep it inside. Empty: none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="lianmo", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    address: str = "127.0.0.1:9443"
    also: tuple[str, ...] = ()
    listen: str = "127.0.0.1"
    metrics: str = ""
    mlflow: str = ""

    @field_validator("address", "metrics", "mlflow")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        if address:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError("write host:port / 请写为 主机:端口")
        return address

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def create_hub(folder: Path, settings: HubSettings) -> None:
    """A new folder with settings, authority and the hub's own papers.

    Raises:
        ConfigError: ``hub_exists``; nothing was changed.
    """
    if (folder / FILE).exists():
        raise ConfigError(
            "hub_exists",
            f"{folder} is a hub already. Nothing was changed.",
            f"{folder} 已是枢纽目录，未作任何改动。",
        )
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        authority = new_authority(f"{settings.name} authority")
        _write(folder, _AUTHORITY, authority)
        _write(folder, _OWN, _own_papers(authority, settings))
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.model_dump(mode="json").items()]
        (folder / FILE).write_text("\n".join(lines) + "\n", "utf-8")
    except BaseException:
        if not existed:
            shutil.rmtree(folder)
        raise


def load_hub(folder: Path) -> HubSettings:
    """Raises ``ConfigError``: ``hub_missing``; ``hub_unreadable`` naming the field."""
    absent = ConfigError(
        "hub_missing",
        f"{folder} is no hub: it has no {FILE}. Run `lianmo hub init`.",
        f"{folder} 不是枢纽目录：缺少 {FILE}。请运行 lianmo hub init。",
    )
    return read_section(folder / FILE, HubSettings, absent, _unreadable)


def settings_of(told: Mapping[str, Any]) -> HubSettings:
    """Checked. Raises ``ConfigError`` (``hub_unreadable``) naming the field."""
    return checked_section(told, HubSettings, _unreadable)


def renew_hub(folder: Path) -> None:
    """A new certificate of the hub itself, for the names in ``hub.toml``; in force at its next start. Nodes notice
    nothing: they trust the authority. Raises ``ConfigError`` as ``load_hub`` and ``authority_of``."""
    _write(folder, _OWN, _own_papers(authority_of(folder), load_hub(folder)))


def _own_papers(authority: Papers, settings: HubSettings) -> Papers:
    return hub_papers(authority, ("127.0.0.1", "localhost", settings.host, *settings.also))


def authority_of(folder: Path) -> Papers:
    """The hub's authority. Raises ``ConfigError``: ``hub_papers``."""
    return _read(folder, _AUTHORITY)


def papers_of(folder: Path) -> Papers:
    """The hub's own certificate and key. Raises ``ConfigError``: ``hub_papers``."""
    return _read(folder, _OWN)


def paths_of(folder: Path) -> tuple[Path, Path, Path]:
    """Files of the hub's certificate, its key, and the authority's certificate."""
    return folder / f"{_OWN}.pem", folder / f"{_OWN}.key", folder / f"{_AUTHORITY}.pem"


def _write(folder: Path, name: str, papers: Papers) -> None:
    (folder / f"{name}.pem").write_bytes(papers.certificate)
    write_secret(folder / f"{name}.key", papers.key)


def _read(folder: Path, name: str) -> Papers:
    key = folder / f"{name}.key"
    try:
        if key.stat().st_mode & 0o077 or key.stat().st_uid != os.geteuid():
            raise ConfigError(
                "hub_papers",
                f"{key.name} can be read by others: whoever has it can admit nodes. Look into it, then chmod 600.",
                f"{key.name} 可被他人读取：持有者可冒充枢纽接纳节点。请先核查，再执行 chmod 600。",
            )
        return Papers((folder / f"{name}.pem").read_bytes(), key.read_bytes())
    except OSError:
        raise ConfigError(
            "hub_papers",
            f"{key.name} or {name}.pem is missing from the hub's folder. Restore it from a copy.",
            f"枢纽目录缺少 {key.name} 或 {name}.pem，请从备份恢复。",
        ) from None


def _unreadable(what: str) -> ConfigError:
    return ConfigError("hub_unreadable", f"{FILE} cannot be used: {what}.", f"{FILE} 无法使用：{what}。")
