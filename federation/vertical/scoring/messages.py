"""Messages of joint scoring. Direction, meaning and what each reveals stand in each docstring."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindedApplicants(Message, kind="scoring.blinded_applicants"):
    """Guest → host. ``points``: 32 bytes per applicant, blinded (RFC 9497 ``BlindedElement``).

    Reveals to host: how many applicants are asked about.
    向数据方透露：询问的申请人数量。
    """

    points: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedApplicants(Message, kind="scoring.evaluated_applicants"):
    """Host → guest. ``points``: the same points under the host's key, same order.

    Reveals to guest: nothing by itself.
    向银行透露：其本身不透露任何信息。
    """

    points: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesWanted(Message, kind="scoring.routes_wanted"):
    """Guest → host. ``tokens``: 16 bytes per applicant; ``digest``: of the half that is meant.

    Reveals to host: which of its own rows are being scored by the bank. Nothing about applicants it does not hold.
    向数据方透露：其哪些行正在被该银行评分；对其未持有的申请人不透露任何信息。
    """

    model_id: str
    digest: str
    tokens: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes(Message, kind="scoring.routes"):
    """Host → guest. ``known``: a bit per applicant; ``left``: bits of shape ``(n_cuts, n_applicants)``, all cuts of
    the half.

    Reveals to guest: whether the host holds the applicant, and on which side of every unnamed cut the applicant lies;
    to the host the path stays unknown, since it answers for all cuts.
    向银行透露：数据方是否持有该申请人，以及申请人位于每个未命名切分的哪一侧；数据方不知道实际路径。
    """

    known: bytes
    left: bytes
