from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.ciphers.suites.choice import suite
from lab.errors import KeysError
from lab.membership.peers import Peers


def member(party: str, name: str = "international") -> dict[str, Any]:
    own = suite(name)
    return {"party": party, "seal_suite": name, "seal_key": own.verifying_key(own.new_signing_key()).hex()}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    return folder


def test_a_key_is_believed_when_first_seen_and_kept(node: Path) -> None:
    tax, bids = member("host:tax"), member("host:bids")
    (met,) = Peers(node).meet([tax, bids], ["host:tax"])
    assert (met.party, met.key) == ("host:tax", tax["seal_key"])
    assert [p.party for p in Peers(node).all()] == ["host:tax"]
    assert Peers(node).meet([tax], ["host:tax"]) == [met]


def test_another_key_of_a_known_party_is_refused_and_changes_nothing(node: Path) -> None:
    """A hub that puts its own key in place of another's."""
    before = Peers(node).meet([member("host:tax")], ["host:tax"])
    with pytest.raises(KeysError) as refused:
        Peers(node).meet([member("host:tax")], ["host:tax"])
    assert refused.value.code == "peer_changed"
    assert Peers(node).all() == before
    Peers(node).forget("host:tax")
    assert Peers(node).meet([member("host:tax")], ["host:tax"])


def test_a_party_the_hub_does_not_know_is_not_met(node: Path) -> None:
    with pytest.raises(KeysError) as refused:
        Peers(node).meet([member("host:bids")], ["host:tax"])
    assert refused.value.code == "peer_unknown"


def test_fingerprints_are_compared(node: Path) -> None:
    (met,) = Peers(node).meet([member("host:tax", "sm")], ["host:tax"])
    with pytest.raises(KeysError) as differs:
        Peers(node).compare("host:tax", "0000 0000")
    assert differs.value.code == "fingerprint_differs"
    assert not Peers(node).all()[0].compared
    assert Peers(node).compare("host:tax", met.fingerprint.upper()).compared
    assert Peers(node).all()[0].compared
    with pytest.raises(KeysError):
        Peers(node).compare("host:bids", met.fingerprint)


def test_the_file_is_the_owners_alone(node: Path) -> None:
    Peers(node).meet([member("host:tax")], ["host:tax"])
    (node / "peers.json").chmod(0o644)
    with pytest.raises(KeysError) as refused:
        Peers(node).all()
    assert refused.value.code == "keys_too_open"
