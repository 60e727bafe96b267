"""Audit logs as people read them: what verification found, and the tree of a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from lab import views
from lab.governance.audit_entry import Entry
from lab.governance.audit_findings import Finding
from lab.governance.audit_kinds import KINDS
from lab.governance.audit_verify import Examined
from lab.governance.trace import QUESTIONS, Branch, Elsewhere

_MOST: Final = 20

#: What a reference is called.
_NAMES: Final = {
    "applicant": "applicant 申请人",
    "purpose": "purpose 用途",
    "version": "version 版本",
    "model": "model 模型",
    "model_digest": "digest 摘要",
    "parties": "parties 参与方",
    "consent": "consent 授权",
    "consent_set": "consents 授权清单",
    "items": "catalogue items 目录项",
    "catalogue": "catalogue 目录版本",
    "half": "half 半模型",
    "source": "source 来源",
    "data": "data 数据摘要",
    "policy": "rules 规则",
    "n_rows": "rows 行数",
    "n_refused": "refused 拒绝",
    "code": "code 代码",
    "decision": "decision 决策",
    "decided_by": "decided by 决定规则",
    "decision_policy": "decision policy 决策策略",
    "policy_version": "policy version 策略版本",
}


def verdict(console: Console, log: Examined) -> None:
    """One log: whether it is as it was written, and all that was found."""
    grave = [f for f in log.findings if f.is_grave]
    views.title(
        console,
        f"Audit log of {log.party} {log.party} 的审计日志",
        f"{len(log.digests):,} entries 条; {log.path}",
    )
    if log.last:
        console.print(f"  head 日志头  {log.last:,}  {log.digests[log.last]}", highlight=False, style="dim")
    for key_id, key in log.keys.items():
        console.print(f"  key 密钥  {escape(key_id)}  {escape(key.suite)}", highlight=False, style="dim")
    if grave:
        console.print(f"[red]✗ not as it was written 已被改动[/red]  {len(grave):,} findings 项", highlight=False)
    else:
        console.print("[green]✓ as it was written 完好[/green]", highlight=False)
    if log.findings:
        console.print(_findings(sorted(log.findings, key=lambda f: not f.is_grave)[:_MOST]))
    if len(log.findings) > _MOST:
        console.print(f"  … {len(log.findings) - _MOST:,} more 另有若干项 (--json)", style="dim", highlight=False)


def _findings(findings: Sequence[Finding]) -> Any:
    grid = views.table(("", False), ("about 涉及", False), ("what 内容", False))
    for f in findings:
        grid.add_row(views.BAD if f.is_grave else Text("!", "yellow"), f.about, f"{f.english}\n{f.chinese}")
    return grid


def trail(console: Console, branch: Branch, damaged: Sequence[str]) -> None:
    """A trace as a tree."""
    for party in damaged:
        console.print(
            f"[red]✗ the log of {escape(party)} is not as it was written; run lianmo audit verify. "
            f"{escape(party)} 的日志已被改动，请运行 lianmo audit verify。[/red]",
            highlight=False,
        )
    console.print(_tree(branch, Tree(_heading(branch))), highlight=False)


def _tree(branch: Branch, tree: Tree) -> Tree:
    for name, value in branch.facts.items():
        told = ", ".join(map(_done, value)) if branch.question == "people" else _fact(value)
        tree.add(f"[dim]{escape(_NAMES.get(name, name))}[/dim]  {escape(told)}")
    for entry in branch.entries:
        tree.add(_entry(entry))
    for inner in branch.branches:
        _tree(inner, tree.add(_heading(inner)))
    for gap in branch.elsewhere:
        tree.add(_gap(gap))
    return tree


def _heading(branch: Branch) -> str:
    english, chinese = QUESTIONS[branch.question]
    return f"[bold]{english} {chinese}[/bold]  {escape(branch.name)}".rstrip()


def _entry(entry: Entry) -> str:
    who = entry.actor if not entry.operator else f"{entry.operator} ({entry.actor})"
    place = f"{entry.party} #{entry.number}"
    return f"[cyan]{escape(place)}[/cyan]  {entry.time[:19]}Z  {_done(entry.kind)}  [dim]{escape(who)}[/dim]"


def _gap(gap: Elsewhere) -> str:
    where = f"[yellow]→ {escape(gap.party)}[/yellow]  its log is not at hand 其日志不在本处: lianmo trace {gap.session}"
    if not gap.number:
        return f"{where}\n   [red]nobody here keeps its head 本处没有其日志头[/red]"
    proof = f"{gap.keeper} #{gap.entry} keeps its head 留存其日志头 #{gap.number} {_short(gap.digest)}"
    return f"{where}\n   [dim]{escape(proof)}[/dim]"


def _done(kind: str) -> str:
    return f"{KINDS[kind].english} {KINDS[kind].chinese}"


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_fact(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_fact, value))
    return _short(value) if isinstance(value, str) else f"{value:,}"


def _short(text: str) -> str:
    """Digests by their first sixteen digits: enough to find the whole one with ``--json``."""
    return f"{text[:16]}…" if len(text) == 64 else text
