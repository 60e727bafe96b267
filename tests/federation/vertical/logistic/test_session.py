"""A whole joint fit: encrypted equals plain, hosts may forget, liars are named, halves fit together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.errors import RemoteProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.transports.memory import AmnesiacWire, FaultyWire
from federation.vertical.logistic.guest import FittedScorecard
from federation.vertical.logistic.layout import MARGIN_FRACTION, SlotLayout
from federation.vertical.logistic.messages import Blocks, Collect, Introduced, Margins, Ready, Sealed, Stored, Weigh
from models.errors import DataError, LianmoError, ModelError
from models.scale import points
from models.scorecard.card import ScorecardRules
from models.scorecard.logistic import LogisticRules
from models.table import Table
from tests.builders import BANK
from tests.conftest import Key
from tests.federation.test_leakage import Recording
from tests.federation.vertical.logistic.scorecards import (
    ALLOWED,
    Dumped,
    Session,
    coefficients,
    three_parties,
)


def session(n_parties: int = 3, n: int = 400, **options: Any) -> Session:
    tables, label = three_parties(n)
    return Session(tables[:n_parties], label, n * 4 // 5, **options)


def encrypted(key: Key, n_parties: int, n: int = 400) -> Session:
    return session(n_parties, n, cipher=key.secret, policy=HostPolicy(5, min_rows=1, cipher=key.rules))


@pytest.mark.parametrize("n_parties", [2, 3])
def test_encrypted_equals_plain_to_the_last_bit(short_keys: Key, n_parties: int) -> None:
    plain, paillier = session(n_parties).fit(), encrypted(short_keys, n_parties).fit()
    assert coefficients(plain).tobytes() == coefficients(paillier).tobytes()
    assert plain.margin.tobytes() == paillier.margin.tobytes()
    assert [c.p_value for c in plain.own] == [c.p_value for c in paillier.own]


def test_a_key_of_runs_gives_the_same(real_key: Key) -> None:
    found = encrypted(real_key, 2, 200).fit()
    assert coefficients(found).tobytes() == coefficients(session(2, 200).fit()).tobytes()


def test_hosts_that_forget_everything_between_messages_give_the_same(short_keys: Key) -> None:
    s = encrypted(short_keys, 3)

    def forgetful(build: Callable[[], Any]) -> Callable[[], Dumped]:
        return lambda: Dumped(build())

    wire = AmnesiacWire(BANK, {party: forgetful(build) for party, build in s.builds.items()}, ALLOWED)
    assert coefficients(s.fit(wire)).tobytes() == coefficients(session().fit()).tobytes()


def test_small_batches_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = coefficients(session().fit())
    monkeypatch.setattr("federation.vertical.logistic.rounds._BATCH_BYTES", 256 * 2 * 70)
    recording = Recording(session().wire())
    assert coefficients(session().fit(recording)).tobytes() == whole.tobytes()
    stored = [m.n_rows for m in map(decode, recording.told, ["any"] * len(recording.told)) if isinstance(m, Stored)]
    assert stored[:10:2] == [70, 140, 210, 280, 320]


def test_halves_add_up_to_the_margin_and_to_the_score() -> None:
    s = session(points=ScorecardRules(rounding=False))
    fitted = s.fit()
    halves = [fitted.model.half, *(host.half for host in s.hosts.values())]
    margin = sum(half.margin(table) for half, table in zip(halves, s.tables, strict=True))
    np.testing.assert_allclose(margin, fitted.margin, atol=1e-9)
    total = sum(half.points(table) for half, table in zip(halves, s.tables, strict=True))
    assert [round(p) for p in total] == [points(m) for m in fitted.margin]
    assert dict(fitted.model.host_digests) == {party: host.half.digest() for party, host in s.hosts.items()}
    assert halves[1].intercept is None
    assert halves[1].coefficients == tuple(c.value for c in fitted.of_hosts["host:1"])


def test_hosts_keep_the_points_that_were_agreed() -> None:
    s = session(points=ScorecardRules(points_to_double=50.0, rounding=True))
    s.fit()
    for host in s.hosts.values():
        assert host.half.rules.points_to_double == 50.0
        assert all(p == round(p) for f in host.half.table.features for p in f.points)


def test_a_host_without_features_takes_part() -> None:
    s = session(2)
    s.features[1] = ()
    s.hosts = {party: build() for party, build in s.builds.items()}
    fitted = s.fit()
    assert fitted.of_hosts == {"host:1": ()}
    np.testing.assert_allclose(coefficients(fitted), coefficients(session(1).fit()), atol=1e-12)


def test_derivatives_that_need_several_ciphertexts_give_the_same(short_keys: Key) -> None:
    tables, label = three_parties(600)
    more, _ = three_parties(600, seed=1)
    extra = {f"more_{name}": c for t in more for name, c in t.columns.items()}
    wide = Table(tables[0].ids, dict(tables[0].columns) | extra)

    def fit(**options: Any) -> FittedScorecard:
        return Session([wide, tables[1]], label, 500, rules=LogisticRules(l2=1.0), **options).fit()

    paillier = fit(cipher=short_keys.secret, policy=HostPolicy(5, min_rows=1, cipher=short_keys.rules))
    assert SlotLayout.for_rows(500, 511).n_ciphertexts(1 + len(wide.columns)) == 2
    assert coefficients(paillier).tobytes() == coefficients(fit()).tobytes()


def test_the_same_feature_at_two_hosts_is_noticed() -> None:
    tables, label = three_parties()
    twice = Session([tables[0], tables[1], tables[1]], label, 320)
    with pytest.raises(DataError) as caught:
        twice.fit()
    assert caught.value.code == "collinear"
    assert "host:1 #1, host:1 #2, host:2 #1, host:2 #2" in caught.value.english
    once = Session(tables[:2], label, 320, rules=LogisticRules(l2=1e-4)).fit()
    twice = Session([tables[0], tables[1], tables[1]], label, 320, rules=LogisticRules(l2=2e-4))
    np.testing.assert_allclose(twice.fit().margin, once.margin, atol=1e-3)


# -- what is shown -----------------------------------------------------------------------------------------------


def shown(s: Session) -> list[tuple[str, Message]]:
    found: list[tuple[str, Message]] = []

    def keep(_count: int, party: str, reply: bytes) -> bytes:
        found.append((party, decode(reply, party)))
        return reply

    s.fit(FaultyWire(s.wire(), keep))
    return found


def margins(s: Session, party: str) -> np.ndarray:
    first = next(m.values for p, m in shown(s) if p == party and isinstance(m, Margins))
    return np.ldexp(np.frombuffer(first, dtype="<i8").astype(float), -MARGIN_FRACTION)


def test_margins_of_one_among_several_hosts_are_hidden_by_masks() -> None:
    assert np.abs(margins(session(2), "host:1")).max() < 10.0  # alone it is seen
    hidden = margins(session(3), "host:1")
    assert (np.abs(hidden) > 1000.0).mean() > 0.99
    assert not np.array_equal(hidden, margins(session(3), "host:1"))


def test_masks_differ_in_every_round() -> None:
    values = [m.values for p, m in shown(session(3)) if p == "host:1" and isinstance(m, Margins | Sealed)]
    numbers = [np.frombuffer(v, dtype="<i8")[:80] for v in values]
    assert len(numbers) >= 4
    gaps = [np.ldexp((a - b).astype(float), -MARGIN_FRACTION) for a, b in combinations(numbers, 2)]
    assert all((np.abs(gap) > 1000.0).mean() > 0.9 for gap in gaps)


def test_sums_leave_rerandomised(real_key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sums asked for twice share no ciphertext, unless the host forgets to hide them."""

    def pieces() -> list[bytes]:
        s = encrypted(real_key, 2, 120)
        host = s.hosts["host:1"]
        found = []

        def again(_count: int, party: str, reply: bytes) -> bytes:
            if isinstance(decode(reply, party), Blocks):
                found.append(reply)
            return reply

        class Twice:
            def exchange(self, frames: dict[str, bytes]) -> dict[str, bytes]:
                request = decode(frames["host:1"], BANK)
                if isinstance(request, Collect):
                    before = host.state.dump()
                    found.append(encode(host.answer(request)))
                    host.state = type(host.state).load(before)
                return s.wire().exchange(frames)

        s.fit(FaultyWire(Twice(), again))
        data = [decode(f, "any").ciphertexts for f in found[:2]]
        return [d[k : k + 512] for d in data for k in range(0, len(d), 512)]

    found = pieces()
    assert len(set(found)) == len(found) >= 4
    monkeypatch.setattr(type(real_key.secret().public), "rerandomise", lambda self, ciphertexts: list(ciphertexts))
    found = pieces()
    assert len(set(found)) == len(found) // 2


