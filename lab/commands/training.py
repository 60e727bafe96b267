"""``lianmo demo``, ``train``, ``auto`` and ``value``: what trains models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from lab import views
from lab.commands.options import AsJson, console_for


def demo(
    directory: Annotated[Path, typer.Option(help="Where runs are written. 运行目录。")] = Path("runs"),
    transport: Annotated[str, typer.Option(help="flower, relay or memory. 传输方式。")] = "flower",
    trees: Annotated[int, typer.Option(min=1, max=500, help="Number of trees. 树的数量。")] = 60,
    as_json: AsJson = False,
) -> None:
    """Three parties train on real data and score one applicant. 三方在真实数据上联合建模并评分。"""
    from lab import run_views
    from lab.demo import run_demo

    console = console_for(as_json)
    views.title(console, "Lianmo demo 联模演示", "bank + host:social + host:registry, credit_data, Paillier 2048")
    result = run_demo(directory, _transport(transport), console, trees)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    run_views.trees(console, result)
    views.score_answer(console, result["score"])
    views.files(console, directory / "demo")


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

    console = console_for(as_json)
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

    console = console_for(as_json)
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

    console = console_for(as_json)
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


def _transport(name: str) -> Any:
    from lab.errors import ConfigError

    if name not in ("memory", "relay", "flower"):
        raise ConfigError(
            "unknown_transport", "--transport is memory, relay or flower.", "--transport 应为 memory、relay 或 flower。"
        )
    return name
