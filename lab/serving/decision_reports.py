"""The report of a decision that the service told: decided again from what is kept, found to be the same, and signed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from federation.errors import PartyId
from lab.decision.account import Account
from lab.decision.decision import decide
from lab.decision.faults import first_fault
from lab.decision.loan import Loan
from lab.decision.policy import Policy
from lab.decision.report import Report, body_of, sign
from lab.errors import ConfigError, KeysError
from lab.governance.held import SIGNING, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS, passphrase_of
from lab.serving.answers import Answer
from lab.serving.decisions import case_of, decision_answer
from lab.serving.problems import RequestError
from lab.serving.store import Kept

log = logging.getLogger("lianmo.serving")

#: Longest text of an account.
_MOST_TEXT: Final = 300


@dataclass(slots=True)
class ReportKey:
    """The bank's signing key of the moment; opened when it is first needed and after it was rotated, since stretching
    the passphrase takes long.

    Attributes:
        node: the bank's own folder.
    """

    node: Path
    _held: HeldKey | None = field(default=None, init=False, repr=False)

    def open(self) -> tuple[PartyId, HeldKey]:
        """Whose it is, and the key. Raises ``KeysError``, and ``ConfigError`` (``no_passphrase``)."""
        store = KeyStore(self.node / KEYS)
        owner, active = store.owner, store.active(SIGNING).key_id
        if self._held is None or self._held.key_id != active:
            self._held = store.open(active, passphrase_of(owner))
        return owner, self._held


@dataclass(frozen=True, slots=True)
class DecisionReports:
    """Attributes:
    policy: None: the service decides nothing.
    key: None: the bank has no node.
    names: party → what its data are called, in English and Chinese; of the bank what it is called itself.
    """

    policy: Policy | None
    key: ReportKey | None
    names: Mapping[PartyId, tuple[str, str]]

    def made(self, kept: Kept, moment: Callable[[], datetime]) -> Report:
        """The report of an answer: the same body and page however often it is asked for, as long as the key is.

        Args:
            moment: says when it was first made; asked once nothing else can fail.

        Raises:
            RequestError: 409, ``no_loan``, ``no_policy``, ``no_key``; ``decision_differs`` if this release decides
            otherwise; ``report_unusable`` naming what cannot be shown.
        """
        from lab.decision.page import render  # brings what draws documents: who makes no report does without

        told = json.loads(kept.body)
        policy, loan = self._decided_by(told["decided"], kept.loan)
        case = case_of(_answer(told), told["mode"], loan, datetime.fromisoformat(told["scored_at"]))
        decision = decide(policy, case)
        if decision_answer(decision).model_dump(mode="json") != told["decided"]:
            raise _conflict(
                "decision_differs",
                "This release does not decide as was told; a report made now would not be one of that decision.",
                "当前版本的决策与当时告知的不一致，无法出具该决策的报告。",
            )
        bank, key = self._opened()
        account = self._account(told, bank)
        return sign(body_of(policy, case, decision, account, moment()), key, render)

    def _decided_by(self, decided: Mapping[str, Any] | None, loan: str | None) -> tuple[Policy, Loan]:
        if self.policy is None or (decided and decided["policy_digest"] != self.policy.digest):
            by = f" {decided['policy']}, version {decided['policy_version']}" if decided else ""
            by_zh = f" {decided['policy']} 版本 {decided['policy_version']}" if decided else ""
            raise _conflict(
                "no_policy",
                f"The service decides by no policy, or not by the one of then{by}. Its operator starts one with that "
                "policy to make the report.",
                f"本服务当前未使用作出该决策的策略{by_zh}：请由运营方以该策略启动服务后出具报告。",
            )
        if decided is None or loan is None:
            raise _conflict(
                "no_loan",
                "No loan was asked for with this score, or it was told before reports were: nothing was decided.",
                "该评分未附贷款申请，或早于报告功能，没有可出具报告的决策。",
            )
        return self.policy, Loan.model_validate(json.loads(loan))

    def _opened(self) -> tuple[PartyId, HeldKey]:
        try:
            if self.key:
                return self.key.open()
        except (KeysError, ConfigError) as error:
            log.error("%s: %s", error.code, error)
        raise _conflict(
            "no_key",
            "The service has no key to sign a report with; its operator gives the bank's node one, and the passphrase.",
            "本服务没有可用的签名密钥：请运营方为银行节点配置密钥与口令。",
        )

    def _account(self, told: Mapping[str, Any], bank: PartyId) -> Account:
        model, consent, why = told["model"], told["consent_id"], told["degraded_reason"]
        if told["mode"] == "refer":
            model = None
        try:
            return Account.model_validate(
                {
                    "score_id": told["score_id"],
                    "application_id": told["application_id"],
                    "scored_at": told["scored_at"],
                    "bank": self._named(bank),
                    "model": {name: model[name] for name in ("name", "version", "digest")} if model else None,
                    "sources": [self._named(party) for party in told["parties_used"]],
                    "consent": {"consent": consent, "purpose": told["purpose"]} if consent else None,
                    "degraded_reason": f"{why['text_zh']} {why['text']}"[:_MOST_TEXT] if why else None,
                    "reasons": [
                        {name: reason[name] for name in ("code", "party", "text", "text_zh")}
                        for reason in told["reasons"]
                    ],
                }
            )
        except ValidationError as error:
            english, chinese = first_fault(error, "report")
            raise _conflict(
                "report_unusable", f"The report cannot show {english}.", f"报告无法显示：{chinese}。"
            ) from None

    def _named(self, party: PartyId) -> dict[str, str]:
        english, chinese = self.names.get(party, (party, party))
        return {"party": party, "english": english, "chinese": chinese}


def _answer(told: Mapping[str, Any]) -> Answer | None:
    return None if told["mode"] == "refer" else Answer(told["default_probability"], told["points"], told["band"])


def _conflict(code: str, english: str, chinese: str) -> RequestError:
    return RequestError(HTTPStatus.CONFLICT, code, english, chinese)