# -- refusals ----------------------------------------------------------------------------------------------------


def refusal(s: Session, damage: Callable[[Message], Message | None], party: str = "host:1") -> LianmoError:
    """The error of a fit in which ``party`` answers otherwise; ``None``: as it would."""

    def replaced(_count: int, sender: str, reply: bytes) -> bytes:
        other = damage(decode(reply, sender)) if sender == party else None
        return encode(other) if other else reply

    with pytest.raises(LianmoError) as caught:
        s.fit(FaultyWire(s.wire(), replaced))
    return caught.value


def lie(kind: type[Message], **changes: Any) -> Callable[[Message], Message | None]:
    def change(m: Message) -> Message | None:
        return replace(m, **{k: v(m) if callable(v) else v for k, v in changes.items()}) if type(m) is kind else None

    return change


PLAIN = PlainSecret()

LIES = {
    "too many features": lie(Ready, n_features=2_001),
    "a negative number of features": lie(Ready, n_features=-1),
    "another number of features": lie(Ready, n_features=3),
    "no key": lie(Ready, mask_key=b""),
    "lost rows": lie(Stored, n_rows=lambda m: m.n_rows - 1),
    "no sums": lie(Blocks, ciphertexts=b""),
    "too few sums": lie(Blocks, ciphertexts=lambda m: m.ciphertexts[:-256]),
    "too many sums": lie(Blocks, ciphertexts=lambda m: m.ciphertexts + m.ciphertexts[:256]),
    "half a sum": lie(Blocks, ciphertexts=lambda m: m.ciphertexts[:-1]),
    "an overflow": lie(Blocks, ciphertexts=lambda m: PLAIN.encrypt([1 << 2000]) + m.ciphertexts[256:]),
    "a sum too large": lie(Blocks, ciphertexts=lambda m: PLAIN.encrypt([1 << 74]) + m.ciphertexts[256:]),
    "squares below zero": lie(
        Blocks, ciphertexts=lambda m: m.ciphertexts[:512] + PLAIN.encrypt([-(1 << 66) << 2 * 76])
    ),
    "margins of fewer rows": lie(Margins, values=lambda m: m.values[8:]),
    "margins that cannot be": lie(Margins, values=lambda m: b"\xff" * 7 + b"\x7f" + m.values[8:]),
    "another message": lambda m: Stored(n_rows=0) if isinstance(m, Margins) else None,
    "another end": lambda m: Introduced() if isinstance(m, Sealed) else None,
}


