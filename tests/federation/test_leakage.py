"""Sniffing the wire: a whole encrypted session, every byte of it, searched for what must never be there."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.codec import decode
from federation.errors import PartyId
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.messages import Gradients, Sums
from federation.vertical.guest import Trained
from federation.vertical.scoring.guest import score
from models.boosting.derivatives import Derivatives
from models.losses import logistic_derivatives
from tests.builders import HOSTS, Problem, Session
from tests.conftest import Key


@dataclass
class Recording:
    """Keeps every frame that passes, in both directions."""

    wire: Wire
    asked: list[bytes] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        self.asked += frames.values()
        replies = self.wire.exchange(frames)
        self.told += replies.values()
        return replies

    @property
    def all(self) -> bytes:
        return b"\0\0".join([*self.asked, *self.told])


@dataclass
class Transcript:
    session: Session
    trained: Trained
    frames: Recording
    scoring: Recording

    @property
    def bytes(self) -> bytes:
        return self.frames.all + b"\0\0" + self.scoring.all


def record(session: Session) -> Transcript:
    training = Recording(session.wire())
    trained = session.train(training)
    scoring = Recording(session.scoring_wire())
    run(score(trained.fitted.model, session.problem.guest, n_reasons=3), scoring)
    return Transcript(session, trained, training, scoring)


@pytest.fixture(scope="module")
def transcript(problem: Problem, real_key: Key) -> Transcript:
    return record(Session(problem, cipher=real_key.secret, policy=HostPolicy(min_rows_per_bin=5)))


def numbers_as_bytes(values: np.ndarray) -> Iterable[bytes]:
    """A vector as it might travel by mistake: float64, float32, int8, packed bits, both byte orders."""
    for dtype in ("<f8", ">f8", "<f4", ">f4", "<i8", ">i8", "i1"):
        yield values.astype(dtype).tobytes()
    if set(np.unique(values)) <= {0, 1}:
        yield np.packbits(values.astype(bool)).tobytes()
        yield np.packbits(values.astype(bool), bitorder="little").tobytes()
        yield "".join(str(int(v)) for v in values).encode()


def label_needles(t: Transcript) -> list[bytes]:
    rows = t.trained.arrangement.rows
    label = t.session.problem.label
    vectors = [label, label[rows], label[rows][: t.trained.arrangement.n_fit], 1 - label[rows]]
    # 48 rows, however wide a number: a few equal labels would be a run of zeros, which occurs by itself.
    return [n for v in vectors for n in numbers_as_bytes(v[:48])]


def gradient_needles(t: Transcript) -> list[bytes]:
    n_fit = t.trained.arrangement.n_fit
    label = t.session.problem.label[t.trained.arrangement.rows][:n_fit]
    base = np.full(n_fit, t.trained.fitted.model.base_margin)
    found: list[bytes] = []
    for margin in (base, t.trained.fitted.margin[:n_fit]):
        d = Derivatives.exact(*logistic_derivatives(label, margin), np.arange(n_fit), 1.0)
        for values in (d.g, d.h):
            for value in np.unique(values).tolist():
                for number in (value * d.g_unit, value):
                    found += [np.array([number]).astype(d).tobytes() for d in ("<f8", ">f8")]
                found += [value.to_bytes(8, order, signed=True) for order in ("little", "big")]
    return found


def threshold_needles(t: Transcript) -> list[bytes]:
    halves = [t.trained.fitted.model.own, *(host.half for host in t.session.hosts.values())]
    edges = [edge for half in halves for bins in half.bins for edge in bins.edges]
    assert len(edges) > 10
    return [n for e in edges for n in (np.float64(e).tobytes(), np.float64(e).tobytes()[::-1], repr(e).encode())]


def name_needles(t: Transcript) -> list[bytes]:
    names = list(t.session.problem.whole.columns)
    levels = [v for v in set(t.session.problem.whole.columns["occupation_class"]) if v is not None]
    return [text.encode(encoding) for text in (*names, *levels) for encoding in ("utf-8", "utf-16-le", "gb18030")]


def id_needles(t: Transcript) -> list[bytes]:
    found: list[bytes] = []
    tables = [t.session.problem.guest, *t.session.problem.hosts.values()]
    for identifier in {i for table in tables for i in table.ids}:
        raw = identifier.encode()
        found.append(raw)
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            digest = hashlib.new(algorithm, raw).digest()
            found += [digest[:16], digest.hex()[:32].encode()]
    return found


NEEDLES = {
    "labels": label_needles,
    "gradients": gradient_needles,
    "thresholds": threshold_needles,
    "names and levels": name_needles,
    "identifiers": id_needles,
}


@pytest.mark.parametrize("what", NEEDLES)
def test_nothing_private_passes_in_either_direction(transcript: Transcript, what: str) -> None:
    needles = NEEDLES[what](transcript)
    assert needles
    assert all(len(n) >= 4 for n in needles)
    assert [n for n in needles if n in transcript.bytes] == []


def leaks(t: Transcript) -> dict[str, bytes]:
    """What careless messages would hold, made without the needles' own code."""
    rows, half = t.trained.arrangement.rows, t.session.hosts[HOSTS[0]].half
    label = t.session.problem.label[rows]
    probability = 1 / (1 + np.exp(-t.trained.fitted.model.base_margin))
    return {
        "labels": bytes(int(v) for v in label),
        "gradients": struct.pack("<q", round((probability - 1) * 2**32)),
        "thresholds": struct.pack("<d", half.bins[0].edges[0]),
        "names and levels": b'{"feature": "tax_paid_2023"}',
        "identifiers": hashlib.sha256(t.session.problem.guest.ids[3].encode()).hexdigest().encode(),
    }


