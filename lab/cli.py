"""The ``lianmo`` command. Each command is a few lines: the work is in the modules it names."""

from __future__ import annotations

import json
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lab import views
from lab.commands.access import (
    AccessFolder,
    BankCertificate,
    CallerAuthority,
    Open,
    Plain,
    TlsCertificate,
    TlsKey,
    access,
)
from lab.commands.audit import audit, trace_command
from lab.commands.decisions import decision
from lab.commands.hub import hub
from lab.commands.leakage import leakage
from lab.commands.models import models as model_commands
from lab.commands.node import node as node_commands
from lab.commands.options import AsJson, HostsToml, HostUrls, ThroughHub
from lab.commands.options import console_for as _console
from lab.commands.options import host_urls as _urls
from lab.commands.runs import runs
from lab.data.synthetic.command import synthetic
from models.errors import LianmoError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="lianmo",
    help="Lianmo 联模: one credit model, every row stays with its owner. 多方共建信贷模型，数据不出域。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(node_commands, name="node")
app.add_typer(access, name="access")
app.add_typer(audit, name="audit")
app.add_typer(decision, name="decision")
app.add_typer(hub, name="hub")
app.add_typer(runs, name="runs")
app.add_typer(model_commands, name="models")
app.command("trace")(trace_command)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where runs are written. 运行目录。")] = Path("runs"),
    transport: Annotated[str, typer.Option(help="flower, relay or memory. 传输方式。")] = "flower",
    trees: Annotated[int, typer.Option(min=1, max=500, help="Number of trees. 树的数量。")] = 60,
    as_json: AsJson = False,
) -> None:
    """Three parties train on real data and score one applicant. 三方在真实数据上联合建模并评分。"""
    from lab import run_views
    from lab.demo import run_demo

    console = _console(as_json)
    views.title(console, "Lianmo demo 联模演示", "bank + host:social + host:registry, credit_data, Paillier 2048")
    result = run_demo(directory, _transport(transport), console, trees)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    run_views.trees(console, result)
    views.score_answer(console, result["score"])
    views.files(console, directory / "demo")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="The run's TOML file. 运行配置文件。")],
    transport: Annotated[
        str | None, typer.Option(help="Instead of the file's: memory, relay, flower. 传输方式。")
    ] = None,
    record: Annotated[bool, typer.Option(help="Record the run in MLflow beside it. 记录到 MLflow。")] = True,
    as_json: AsJson = False,
) -> None:
    """Train one joint model as a file says, over columns or over sites. 按配置文件训练联合模型（纵向或横向）。"""
    from lab import run_views
    from lab.config import parse_config, read_config
    from lab.finish import record_run, report_run
    from lab.horizontal.config import is_horizontal, parse_horizontal
    from lab.horizontal.finish import train_horizontally
    from lab.run_states import RunState
    from lab.runs import train_run

    console = _console(as_json)
    told = read_config(config)
    if transport:
        told.setdefault("run", {})["transport"] = _transport(transport)
    result: dict[str, Any]
    if is_horizontal(told):
        over_sites = parse_horizontal(told, config.parent)
        state = RunState.new(over_sites, record=record)
        result = train_horizontally(over_sites, console, record=record, state=state)
        directory = over_sites.run.directory
    else:
        run = parse_config(told, config.parent)
        state = RunState.new(run, record=record)
        result = train_run(run, console, (report_run, record_run) if record else (report_run,), state=state)
        directory = run.run.directory
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    run_views.finished(console, result)
    views.files(console, directory)


