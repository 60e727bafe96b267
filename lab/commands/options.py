"""What several commands have: options, ways to tell what was found, and the passphrase, which is no option."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from lab.errors import ConfigError
from lab.governance.protection import PASSPHRASE, check_passphrase

if TYPE_CHECKING:
    import pandas as pd

    from lab.doctor import Finding

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines. 输出 JSON。")]
NodeFolder = Annotated[
    Path, typer.Option("--node", envvar="LIANMO_NODE", help="This party's own folder. 本方的节点目录。")
]
HostUrls = Annotated[
    list[str] | None,
    typer.Option("--host", help="Scoring endpoint of a host: NAME=URL. 数据方评分端点。", show_default=False),
]
HostsToml = Annotated[
    Path | None,
    typer.Option(
        "--hosts",
        help="TOML: addresses of hosts, their authorities, our certificate. 数据方地址与证书配置文件。",
        show_default=False,
    ),
]
#: Where it is if nobody says.
NODE: Final = Path("node")

Lines = Annotated[
    Path, typer.Argument(help="One JSON object per line. 每行一个 JSON 对象。", exists=True, dir_okay=False)
]

ThroughHub = Annotated[
    Path | None,
    typer.Option(
        "--hub", help="Through a hub, from the folder that joined it. 经枢纽（本方入网目录）。", show_default=False
    ),
]

SourceText = Annotated[
    str, typer.Argument(help="CSV, Parquet or DuckDB file, or a database's address. 数据文件或数据库地址。")
]
SourceTable = Annotated[str | None, typer.Option(help="Table of the database or DuckDB file. 表名。")]


def console_for(as_json: bool) -> Console:
    """People read standard output; with ``--json`` it belongs to the machine and people get standard error."""
    return Console(stderr=as_json)


def host_urls(hosts: list[str] | None) -> dict[str, str]:
    """``NAME=URL`` each. Raises ``ConfigError`` (``bad_host``)."""
    urls = {}
    for entry in hosts or []:
        name, equals, url = entry.partition("=")
        if not equals or not url.startswith(("http://", "https://")):
            raise ConfigError(
                "bad_host",
                "--host wants NAME=URL, e.g. host:tax=http://127.0.0.1:8101.",
                "--host 的格式为 名称=URL，例如 host:tax=http://127.0.0.1:8101。",
            )
        urls[name] = url
    return urls


def tell_import(n_read: int, n_added: int, as_json: bool) -> None:
    """What became of a file that was imported."""
    if as_json:
        print(json.dumps({"read": n_read, "added": n_added}))
        return
    console_for(as_json).print(f"{n_added:,} of {n_read:,} are new 新增 {n_added:,} 条，共 {n_read:,} 条")


def tell_findings(found: Sequence[Finding], as_json: bool) -> None:
    """What a doctor saw. Raises ``typer.Exit`` (1) if anything needs doing."""
    from lab import views

    if as_json:
        print(json.dumps([f.as_dict() for f in found], ensure_ascii=False))
    else:
        views.findings(Console(), found)
    if any(not f.good for f in found):
        raise typer.Exit(1)


def tell_frame(frame: pd.DataFrame, out: Path | None) -> None:
    """As CSV, into ``out`` or to standard output."""
    if out is None:
        frame.to_csv(sys.stdout, index=False)
    else:
        write_csv(frame, out)


def write_csv(frame: pd.DataFrame, out: Path) -> None:
    """Whole or not at all."""
    partial = out.with_name(out.name + ".partial")
    frame.to_csv(partial, index=False)
    partial.replace(out)


def passphrase(*, new: bool = False) -> str:
    """From the environment, or asked for without echo; never from the command line, which others on the machine can
    read. ``new``: asked for twice, and refused if short. Raises ``ConfigError`` (``no_passphrase``)."""
    given = os.environ.get(PASSPHRASE)
    if given is None:
        try:
            given = typer.prompt("Passphrase 口令", hide_input=True, confirmation_prompt=new, err=True)
        except typer.Abort as error:
            raise ConfigError(
                "no_passphrase",
                f"A passphrase is needed: type it, or set {PASSPHRASE}.",
                f"需要口令：请输入，或设置环境变量 {PASSPHRASE}。",
            ) from error
    if new:
        check_passphrase(given)
    return given
