"""Messages of joint binning. Direction, meaning and what each reveals stand in each docstring.

A *prebin* here is what a host shows of a feature: one of its prebins, or several that are too small alone. Regular ones
stand first, then missing and special codes. Features stand in an order that the host draws anew for each run; they have
no name, only their place.
"""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="binning.open"):
    """Guest → host. The run's terms: key, layout of packed sums, row counts.

    The first ``n_fit`` of ``n_rows`` rows carry labels. ``slot``: bits of one sum; ``per_ciphertext``: sums in one
    ciphertext; ``offset``: added to each sum, so that noise of that magnitude fits.

    Reveals to host: the public key, and how many rows are used for fitting.
    向数据方透露：公钥，以及用于拟合的行数。
    """

    cipher: str
    key: bytes
    slot: int
    per_ciphertext: int
    offset: int
    n_rows: int
    n_fit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message, kind="binning.ready"):
    """Host → guest. How many features, and how many prebins they have together.

    Reveals to guest: these two numbers; no name, no cut point.
    向银行透露：这两个数量；不透露名称与切点。
    """

    n_features: int
    n_prebins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels(Message, kind="binning.labels"):
    """Guest → host. ``ciphertexts``: the label of each row from ``start`` on, one ciphertext per row.

    Reveals to host: nothing (semantic security of the cipher).
    向数据方透露：无（密码的语义安全性）。
    """

    start: int
    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Message, kind="binning.stored"):
    """Host → guest. How many labels have arrived.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsWanted(Message, kind="binning.sums_wanted"):
    """Guest → host. All labels have been sent: rows and defaults per prebin, please.

    Reveals to host: nothing.
    向数据方透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PrebinSums(Message, kind="binning.prebin_sums"):
    """Host → guest. Rows per prebin in clear, defaults per prebin encrypted. One entry per feature in each tuple.

    ``n_regular``: how many prebins are regular; ``ordered``: whether neighbouring ones are neighbouring intervals;
    ``trends``: how the host wants the feature to be merged, a method of ``models.woe``, or "" for no wish; ``counts``:
    rows per prebin; ``ciphertexts``: defaults of all prebins, feature after feature, several to a ciphertext,
    re-randomised. ``epsilon``: of the noise in goods and in defaults of each feature (discrete Laplace); 0: no noise.

    Reveals to guest: per unnamed feature how many applicants and how many defaults lie in each prebin, never over
    fewer rows than the host's floor, or both with noise; whether it is numeric; the direction the host wishes for it.
    向银行透露：每个未命名特征各预分箱的申请人数与违约数（所含行数不低于数据方下限，或均加噪声）、是否为数值特征，
    以及数据方期望的单调方向。
    """

    n_regular: tuple[int, ...]
    ordered: tuple[bool, ...]
    trends: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    ciphertexts: bytes
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalBins(Message, kind="binning.final_bins"):
    """Guest → host. What became of the prebins. One entry per feature in ``bin_of`` and ``woe``.

    ``bin_of``: prebin → final bin; ``woe``: final bin → WOE; ``unseen_woe``: WOE of codes that did not occur.

    Reveals to host: the WOE of its own final bins. With its own counts it can work out how many goods and defaults
    each has; no such number is below the guest's minimum cell.
    向数据方透露：其自身各最终分箱的证据权重。结合自有计数可推算每箱的好坏样本数，但均不低于银行设定的最小单元。
    """

    bin_of: tuple[tuple[int, ...], ...]
    woe: tuple[tuple[float, ...], ...]
    unseen_woe: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Message, kind="binning.kept"):
    """Host → guest. It keeps the bins of so many features.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_features: int
