"""``lianmo synthetic``: a city of made-up enterprises as files of every party, ready for ``lianmo train``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lab import views


def synthetic(
    directory: Annotated[Path, typer.Argument(help="Where to write; an earlier population is replaced. 输出目录。")],
    enterprises: Annotated[int, typer.Option(help="Number of enterprises. 企业数量。")] = 50_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files. 随机种子。")] = 2026,
    default_rate: Annotated[float, typer.Option(help="Of booked loans in 12 months. 12个月违约率。")] = 0.045,
    form: Annotated[str, typer.Option("--format", help="parquet or csv. 文件格式。")] = "parquet",
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Also make the hosts' data nodes, and governed.toml. 同时建立各方数据节点。")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines. 输出 JSON。")] = False,
) -> None:
    """Draw a synthetic city: credit centre, tax, utilities, guarantor, bank. 生成合成企业数据（全部虚构）。"""
    from lab.data.synthetic.nodes import RUN, write_nodes
    from lab.data.synthetic.state import Settings
    from lab.data.synthetic.writing import write_population
    from lab.errors import ConfigError
    from lab.governance.protection import PASSPHRASE

    if form not in ("parquet", "csv"):
        raise ConfigError("unknown_format", "--format is parquet or csv.", "--format 应为 parquet 或 csv。")
    settings = Settings(n_enterprises=enterprises, seed=seed, default_rate=default_rate)
    console = Console(stderr=as_json)
    bars = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*bars, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("drawing enterprises 生成企业", total=enterprises)
        summary = write_population(
            directory.resolve(),
            settings,
            form,  # type: ignore[arg-type]  # checked above
            lambda done, _: progress.update(task, completed=done),
        )
    if nodes:
        with console.status("making data nodes 建立数据节点"):
            write_nodes(directory.resolve(), form, os.environ.get(PASSPHRASE, ""))  # type: ignore[arg-type]
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    _show(console, directory, summary)
    if nodes:
        console.print(f"  lianmo train {directory / RUN}", style="dim", highlight=False)


def _show(console: Console, directory: Path, summary: dict[str, Any]) -> None:
    views.title(
        console, "Synthetic population 合成数据", f"{summary['enterprises']:,} enterprises 企业, all made up 全部虚构"
    )
    grid = views.table(("file 文件", False), ("rows 行数", True))
    for name, n in summary["files"].items():
        grid.add_row(name, f"{n:,}")
    console.print(grid)
    funnel = summary["funnel"]
    grid = views.table(("", False), ("", True))
    grid.show_header = False
    for name, value in (
        ("loans booked of applications 放款率", summary["booked_share"]),
        ("default in 12 months 12个月违约率", summary["default_rate_12m"]),
        ("enterprises verified by name 实名认证率", funnel["verified_of_enterprises"]),
        ("verified with a consent in force 有效授权率", funnel["authorised_of_verified"]),
        ("authorised with a loan 授权获贷率", funnel["with_loan_of_authorised"]),
    ):
        grid.add_row(name, f"{value:.1%}")
    console.print(grid)
    for name in ("run.toml", "scorecard.toml"):
        console.print(f"  lianmo train {directory / name}", style="dim", highlight=False)
