"""``lianmo node policy``: what this node allows which project, and what a project would learn."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError

from lab import views
from lab.commands.options import NODE, AsJson, NodeFolder, console_for

if TYPE_CHECKING:
    from lab.governance.policy import PolicyBook

policy = typer.Typer(help="Projects that this node allows. 本节点允许的项目。", no_args_is_help=True)

#: What is shown of a project, in Chinese.
NAMES_ZH: Final = {
    "project": "项目",
    "status": "状态",
    "parties": "请求方",
    "purposes": "用途",
    "algorithms": "算法",
    "min_rows_per_bin": "每个和的最少行数",
    "min_rows": "最少申请人数",
    "share_levels": "告知哪些切分属同一类别",
    "epsilon": "每特征噪声",
    "epsilon_total": "本期噪声总额",
    "epsilon_left": "本期噪声余额",
    "period_days": "周期（天）",
    "max_uses": "本期最多次数",
    "max_rows": "本期最多行数",
    "hours": "时段（北京时间）",
    "ends": "截止",
}

Project = Annotated[str, typer.Argument(help="Name of the project. 项目名称。")]
By = Annotated[str, typer.Option(help="Who decides. 决定人。")]


@policy.command()
def propose(
    project: Project,
    terms: Annotated[Path, typer.Argument(help="TOML with the terms. 条款文件（TOML）。", exists=True, dir_okay=False)],
    by: By,
    node: NodeFolder = NODE,
) -> None:
    """Write down a project to be decided on. 登记待审批项目。"""
    from lab.errors import ConfigError
    from lab.governance.policy import Terms

    try:
        wanted = Terms.model_validate(tomllib.loads(terms.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "terms_unreadable", f"{terms.name} is not TOML.", f"{terms.name} 不是有效的 TOML。"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "terms"
        raise ConfigError(
            "terms_unreadable", f"{where}: {first['msg']}.", f"{where} 有误（{first['msg']}）。"
        ) from None
    _book(node).propose(project, wanted, by, datetime.now(UTC))
    show(project, node)


@policy.command()
def approve(project: Project, by: By, node: NodeFolder = NODE) -> None:
    """Let a project begin, or go on. 批准或恢复项目。"""
    _decide(project, "approved", by, node)


@policy.command()
def suspend(project: Project, by: By, node: NodeFolder = NODE) -> None:
    """Let a project rest; it may be approved again. 暂停项目。"""
    _decide(project, "suspended", by, node)


@policy.command()
def stop(project: Project, by: By, node: NodeFolder = NODE) -> None:
    """End a project for good, from the next request on. 立即终止项目，不可恢复。"""
    _decide(project, "stopped", by, node)


@policy.command()
def show(project: Project, node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """Where a project stands and its terms. 查看项目状态与条款。"""
    from lab.governance.privacy import PrivacyBook

    book = _book(node)
    told: dict[str, Any] = {
        "project": project,
        "status": book.status(project),
        **json.loads((terms := book.terms(project)).model_dump_json()),
    }
    if terms.epsilon:
        told["epsilon_left"] = PrivacyBook(book.engine).left(project, terms, datetime.now(UTC))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    console = console_for(as_json)
    grid = views.table(("", False), ("", False))
    grid.show_header = False
    for name, value in told.items():
        grid.add_row(f"{name} {NAMES_ZH[name]}", _told(value))
    console.print(grid)


def _told(value: Any) -> str:
    """A term as people read it."""
    if isinstance(value, bool):
        return "yes 是" if value else "no 否"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


@policy.command("dry-run")
def dry_run(
    project: Project,
    party: Annotated[str, typer.Option(help="Who would ask. 请求方。")],
    algorithm: Annotated[str, typer.Option(help="boosting, scorecard, scoring or shadow. 算法。")],
    rows: Annotated[int, typer.Option(min=0, help="How many rows. 行数。")],
    features: Annotated[int, typer.Option(min=0, help="How many features of this node. 本节点特征数。")] = 1,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Would it be allowed, and what would the bank learn? Nothing is noted. 试运行：是否放行、银行将获知什么。"""
    from lab.governance.admission import PURPOSES
    from lab.governance.learnt import would_learn
    from lab.governance.policy import Use, algorithm_of
    from lab.governance.privacy import PrivacyBook

    kind = algorithm_of(algorithm)
    use = Use(project=project, party=party, purpose=PURPOSES[kind], algorithm=kind, n_rows=rows, at=datetime.now(UTC))
    book = _book(node)
    refusal, left = book.dry_run(use)
    terms, privacy = book.terms(project), PrivacyBook(book.engine)
    epsilon_left = privacy.left(project, terms, use.at) if terms.epsilon else None
    if terms.epsilon and kind == "scorecard":
        refusal = refusal or privacy.dry_run(project, terms, features, use.at)
    learnt = would_learn(kind, terms.epsilon)
    if as_json:
        told = {
            "allowed": refusal is None,
            "code": refusal.code if refusal else "",
            "uses_left": left.uses,
            "rows_left": left.rows,
            "epsilon_left": epsilon_left,
            "learns": [{"message": m, "en": en, "zh": zh} for m, en, zh in learnt],
        }
        print(json.dumps(told, ensure_ascii=False))
        return
    console = console_for(as_json)
    verdict = "allowed 放行" if refusal is None else f"refused 拒绝: {refusal.english} {refusal.chinese}"
    console.print(f"{verdict}\nleft in this period 本期剩余: {left.uses:,} uses 次, {left.rows:,} rows 行")
    if epsilon_left is not None:
        console.print(f"noise 噪声: epsilon {terms.epsilon:g} per feature 每特征, {epsilon_left:g} left 剩余")
    views.title(console, "What the bank would learn 银行将获知", algorithm)
    grid = views.table(("message 消息", False), ("what 内容", False))
    for message, english, chinese in learnt:
        grid.add_row(message, f"{english}\n{chinese}")
    console.print(grid)


def _decide(project: str, status: Any, by: str, node: Path) -> None:
    from lab.governance.node_log import officers_log
    from lab.governance.policy import terms_text

    own, book = officers_log(node), _book(node)
    book.decide(project, status, by, datetime.now(UTC))
    if own:
        policy = own.policy(terms_text(project, book.terms(project)))
        own.say("policy_changed", operator=by, policy=policy, state=status)
    show(project, node)


def _book(node: Path) -> PolicyBook:
    from lab.governance.policy import PolicyBook
    from lab.governance.settings import store_of

    return PolicyBook(store_of(node))
