"""``lianmo access``: API keys of the scoring service, and what ``lianmo serve`` is told of its door."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lab import views
from lab.commands.options import AsJson, console_for

if TYPE_CHECKING:
    from lab.serving.access.keys import ApiKey, KeyBook

access = typer.Typer(help="Who may call the scoring service. 评分服务的调用方。", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--access", envvar="LIANMO_ACCESS", help="The access folder. 访问控制目录。")]
FOLDER: Final = Path("access")
Expires = Annotated[str, typer.Option(help="In so many days, as 90d, or on a date. 有效期：天数（如 90d）或日期。")]
YEAR: Final = "365d"

TlsCertificate = Annotated[
    Path | None, typer.Option("--tls-cert", help="Our certificate, PEM. 本方证书。", show_default=False)
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Its key, PEM. 证书私钥。", show_default=False)]
CallerAuthority = Annotated[
    Path | None,
    typer.Option("--caller-ca", help="Callers need a certificate under it. 调用方证书的签发机构。", show_default=False),
]
BankCertificate = Annotated[
    Path | None,
    typer.Option(
        "--bank-cert",
        help="Data node: the bank's certificate, by its key. 数据方：所登记的银行证书。",
        show_default=False,
    ),
]
AccessFolder = Annotated[
    Path | None,
    typer.Option(
        "--access",
        envvar="LIANMO_ACCESS",
        help="Folder of keys and access.toml. 密钥与 access.toml 目录。",
        show_default=False,
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Beyond this machine without any authentication. 开放访问。")]
Plain = Annotated[bool, typer.Option("--plain", help="TLS ends at a proxy in front. TLS 由前置代理终止。")]


@access.command()
def add(
    name: Annotated[str, typer.Argument(help="Of the caller. 调用方名称。")],
    scope: Annotated[list[str], typer.Option(help="score, batch, read, models, metrics, admin; repeat. 权限。")],
    expires: Expires = YEAR,
    owner: Annotated[str, typer.Option(help="Who answers for it. 责任人或部门。")] = "",
    purpose: Annotated[
        list[str] | None, typer.Option(help="May score for this only; repeat. 限定用途。", show_default="any 不限")
    ] = None,
    folder: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is shown once. 签发 API 密钥（仅显示一次）。"""
    _show_new(*_book(folder).add(name, scope, _days(expires), owner, purpose or ()), as_json)


@access.command()
def rotate(
    name: Annotated[str, typer.Argument(help="Of the caller. 调用方名称。")],
    expires: Expires = YEAR,
    overlap: Annotated[float, typer.Option(min=0, help="Hours the old key still works. 旧密钥保留小时数。")] = 24.0,
    folder: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """A new key for a caller; its old ones end soon. 轮换密钥，旧密钥限时失效。"""
    _show_new(*_book(folder).rotate(name, _days(expires), overlap), as_json)


@access.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Of the caller, or the id of one key. 调用方名称或密钥编号。")],
    folder: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Refuse keys from the next call on. 立即吊销密钥。"""
    _show(_book(folder).revoke(name), as_json)


@access.command("ls")
def list_keys(folder: Folder = FOLDER, as_json: AsJson = False) -> None:
    """All keys that ever were. 列出全部密钥。"""
    _show(_book(folder).all(), as_json)


def _book(folder: Path) -> KeyBook:
    from lab.serving.access.keys import KeyBook

    return KeyBook(folder)


def _days(text: str) -> float:
    from lab.errors import ConfigError

    try:
        if text.endswith("d"):
            days = float(text[:-1])
        else:
            until = datetime.fromisoformat(text)
            days = ((until if until.tzinfo else until.astimezone()) - datetime.now(UTC)).total_seconds() / 86_400
    except ValueError:
        days = math.nan
    if not 0 < days <= 3660:
        raise ConfigError(
            "bad_expiry",
            "--expires is a number of days such as 90d, or a date to come such as 2027-06-30; ten years at most.",
            "--expires 应为天数（如 90d）或将来的日期（如 2027-06-30），最长十年。",
        )
    return days


def _show_new(key: ApiKey, text: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_told(key), "key": text}, ensure_ascii=False))
        return
    _show([key], as_json)
    console_for(as_json).print(
        "The key, shown this once; it goes into the header X-API-Key. 密钥仅显示一次，置于请求头 X-API-Key："
    )
    print(text)


def _show(keys: Sequence[ApiKey], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_told(key) for key in keys], ensure_ascii=False))
        return
    grid = views.table(
        ("id 编号", False),
        ("caller 调用方", False),
        ("scopes 权限", False),
        ("purposes 用途", False),
        ("owner 责任人", False),
        ("until 有效至", False),
        ("state 状态", False),
    )
    for place in (0, 1, -2, -1):
        grid.columns[place].no_wrap = True
    for key in keys:
        told = _told(key)
        scopes, purposes = " ".join(key.scopes), " ".join(key.purposes) or "any 不限"
        grid.add_row(key.key_id, key.name, scopes, purposes, key.owner or "–", key.expires[:10], told["state"])
    console_for(as_json).print(grid)


def _told(key: ApiKey) -> dict[str, Any]:
    told = {name: value for name, value in asdict(key).items() if name != "digest"}
    return {**told, "state": key.state(datetime.now(UTC))}
