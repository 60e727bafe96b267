"""Sums over all rows of all sites, one after another, none of which tells a site's numbers beside those before."""

from __future__ import annotations

from federation.errors import SiteLeft
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.messages import Message
from federation.script import Script


def total_in_company(aggregation: Aggregation, request: Message, n_values: int, bound: int) -> Script[Total]:
    """Ask ``request`` of all that take part; where one leaves, nothing is opened, and those that may are asked again.

    Raises:
        As ``Aggregation.total``, but for ``SiteLeft``.
    """
    presence = aggregation.presence
    while True:
        presence.keep_company()
        only = presence.sites if presence.summed else ()
        presence.in_company = True
        try:
            total = yield from aggregation.total(dict.fromkeys(presence.sites, request), n_values, bound, only)
        except SiteLeft:
            continue
        finally:
            presence.in_company = False
        presence.summed = total.contributors
        return total
