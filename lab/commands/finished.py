"""``lianmo report``, ``validate`` and ``rejects``: a finished run shown, measured, asked about the rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab import views
from lab.commands.options import AsJson, HostsToml, HostUrls, host_urls, write_csv


def report(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run. 运行目录。")], as_json: AsJson = False
) -> None:
    """Show a finished run and write its page and figure anew. 查看运行结果并重新生成报告。"""
    from lab import run_views
    from lab.horizontal.finish import report_run
    from lab.reports import write_report
    from models.bundle import load

    result = load(run / "result.json")
    written = {"page": run / "report.html"}
    if result.get("kind") == "horizontal":
        report_run(run, result)
    else:
        written["figure"], written["page"] = write_report(run, result)
    if as_json:
        print(json.dumps({name: str(path) for name, path in written.items()}))
        return
    console = Console()
    run_views.finished(console, result)
    views.files(console, run)


def validate(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run. 运行目录。")],
    group: Annotated[
        str | None, typer.Option(help="Column of the bank's file to look at fairness by. 公平性分组列。")
    ] = None,
    approval_rate: Annotated[float, typer.Option(help="Share of applicants approved. 批准率。")] = 0.7,
    vintage_default: Annotated[
        str | None, typer.Option(help="Column with the date of, or months to, default. 违约日期或到违约月数列。")
    ] = None,
    vintage_open: Annotated[str | None, typer.Option(help="Column with the date of booking. 放款日期列。")] = None,
    vintage_as_of: Annotated[str | None, typer.Option(help="Last month observed. 观察截止月份。")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a finished run anew, with its model document. 重新验证运行结果并更新模型文档。"""
    from dataclasses import asdict

    from lab.reports import write_report
    from lab.validation.amounts import need_default
    from lab.validation.cohorts import cohorts_of_run
    from lab.validation.sample import ValidationRules
    from lab.validation.stored import pack_of_run
    from lab.validation.tables import show_pack
    from models.bundle import load, save

    result = load(run / "result.json")
    need_default(result.get("objective", "binary"), "lianmo validate")
    rules = ValidationRules(approval_rate=approval_rate)
    kept = {name: result["validation"].get(name) for name in ("rejects", "cohorts")}  # asked for on their own
    if vintage_default:
        report = cohorts_of_run(run, result, vintage_default, vintage_open, vintage_as_of, rules.minimum)
        kept["cohorts"] = json.loads(json.dumps(asdict(report)))
    result["validation"] = {**pack_of_run(run, result, group, rules).to_json(), **kept}
    save(run / "result.json", result)
    write_report(run, result)
    if as_json:
        print(json.dumps(result["validation"], ensure_ascii=False))
        return
    console = Console()
    show_pack(console, result["validation"])
    views.files(console, run)


def rejects(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run. 运行目录。")],
    rejected: Annotated[
        Path, typer.Argument(help="Rejected applicants: the bank's columns, no label. 被拒申请人文件。")
    ],
    host: HostUrls = None,
    hosts: HostsToml = None,
    local: Annotated[bool, typer.Option(help="Hosts are on this machine, beside the bank. 数据方在本机。")] = False,
    factor: Annotated[
        list[float] | None,
        typer.Option(help="How many times as risky as predicted; repeat. 风险倍数，可重复。", show_default="1 1.5 2 3"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write rows to train with, as CSV. 写出增广训练文件。")] = None,
    assume: Annotated[float, typer.Option(help="Factor of the labels in --out. 增广标签所用倍数。")] = 1.5,
    rejected_weight: Annotated[float, typer.Option(min=1e-6, help="Weight of their rows there. 其行权重。")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """What the rejected could mean for a run, and rows to train with. 拒绝推断：被拒申请人的影响与增广训练文件。"""
    from dataclasses import asdict

    from lab.rejects import HELD_OUT, augmented, report_rejected, score_rejected
    from lab.reports import write_report
    from lab.serving.hosts import hosts_of
    from lab.validation.rejects import FACTORS
    from lab.validation.tables import show_rejects
    from models.bundle import load, save

    result = load(run / "result.json")
    scored = score_rejected(run, result, rejected, hosts_of(host_urls(host), hosts), local=local)
    told = json.loads(json.dumps(asdict(report_rejected(run, result, scored, factor or FACTORS))))
    rows = None if out is None else augmented(run, result, scored, assume, rejected_weight)
    result["validation"]["rejects"] = told
    save(run / "result.json", result)
    write_report(run, result)
    if out is not None and rows is not None:
        write_csv(rows, out)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    console = Console()
    show_rejects(console, told)
    views.files(console, run)
    if out is not None:
        console.print(f'  {out}: [split] holdout_column = "{HELD_OUT}"', style="dim", highlight=False, markup=False)
