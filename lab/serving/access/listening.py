"""Before a service listens: its certificate, whose certificates it asks for, its guard, and no going without."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import ConfigError
from lab.serving.access.guard import FolderGuard, Guard
from lab.serving.access.watched import Watched
from lab.serving.bank_certificate import read_bank_keys
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="scoring endpoints: own certificate, and callers' certificates verified",
        purpose_zh="评分服务端点：本方证书与调用方证书验证",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What an operator wants of a service's door.

    Attributes:
        bind: address to listen on.
        certificate, key: PEM files; both or neither.
        authority: PEM file; only callers with a certificate under it can connect.
        bank: at a data node: PEM file of the bank's certificates; who connects must hold the key of one.
        access: folder of keys and settings; see ``FolderGuard``.
        open: nobody needs to show anything, on purpose.
        plain: TLS ends at a proxy before us, on purpose.
    """

    bind: str
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    bank: Path | None = None
    access: Path | None = None
    open: bool = False
    plain: bool = False

    def check(self) -> None:
        """Raises ``ConfigError``: ``tls_incomplete``, ``open_service``, ``plain_service``."""
        if (self.certificate is None) != (self.key is None) or (self.authority and not self.certificate):
            raise ConfigError(
                "tls_incomplete",
                "--tls-cert and --tls-key go together, and --caller-ca needs both.",
                "--tls-cert 与 --tls-key 须同时给出，--caller-ca 需要二者。",
            )
        if self.bank and not self.authority:
            raise ConfigError(
                "tls_incomplete",
                "--bank-cert needs --caller-ca: TLS must ask for certificates before one can be the bank's.",
                "--bank-cert 需要 --caller-ca：TLS 须先要求出示证书，才能识别银行。",
            )
        if _is_loopback(self.bind):
            return
        if not (self.access or self.authority or self.open):
            raise ConfigError(
                "open_service",
                f"Whoever reaches {self.bind} could ask for scores. Give --access FOLDER or --caller-ca FILE; --open, "
                "if that is meant.",
                f"任何能访问 {self.bind} 的人都可请求评分。请给出 --access 目录 或 --caller-ca 文件；"
                "确需开放请使用 --open。",
            )
        if not (self.certificate or self.plain):
            raise ConfigError(
                "plain_service",
                f"Keys and applicants' values would travel to {self.bind} unencrypted. Give --tls-cert and --tls-key; "
                "--plain, if TLS ends at a proxy in front.",
                f"密钥与申请人数据将以明文传输至 {self.bind}。请给出 --tls-cert 与 --tls-key；"
                "若由前置代理终止 TLS，请使用 --plain。",
            )

    def tls(self) -> ssl.SSLContext | None:
        """Ours; with an authority it asks callers for theirs. Raises ``ConfigError`` (``tls_unusable``)."""
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.authority:
                context.load_verify_locations(self.authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(file.name for file in (self.certificate, self.key, self.authority) if file)
            raise ConfigError(
                "tls_unusable",
                f"One of {named} is missing, is no PEM file, or key and certificate do not belong together.",
                f"{named} 之一缺失、不是 PEM 文件，或密钥与证书不匹配。",
            ) from error
        return context

    def bank_keys(self) -> Watched[frozenset[bytes]] | None:
        """Of the bank, read again when the file changes. Raises ``ConfigError`` (``bank_keys``)."""
        return Watched(self.bank, read_bank_keys) if self.bank else None

    def guard(self) -> Guard | None:
        """Raises as ``FolderGuard``; ``ConfigError`` (``no_access_folder``)."""
        if self.access is None:
            return None
        if not self.access.is_dir():
            raise ConfigError(
                "no_access_folder",
                f"{self.access} is no folder. `lianmo access add NAME --scope score` makes one.",
                f"{self.access} 不是目录。可用 lianmo access add 名称 --scope score 建立。",
            )
        return FolderGuard(self.access)


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"
