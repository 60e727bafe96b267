"""Is a member of a hub fit for a session? First its own folder, then the way to the hub."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lab.data.sources import read_table
from lab.doctor import Finding, tried
from lab.horizontal.membership import FILE as SITE_FILE
from lab.horizontal.membership import load_own_site
from lab.hub.authority import days_left
from lab.membership.alone import is_running
from lab.membership.papers import FOLDER, RENEW_DAYS, Membership, certificate_files, membership_of
from lab.membership.reach import examine_way
from lab.membership.terms import FILE, load_own_side


def has_joined(node: Path) -> bool:
    """Whether the folder has papers of a hub, sound or not."""
    return (node / FOLDER).is_dir()


def examine_membership(node: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Finding]:
    """All checks, in the order in which to mend things. Nothing is changed.

    Args:
        clock: the present moment, with a time zone.
    """
    membership = tried("papers 证书文件", lambda: membership_of(node))
    if isinstance(membership, Finding):
        return [membership]
    own = f"{membership.party} ({membership.role}) @ {membership.hub}"
    return [
        Finding("papers 证书文件", own),
        _folder(node),
        _certificate(node, clock()),
        *_data(node, membership),
        _running(node),
        *examine_way(node, clock),
    ]


def _folder(node: Path) -> Finding:
    open_ones = [path.name for path in (node, node / FOLDER) if path.stat().st_mode & 0o077]
    return Finding(
        "node folder 节点目录",
        "others can read 他人可读" if open_ones else "private 仅本用户可读",
        not open_ones,
        f"chmod 700 {' '.join(open_ones)}: nobody else is to read models and logs there.",
        f"请执行 chmod 700 {' '.join(open_ones)}：其中的模型与日志不应被他人读取。",
    )


def _certificate(node: Path, at: datetime) -> Finding:
    left = days_left(certificate_files(node)[0].read_bytes(), at)
    return Finding(
        "our certificate 本方证书",
        f"{left:.0f} days left 天后到期" if left > 0 else "expired 已过期",
        left > RENEW_DAYS,
        "Ask the hub's operator for an invitation and join anew in this folder; data and models stay.",
        "请向枢纽运营方索取新邀请，并在此目录重新加入；数据与模型不受影响。",
    )


def _data(node: Path, membership: Membership) -> list[Finding]:
    """Of a host or a site: what it brings, read as a run would read it."""
    if membership.role not in ("host", "site"):
        return []
    file, load_own = (SITE_FILE, load_own_site) if membership.role == "site" else (FILE, load_own_side)
    own = tried(file, lambda: load_own(node, membership.party))
    if isinstance(own, Finding):
        return [own]
    table = tried("data 数据", lambda: read_table(own, varied=own.label is None))
    if isinstance(table, Finding):
        return [Finding(file, membership.party), table]
    return [Finding(file, membership.party), Finding("data 数据", f"{len(table.ids):,} rows 行")]


def _running(node: Path) -> Finding:
    runs = is_running(node)
    return Finding(
        "node 节点进程",
        "running 运行中" if runs else "not running 未运行",
        runs,
        "No session reaches this party: `lianmo node start`, or start its service.",
        "本方无法参与会话：请运行 lianmo node start，或启动其服务。",
    )
