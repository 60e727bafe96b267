"""Is a data node fit for a run? Each check says what it found and, if it is not good, what to do."""

from __future__ import annotations

import shutil
from collections import deque
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, func, or_, select

from lab.doctor import Finding, tried
from lab.governance.audit_entry import Entry, is_digested, parse
from lab.governance.audit_file import LOG, lines_of, torn_bytes
from lab.governance.catalogue import load_catalogue
from lab.governance.held import SIGNING
from lab.governance.keys import KeyStore
from lab.governance.lines import read_file
from lab.governance.node_log import AUDIT, KEYS, SUITES
from lab.governance.quality import SourceReport, judge
from lab.governance.settings import FILE, NodeSettings, load_settings
from lab.governance.store import open_store
from lab.governance.tables import GRANTS, PROJECTS, RECORDS
from lab.membership.doctor import examine_membership, has_joined

#: A signing key older than this should be rotated.
KEY_DAYS: Final = 365
_NEEDED_GIB: Final = 1.0


def examine_node(node: Path, at: datetime | None = None) -> list[Finding]:
    """All checks, in the order in which to mend things; without settings there are no others. Nothing is changed, but
    for a store of an earlier release, which is brought up to date as at every opening. A folder that joined a hub is
    examined as a member of it, and as a data node only if it is one.

    Args:
        at: the present moment, with a time zone; the machine's by default.
    """
    moment = at or datetime.now(UTC)
    of_hub = examine_membership(node) if has_joined(node) else []
    if of_hub and not (node / FILE).exists():
        return of_hub
    return [*_governed(node, moment), *of_hub]


def _governed(node: Path, moment: datetime) -> list[Finding]:
    settings = tried("settings 节点设置", lambda: load_settings(node))
    if isinstance(settings, Finding):
        return [settings]
    return [
        Finding("settings 节点设置", settings.party),
        _folder(node),
        _catalogue(settings),
        *_store(settings, moment),
        *_sources(settings, moment.date()),
        *_keys(node, moment),
        _disk(node),
    ]


def _folder(node: Path) -> Finding:
    mode = node.stat().st_mode & 0o777
    return Finding(
        "folder 目录权限",
        f"{mode:o}",
        not mode & 0o077,
        f"Others can read the node: chmod 700 {node.name}.",
        f"其他用户可读取节点目录：请执行 chmod 700 {node.name}。",
    )


def _catalogue(settings: NodeSettings) -> Finding:
    name = "catalogue 目录"
    found = tried(name, lambda: load_catalogue(settings.catalogue))
    if isinstance(found, Finding):
        return found
    wrong = sorted({item for item in settings.citations.values() if found[item] is None})
    none = "" if settings.citations else "No column cites an item yet: fill [citations] in node.toml."
    none_zh = "" if settings.citations else "尚无列引用目录项：请填写 node.toml 的 [citations]。"
    return Finding(
        name,
        f"{found.version}, {len(found.items)} items 项, {len(settings.citations)} columns cite 列已引用",
        not wrong and not none,
        none or f"[citations] names what the catalogue does not have: {', '.join(wrong)}.",
        none_zh or f"[citations] 引用了目录中没有的项：{'、'.join(wrong)}。",
    )


def _store(settings: NodeSettings, at: datetime) -> list[Finding]:
    name = "store 数据库"
    engine = tried(name, lambda: open_store(settings.store))
    if isinstance(engine, Finding):
        return [engine]
    try:
        return [Finding(name, engine.dialect.name), _consents(engine, at), _records(engine), _projects(engine)]
    finally:
        engine.dispose()


def _consents(engine: Engine, at: datetime) -> Finding:
    now, g = at.astimezone(UTC).replace(tzinfo=None), GRANTS.c
    valid = (g.starts <= now, g.ends > now, or_(g.revoked.is_(None), g.revoked > now))
    with engine.connect() as connection:
        n_all = connection.scalar(select(func.count(g.consent.distinct()))) or 0
        n_valid = connection.scalar(select(func.count(g.consent.distinct())).where(*valid)) or 0
    return Finding(
        "consents 授权",
        f"{n_valid:,} of {n_all:,} in force 有效",
        n_valid > 0,
        "Nobody consents to anything now: `lianmo node consent import`.",
        "当前没有有效授权：请运行 lianmo node consent import。",
    )


