"""Sums by groups of sites, so that a group far from the others can be left out.

A sum over all sites does not show that one of them sends nonsense. Sums over groups of a few sites each are still sums,
and a rule can look at them (Velicheti, Xia & Koyejo, "Secure Byzantine-robust distributed learning via clustering",
2021; what a median over means holds off: Yin et al., ICML 2018). The price: the coordinator learns a sum per group, and
with a group go its honest sites.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError, PartyId, SiteLeft
from federation.horizontal.aggregation.interface import Aggregation, Numbers, Total
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import SiteRules
from federation.messages import Message
from federation.script import Script, abreast

#: Of a group: before the first sum five may lose one and still be over the default threshold; three may lose none.
GROUP_SIZE: Final = 5
#: Of three groups one may be false; of two nobody can say which.
FEWEST_GROUPS: Final = 3

#: Group number → its sums, shape ``(n_values,)``; told all of them, answers with the numbers of those to leave out.
Screen = Callable[[Mapping[int, Numbers]], Collection[int]]


def draw_groups(session: str, sites: Collection[PartyId], size: int = GROUP_SIZE) -> tuple[tuple[PartyId, ...], ...]:
    """Groups of ``size`` sites or one to a few more, sorted: shuffled by the session's name, so that anybody can draw
    them again.

    Raises:
        LocalProtocolError: ``too_few_sites`` for fewer than three groups.
    """
    n = len(sites) // max(size, 1)
    if n < FEWEST_GROUPS:
        raise LocalProtocolError(
            "too_few_sites",
            f"{len(sites)} sites make {n} groups of {size}; it takes {FEWEST_GROUPS} groups to tell which is far from "
            "the others. Let more sites join, make groups smaller, or sum without groups.",
            f"{len(sites)} 个站点只能组成 {n} 个 {size} 站点的小组；至少需要 {FEWEST_GROUPS} 组才能判断哪组偏离。"
            "请增加站点、缩小小组，或不分组求和。",
        )
    SiteRules().check_sites(size)
    order = np.random.default_rng(list(session.encode())).permutation(len(sites))
    names = sorted(sites)
    return tuple(tuple(sorted(names[k] for k in part)) for part in np.array_split(order, n))


@dataclass(slots=True)
class GroupedAggregation:
    """See ``Aggregation``: one per group, and the sum over groups that ``screen`` does not leave out.

    Groups stay as they are: sums over other groups of the same sites would tell their differences. Of a group that
    loses a site, the others stand aside after the first sum (``Presence.together``); one that falls under its threshold
    has left. Sites that come late have no group: they stand aside and are told the model.

    Attributes:
        presence: of all sites, each in one group.
        groups: of each, its own aggregation; its presence says who belongs to it.
        screen: sees each sum of each group that is not out.
        out: groups whose sums are left out from here on. Their sites stand aside and get the model.

    Raises:
        LocalProtocolError: ``policy`` for a site in no group, or in two.
    """

    presence: Presence
    groups: Sequence[Aggregation]
    screen: Screen
    out: set[int] = field(default_factory=set)
    _members: tuple[tuple[PartyId, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._members = tuple(group.presence.sites for group in self.groups)
        if sorted(party for members in self._members for party in members) != sorted(self.presence.sites):
            raise LocalProtocolError(
                "policy",
                "Sums by groups need every site in one group, and in no other: draw groups of all sites.",
                "分组求和要求每个站点属于且仅属于一个小组：请对全部站点分组。",
            )
        self.presence.together = self._members

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        self._seat()
        scripts = {
            k: _or_left(group, requests, n_values, bound, set(only) & set(self._members[k]))
            for k, group in enumerate(self.groups)
            if set(group.presence.sites) & set(requests)
        }
        found = {k: total for k, total in (yield from abreast(scripts)).items() if total is not None}
        self.presence.sites = tuple(sorted(party for group in self.groups for party in group.presence.sites))
        sums = {k: total.values for k, total in found.items() if k not in self.out}
        incomplete = {party for k in set(scripts) - set(sums) - self.out for party in self._members[k]}
        if set(only) & incomplete:
            raise SiteLeft
        self.out |= set(self.screen(sums)) if sums else set()
        self.presence.retired |= {party for k in self.out for party in self._members[k]}
        kept = [found[k] for k in sums if k not in self.out]
        # More than half of all groups there were must stand behind what is called usual.
        if 2 * len(kept) <= len(self.groups):
            raise LocalProtocolError(
                "too_few_sites",
                f"{len(kept)} of {len(self.groups)} groups of sites are left in the sum: which of them are to be "
                "believed cannot be told. Look at what sites send, and start again with those that can be trusted.",
                f"{len(self.groups)} 个小组中仅剩 {len(kept)} 个参与求和，无法判断哪些可信。"
                "请核查各站点提交的内容，由可信站点重新开始。",
            )
        contributors = tuple(sorted(party for total in kept for party in total.contributors))
        values: Numbers = np.sum([total.values for total in kept], axis=0)
        return Total(values, contributors)

    def _seat(self) -> None:
        """Who has left the application's script has left its group."""
        present = set(self.presence.sites)
        for group, members in zip(self.groups, self._members, strict=True):
            group.presence.sites = tuple(party for party in members if party in present)
            present -= set(members)
        self.presence.aside = tuple(sorted({*self.presence.aside, *present}))  # came late


def _or_left(
    group: Aggregation, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId]
) -> Script[Total | None]:
    """Nothing of a group that has lost a site of ``only``, or is under its threshold: nobody of that is asked again."""
    try:
        return (yield from group.total(requests, n_values, bound, only))
    except SiteLeft:
        return None
    except LocalProtocolError as error:
        if error.code != "too_few_sites":
            raise
        group.presence.sites = ()
        return None
