"""The report of one decision: JSON in one form and a page of it, under one signature of the bank, checked offline.

The JSON object holds ``body``, ``digest`` (of the body, which the page shows as well), ``page`` (digest of the page)
and ``signature``, which covers all of them. It is canonical as in RFC 8785 (no number but integers) and ends with a
newline; whatever is not, byte for byte, that form is refused, so no byte of either file can change unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from federation.audit.heads import canonical
from federation.ciphers.suites.choice import suite as suite_named
from federation.ciphers.suites.interface import Suite, fingerprint
from federation.errors import BadSignature, CipherError
from lab.decision.account import Account
from lab.decision.case import Case
from lab.decision.decision import Decision
from lab.decision.policy import Policy
from lab.decision.price import Price, percent
from lab.decision.verdicts import VERDICTS, VERDICTS_ZH, Step
from lab.errors import ConfigError, KeysError
from lab.governance.held import SIGNING, HeldKey, made, read_made
from lab.governance.ring import PublicKey

FORMAT: Final = 1
KIND: Final = "lianmo decision report"
_BODY: Final = b"lianmo.decision.body.1\0"
_PAGE: Final = b"lianmo.decision.page.1\0"
_REPORT: Final = b"lianmo.decision.report.1\0"
_MOST_BYTES: Final = 1 << 20

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """Both files, as they are handed over."""

    data: bytes
    page: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """Attributes:
    owner: the bank whose key signed.
    fingerprint: of that key, to compare over another channel.
    """

    body: Body
    owner: str
    fingerprint: str


def body_of(policy: Policy, case: Case, decision: Decision, account: Account, made_at: datetime) -> Body:
    """What a report says, for the applicant's eyes: no value of a feature, no weight, nothing of the bank's costs."""
    product = policy.product(decision.product)
    guarantee = policy.guarantee(case.loan.guarantee)
    return {
        "format": FORMAT,
        "kind": KIND,
        "score": account.score_id,
        "application": account.application_id,
        "scored_at": _moment(account.scored_at),
        "made_at": _moment(made_at),
        "bank": account.bank.model_dump(),
        "decision": {
            "verdict": decision.verdict,
            "verdict_zh": VERDICTS_ZH[decision.verdict],
            "as_of": decision.as_of.isoformat(),
            "made_by": [step.rule for step in decision.made_by],
            "steps": [_step(step) for step in decision.steps if _is_told(step, decision)],
            "offer": _offer(policy, decision),
            "review": _review(decision),
        },
        "loan": {
            "product": {"code": product.code, "english": product.english, "chinese": product.chinese},
            "amount": case.loan.amount,
            "term_months": case.loan.term_months,
            "guarantee": {
                "code": case.loan.guarantee,
                "english": guarantee.english if guarantee else "",
                "chinese": guarantee.chinese if guarantee else "",
            },
        },
        "score_facts": {
            "mode": decision.mode,
            "points": None if case.points is None else f"{case.points:f}",
            "band": case.band,
            "degraded_reason": account.degraded_reason,
            "reasons": [reason.model_dump() for reason in account.reasons],
        },
        "model": account.model.model_dump() if account.model else None,
        "sources": [source.model_dump() for source in account.sources],
        "consent": account.consent.model_dump() if account.consent else None,
        "policy": {
            "name": decision.policy,
            "version": decision.policy_version,
            "digest": decision.policy_digest,
            "sample": decision.is_sample,
        },
        "objection": policy.objection.model_dump(),
    }


def sign(body: Body, key: HeldKey, render: Callable[[Body, str, str], bytes]) -> Report:
    """The report with its page, signed.

    Args:
        key: the bank's signing key, active.
        render: body, digest of the body, id of the key → the page.

    Raises:
        KeysError: the key is for something else, or retired or revoked.
    """
    digest = key.suite.digest(_BODY + canonical(body)).hex()
    page = render(body, digest, key.key_id)
    signed = {"body": body, "digest": digest, "page": key.suite.digest(_PAGE + page).hex()}
    signature = key.sign(_signed_bytes(signed, key.suite, key.key_id))
    return Report(_file({**signed, "signature": made(key.suite, key.key_id, "signature", signature)}), page)


def verify(data: bytes, keys: Sequence[PublicKey], page: bytes | None = None) -> Verified:
    """Whether both are, to the last byte, what the bank signed.

    Args:
        keys: the bank's, as it publishes them.
        page: None: only the JSON is looked at.

    Raises:
        ConfigError: ``report_unreadable``. CipherError: ``report_changed``, ``page_changed``.
        KeysError: ``unknown_key``, ``key_revoked``: nothing that key signed is believed, since nobody can tell when.
    """
    told = _read(data)
    signed = {name: told[name] for name in ("body", "digest", "page")}
    (_, key_id), signature = read_made(told["signature"], "signature")
    key = _key(keys, key_id)
    suite = suite_named(key.suite)
    try:
        suite.verify(bytes.fromhex(key.public), _signed_bytes(signed, suite, key_id), signature)
    except BadSignature:
        raise _changed() from None
    body = signed["body"]
    if (
        data != _file({**signed, "signature": made(suite, key_id, "signature", signature)})
        or suite.digest(_BODY + canonical(body)).hex() != signed["digest"]
        or (body.get("format"), body.get("kind"), body["bank"]["party"]) != (FORMAT, KIND, key.owner)
    ):
        raise _changed()
    if page is not None and suite.digest(_PAGE + page).hex() != signed["page"]:
        raise CipherError(
            "page_changed",
            "The page is not the one signed with this report. Do not rely on it; ask the bank for a fresh one.",
            "页面与该报告签名时不一致，请勿采信，并请银行重新出具。",
        )
    return Verified(body, key.owner, fingerprint(suite, bytes.fromhex(key.public)))


def _signed_bytes(signed: Body, suite: Suite, key_id: str) -> bytes:
    return _REPORT + canonical({**signed, "suite": suite.name, "key_id": key_id})


def _file(told: Body) -> bytes:
    return canonical(told) + b"\n"


def _read(data: bytes) -> Body:
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError("too long")
        told = json.loads(data)
        body = told["body"]
        if set(told) != {"body", "digest", "page", "signature"} or body["decision"]["verdict"] not in VERDICTS:
            raise ValueError("no report")
        if not all(isinstance(text, str) for text in (body["application"], body["bank"]["party"])):
            raise ValueError("no report")
    except (KeyError, ValueError, TypeError, RecursionError):
        raise ConfigError(
            "report_unreadable",
            "This is no decision report, or it was damaged on its way. Ask the bank for a fresh one.",
            "该文件不是决策报告，或在传输中损坏，请银行重新出具。",
        ) from None
    return dict(told)


def _key(keys: Sequence[PublicKey], key_id: str) -> PublicKey:
    for key in keys:
        if (key.key_id, key.purpose) == (key_id, SIGNING):
            if key.revoked:
                raise KeysError(
                    "key_revoked",
                    f"The key {key_id} of {key.owner} was revoked at {key.revoked}: nobody can tell whether it signed "
                    "this before. Ask the bank for a fresh report.",
                    f"{key.owner} 的密钥 {key_id} 已于 {key.revoked} 吊销，无法确认签名是否在此之前，请银行重新出具。",
                )
            return key
    raise KeysError(
        "unknown_key",
        "The key that signed this report is not among those given. Ask the bank for its public keys of today.",
        "签署该报告的密钥不在所给公钥之中，请向银行索取最新公钥。",
    )


def _changed() -> CipherError:
    return CipherError(
        "report_changed",
        "This report is not what the bank signed: something in it was changed. Do not rely on it.",
        "该报告与银行签署的内容不一致，已被改动，请勿采信。",
    )


def _is_told(step: Step, decision: Decision) -> bool:
    """No amount or rate that reads like an offer where there is none."""
    return decision.offer is not None or step.verdict != "approve" or step.rule not in ("limit", "price")


def _step(step: Step) -> Body:
    return {"rule": step.rule, "verdict": step.verdict, "english": step.english, "chinese": step.chinese}


def _offer(policy: Policy, decision: Decision) -> Body | None:
    quote = decision.offer
    if quote is None:
        return None

    def priced(price: Price) -> Body:
        guarantee = policy.guarantee(price.guarantee)
        assert guarantee
        return {
            "guarantee": price.guarantee,
            "english": guarantee.english,
            "chinese": guarantee.chinese,
            "rate": percent(price.rate),
            "fee": percent(price.fee),
            "total": percent(price.total),
        }

    others = [priced(price) for price in quote.others if price.is_within]
    return {"limit": int(quote.limit), "price": priced(quote.price), "others": others}


def _review(decision: Decision) -> Body | None:
    review = decision.review
    if review is None:
        return None
    return {
        "role": review.role,
        "english": review.english,
        "chinese": review.chinese,
        "why": list(review.why),
        "until": review.until.isoformat(),
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
