"""What each data node's columns are worth to the bank: without one of them, and shared out by Shapley's value.

A coalition is the guest with some of the hosts; its worth is how well the model trained by just these parties does on
the same held-out rows. Intervals tell how much the worth hangs on which rows were held out; how much it hangs on the
rows that were fitted they do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import factorial
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from models.errors import ModelError
from models.losses import Floats
from models.samples import check_parameter, checked_label, checked_score, need_both_classes
from models.validation.decisions import bad_rate_at
from models.validation.metrics import Interval, auc, ks

#: Hosts of one coalition; the guest is always in.
Coalition = frozenset[str]
#: 2^4 = 16 models.
MAX_HOSTS: Final = 4
MEASURES: Final = ("auc", "ks", "money")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyTerms:
    """How defaults become money. The defaults are placeholders: a bank puts in its own.

    Attributes:
        approval_rate: share of applicants approved, safest first, in (0, 1].
        amount: exposure at default of one loan, in any currency.
        loss_given_default: share of it that is lost, in [0, 1].

    Raises:
        ModelError: ``bad_parameter``.
    """

    approval_rate: float = 0.7
    amount: float = 10_000.0
    loss_given_default: float = 0.45

    def __post_init__(self) -> None:
        check_parameter("approval_rate", self.approval_rate, 0.01, 1.0)
        check_parameter("amount", self.amount, 0.0, 1e12)
        check_parameter("loss_given_default", self.loss_given_default, 0.0, 1.0)

    def expected_loss(self, label: Floats, margin: Floats) -> float:
        """Loss per application received, approved or not, in the currency of ``amount``."""
        rate = bad_rate_at(label, margin, self.approval_rate)
        return self.approval_rate * rate * self.amount * self.loss_given_default


#: host → measure → value with its interval
Worth = Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True, slots=True)
class PartyValues:
    """Worth of every host.

    Attributes:
        hosts: in the order given.
        money: the terms under which ``"money"`` holds: expected loss saved per application.
        coalitions: hosts of each, joined by ``+`` (empty: the guest alone) → measure → value.
        shapley: average gain over all orders in which hosts could join; hosts' values sum to ``together``.
        left_out: what is lost when this host alone stays away.
        together: gain of all hosts over the guest alone.
        n_rows, n_resamples: held-out rows, and resamples behind intervals (95 %, percentile).
    """

    hosts: tuple[str, ...]
    money: MoneyTerms
    coalitions: Mapping[str, Mapping[str, float]]
    shapley: Worth
    left_out: Worth
    together: Mapping[str, Interval]
    n_rows: int
    n_resamples: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"hosts": list(self.hosts)}


def coalitions_of(hosts: Sequence[str]) -> tuple[Coalition, ...]:
    """All sets of hosts, the largest first, the empty one last.

    Raises:
        ModelError: ``too_many_hosts`` over 4, ``bad_parameter`` if names repeat or there are none.
    """
    if len(hosts) > MAX_HOSTS:
        raise ModelError(
            "too_many_hosts",
            f"{len(hosts)} hosts make {2 ** len(hosts)} coalitions, each a model to train; at most {MAX_HOSTS} hosts "
            "are taken. Leave hosts out of the file.",
            f"{len(hosts)} 个数据方有 {2 ** len(hosts)} 种组合，每种需训练一个模型；最多支持 {MAX_HOSTS} 个，"
            "请减少数据方。",
        )
    if not hosts or len(set(hosts)) < len(hosts):
        raise ModelError("bad_parameter", "Hosts must be named, each once.", "须列出数据方，且名称不得重复。")
    return tuple(frozenset(c) for n in range(len(hosts), -1, -1) for c in combinations(hosts, n))


def shapley(hosts: Sequence[str], worth: Mapping[Coalition, Floats]) -> dict[str, Floats]:
    """Each host's average gain over all orders of joining (Shapley 1953).

    Args:
        worth: of every coalition, arrays of one shape.
    """
    n = len(hosts)
    values: dict[str, Floats] = {}
    for host in hosts:
        without = [c for c in worth if host not in c]
        shares = [factorial(len(c)) * factorial(n - len(c) - 1) / factorial(n) for c in without]
        values[host] = np.sum(
            [s * (worth[c | {host}] - worth[c]) for s, c in zip(shares, without, strict=True)], axis=0
        )
    return values


def party_values(
    label: ArrayLike,
    hosts: Sequence[str],
    margin_of: Callable[[Coalition], ArrayLike],
    *,
    money: MoneyTerms | None = None,
    seed: int,
    n_resamples: int = 200,
) -> PartyValues:
    """Train (or look up) every coalition and share out the gain.

    Args:
        label: of the held-out rows, 1 = default, shape ``(n_rows,)``.
        margin_of: coalition → log-odds of default of the same rows by its model; called once for each, the guest with
            all hosts first, the guest alone last.
        n_resamples: 20 to 100,000; all coalitions are measured on the same resampled rows.

    Raises:
        DataError: those of ``models.samples``.
        ModelError: those of ``coalitions_of``, ``bad_parameter``.
    """
    check_parameter("n_resamples", n_resamples, 20, 100_000)
    money = money or MoneyTerms()
    coalitions = coalitions_of(hosts)
    y = checked_label(label)
    need_both_classes(y)
    margins = {c: checked_score(margin_of(c), len(y), "margin") for c in coalitions}
    rng = np.random.default_rng(seed)
    bad, good = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    draws = [np.arange(len(y))]  # the rows themselves first, then resamples within each class
    draws += [np.concatenate([rng.choice(bad, len(bad)), rng.choice(good, len(good))]) for _ in range(n_resamples)]
    worth = {c: np.array([_measured(y[rows], m[rows], money) for rows in draws]) for c, m in margins.items()}
    everyone, nobody = coalitions[0], coalitions[-1]
    return PartyValues(
        hosts=tuple(hosts),
        money=money,
        coalitions={_name(c, hosts): _gained(worth[c][0]) for c in coalitions},
        shapley={host: _intervals(v) for host, v in shapley(hosts, worth).items()},
        left_out={host: _intervals(worth[everyone] - worth[everyone - {host}]) for host in hosts},
        together=_intervals(worth[everyone] - worth[nobody]),
        n_rows=len(y),
        n_resamples=n_resamples,
    )


def _measured(label: Floats, margin: Floats, money: MoneyTerms) -> tuple[float, float, float]:
    """In the order of ``MEASURES``; more is better, so a loss counts below zero."""
    return auc(label, margin), ks(label, margin), -money.expected_loss(label, margin)


def _gained(values: Floats) -> dict[str, float]:
    return dict(zip(MEASURES, map(float, values), strict=True))


def _intervals(values: Floats) -> dict[str, Interval]:
    """Of values per draw and measure, the rows themselves first, shape ``(1 + n_resamples, 3)``."""
    low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
    return {measure: Interval(float(values[0, k]), float(low[k]), float(high[k])) for k, measure in enumerate(MEASURES)}


def _name(coalition: Coalition, hosts: Sequence[str]) -> str:
    return "+".join(host for host in hosts if host in coalition)