def _records(engine: Engine) -> Finding:
    with engine.connect() as connection:
        n_records = connection.scalar(select(func.count()).select_from(RECORDS)) or 0
    return Finding("records 信用记录", f"{n_records:,}")


def _projects(engine: Engine) -> Finding:
    with engine.connect() as connection:
        rows = connection.execute(select(PROJECTS.c.status, func.count()).group_by(PROJECTS.c.status)).all()
    counts = {str(status): int(n) for status, n in rows}
    return Finding(
        "projects 项目",
        ", ".join(f"{n} {status}" for status, n in sorted(counts.items())) or "none 无",
        counts.get("approved", 0) > 0,
        "No project is approved, so nothing may ask: `lianmo node policy propose`, `approve`.",
        "没有已批准的项目，任何请求都会被拒绝：请运行 lianmo node policy propose 与 approve。",
    )


def _sources(settings: NodeSettings, today: date) -> list[Finding]:
    if settings.reports is None:
        return []
    path, name = settings.reports, "sources 数据源质量"
    if not path.exists():
        return [Finding(name, "missing 缺失", False, f"{path.name} is not there.", f"缺少文件 {path.name}。")]
    reports = tried(name, lambda: read_file(SourceReport, path))
    if isinstance(reports, Finding):
        return [reports]
    blocked = [q.source for q in judge(reports, settings.quality, today) if q.verdict == "blocked"]
    return [
        Finding(
            name,
            f"{len(reports) - len(blocked)} of {len(reports)} usable 可用",
            not blocked,
            f"Not good enough to be used: {'; '.join(blocked)}.",
            f"质量未达标，不可使用：{'；'.join(blocked)}。",
        )
    ]


def _keys(node: Path, at: datetime) -> list[Finding]:
    """Of a node that has keys: the one that signs, and the log it signs. Without keys a node keeps no log."""
    name = "signing key 签名密钥"
    records = tried(name, lambda: [r for r in KeyStore(node / KEYS).records() if r.purpose == SIGNING])
    if isinstance(records, Finding):
        return [records]
    if not records:
        return [Finding(name, "none: no audit log is kept 无，不记录审计日志")]
    active = [r for r in records if r.state == "active"]
    if not active:
        return [
            Finding(
                name,
                "none active 无有效密钥",
                False,
                "Make one: `lianmo node keys generate` or `rotate`.",
                "请运行 lianmo node keys generate 或 rotate。",
            )
        ]
    old = at - datetime.fromisoformat(active[0].created) > timedelta(days=KEY_DAYS)
    key = Finding(
        name,
        f"{active[0].key_id}, {active[0].suite}, {active[0].created[:10]}",
        not old,
        f"Older than {KEY_DAYS} days: `lianmo node keys rotate`.",
        f"已超过 {KEY_DAYS} 天：请运行 lianmo node keys rotate。",
    )
    return [key, _log(node / AUDIT / LOG, at)]


def _log(path: Path, at: datetime) -> Finding:
    """The end of the audit log alone; all of it is for `lianmo audit verify`."""
    name = "audit log 审计日志"
    if not path.exists():
        return Finding(name, "not begun 未开立", False, "`lianmo audit begin`.", "请运行 lianmo audit begin。")
    lines = tried(name, lambda: deque(lines_of(path), maxlen=1))
    if isinstance(lines, Finding):
        return lines
    last = _entry(lines[0]) if lines else None
    if last is None or not is_digested(SUITES, last) or torn_bytes(path):
        return Finding(
            name,
            "damaged at its end 末尾损坏",
            False,
            "`lianmo audit verify` says what was done to it.",
            "请运行 lianmo audit verify 查明原因。",
        )
    ahead = datetime.fromisoformat(last.time) - at > timedelta(minutes=5)
    return Finding(
        name,
        f"{last.number:,} entries 条, {last.time[:19]}Z",
        not ahead,
        "Its last entry lies in the future: set this machine's clock.",
        "最后一条记录的时间晚于当前时间：请校准本机时钟。",
    )


def _entry(line: bytes) -> Entry | None:
    try:
        return parse(line)
    except ValueError:
        return None


def _disk(node: Path) -> Finding:
    free = shutil.disk_usage(node).free / 2**30
    return Finding(
        "disk 磁盘",
        f"{free:.1f} GiB free 可用",
        free >= _NEEDED_GIB,
        f"Free at least {_NEEDED_GIB:.0f} GiB.",
        f"请腾出至少 {_NEEDED_GIB:.0f} GiB。",
    )
