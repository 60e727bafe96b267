"""``lianmo audit`` and ``lianmo trace``: is a log as it was written, and what a score came of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from federation.ciphers.suites.interface import Suite
    from lab.governance.audit_verify import Examined

audit = typer.Typer(help="A party's audit log. 审计日志。", no_args_is_help=True)

_LARGE: Final = 5_000_000  # bytes of a log whose signatures are worth several processes

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines. 输出 JSON。")]
Node = Annotated[Path, typer.Argument(help="A party's folder, or its log.jsonl. 某一方的节点目录或日志文件。")]
Others = Annotated[
    list[Path] | None,
    typer.Option("--against", help="Another party's log or folder. 他方日志，用于对照。", show_default=False),
]


@audit.command()
def begin(
    node: Annotated[
        Path, typer.Argument(help="This party's own folder, with keys in it. 本方节点目录（已有密钥）。")
    ] = Path("node"),
    operator: Annotated[str, typer.Option(help="Who opens it. 经办人。")] = "",
    as_json: AsJson = False,
) -> None:
    """Open this party's audit log, once, signed with its key. 开立本方审计日志（仅一次）。"""
    from lab.commands.options import passphrase
    from lab.governance.node_log import open_log

    log = open_log(node, passphrase())
    entry = log.begin(operator)
    if as_json:
        print(json.dumps(entry.as_dict(), ensure_ascii=False))
        return
    Console().print(f"{log.party}: {log.path}\nkey 密钥 {entry.key}", highlight=False)


@audit.command()
def verify(
    node: Node = Path("node"),
    against: Others = None,
    party: Annotated[str, typer.Option(help="Whose log it must be. 日志应属的参与方。")] = "",
    as_json: AsJson = False,
) -> None:
    """Is the log as it was written, and does it hold what others keep of it? 验证日志是否被改动。"""
    from lab.audit_views import verdict

    with _workers([node, *(against or [])]):
        log = _verified(node, against or [], party)
    if as_json:
        print(json.dumps(_as_dict(log), ensure_ascii=False))
    else:
        verdict(Console(), log)
    if any(f.is_grave for f in log.findings):
        raise typer.Exit(1)


def trace_command(
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="Of a score, a model or a session. 评分、模型或会话编号。")
    ],
    node: Annotated[
        list[Path] | None, typer.Option("--node", help="A party's folder or log; repeat for more. 节点目录或日志。")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """From a score to its model, run, data, consents, keys and people. 由评分追溯模型、数据、授权与经办人。"""
    from lab.audit_views import trail
    from lab.governance.trace import trace

    nodes = node or [Path("node")]
    tree = trace(wanted, [_log_in(n) for n in nodes])
    with _workers(nodes):
        logs = [_verified(n, [other for other in nodes if other != n], "") for n in nodes]
    if as_json:
        print(json.dumps({"logs": [_as_dict(log) for log in logs], "trace": tree.as_dict()}, ensure_ascii=False))
        return
    trail(Console(), tree, [log.party for log in logs if any(f.is_grave for f in log.findings)])


def _verified(node: Path, against: Sequence[Path], party: str) -> Examined:
    from lab.governance.audit_heads import check_heads, compare
    from lab.governance.audit_verify import examine
    from lab.governance.node_log import KEYS, registered

    suites = suites_here()
    known = registered(node) if (node / KEYS).is_dir() else lambda *_: None
    log = examine(_log_in(node), suites, party, known)
    check_heads(log, suites, known)
    for other in against:
        compare(log, examine(_log_in(other), suites, registered=known), suites)
    return log


def suites_here() -> Mapping[str, Suite]:
    """The crypto suites of this release, by name."""
    from lab.governance.node_log import SUITES

    return SUITES


def _log_in(node: Path) -> Path:
    """The log in a node's folder, in an audit folder, or the file itself."""
    from lab.governance.audit_file import LOG

    return next((p for p in (node / "audit" / LOG, node / LOG) if p.exists()), node if node.is_file() else node / LOG)


@contextmanager
def _workers(nodes: Sequence[Path]) -> Iterator[None]:
    """Several processes for long logs; starting them costs a second."""
    if not any(_log_in(n).exists() and _log_in(n).stat().st_size > _LARGE for n in nodes):
        yield
        return
    from lab.workers import party_workers

    with party_workers("loky", -1):
        yield


def _as_dict(log: Examined) -> dict[str, Any]:
    return {
        "party": log.party,
        "log": str(log.path),
        "intact": not any(f.is_grave for f in log.findings),
        "entries": len(log.digests),
        "head": {"number": log.last, "digest": log.digests.get(log.last, "")},
        "keys": {key_id: {"suite": k.suite, "public": k.public.hex()} for key_id, k in log.keys.items()},
        "findings": [f.as_dict() for f in log.findings],
    }
