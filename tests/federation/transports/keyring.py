"""Signing keys of the parties, for tests of sealing."""

from __future__ import annotations

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.transports.agreement import Seals
from tests.federation.transports.hub import TICKETS

PRIVATE = {name: {party: suite(name).new_signing_key() for party in (*TICKETS, "stranger")} for name in SUITE_NAMES}
PUBLIC = {
    name: {party: (name, suite(name).verifying_key(key)) for party, key in keys.items()}
    for name, keys in PRIVATE.items()
}


def seals(party: str, name: str = "international", **known: tuple[str, bytes]) -> Seals:
    """What ``party`` knows of the others; ``known`` replaces keys, with "host_tax" for "host:tax"."""
    others = {other: key for other, key in PUBLIC[name].items() if other in TICKETS and other != party}
    others |= {other.replace("_", ":"): key for other, key in known.items()}
    return Seals.with_key(name, PRIVATE[name][party], others)
