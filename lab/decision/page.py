"""The page of a decision report: what its JSON says, for people, Chinese first."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Final

import jinja2

from lab.decision.report import Body
from lab.decision.verdicts import RULES
from lab.governance.policy import CHINA
from lab.reports import page_environment

MODES: Final = {
    "joint": ("the model of all parties", "联合模型"),
    "bank_only": ("the bank's own model", "银行自有模型"),
    "unscored": ("no model", "未评分"),
}


def render(body: Body, digest: str, key_id: str) -> bytes:
    """One file without scripts or outside assets, UTF-8; the same for the same three.

    Args:
        digest: of the body, hexadecimal.
        key_id: of the key that signs the report.
    """
    steps = body["decision"]["steps"]
    made_by = set(body["decision"]["made_by"])
    return (
        _template()
        .render(
            r=body,
            digest=[digest[i : i + 8] for i in range(0, len(digest), 8)],
            key_id=key_id,
            made_by=[step for step in steps if step["rule"] in made_by],
            rules=RULES,
            modes=MODES,
            day=_day,
        )
        .encode("utf-8")
    )


@cache
def _template() -> jinja2.Template:
    return page_environment().get_template("decision.html")


def _day(moment: str) -> str:
    """``2026-06-01T09:30:00Z`` → the same minute in China."""
    return datetime.fromisoformat(moment).astimezone(CHINA).strftime("%Y-%m-%d %H:%M")
