"""How many sites a sum must be over, and how many must agree to open it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.errors import LocalProtocolError, PartyId, PlaintextOverflow
from models.errors import ModelError

#: Of two sites each subtracts its own vector and has the other's; of three it still has a sum.
FEWEST_SITES: Final = 3

#: More than anybody sums over, and few enough to bound what a message of names costs.
MOST_SITES: Final = 1000


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What a party of a sum insists on.

    Attributes:
        min_sites: fewest sites in any sum; 3 or more.
    """

    min_sites: int = FEWEST_SITES

    def __post_init__(self) -> None:
        if self.min_sites < FEWEST_SITES:
            raise ModelError(
                "bad_min_sites",
                f"Sums over fewer than {FEWEST_SITES} sites would show single sites: of two, each subtracts its own "
                f"numbers. Set min_sites to {FEWEST_SITES} or more.",
                f"少于 {FEWEST_SITES} 个站点求和会暴露单个站点：两个站点时，任一方减去自身数值即得对方。"
                f"请将 min_sites 设为 {FEWEST_SITES} 或以上。",
            )

    def threshold(self, n_sites: int) -> int:
        """How many of ``n_sites`` must agree to open a sum, unless the operator says more: over two thirds, so that a
        coordinator with a third of the sites on its side opens nothing else (Bonawitz et al. 2017, §6)."""
        return max(self.min_sites, 2 * n_sites // 3 + 1)

    def check_threshold(self, threshold: int, n_sites: int) -> None:
        """Raises ``LocalProtocolError`` (``too_few_sites``) unless over half the sites, and the minimum, must agree.

        With half of them a lying coordinator could have one half unmask a site's vector and the other half its masks.
        """
        if not n_sites // 2 < threshold <= n_sites:
            raise LocalProtocolError(
                "too_few_sites",
                f"{threshold} of {n_sites} sites could open sums; more than half of them must agree.",
                f"设定 {n_sites} 个站点中 {threshold} 个即可打开求和结果；须超过半数同意。",
            )
        self.check_sites(threshold)

    def check_sites(self, n_sites: int, threshold: int = 0) -> None:
        """Raises ``LocalProtocolError`` (``too_few_sites``) for a sum over fewer sites than it takes."""
        least = max(self.min_sites, threshold)
        if n_sites < least:
            raise LocalProtocolError(
                "too_few_sites",
                f"A sum would be over {n_sites} sites; {least} are needed, so that no site's numbers can be told from "
                "it. Let more sites join, or wait until those that left are back.",
                f"求和仅涉及 {n_sites} 个站点，至少需要 {least} 个，否则可由结果推知单个站点的数值。"
                "请让更多站点加入，或等待离线站点恢复。",
            )


def is_roster(parties: Collection[PartyId]) -> bool:
    """Whether names are sorted and each stands once."""
    return list(parties) == sorted(set(parties))


def check_bound(values: NDArray[np.int64], bound: int) -> None:
    """Raises ``PlaintextOverflow`` if a value's magnitude is over ``bound``."""
    if bound < 0 or (values.size and (values.max() > bound or values.min() < -bound)):
        raise PlaintextOverflow(
            "A number of this site is larger than agreed for the sum. Check the units of its table.",
            "本站点某数值超出约定的求和界限。请检查数据表的单位。",
        )
