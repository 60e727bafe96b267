"""Sniffing the wire: joint binning under encryption, every byte of it, searched for what must never be there."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

import federation.vertical.binning.guest as guest_module
from federation.codec import decode
from federation.errors import PartyId
from federation.policy import HostPolicy
from federation.script import Wire
from federation.vertical.binning.messages import Labels, PrebinSums
from tests.builders import HOSTS
from tests.conftest import Key
from tests.federation.test_leakage import Recording, numbers_as_bytes
from tests.federation.vertical.binning.builders import FLOOR, N_FIT, Binning, rows

POLICY = HostPolicy(FLOOR, min_rows=1)


@dataclass
class Sniffed:
    binning: Binning
    frames: Recording


def sniff(binning: Binning) -> Sniffed:
    recording = Recording(binning.wire())
    binning.fit(recording)
    return Sniffed(binning, recording)


@pytest.fixture(scope="module")
def sniffed(real_key: Key) -> Sniffed:
    return sniff(Binning(rows(), cipher=real_key.secret(2 * N_FIT), policy=POLICY))


def label_needles(s: Sniffed) -> list[bytes]:
    label = s.binning.rows.label
    vectors = [label, label[:N_FIT], 1 - label, 1 - label[:N_FIT]]
    return [n[:48] for v in vectors for n in numbers_as_bytes(v)]


def edge_needles(s: Sniffed) -> list[bytes]:
    edges = [
        number
        for host in s.binning.hosts.values()
        for feature in host.kept.features
        for number in (*feature.prebins.bins.edges, *feature.prebins.special_codes)
    ]
    assert len(edges) > 20
    return [n for e in edges for n in (struct.pack("<d", e), struct.pack(">d", e), repr(e).encode())]


def name_needles(s: Sniffed) -> list[bytes]:
    tables = [s.binning.rows.bank, *s.binning.rows.hosts.values()]
    names = [name for table in tables for name in table.columns]
    levels = [v for v in set(s.binning.rows.hosts[HOSTS[1]].columns["occupation"]) if v is not None]
    return [text.encode(encoding) for text in (*names, *levels) for encoding in ("utf-8", "utf-16-le", "gb18030")]


def id_needles(s: Sniffed) -> list[bytes]:
    return [i.encode() for i in s.binning.rows.bank.ids]


NEEDLES = {"labels": label_needles, "edges": edge_needles, "names": name_needles, "identifiers": id_needles}


@pytest.mark.parametrize("what", NEEDLES)
def test_nothing_private_passes_in_either_direction(sniffed: Sniffed, what: str) -> None:
    needles = NEEDLES[what](sniffed)
    assert min(map(len, needles)) >= 3
    assert [n for n in needles if n in sniffed.frames.all] == []


def leaks(s: Sniffed) -> Mapping[str, bytes]:
    """What careless messages would hold, made without the needles' own code."""
    return {
        "labels": bytes(int(v) for v in s.binning.rows.label),
        "edges": struct.pack("<d", 30.0),
        "names": b'{"feature": "tax_refunds"}',
        "identifiers": b"ID-000007",
    }


@pytest.mark.parametrize("what", NEEDLES)
def test_the_search_finds_what_it_looks_for(sniffed: Sniffed, what: str) -> None:
    haystack = b"\x93\x01" + leaks(sniffed)[what] + b"\x00"
    assert [n for n in NEEDLES[what](sniffed) if n in haystack]


def ciphertexts(s: Sniffed, side: str, kind: type[Labels] | type[PrebinSums]) -> list[bytes]:
    found = [m.ciphertexts for m in (decode(f, "any") for f in getattr(s.frames, side)) if isinstance(m, kind)]
    return [data[k : k + 512] for data in found for k in range(0, len(data), 512)]


def test_no_ciphertext_occurs_twice_and_two_runs_share_none(sniffed: Sniffed, real_key: Key) -> None:
    again = sniff(Binning(rows(), cipher=real_key.secret(N_FIT), policy=POLICY))
    runs = []
    for s in (sniffed, again):
        labels = ciphertexts(s, "asked", Labels)[::1]
        assert len(labels) == N_FIT * len(HOSTS)  # the same to every host
        pieces = [*set(labels), *ciphertexts(s, "told", PrebinSums)]
        assert len(set(labels)) == N_FIT
        assert len(set(pieces)) == len(pieces)
        runs.append(set(pieces))
    assert not runs[0] & runs[1]


def test_the_frames_a_host_receives_do_not_depend_on_labels_but_for_the_woe(sniffed: Sniffed) -> None:
    """Sizes and clear fields of everything before the outcome are the same for other labels."""
    other = rows()
    flipped = type(other)(other.bank, other.hosts, 1 - other.label)
    one, two = (sniff(Binning(r)) for r in (other, flipped))
    assert [len(f) for f in one.frames.asked[:-2]] == [len(f) for f in two.frames.asked[:-2]]
    assert one.frames.asked[: len(HOSTS)] == two.frames.asked[: len(HOSTS)]


@dataclass
class Fields:
    """Every clear field of a reply, to see what a host says about itself."""

    wire: Wire
    counts: dict[PartyId, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = self.wire.exchange(frames)
        for party, frame in replies.items():
            message = decode(frame, party)
            if isinstance(message, PrebinSums):
                self.counts[party] = message.counts
        return replies


def test_the_bank_sees_no_count_under_the_floor_of_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "BATCH", 100)
    binning = Binning(rows(5))
    fields = Fields(binning.wire())
    binning.fit(fields)
    shown = [n for counts in fields.counts.values() for c in counts for n in c]
    assert len(shown) > 30
    assert [n for n in shown if 0 < n < FLOOR] == []
