"""Messages of joint scoring. Direction, meaning and what each reveals stand in each docstring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.messages import Message

#: Length of the name of a host's key.
KEY_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindedApplicants(Message, kind="scoring.blinded_applicants"):
    """Guest → host. ``points``: 32 bytes per applicant, blinded (RFC 9497 ``BlindedElement``).

    Reveals to host: how many applicants are asked about.
    向数据方透露：询问的申请人数量。
    """

    points: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedApplicants(Message, kind="scoring.evaluated_applicants"):
    """Host → guest. ``points``: the same points under the host's key, same order; ``key_id``: 8 random bytes that name
    that key, which is another after each start of the host's service.

    Reveals to guest: whether the host's service was started anew since the last question; nothing else by itself.
    向银行透露：数据方服务自上次询问以来是否重新启动；除此之外其本身不透露任何信息。
    """

    points: bytes
    key_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Message, kind="scoring.wanted"):
    """Guest → host. ``tokens``: 16 bytes per applicant, ``key_id``: of the key they were made under; ``digest``: of the
    half that is meant; ``model``: its kind, ``trees`` or ``scorecard``; ``reasons``: whether the scores are to be
    explained; ``request``: the bank's random name for this question, by which both audit logs know it; ``shadow``: the
    model is on trial and nobody is told its scores, which a host may refuse.

    Reveals to host: which of its own rows are being scored by the bank, whether the bank wants reasons, whether the
    model is on trial, and the bank's name for the question. Nothing about applicants it does not hold.
    向数据方透露：其哪些行正在被该银行评分、银行是否需要原因说明、是否为影子模型的查询，以及该次查询的编号；对其未持有的申请人不透露任何信息。
    """

    model: str
    model_id: str
    digest: str
    tokens: bytes
    key_id: bytes
    reasons: bool
    request: str
    shadow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes(Message, kind="scoring.routes"):
    """Host → guest, of trees. ``known``: a bit per applicant; ``left``: bits of shape ``(n_cuts, n_applicants)``, all
    cuts of the half; ``words``: English and Chinese for each of its numbered features, as its operator put them, empty
    where nothing is said; none at all unless reasons are wanted and the host gives them.

    Reveals to guest: whether the host holds the applicant, and on which side of every unnamed cut the applicant lies;
    to the host the path stays unknown, since it answers for all cuts. If reasons are wanted, what the host's operator
    lets the public read about its features.
    向银行透露：数据方是否持有该申请人，以及申请人位于每个未命名切分的哪一侧；数据方不知道实际路径。
    如需原因说明，另透露数据方运维人员允许公开的特征说明。
    """

    known: bytes
    left: bytes
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Message, kind="scoring.parts"):
    """Host → guest, of a scorecard. ``known``: a bit per applicant; ``margins``: the host's part of each margin, int64,
    little-endian, in units of 2**-40, as in ``logistic.margins``; ``points``: its points, float64, little-endian;
    ``contributions``: nothing unless reasons are wanted; else what each of its features adds to the margin against the
    average fitted row, shape ``(n_features, n_applicants)`` in the form of ``margins``, if the host gives reasons, and
    of all its features together if not; ``words``: as in ``scoring.routes``, of the features in the order of the half.
    A host may round: points to multiples of its ``round_parts``, margins and contributions to as much in log-odds.

    Reveals to guest: whether the host holds the applicant, and this host's own part of the margin and points, unmasked,
    as finely as the host tells them (which combinations of its bins these are, the guest can narrow down). If reasons
    are wanted, also the mean of that part over the fitted rows; and, if this host's operator gives reasons, the part of
    each unnamed feature, which is its bin in effect, and what the operator lets the public read about its features.
    向银行透露：数据方是否持有该申请人，以及该数据方自身的对数几率部分与分数（未加掩码，精度由数据方决定，银行可据此缩小其分箱组合的范围）。
    如需原因说明，另透露该部分在拟合行上的均值；若数据方运维人员允许，则另透露每个未命名特征的贡献（实际上等同于其所在分箱）
    以及允许公开的特征说明。
    """

    known: bytes
    margins: bytes
    points: bytes
    contributions: bytes
    words: tuple[tuple[str, str], ...]
