"""A sum of vectors over sites that no single party can open: what the coordinator asks for, what a site gives.

Two bodies: ``masking`` (pairwise masks that cancel) and ``threshold`` (encryption under a key that sites share). An
application's script asks sites for something with messages of its own; each site answers with whatever its half of the
aggregation makes of the vector, and the coordinator's half makes the sum of that, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from federation.errors import PartyId
from federation.horizontal.aggregation.presence import Presence
from federation.messages import Message
from federation.script import Script

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Total:
    """Attributes:
    values: the sums, exact, shape ``(n_values,)``.
    contributors: whose vectors are in them, sorted; never fewer than the minimum of any of them.
    """

    values: Numbers
    contributors: tuple[PartyId, ...]


class Aggregation(Protocol):
    """The coordinator's half. A site that does not answer an exchange has left; the others go on without it.

    Attributes:
        presence: sites that have not left; shared with the application's script.
    """

    presence: Presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        """Ask ``requests``, which every present site answers with a contribution, and add up.

        Args:
            requests: of the application; those to sites that have left are not sent, and who has none is not asked.
            bound: largest magnitude of a value of one site.
            only: sites that must all contribute, or nothing is opened, and the next sum is prepared anew with those
                present: beside a sum over more sites, this one would tell the numbers of those that left.

        Raises:
            SiteLeft: one of ``only`` did not contribute.
            LocalProtocolError: ``too_few_sites``: fewer than the threshold or the minimum are left.
            RemoteProtocolError: of a site whose contribution is none.
            PlaintextOverflow: sums might not fit.
        """
        ...


class Contributing(Protocol):
    """Takes a site's vectors."""

    def contribute(self, values: Numbers, bound: int) -> Message:
        """The site's vector, hidden; once per turn.

        Args:
            values: of magnitude at most ``bound``, which the application fixes for all sites.

        Raises:
            LocalProtocolError: ``out_of_turn``: the aggregation is not ready for one.
            PlaintextOverflow: a value is beyond the bound, or sums might not fit.
        """
        ...


class Contributor(Contributing, Protocol):
    """A site's half: answers the aggregation's own messages, and makes contributions."""

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """Messages that ``answer`` is for."""
        ...

    @property
    def fewest_sites(self) -> int:
        """Fewest sites in any sum, of those prepared, that this site helps to open; 0 before."""
        ...

    @property
    def n_opened(self) -> int:
        """Sums that this site has helped to open, in all (``once``)."""
        ...

    def answer(self, request: Message) -> Message:
        """As ``Responder.answer``."""
        ...

    def dump(self) -> bytes:
        """The site's memory, for its own disk."""
        ...

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        ...
