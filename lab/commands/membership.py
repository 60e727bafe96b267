"""``lianmo node join | start | leave``: a party's membership of a hub."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab import views
from lab.commands.options import NODE, AsJson, NodeFolder, console_for
from lab.errors import ConfigError

if TYPE_CHECKING:
    from lab.membership.papers import Membership


def join(
    invitation: Annotated[
        Path, typer.Argument(help="From the hub's operator. 枢纽运营方提供的邀请文件。", exists=True, dir_okay=False)
    ],
    node: NodeFolder = NODE,
    suite: Annotated[str, typer.Option(help="international or sm. 密码套件。")] = "international",
    start_now: Annotated[
        bool, typer.Option("--start/--no-start", help="Start the node at once. 立即启动节点。")
    ] = True,
) -> None:
    """Join a hub: make keys here, get a certificate, start the node. 加入枢纽：本地生成密钥、取得证书、启动节点。"""
    from lab.hub.invitations import MAXIMUM_BYTES, from_text
    from lab.membership.hub_client import join as join_hub

    if invitation.stat().st_size > MAXIMUM_BYTES:
        raise ConfigError("invitation_unreadable", "The file is no invitation.", "该文件不是邀请文件。")
    told = from_text(invitation.read_text("utf-8", errors="replace"))
    membership = join_hub(node, told, suite)
    invitation.unlink()  # it is used up, and was a secret
    console = console_for(False)
    console.print(
        f"Joined {membership.hub} at {membership.address} as {membership.party} ({membership.role}). "
        f"已以 {membership.party}（{membership.role}）的身份加入 {membership.hub}。\n"
        f"Compare by telephone 请通过电话核对指纹: {told.fingerprint}",
        highlight=False,
        soft_wrap=True,
    )
    file, template = _TEMPLATES.get(membership.role, ("", ""))
    if file and not (node / file).exists():
        (node / file).write_text(template.format(party=membership.party), "utf-8")
        console.print(f"Say in {node / file} which data you bring. 请在该文件中写明提供的数据。", highlight=False)
    if start_now:
        start(node)


def start(node: NodeFolder = NODE) -> None:
    """Run this party's node until stopped: it dials the hub and nobody dials it. 运行本方节点：只向外连接枢纽。"""
    from lab.membership.supernode import run_supernode

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def announce(membership: Membership) -> None:
        console_for(False).print(
            f"{membership.party} waits for sessions of {membership.hub}; log: {node / 'node.log'}; Ctrl-C stops it. "
            f"{membership.party} 正在等待 {membership.hub} 的会话，日志见 {node / 'node.log'}，按 Ctrl-C 停止。",
            highlight=False,
            soft_wrap=True,
        )

    run_supernode(node, announce)


def peers(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Party and fingerprint as it reads it out. 参与方及其读出的指纹。", show_default=False),
    ] = None,
    forget: Annotated[
        str | None, typer.Option(help="Believe this party's next key. 接受该方的新密钥。", show_default=False)
    ] = None,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Keys of the parties met at the hub, to compare by telephone. 会话对方的密钥指纹，请通过电话核对。"""
    from lab.membership.papers import membership_of, seal_fingerprint
    from lab.membership.peers import Peers

    book = Peers(node)
    if compare:
        book.compare(*compare)
    if forget:
        book.forget(forget)
    own = membership_of(node).party, seal_fingerprint(node)
    if as_json:
        met = [{**asdict(peer), "fingerprint": peer.fingerprint} for peer in book.all()]
        print(json.dumps({"party": own[0], "fingerprint": own[1], "peers": met}, ensure_ascii=False))
        return
    grid = views.table(("party 参与方", False), ("fingerprint 指纹", False), ("compared 核对时间", False))
    grid.add_row(*own, "this party 本方")
    for peer in book.all():
        grid.add_row(peer.party, peer.fingerprint, peer.compared or "not yet 尚未核对")
    console_for(as_json).print(grid)


def leave(node: NodeFolder = NODE) -> None:
    """Leave the hub and destroy this membership's keys; runs and halves of models stay. 退出枢纽并销毁证书密钥。"""
    from lab.membership.hub_client import Hub

    hub = Hub(node)
    hub.leave()
    console_for(False).print(
        f"{hub.membership.party} left {hub.membership.hub}. {hub.membership.party} 已退出 {hub.membership.hub}。",
        highlight=False,
        soft_wrap=True,
    )


_OF_HOST = """\
# What this party brings to runs: the keys of a [[hosts]] section. Paths are relative to this file.
# 本方提供的数据：与 [[hosts]] 的键相同，路径相对于本文件。
party = "{party}"
data = "data.csv"        # CSV, Parquet, or a table of a database
id = "id"
# min_rows_per_bin = 10  # fewest rows behind any sum this party shows
# node = "."             # with `lianmo node init` here: nothing is used that its gate does not admit
# project = "loans"
# n_jobs = -1            # processes for encrypted work; -1: one per core
"""

_OF_SITE = """\
# What this site brings to runs over sites: the keys of a [[sites]] section. Paths are relative to this file.
# 本站点提供的数据：与 [[sites]] 的键相同，路径相对于本文件。
party = "{party}"
data = "data.csv"        # CSV, Parquet, or a table of a database
id = "id"
label = "default"        # 1 = default
# min_rows = 100         # fewest applicants of a run
# node = "."             # with `lianmo node init` here: nothing is used that its gate does not admit
# project = "loans"
"""

#: Role → file and its content to begin with.
_TEMPLATES = {"host": ("party.toml", _OF_HOST), "site": ("site.toml", _OF_SITE)}