@pytest.mark.parametrize("what", LIES)
def test_a_host_that_does_not_answer_as_agreed_is_named(what: str) -> None:
    error = refusal(session(2), LIES[what])
    assert isinstance(error, RemoteProtocolError)
    assert error.party == "host:1"


def test_all_hosts_are_named_when_only_their_sum_is_wrong() -> None:
    error = refusal(session(3), lie(Margins, values=lambda m: bytes(len(m.values))))
    assert isinstance(error, RemoteProtocolError)
    assert error.party == "host:1, host:2"


def test_a_host_that_shows_fewer_margins_declines() -> None:
    s = session(2)
    s.hosts["host:1"].max_margins = 3
    with pytest.raises(LianmoError) as caught:
        s.fit()
    assert caught.value.code == "policy"
    s = session(2, max_margins=5)
    s.hosts["host:1"].max_margins = 5
    assert s.fit().n_rounds <= 5


def test_a_fit_that_needs_more_rounds_than_are_shown_says_so() -> None:
    with pytest.raises(ModelError) as caught:
        session(3, max_margins=1).fit()
    assert caught.value.code == "not_converged"


def test_features_of_a_host_that_determine_each_other_go_by_host_and_number() -> None:
    s = session(2)
    s.features[1] = (s.features[1][0], s.features[1][0])
    s.hosts = {party: build() for party, build in s.builds.items()}
    with pytest.raises(DataError) as caught:
        s.fit()
    assert caught.value.code == "collinear"
    assert "host:1 #1, host:1 #2" in caught.value.english
    assert "tax" not in caught.value.english


def test_one_class_and_separation_are_recognised() -> None:
    s = session(2)
    s.label = np.zeros(400)
    with pytest.raises(DataError, match="one class"):
        s.fit()
    tables, _ = three_parties()
    cut = (np.nan_to_num(tables[1].columns["tax_paid_2023"]) > 0.1).astype(np.float64)
    parting = Session(tables[:2], cut, 320, max_margins=12, rules=LogisticRules())
    with pytest.raises((DataError, ModelError)) as caught:
        parting.fit()
    assert caught.value.code in {"separated", "not_converged"}
    assert np.isfinite(Session(tables[:2], cut, 320, rules=LogisticRules(l2=1.0)).fit().margin).all()


def test_weigh_carries_no_coefficient_of_another_party() -> None:
    s = session(3)
    recording = Recording(s.wire())
    fitted = s.fit(recording)
    sent = [decode(f, BANK) for f in recording.asked]
    told = {round(c, 9) for m in sent if isinstance(m, Weigh) for c in m.coefficients}
    assert told
    assert not told & {round(c.value, 9) for c in (fitted.intercept, *fitted.own)}
