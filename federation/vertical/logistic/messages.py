"""Messages of the joint scorecard. Direction, meaning and what each reveals stand in each docstring.

Margins travel as int64, little-endian, in units of 2**-40, modulo 2**64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.messages import Message

#: Most partial margins a host shows of its fitted rows unless its operator says otherwise.
MAX_MARGINS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="logistic.open"):
    """Guest → host. The run's terms: key, row counts, and how many numbers a row's derivatives are.

    The first ``n_fit`` of ``n_rows`` rows are fitted. ``n_values``: one and the number of the guest's features.
    ``max_margins``: most rounds after the first.

    Reveals to host: the public key, how many rows are used for fitting, how many features the guest uses, and how many
    rounds there may be.
    向数据方透露：公钥、用于拟合的行数、银行使用的特征数量，以及轮数上限。
    """

    model_id: str
    cipher: str
    key: bytes
    n_rows: int
    n_fit: int
    n_values: int
    max_margins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message, kind="logistic.ready"):
    """Host → guest. ``mask_key``: the host's X25519 public key, made for this run; ``exponent``: its WOE is at most
    ``2**exponent`` in magnitude.

    Reveals to guest: how many features the host uses, and about how large its largest WOE is; no name, no bin.
    向银行透露：数据方使用的特征数量及其最大 WOE 的量级；不透露名称与分箱。
    """

    n_features: int
    mask_key: bytes
    exponent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduce(Message, kind="logistic.introduce"):
    """Guest → host. ``mask_keys``: the X25519 public keys of all hosts of the run, its own among them; ``n_features``:
    how many features each of them has.

    Reveals to host: how many hosts take part, and how many features each uses.
    向数据方透露：参与的数据方数量及各方的特征数量。
    """

    mask_keys: tuple[bytes, ...]
    n_features: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduced(Message, kind="logistic.introduced"):
    """Host → guest. The host shares a secret with every other host.

    Reveals to guest: nothing.
    向银行透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivatives(Message, kind="logistic.derivatives"):
    """Guest → host. Rows from ``start`` on, encrypted: first for all of them residual, and residual weight times each
    guest feature, packed into as many ciphertexts as they need (kind after kind); then for all of them the weight.

    Reveals to host: nothing (semantic security of the cipher).
    向数据方透露：无（密码的语义安全性）。
    """

    round: int
    start: int
    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Message, kind="logistic.stored"):
    """Host → guest. How many rows of this round's derivatives have arrived.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect(Message, kind="logistic.collect"):
    """Guest → host. All rows of the round are there; add them up. ``ciphertexts``: minus the sum over all rows of each
    kind of ciphertext, so that the host can multiply by negative numbers.

    Reveals to host: nothing (semantic security of the cipher).
    向数据方透露：无（密码的语义安全性）。
    """

    round: int
    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks(Message, kind="logistic.blocks"):
    """Host → guest. The host's part of gradient and hessian: per feature the packed derivatives times its WOE, summed
    over all fitted rows; then, several to a ciphertext, the weight times WOE per feature and times the product of WOE
    per pair of features. Re-randomised.

    Reveals to guest: one number per unnamed feature of the host (gradient), and its products with each guest feature
    and with each other feature of this host, all summed over all fitted rows (hessian); nothing per bin or per row.
    向银行透露：数据方每个未命名特征的梯度，以及其与银行各特征、与本数据方其他特征的二阶矩，均为全部拟合行之和；
    不透露任何单个分箱或单行的数值。
    """

    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Veil(Message, kind="logistic.veil"):
    """Guest → host, where there are several. Rows from ``start`` on of this round, for products with each other host in
    the order of ``mask_keys``: ``seeds``: what to take random numbers from; ``shares``: the host's share of every row's
    weight, uint64, little-endian, modulo 2**64.

    Reveals to host: nothing (a share alone is random).
    向数据方透露：无（单独一份权重份额为随机数）。
    """

    round: int
    start: int
    seeds: tuple[bytes, ...]
    shares: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Veiled(Message, kind="logistic.veiled"):
    """Host → guest. ``factors``: for each other host, its WOE and its WOE times weight shares, minus the numbers it was
    dealt, under a pad that only the two hosts know.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    factors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Message, kind="logistic.pair"):
    """Guest → host. ``factors``: what each other host veiled for it.

    Reveals to host: nothing (they lack numbers that only the other host and the guest know).
    向数据方透露：无（已减去仅对方与银行知道的随机数）。
    """

    factors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired(Message, kind="logistic.paired"):
    """Host → guest. How many rows are added up; once all are, ``sums``: for each other host, its part of the sums of
    products, under masks that cancel in the sum of both parts.

    Reveals to guest: for each unnamed feature of one host and each of another, the sum over all fitted rows of weight
    times both WOE.
    向银行透露：对一数据方与另一数据方的每对未命名特征，全部拟合行上权重与两者 WOE 乘积之和。
    """

    n_rows: int
    sums: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Message, kind="logistic.keep"):
    """Guest → host. Go on with fewer features. ``places``: the host's that stay, in order; ``n_values``: one and the
    number of the guest's.

    Reveals to host: which of its features are left out, and how many the guest still uses.
    向数据方透露：其哪些特征被剔除，以及银行仍使用的特征数量。
    """

    places: tuple[int, ...]
    n_values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Message, kind="logistic.kept"):
    """Host → guest. It goes on with so many features.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_features: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weigh(Message, kind="logistic.weigh"):
    """Guest → host. Coefficients of the host's features to go on with.

    Reveals to host: the coefficients of its own features, step by step; nothing of anyone else's.
    向数据方透露：其自身特征的系数（逐步）；不透露任何其他方的系数。
    """

    round: int
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins(Message, kind="logistic.margins"):
    """Host → guest. Its WOE times these coefficients, per fitted row, under masks that cancel in the sum over hosts.

    Reveals to guest: per fitted row, the sum over all hosts of their part of the margin under coefficients the guest
    knows; with one host, that host's part. After as many rounds as the hosts have features together, that is enough to
    solve for the WOE of every row.
    向银行透露：每个拟合行上各数据方对数几率部分之和（系数为银行所知）；仅有一个数据方时即为该方的部分。
    若轮数达到各数据方特征总数，银行可据此解出每行的 WOE。
    """

    values: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal(Message, kind="logistic.seal"):
    """Guest → host. The fit is over: final coefficients of the host's features, and how they become points.

    Reveals to host: the coefficients of its own features, points per doubling of the odds, and whether its points are
    rounded.
    向数据方透露：其自身特征的最终系数、使好坏比翻倍的分数，以及分数是否取整。
    """

    coefficients: tuple[float, ...]
    points_to_double: float
    rounding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(Message, kind="logistic.sealed"):
    """Host → guest. ``digest``: salted SHA-256 of the host's half, which ties the halves together; ``values``: final
    margins of all rows, as in ``logistic.margins``.

    Reveals to guest: nothing about the half's content; per row, the sum over all hosts of their part of the margin. Of
    fitted rows an honest guest could compute it, but for rounding, from what it was shown in the rounds.
    向银行透露：不透露该部分模型的内容；每行各数据方对数几率部分之和。对已拟合的行，诚实的银行本可由此前各轮所得
    推算（仅舍入之差）。
    """

    digest: str
    values: bytes