@pytest.mark.parametrize("what", NEEDLES)
def test_the_search_finds_what_it_looks_for(transcript: Transcript, what: str) -> None:
    haystack = b"\x93\x01" + leaks(transcript)[what] + b"\x00"
    assert [n for n in NEEDLES[what](transcript) if n in haystack]


def test_an_unencrypted_session_shows_its_gradients_to_this_search(problem: Problem) -> None:
    plain = record(Session(problem))
    assert [n for n in gradient_needles(plain) if n in plain.bytes]


def test_no_gradient_ciphertext_or_sum_occurs_twice(transcript: Transcript) -> None:
    frames = [decode(f, "any") for f in (*transcript.frames.asked, *transcript.frames.told)]
    one = [m.ciphertexts for m in frames if isinstance(m, Gradients)][:: len(HOSTS)]  # the same to every host
    sums = [m.ciphertexts for m in frames if isinstance(m, Sums)]
    pieces = [data[k : k + 512] for data in (*one, *sums) for k in range(0, len(data), 512)]
    assert len(pieces) > 500
    assert len(set(pieces)) == len(pieces)


def test_two_runs_share_no_ciphertext_and_no_token(problem: Problem, transcript: Transcript, real_key: Key) -> None:
    again = record(Session(problem, cipher=real_key.secret, policy=HostPolicy(min_rows_per_bin=5)))

    def secrets_of(t: Transcript) -> set[bytes]:
        found = set()
        for frame in (*t.frames.asked, *t.frames.told, *t.scoring.asked, *t.scoring.told):
            message = decode(frame, "any")
            for name, size in (("ciphertexts", 512), ("points", 32), ("tokens", 16)):
                data = getattr(message, name, b"")
                found |= {data[k : k + size] for k in range(0, len(data), size)}
        return found

    assert len(secrets_of(again)) > 1000
    assert not secrets_of(again) & secrets_of(transcript)


def test_gradients_have_one_length_whatever_their_values(transcript: Transcript) -> None:
    gradients = [m for m in (decode(f, "bank") for f in transcript.frames.asked) if isinstance(m, Gradients)]
    trees = len(transcript.trained.fitted.model.trees)
    assert [len(m.ciphertexts) for m in gradients] == [512 * transcript.trained.arrangement.n_fit] * trees * len(HOSTS)


def test_a_wire_that_sees_plaintext_knows_it(problem: Problem) -> None:
    """The sniffer's own check: a plain session is recognised as one by its ciphertexts being small numbers."""
    session = Session(problem, cipher=lambda _: PlainSecret())
    recording = Recording(session.wire())
    assert isinstance(recording.wire, MemoryWire)
    session.train(recording)
    gradients = [decode(f, "bank") for f in recording.asked if decode(f, "bank").kind == "boosting.gradients"]
    small = [c for m in gradients for c in PlainPublic().load(m.ciphertexts) if c < 2**100 or c > 2**2047]
    assert len(small) > 100
