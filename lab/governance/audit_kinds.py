"""What an audit log can say: the closed list of kinds, and of references each may carry.

A reference is an id, a digest, a count, a code, or a list of them. Nothing else fits: no value of an applicant, no free
text. People and enterprises appear as keyed digests (``audit_entry.keyed_digest``); what looks like a number on an
identity card, a unified social credit code, or a telephone number is refused wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

MAX_COUNT: Final = 2**53  # beyond it JSON readers differ
MAX_LIST: Final = 1000

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}")
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2}){1,1024}")
#: 18 characters of an identity card or of a unified social credit code, 15 of an old card, 11 of a mobile telephone.
_PERSONAL: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:\d{17}[\dXx]|[0-9A-HJ-NPQRTUWXY]{2}\d{6}[0-9A-HJ-NPQRTUWXY]{10}|\d{15}|1[3-9]\d{9})"
    r"(?![0-9A-Za-z])"
)
_HEAD: Final = {"party", "number", "digest", "suite", "key", "public", "signature", "countersignature"}


def is_name(value: Any) -> bool:
    """Text for a party or an operator: 1 to 128 printable characters, no identifier of a person."""
    return isinstance(value, str) and 0 < len(value) <= 128 and _is_plain_name(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and _is_plain_id(value)


# The same parties, keys, models and purposes come with every score.
@lru_cache(maxsize=1024)
def _is_plain_name(text: str) -> bool:
    return text.isprintable() and not _PERSONAL.search(text)


@lru_cache(maxsize=1024)
def _is_plain_id(text: str) -> bool:
    return bool(_ID.fullmatch(text)) and not _PERSONAL.search(text)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_COUNT


def _list_of(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and 0 < len(value) <= MAX_LIST and all(map(one, value))


def _is_head(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == _HEAD
        and is_name(value["party"])
        and _is_count(value["number"])
        and bool(_is_digest(value["digest"]))
        and is_name(value["suite"])
        and is_name(value["key"])
        and _is_hex(value["public"])
        and _is_hex(value["signature"])
        and (value["countersignature"] == "" or _is_hex(value["countersignature"]))
    )


_is_digest = _matches(_DIGEST)
_is_hex = _matches(_HEX)

#: reference → what it may hold
REFERENCES: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("session", "model", "score", "purpose", "catalogue", "use"), _is_id),
    **dict.fromkeys(("version", "request", "state", "policy_version"), _is_id),
    **dict.fromkeys(("key", "replaced", "suite", "party", "source"), is_name),
    # digests of things: a file, a half, a policy, a list of consents, one consent, torn bytes
    **dict.fromkeys(("data", "half", "model_digest", "policy", "consent_set", "consent", "torn"), _is_digest),
    "decision_policy": _is_digest,  # a bank's; "policy" is a data node's rules
    **dict.fromkeys(("applicant", "record"), _is_digest),  # keyed digests
    **dict.fromkeys(("n_rows", "n_refused", "n_bytes", "offset", "n_features"), _is_count),
    **dict.fromkeys(("epsilon_millionths", "spent_millionths"), _is_count),  # of one release; of the period with it
    **dict.fromkeys(("code", "decision"), _matches(_CODE)),
    "decided_by": _list_of(_matches(_CODE)),  # rules of the decision policy
    "public": _is_hex,
    "parties": _list_of(is_name),
    "items": _list_of(_is_id),  # catalogue items, "ITEM@VERSION"
    "sources": _list_of(is_name),  # who holds what the items are made of, as the catalogue names them
    "heads": _list_of(_is_head),
}


@dataclass(frozen=True)
class Kind:
    """Attributes:
    english, chinese: what happened.
    needs, may: references it must and may have.
    """

    english: str
    chinese: str
    needs: frozenset[str]
    may: frozenset[str]

    @cached_property
    def named(self) -> frozenset[str]:
        """All that it knows."""
        return self.needs | self.may


def _kind(english: str, chinese: str, needs: str, may: str = "") -> Kind:
    return Kind(english, chinese, frozenset(needs.split()), frozenset(may.split()))


#: What a bank's policy made of a score, or of there being none.
_DECIDED: Final = " decision decided_by decision_policy policy_version"

KINDS: Final[Mapping[str, Kind]] = {
    "log_opened": _kind("log opened", "开立日志", "key suite public"),
    "audit_key_rotated": _kind("audit key changed", "更换审计密钥", "key suite public replaced"),
    "tail_recovered": _kind("a torn line was set aside after a crash", "崩溃后移出残缺行", "torn offset n_bytes"),
    "session_opened": _kind(
        "session opened", "会话开始", "session parties", "model data items catalogue policy purpose"
    ),
    "rows_admitted": _kind(
        "rows admitted", "数据行准入", "session n_rows", "data source sources policy consent_set n_refused catalogue"
    ),
    "noise_spent": _kind(
        "counts released with noise",
        "披露加噪计数",
        "session n_features epsilon_millionths spent_millionths",
    ),
    "session_ended": _kind("session ended", "会话结束", "session", "model code"),
    "refused": _kind(
        "request refused",
        "拒绝请求",
        "code",
        "session model party applicant consent request purpose score version model_digest" + _DECIDED,
    ),
    "key_generated": _kind("key generated", "生成密钥", "key use", "public session"),
    "key_rotated": _kind("key rotated", "轮换密钥", "key replaced use", "public"),
    "key_revoked": _kind("key revoked", "吊销密钥", "key", "use code party"),
    "consent_imported": _kind("consents imported", "导入授权", "", "consent consent_set n_rows source"),
    "consent_revoked": _kind("consent revoked", "撤销授权", "consent", "applicant code"),
    "record_changed": _kind("record changed", "信用记录变更", "record", "applicant state code source"),
    "catalogue_changed": _kind("catalogue changed", "目录变更", "catalogue", "items"),
    "policy_changed": _kind("rules changed", "规则变更", "policy", "state"),
    "model_sealed": _kind(
        "half of the model sealed", "封存半模型", "model half", "session items catalogue data model_digest"
    ),
    "model_approved": _kind("model approved", "批准模型", "model", "model_digest version purpose"),
    "model_published": _kind("model published", "发布模型", "model", "model_digest half version purpose state"),
    "model_retired": _kind("model retired", "停用模型", "model", "model_digest half version purpose"),
    "model_frozen": _kind("model frozen", "冻结模型", "model", "code version"),
    "score_answered": _kind(
        "score answered",
        "应答评分",
        "model",
        "score applicant purpose consent consent_set parties version request n_rows n_refused model_digest code "
        "catalogue items sources policy" + _DECIDED,
    ),
    "shadow_answered": _kind(
        "score of a model on trial, told nobody",
        "影子评分（未告知）",
        "model",
        "score applicant purpose consent consent_set parties version request n_rows n_refused model_digest code "
        "catalogue items sources policy",
    ),
    "heads_countersigned": _kind("heads countersigned", "日志头会签", "session heads"),
    "head_disputed": _kind("a head contradicts an earlier one", "日志头与先前矛盾", "session heads"),
    "log_accepted": _kind("a party's new log accepted", "接受某方新日志", "party", "code"),
}