@app.command()
def auto(
    config: Annotated[Path, typer.Argument(help="The run's TOML file. 运行配置文件。")],
    folds: Annotated[int, typer.Option(min=2, max=20, help="Folds of the development rows. 开发样本折数。")] = 5,
    budget: Annotated[float | None, typer.Option(min=0, help="Most minutes. 时间上限（分钟）。")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Most sessions of trials. 试验会话数上限。")] = None,
    record: Annotated[bool, typer.Option(help="Record the chosen run in MLflow. 记录到 MLflow。")] = True,
    as_json: AsJson = False,
) -> None:
    """Try scorecards and trees by folds, keep the simplest good one. 自动建模：以交叉验证选出最简单的优良模型。"""
    from lab.auto.run import auto_run
    from lab.auto.search import AutoRules, Budget
    from lab.auto.view import show_search
    from lab.config import load_config
    from lab.finish import record_run, report_run
    from models.bundle import load

    console = _console(as_json)
    run = load_config(config)
    seconds = math.inf if budget is None else budget * 60
    rules = AutoRules(n_folds=folds, budget=Budget(seconds=seconds, sessions=trials))
    result = auto_run(run, console, rules, finish=(report_run, record_run) if record else (report_run,))
    account = load(run.run.directory / "auto.json")
    if as_json:
        print(json.dumps(account, ensure_ascii=False))
        return
    show_search(console, account, result)
    views.files(console, run.run.directory)


@app.command()
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
        _tell_scores(site_scores(node, read_frame(applicants, id_column), id_column), out)
        return
    joint, _ = models_from(node)
    model, calibrator = joint.model, joint.calibrator
    table = applicants_table(read_frame(applicants, id_column), id_column, model.inputs)
    with scoring_wire(node, model, hosts_of(_urls(host), hosts), local=local, hub=through) as wire:
        noted = bank_record(node, model).answered
        frame = score_frame(model, table, wire, reasons, own_words(node), noted, calibrator)
    _tell_scores(frame, out)


@app.command()
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
        urls=_urls(host),
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


@app.command()
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


@app.command()
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


@app.command()
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
    scored = score_rejected(run, result, rejected, hosts_of(_urls(host), hosts), local=local)
    told = json.loads(json.dumps(asdict(report_rejected(run, result, scored, factor or FACTORS))))
    rows = None if out is None else augmented(run, result, scored, assume, rejected_weight)
    result["validation"]["rejects"] = told
    save(run / "result.json", result)
    write_report(run, result)
    if out is not None and rows is not None:
        _write_csv(rows, out)
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    console = Console()
    show_rejects(console, told)
    views.files(console, run)
    if out is not None:
        console.print(f'  {out}: [split] holdout_column = "{HELD_OUT}"', style="dim", highlight=False, markup=False)


@app.command()
def value(
    config: Annotated[Path, typer.Argument(help="The run's TOML file. 运行配置文件。")],
    approval_rate: Annotated[float, typer.Option(help="Share of applicants approved. 批准率。")] = 0.7,
    amount: Annotated[float, typer.Option(help="Exposure at default of one loan. 每笔违约敞口。")] = 10_000.0,
    loss_given_default: Annotated[float, typer.Option("--lgd", help="Share of it that is lost. 违约损失率。")] = 0.45,
    as_json: AsJson = False,
) -> None:
    """What each data node is worth: trains every coalition. 各数据方的价值：逐一训练所有组合。"""
    from lab.coalitions import keep_value, value_of_run
    from lab.config import load_config
    from lab.party_value import MoneyTerms
    from lab.validation.amounts import need_default
    from lab.validation.tables import show_value

    console = _console(as_json)
    run = load_config(config)
    need_default(run.parameters.objective, "lianmo value")
    money = MoneyTerms(approval_rate=approval_rate, amount=amount, loss_given_default=loss_given_default)
    values = value_of_run(run, console, money).to_json()
    kept = keep_value(run, values)
    if as_json:
        print(json.dumps(values, ensure_ascii=False))
        return
    show_value(console, values)
    if kept:
        views.files(console, run.run.directory)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine and say what to do. 检查本机环境并给出建议。"""
    from lab.commands.options import tell_findings
    from lab.doctor import examine

    tell_findings(examine(), as_json)


def _tell_scores(frame: pd.DataFrame, out: Path | None) -> None:
    if out is None:
        frame.to_csv(sys.stdout, index=False)
    else:
        _write_csv(frame, out)


def _write_csv(frame: pd.DataFrame, out: Path) -> None:
    """Whole or not at all."""
    partial = out.with_name(out.name + ".partial")
    frame.to_csv(partial, index=False)
    partial.replace(out)


app.command()(synthetic)
app.command()(leakage)


def _transport(name: str) -> Any:
    from lab.errors import ConfigError

    if name not in ("memory", "relay", "flower"):
        raise ConfigError(
            "unknown_transport", "--transport is memory, relay or flower.", "--transport 应为 memory、relay 或 flower。"
        )
    return name


def main() -> None:
    """Entry point: a ``LianmoError`` becomes two sentences and its exit code."""
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except LianmoError as error:
        views.error(Console(stderr=True), error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
