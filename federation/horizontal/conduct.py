"""A script over sites, driven to its end: a site that refuses is one that leaves, as long as enough remain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from federation.errors import LocalProtocolError, Refused
from federation.horizontal.aggregation.presence import Presence
from federation.script import Script, Wire, Witness, run

T = TypeVar("T")


def run_over_sites(script: Script[T], wire: Wire, presence: Presence, witness: Witness | None = None) -> T:
    """As ``federation.script.run``, with ``presence`` of the script's aggregation. From an event loop: ``run_async``
    with ``presence.refuse``, within ``naming_refusals``.

    Raises:
        Refused: so many sites refused or left that the script cannot go on; the first that refused, and its code.
    """
    with naming_refusals(presence):
        return run(script, wire, witness, presence.refuse)


@contextmanager
def naming_refusals(presence: Presence) -> Iterator[None]:
    """Where too few sites are left, what the first one refused says more than how many there are."""
    try:
        yield
    except LocalProtocolError as error:
        if error.code != "too_few_sites" or not presence.refusals:
            raise
        raise Refused(*next(iter(presence.refusals.items()))) from error
