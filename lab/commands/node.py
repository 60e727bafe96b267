"""``lianmo node``: what a party does with its own node, one file of commands per subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lab import views
from lab.commands import membership
from lab.commands.consents import consent
from lab.commands.keys import keys
from lab.commands.options import NODE, AsJson, NodeFolder, SourceTable, SourceText, console_for, tell_findings
from lab.commands.projects import policy
from lab.commands.records import records

node = typer.Typer(
    help="A party's own node: catalogue, consents, records, projects, keys. 本方节点：目录、授权、记录、项目、密钥。",
    no_args_is_help=True,
)
node.add_typer(consent, name="consent")
node.add_typer(records, name="records")
node.add_typer(policy, name="policy")
node.add_typer(keys, name="keys")
for command in (membership.join, membership.start, membership.peers, membership.leave):
    node.command()(command)


@node.command()
def init(
    party: Annotated[str, typer.Option(help="Whose node it is, e.g. host:tax. 节点所属数据方。")],
    catalogue: Annotated[
        Path | None,
        typer.Option(
            help="The city's catalogue; a sample otherwise. 本市目录，缺省为示例。", exists=True, show_default=False
        ),
    ] = None,
    store: Annotated[
        str, typer.Option(help="sqlite:///FILE or postgresql+psycopg://… 数据库地址。")
    ] = "sqlite:///node.db",
    node: NodeFolder = NODE,
) -> None:
    """Make the folder of a data node: settings, catalogue, empty store. 建立数据节点目录。"""
    from lab.governance.settings import create_node

    settings = create_node(node, party, catalogue, store)
    console_for(False).print(
        f"{party}: {node}/node.toml, {settings.catalogue.name}\n"
        "Next: cite an item for each column under [citations]; import consents; propose a project.\n"
        "接下来：在 [citations] 中为每列注明目录项；导入授权；登记项目。",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@node.command("catalogue")
def check_catalogue(
    file: SourceText,
    table: SourceTable = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of identifiers. 标识列。")] = "id",
    drop: Annotated[list[str] | None, typer.Option(help="Columns that are no features. 非特征列。")] = None,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """What the columns of a file or table are, and whether they may be used. 检查各列对应的目录项及可否使用。"""
    from lab.data.connectors.location import named
    from lab.data.sources import read_frame
    from lab.estimators.frames import as_table
    from lab.governance.catalogue import cite, load_catalogue
    from lab.governance.settings import load_settings

    settings = load_settings(node)
    features = read_frame(named(file, table, Path.cwd()), id_column).drop(columns=[id_column, *(drop or [])])
    cited = cite(as_table(features, list(features.columns)), settings.citations, load_catalogue(settings.catalogue))
    if as_json:
        told = {name: item.model_dump() for name, item in cited.items.items()}
        print(json.dumps({"version": cited.version, "columns": told, "scopes": cited.scopes}, ensure_ascii=False))
        return
    grid = views.table(("column 列", False), ("item 目录项", False), ("name 名称", False), ("consent 授权范围", False))
    for name, item in cited.items.items():
        scope = "–" if item.sharing == "open" and not item.kind else item.scope
        grid.add_row(name, item.item, f"{item.name} {item.name_zh}", scope)
    console_for(as_json).print(grid)


@node.command()
def doctor(node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """Check this node and say what to do. 检查本节点并给出建议。"""
    from lab.node_doctor import examine_node

    tell_findings(examine_node(node), as_json)


@node.command()
def inventory(as_json: AsJson = False) -> None:
    """Every use of cryptography in this release. 商用密码应用清单（密评）。"""
    from lab.governance.inventory import entries, show

    found = entries()
    if as_json:
        print(json.dumps([entry.as_dict() for entry in found], ensure_ascii=False))
        return
    show(console_for(as_json), found)
