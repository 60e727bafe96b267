"""A bank with keys, and a report of its own, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.decision.account import Account
from lab.decision.decision import decide
from lab.decision.page import render
from lab.decision.report import Body, Report, body_of, sign
from lab.governance.held import SIGNING, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.ring import PublicKey, export, read_export
from tests.lab.decision.cases import case, sample

PASSPHRASE = "correct horse battery staple"
ACCOUNT: dict[str, Any] = {
    "score_id": "0d5c9d3e",
    "application_id": "A-2026-77",
    "scored_at": "2026-06-01T01:30:12Z",
    "bank": {"party": "bank", "english": "Example Bank", "chinese": "示例银行"},
    "model": {"name": "city", "version": "7", "digest": "9f" * 32},
    "sources": [
        {"party": "bank", "english": "the bank's own records", "chinese": "本行记录"},
        {"party": "host:tax", "english": "tax returns", "chinese": "纳税申报"},
    ],
    "consent": {"consent": "C-2026-981", "purpose": "loan_score"},
    "reasons": [{"code": "host:tax/3", "party": "host:tax", "text": "late <returns>", "text_zh": "存在逾期申报"}],
}


@dataclass
class Signer:
    """A party's keys."""

    store: KeyStore

    @classmethod
    def new(cls, path: Path, suite: str = "international", owner: str = "bank") -> Signer:
        store = KeyStore(path, cost=1024)
        store.generate(owner, suite, PASSPHRASE, [SIGNING])
        return cls(store)

    @property
    def key(self) -> HeldKey:
        return self.store.open(self.store.active(SIGNING).key_id, PASSPHRASE)

    def public(self) -> tuple[PublicKey, ...]:
        return read_export(export(self.store, self.key)).keys


def body(probability: str | None = "0.012", mode: str = "joint", **changes: Any) -> Body:
    asked = case(probability, mode, **changes)
    account = Account.model_validate(ACCOUNT)
    return body_of(sample(), asked, decide(sample(), asked), account, datetime(2026, 6, 1, 2, tzinfo=UTC))


def signed(signer: Signer, **changes: Any) -> Report:
    return sign(body(**changes), signer.key, render)
