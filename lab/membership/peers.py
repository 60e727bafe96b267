"""The keys by which other members prove who they are: believed when first seen, and from then on only those.

The hub hands the keys out. One that put its own in place of another's would be noticed by the two parties when they
compare fingerprints (``lianmo node peers``), and at once if they had met before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from federation.ciphers.suites.choice import suite
from federation.ciphers.suites.interface import fingerprint
from federation.errors import PartyId
from lab.errors import KeysError
from lab.governance import folder as private

log = logging.getLogger("lianmo.node")

_FILE: Final = "peers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Attributes:
    key: public, hexadecimal.
    since: when it was first seen here.
    compared: when its fingerprint was compared over another channel; "": not yet.
    """

    party: PartyId
    suite: str
    key: str
    since: str
    compared: str = ""

    @property
    def fingerprint(self) -> str:
        """To read out."""
        return fingerprint(suite(self.suite), bytes.fromhex(self.key))


class Peers:
    """``peers.json`` in a party's own folder."""

    def __init__(self, node: Path) -> None:
        self._node = node

    def all(self) -> list[Peer]:
        """By name. Raises ``KeysError`` for a file that others can read or that is damaged."""
        path = self._node / _FILE
        return [Peer(**data) for _, data in sorted(private.read(path).items())] if path.exists() else []

    def meet(self, members: Iterable[Mapping[str, Any]], parties: Iterable[PartyId]) -> list[Peer]:
        """The keys of ``parties`` as the hub hands them out (``Hub.members``), unknown ones believed from now on.

        Raises:
            KeysError: ``peer_unknown`` for a party the hub does not know; ``peer_changed`` for one that has another key
                than it had.
        """
        told = {str(member["party"]): member for member in members}
        with private.locked(self._node):
            known = {peer.party: peer for peer in self.all()}
            met = [self._met(party, known.get(party), told.get(party)) for party in sorted(set(parties))]
            self._write({**known, **{peer.party: peer for peer in met}})
        return met

    def compare(self, party: PartyId, read_out: str) -> Peer:
        """Note that the fingerprint of ``party``, as it reads it out, is the one seen here.

        Raises:
            KeysError: ``peer_unknown``, ``fingerprint_differs``.
        """
        with private.locked(self._node):
            known = {peer.party: peer for peer in self.all()}
            if party not in known:
                raise _unknown(party)
            peer = known[party]
            if _digits(read_out) != _digits(peer.fingerprint):
                raise KeysError(
                    "fingerprint_differs",
                    f"The fingerprint {party} reads out is not the one the hub gave for it. Hold no sessions; tell the "
                    "hub's operator.",
                    f"{party} 读出的指纹与枢纽所给不符。请停止会话并告知枢纽运营方。",
                )
            compared = Peer(**{**asdict(peer), "compared": _now()})
            self._write({**known, party: compared})
        return compared

    def forget(self, party: PartyId) -> None:
        """Believe its next key, whatever it is: after it told you that it joined anew. Unknown ones are no error."""
        with private.locked(self._node):
            self._write({peer.party: peer for peer in self.all() if peer.party != party})

    def _met(self, party: PartyId, known: Peer | None, told: Mapping[str, Any] | None) -> Peer:
        if told is None:
            raise _unknown(party)
        if known is None:
            log.info("first session with %s: its key is believed from now on", party)
            return Peer(party=party, suite=str(told["seal_suite"]), key=str(told["seal_key"]), since=_now())
        if (known.suite, known.key) != (told["seal_suite"], told["seal_key"]):
            raise KeysError(
                "peer_changed",
                f"{party} has another key than it had. If it told you that it joined anew: `lianmo node peers --forget "
                f"{party}`, and compare fingerprints. If not, somebody may sit between you: tell it.",
                f"{party} 的密钥与此前不同。如其已告知重新加入，请执行 lianmo node peers --forget {party} 并核对指纹；"
                "否则可能有人居中冒充，请告知对方。",
            )
        return known

    def _write(self, peers: Mapping[PartyId, Peer]) -> None:
        private.write(self._node / _FILE, {party: asdict(peer) for party, peer in sorted(peers.items())})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _digits(shown: str) -> str:
    return "".join(c for c in shown.lower() if c in "0123456789abcdef")


def _unknown(party: PartyId) -> KeysError:
    return KeysError(
        "peer_unknown",
        f"{party} is no member of the hub, or was never met.",
        f"{party} 不是枢纽成员，或从未与之建立会话。",
    )
