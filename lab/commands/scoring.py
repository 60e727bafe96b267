"""``lianmo score`` and ``serve``: a file of applicants, or a service that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab.commands.access import (
    AccessFolder,
    BankCertificate,
    CallerAuthority,
    Open,
    Plain,
    TlsCertificate,
    TlsKey,
)
from lab.commands.options import HostsToml, HostUrls, ThroughHub, host_urls, tell_frame


def score(
    node: Annotated[
        Path, typer.Argument(help="The bank's folder of a run, e.g. runs/demo/nodes/bank. 银行的节点目录。")
    ],
    applicants: Annotated[Path, typer.Argument(help="CSV or Parquet with the bank's columns. 待评分文件。")],
    host: HostUrls = None,
    hosts: HostsToml = None,
    local: Annotated[
        bool, typer.Option(help="Hosts are on this machine, beside the bank's folder. 数据方在本机。")
    ] = False,
    through: ThroughHub = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of identifiers. 标识列。")] = "id",
    reasons: Annotated[
        int, typer.Option(min=0, max=50, help="Name so many features that raise the risk. 列出最多几条风险原因。")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output. 输出文件。")] = None,
) -> None:
    """Score a file of applicants with all parties, trees or scorecard. 批量联合评分（树模型或评分卡）。"""
    from lab.data.sources import applicants_table, read_frame
    from lab.horizontal.scores import scores_alone, site_scores
    from lab.serving.batch import score_frame
    from lab.serving.hosts import hosts_of
    from lab.serving.nodes import bank_record, own_words, scoring_wire
    from lab.serving.publishing.stored import models_from

    if scores_alone(node):
        tell_frame(site_scores(node, read_frame(applicants, id_column), id_column), out)
        return
    joint, _ = models_from(node)
    table = applicants_table(read_frame(applicants, id_column), id_column, joint.model.inputs)
    with scoring_wire(node, joint.model, hosts_of(host_urls(host), hosts), local=local, hub=through) as wire:
        noted = bank_record(node, joint.model).answered
        frame = score_frame(joint, table, wire, reasons, own_words(node), noted)
    tell_frame(frame, out)


def serve(
    node: Annotated[Path, typer.Argument(help="A party's folder of a run. 某一方的节点目录。")],
    host: HostUrls = None,
    hosts: HostsToml = None,
    bind: Annotated[str, typer.Option(help="Address to listen on. 监听地址。")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port. 端口。")] = 8100,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of the bank's service. 进程数。")] = 1,
    rules: Annotated[Path | None, typer.Option(help="TOML with [service]: deadlines, fallback. 服务规则。")] = None,
    store: Annotated[
        str | None, typer.Option(help="Store of answers; default: sqlite in the folder. 评分结果数据库。")
    ] = None,
    through: ThroughHub = None,
    policy: Annotated[Path | None, typer.Option(help="The bank's decision policy, TOML; 'sample'. 决策策略。")] = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    caller_ca: CallerAuthority = None,
    bank_cert: BankCertificate = None,
    access: AccessFolder = None,
    without_keys: Open = False,
    plain: Plain = False,
) -> None:
    """Serve scores (bank) or a host's half of them. 启动评分服务（银行或数据方）。"""
    from lab.serving.access.listening import Listening
    from lab.serving.command import Serving, serve_party

    console = Console()
    door = Listening(
        bind=bind,
        certificate=tls_cert,
        key=tls_key,
        authority=caller_ca,
        bank=bank_cert,
        access=access,
        open=without_keys,
        plain=plain,
    )

    def announce(url: str) -> None:
        console.print(f"listening on 正在监听 {url}", highlight=False)

    wanted = Serving(
        directory=node.resolve(),
        urls=host_urls(host),
        hosts=hosts,
        hub=through,
        door=door,
        port=port,
        workers=workers,
        rules=rules,
        store=store,
        policy=policy,
    )
    serve_party(wanted, announce)
