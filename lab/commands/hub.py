"""``lianmo hub``: the machine in the middle, and who may come to it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Final

import typer

from lab import views
from lab.commands.options import AsJson, console_for

hub = typer.Typer(
    help="The machine in the middle: SuperLink and relay, one TLS port. 枢纽：SuperLink 与中继，单一 TLS 端口。",
    no_args_is_help=True,
)

HubFolder = Annotated[Path, typer.Option("--hub", envvar="LIANMO_HUB", help="The hub's folder. 枢纽目录。")]
HUB: Final = Path("hub")
PartyName = Annotated[str, typer.Argument(help="host:NAME, or the name of a bank. 数据方 host:名称，或银行名称。")]


@hub.command()
def init(
    address: Annotated[
        str, typer.Option(help="host:port that nodes dial. 节点所连接的 主机:端口。")
    ] = "127.0.0.1:9443",
    name: Annotated[str, typer.Option(help="Of the federation. 联邦名称。")] = "lianmo",
    listen: Annotated[
        str, typer.Option(help="Address to bind; 0.0.0.0: all. 监听地址，0.0.0.0 为全部。")
    ] = "127.0.0.1",
    also: Annotated[list[str] | None, typer.Option(help="Other names of this machine. 本机其他名称。")] = None,
    hub: HubFolder = HUB,
) -> None:
    """Make a hub: its folder, authority and certificate. 建立枢纽：目录、证书机构与证书。"""
    from lab.hub.authority import fingerprint
    from lab.hub.settings import authority_of, create_hub, settings_of

    create_hub(hub, settings_of({"name": name, "address": address, "listen": listen, "also": tuple(also or ())}))
    console_for(False).print(
        f"{hub}: {address}\n"
        f"Authority 证书机构指纹: {fingerprint(authority_of(hub).certificate)}\n"
        f"Next 接下来: lianmo hub start --hub {hub}; lianmo hub invite host:tax --hub {hub}",
        highlight=False,
        soft_wrap=True,
    )


@hub.command()
def start(hub: HubFolder = HUB) -> None:
    """Run the hub until stopped. 运行枢纽，直至停止。"""
    from lab.hub.service import serve_hub
    from lab.hub.settings import HubSettings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    for library in ("aiohttp", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    console = console_for(False)

    def announce(settings: HubSettings) -> None:
        console.print(
            f"Hub {settings.name} listens on {settings.address}; Ctrl-C stops it. "
            f"枢纽 {settings.name} 已在 {settings.address} 就绪，按 Ctrl-C 停止。",
            highlight=False,
            soft_wrap=True,
        )

    serve_hub(hub, announce)


@hub.command()
def invite(
    party: PartyName,
    out: Annotated[Path | None, typer.Option(help="File to write. 输出文件。", show_default=False)] = None,
    days: Annotated[float, typer.Option(min=0.01, max=30, help="Good for so long. 有效天数。")] = 3.0,
    hub: HubFolder = HUB,
) -> None:
    """Write an invitation for one party, once; it is a secret. 生成邀请文件：一方一次，须保密传递。"""
    from lab.governance.folder import write_secret
    from lab.hub.invitations import invite as made
    from lab.hub.invitations import role_of, to_text
    from lab.hub.members import Members
    from lab.hub.settings import authority_of, load_hub

    settings, authority = load_hub(hub), authority_of(hub)
    role = role_of(party)
    invitation = made(authority, settings.name, settings.address, party, role, days)
    path = out or Path(f"{party.replace(':', '-')}.invitation")
    write_secret(path, to_text(invitation, authority).encode())
    Members(hub).invited(invitation)
    console_for(False).print(
        f"{path}: {party}, {role}, until 有效至 {invitation.expires}\n"
        f"Read out by telephone 请通过电话核对指纹: {invitation.fingerprint}\n"
        f"There 对方执行: lianmo node join {path.name}",
        highlight=False,
        soft_wrap=True,
    )


@hub.command()
def renew(hub: HubFolder = HUB) -> None:
    """Give the hub itself a new certificate; start it again afterwards. 更新枢纽自身证书，随后重启。"""
    from lab.hub.settings import renew_hub

    renew_hub(hub)
    console_for(False).print(f"{hub}: renewed, restart the hub. 已更新，请重启枢纽。", highlight=False, soft_wrap=True)


@hub.command()
def remove(party: PartyName, hub: HubFolder = HUB) -> None:
    """Put a member out: its papers are worth nothing, its runs end. 移除成员：其证书失效，其运行终止。"""
    from lab.hub.members import Members
    from lab.hub.settings import load_hub

    load_hub(hub)
    Members(hub).remove(party)
    console_for(False).print(f"{party} is no member any more. {party} 已被移除。", highlight=False)


@hub.command()
def status(hub: HubFolder = HUB, as_json: AsJson = False) -> None:
    """Members, and invitations not yet used. 成员与未使用的邀请。"""
    from lab.hub.members import Members
    from lab.hub.settings import load_hub

    load_hub(hub)
    members, pending = Members(hub).all(), Members(hub).pending()
    if as_json:
        told = [{k: getattr(m, k) for k in ("party", "role", "version", "joined", "flower_node")} for m in members]
        invited = [{"party": p.party, "role": p.role, "expires": p.expires} for p in pending]
        print(json.dumps({"members": told, "invited": invited}, ensure_ascii=False))
        return
    grid = views.table(
        ("party 参与方", False), ("role 角色", False), ("since 加入时间", False), ("version 版本", False)
    )
    for member in members:
        grid.add_row(member.party, member.role, member.joined, member.version)
    for given in pending:
        grid.add_row(given.party, given.role, f"invited until 邀请有效至 {given.expires}", "–")
    console_for(as_json).print(grid)
