"""Which sites still answer, and whose numbers may be in the next sum: learning goes on without those that left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from federation.errors import PartyId
from federation.expect import expect
from federation.horizontal.aggregation.rules import FEWEST_SITES
from federation.messages import Message
from federation.script import Replies

M = TypeVar("M", bound=Message)
log = logging.getLogger("lianmo.sites")


@dataclass(slots=True)
class Presence:
    """One object for all scripts of a run: who did not answer one of them is asked by none.

    Attributes:
        sites: who has not left and takes part, sorted. Who comes late, or again, is added by whoever lets it in.
        aside: who has not left, and whose numbers are in no sum any more, or not yet.
        summed: sites of the last sum over all rows, sorted; empty before the first.
        retired: who was in such a sum once and is not now. Its numbers are in none again.
        together: groups of which sums are told, too; where one of a group is gone, all of it is.
        refusals: who refused something, and so left, with the code of its reason.
        in_company: whether the sum that is asked for now is one over all rows (``total_in_company``).
        pledge: called before such a sum is opened, if it is over other sites than the last: whoever resumes a run that
            died has to know of it.
    """

    sites: tuple[PartyId, ...]
    aside: tuple[PartyId, ...] = ()
    summed: tuple[PartyId, ...] = ()
    retired: set[PartyId] = field(default_factory=set)
    together: tuple[tuple[PartyId, ...], ...] = ()
    refusals: dict[PartyId, str] = field(default_factory=dict)
    in_company: bool = False
    pledge: Callable[[], None] = lambda: None

    @property
    def all_there(self) -> tuple[PartyId, ...]:
        """Who has not left, whether in sums or aside, sorted."""
        return tuple(sorted({*self.sites, *self.aside}))

    def arrived(self, replies: Replies, asked: Collection[PartyId], kind: type[M]) -> dict[PartyId, M]:
        """Reply of each party asked that has answered; the others have left.

        Raises:
            RemoteProtocolError: ``out_of_turn``, of a party that answered with another kind of message.
        """
        came = {party: expect(replies, party, kind) for party in asked if party in replies}
        self.sites = tuple(party for party in self.sites if party in came or party not in asked)
        self.aside = tuple(party for party in self.aside if party in came or party not in asked)
        return came

    def refuse(self, party: PartyId, code: str) -> None:
        """Note that a site refused (``federation.script.Refusal``); the script takes it as one that left."""
        log.warning("%s refused and is left out: %s 拒绝并退出本次运行", party, code)
        self.refusals[party] = code

    def opening(self, contributors: tuple[PartyId, ...]) -> None:
        """What an aggregation calls before it opens a sum: from here on it counts as opened, whatever happens."""
        if self.in_company and contributors != self.summed:
            self.summed = contributors
            self.pledge()

    def keep_company(self) -> None:
        """Fix whom the next sum over all rows is of: none of ``sites`` may then be missing in it.

        A sum without a site, beside one with it, tells that site's numbers. So a site never leaves sums alone, nor
        joins them alone: until there are as many as any sum is over, others stand aside with it, the last by name, or
        it waits. Whichever sums are then added and subtracted, sites stay together in groups of at least so many.
        """
        if not self.summed:
            return
        before = set(self.summed)
        new = {party for party in self.sites if party not in before | self.retired}
        gone = before - set(self.sites)
        gone |= {party for group in self.together if gone & set(group) for party in group}
        staying = [party for party in self.sites if party in before - gone]
        n_gone = len(before) - len(staying)
        if 0 < n_gone < FEWEST_SITES:
            staying = staying[: max(0, len(staying) + n_gone - FEWEST_SITES)]
        taking_part = {*staying, *(new if len(new) >= FEWEST_SITES else ())}
        self.retired |= before - taking_part
        self.aside = tuple(sorted({*self.aside, *self.sites} - taking_part))
        self.sites = tuple(sorted(taking_part))
