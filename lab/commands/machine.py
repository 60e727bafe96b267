"""``lianmo doctor``: whether this machine is fit."""

from __future__ import annotations

from lab.commands.options import AsJson, tell_findings


def doctor(as_json: AsJson = False) -> None:
    """Check this machine and say what to do. 检查本机环境并给出建议。"""
    from lab.doctor import examine

    tell_findings(examine(), as_json)
