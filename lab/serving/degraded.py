"""Why an answer is not a joint one, in a code and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from federation.errors import PartyId
from models.errors import LianmoError

_WORDS: Final = {
    "unknown_applicant": (
        "{} does not hold the applicant, or may not use its data for this purpose now.",
        "{}未持有该申请人，或当前未获授权将其数据用于该用途。",
    ),
    "party_suspended": (
        "{} failed several times in a row and is not asked for the moment.",
        "{}连续多次失败，暂不向其查询。",
    ),
    "internal": (
        "the joint scoring met an error of its own; the service's log says which, under the score's id.",
        "联合评分发生内部错误，可凭评分编号在服务日志中查找原因。",
    ),
}


@dataclass(frozen=True, slots=True)
class Degraded:
    """Attributes:
    code: ``unknown_applicant``, ``party_suspended``, ``internal``, or the code of what a party's failure was.
    parties: whose it is; none of an error of our own.
    text, text_zh: in words, without anything of the applicant.
    """

    code: str
    parties: tuple[PartyId, ...]
    text: str
    text_zh: str

    @classmethod
    def of(cls, code: str, parties: Sequence[PartyId] = ()) -> Self:
        english, chinese = _WORDS[code]
        return cls(code, tuple(parties), english.format(", ".join(parties)), chinese.format("、".join(parties)))

    @classmethod
    def by(cls, error: LianmoError, party: PartyId) -> Self:
        """A party's failure."""
        return cls(error.code, (party,), error.english, error.chinese)
