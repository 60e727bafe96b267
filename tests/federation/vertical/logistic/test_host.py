"""A data node of a joint scorecard by itself: what it answers, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from federation.ciphers.interface import SecretCipher
from federation.ciphers.pairwise import generate_key, public_key
from federation.ciphers.plain import PlainSecret
from federation.codec import encode
from federation.errors import LianmoError, LocalProtocolError
from federation.messages import Failure, Message
from federation.policy import HostPolicy
from federation.vertical.logistic.host import TRANSITIONS, LogisticHost
from federation.vertical.logistic.messages import (
    MAX_MARGINS,
    Blocks,
    Collect,
    Derivatives,
    Introduce,
    Keep,
    Open,
    Pair,
    Ready,
    Seal,
    Veil,
    Weigh,
)
from federation.vertical.logistic.state import LogisticState
from models.scorecard.card import WoeFeature
from models.table import Table
from models.woe.tables import WoeBins
from tests.builders import PLAIN
from tests.conftest import Key
from tests.federation.vertical.logistic.scorecards import three_parties, woe_features

N, N_FIT = 120, 100
TABLES, LABEL = three_parties(N)
FEATURES = woe_features(TABLES[1], LABEL, N_FIT, max_bins=3)
OTHER = public_key(generate_key())
PHASES = ("closed", "open", "awaiting", "receiving", "answered", "veiled", "sealed")
SIZE = 256


def fresh(floor: int = 3, min_rows: int = 1) -> LogisticHost:
    return LogisticHost("host:a", TABLES[1], FEATURES, HostPolicy(floor, min_rows=min_rows, cipher=PLAIN))


@dataclass
class Driven:
    """One host, driven by hand to a phase."""

    phase: str
    host: LogisticHost = field(default_factory=fresh)
    secret: SecretCipher = field(default_factory=PlainSecret)
    mask_key: bytes = b""

    def __post_init__(self) -> None:
        steps = {
            "open": self.opening,
            "awaiting": lambda: self.introduction(OTHER),
            "receiving": self.rows,
            "answered": self.collect,
            "veiled": self.veil,
        }
        way = [p for p in PHASES[1 : PHASES.index(self.phase) + 1] if p != "veiled" or self.phase == "veiled"]
        for phase in way:
            reply = self.host.answer(steps.get(phase, self.seal)())
            self.mask_key = reply.mask_key if isinstance(reply, Ready) else self.mask_key
        assert self.host.state.phase == self.phase

    def opening(self) -> Open:
        public = self.secret.public
        return Open(
            model_id="m-1",
            cipher=public.name,
            key=public.key,
            n_rows=N,
            n_fit=N_FIT,
            n_values=3,
            max_margins=2,
        )

    def introduction(self, *others: bytes) -> Introduce:
        return Introduce(mask_keys=(self.mask_key, *others), n_features=(2,) * (1 + len(others)))

    def rows(self, count: int = N_FIT, start: int = 0) -> Derivatives:
        ones = [1] * (2 * count)
        return Derivatives(round=self.host.state.round, start=start, ciphertexts=self.secret.encrypt(ones))

    def collect(self) -> Collect:
        return Collect(round=self.host.state.round, ciphertexts=self.secret.encrypt([-N_FIT, -N_FIT]))

    def veil(self, count: int = N_FIT, start: int = 0) -> Veil:
        return Veil(round=self.host.state.round, start=start, seeds=(bytes(32),), shares=(bytes(8 * count),))

    def pair(self, count: int = N_FIT, n_other: int = 3) -> Pair:
        return Pair(factors=(bytes(16 * count * n_other),))

    def keep(self) -> Keep:
        return Keep(places=(1,), n_values=2)

    def weigh(self) -> Weigh:
        return Weigh(round=self.host.state.round + 1, coefficients=(0.5, -1.0))

    def seal(self) -> Seal:
        return Seal(coefficients=(0.5, -1.0), points_to_double=20.0, rounding=True)

    def messages(self) -> list[Message]:
        return [
            self.opening(),
            self.introduction(),
            self.rows(1),
            self.collect(),
            self.weigh(),
            self.veil(),
            self.pair(),
            self.keep(),
            self.seal(),
            Blocks(ciphertexts=b""),
            Failure(code="policy"),
        ]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("which", range(11))
def test_every_state_meets_every_message(phase: str, which: int) -> None:
    d = Driven(phase)
    request = d.messages()[which]
    before = d.host.state.dump()
    if (phase, type(request)) in TRANSITIONS:
        if phase == "receiving" and isinstance(request, Derivatives):
            d.host.state.n_stored = N_FIT - 1
            request = d.rows(1, start=N_FIT - 1)
        d.host.answer(request)
        assert d.host.state.phase == TRANSITIONS[phase, type(request)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            d.host.answer(request)
        assert caught.value.code == "out_of_turn"
        assert d.host.state.dump() == before


def refused(host: LogisticHost, request: Message) -> LianmoError:
    """The refusal, which changed nothing."""
    before = host.state.dump()
    with pytest.raises(LianmoError) as caught:
        host.answer(request)
    assert host.state.dump() == before
    return caught.value


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"n_rows": N - 1}, "bad_value"),
        ({"n_fit": 0}, "bad_value"),
        ({"n_fit": N + 1}, "bad_value"),
        ({"n_fit": -5}, "bad_value"),
        ({"n_values": 0}, "bad_value"),
        ({"n_values": 10_001}, "bad_value"),
        ({"max_margins": 20}, "too_few_rows"),
        ({"max_margins": -1}, "bad_value"),
        ({"max_margins": MAX_MARGINS + 1, "n_values": 1}, "policy"),
        ({"cipher": "rsa"}, "unknown_cipher"),
        ({"cipher": "paillier", "key": b""}, "key_too_short"),
        ({"cipher": "paillier", "key": b"\xff" * 128}, "key_too_short"),
    ],
)
def test_terms_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    d = Driven("closed")
    assert refused(d.host, replace(d.opening(), **changes)).code == code


def test_a_cipher_that_does_not_encrypt_and_too_few_rows_are_refused() -> None:
    d = Driven("closed")
    d.host.policy = HostPolicy(3, min_rows=1)
    assert refused(d.host, d.opening()).code == "not_encrypting"
    d.host.policy = HostPolicy(3, min_rows=N, cipher=PLAIN)
    assert refused(d.host, d.opening()).code == "too_few_rows"


def test_more_sums_than_rows_are_refused() -> None:
    d = Driven("closed")
    d.host.answer(replace(d.opening(), n_values=30))  # (2 + 1) * (30 + 1 + 2) = 99
    d = Driven("closed")
    assert refused(d.host, replace(d.opening(), n_values=31)).code == "too_few_rows"


def test_a_woe_that_few_rows_have_is_refused_by_name() -> None:
    x = np.r_[np.zeros(N - 4), np.ones(4)]
    rows = np.random.default_rng(0).permutation(N_FIT)
    column = np.r_[x[-N_FIT:][rows], x[: N - N_FIT]]
    table = Table(TABLES[1].ids, {"tax_paid_2023": column})
    [feature] = woe_features(table, LABEL, N_FIT)
    feature = WoeFeature(replace(feature.prebins, bins=replace(feature.prebins.bins, edges=(0.5,))), feature.bins)
    few = replace(feature, bins=WoeBins("tax_paid_2023", (0, 1), (0.2, -0.7)))
    for floor, woe in ((4, (0.2, -0.7)), (5, (0.2, 0.2))):  # equal WOE: no one can tell the bins apart
        host = LogisticHost(
            "host:a",
            table,
            (replace(few, bins=replace(few.bins, woe=woe)),),
            HostPolicy(floor, min_rows=1, cipher=PLAIN),
        )
        Driven("open", host)
    host = LogisticHost("host:a", table, (few,), HostPolicy(5, min_rows=1, cipher=PLAIN))
    error = refused(host, Driven("closed").opening())
    assert error.code == "policy"
    assert "tax_paid_2023" in error.english


@pytest.mark.parametrize("woe", [16.5, -16.5])
def test_a_woe_beyond_what_slots_are_proven_for_is_refused_by_name(woe: float) -> None:
    d = Driven("closed")
    bins = d.host.features[0].bins
    large = replace(d.host.features[0], bins=replace(bins, woe=(woe,) * bins.n_bins))
    d.host.features = (large, d.host.features[1])
    error = refused(d.host, d.opening())
    assert error.code == "woe_too_large"
    assert large.name in error.english


@pytest.mark.parametrize(
    "keys",
    [
        lambda own: (),
        lambda own: (OTHER,),
        lambda own: (own, own),
        lambda own: (own, OTHER, OTHER),
        lambda own: (own, b"short"),
        lambda own: (own, bytes(32)),  # of small order: the shared key would be known to all
    ],
)
def test_keys_of_hosts_that_do_not_fit_are_refused(keys: object) -> None:
    d = Driven("open")
    keys = keys(d.mask_key)
    assert refused(d.host, Introduce(mask_keys=keys, n_features=(1,) * len(keys))).code == "bad_value"


@pytest.mark.parametrize("n_features", [(), (2,), (2, -1), (2, 2, 2)])
def test_numbers_of_features_of_hosts_that_do_not_fit_are_refused(n_features: tuple[int, ...]) -> None:
    d = Driven("open")
    assert refused(d.host, replace(d.introduction(OTHER), n_features=n_features)).code == "bad_value"


def test_products_count_among_the_sums_that_must_be_fewer_than_rows() -> None:
    d = Driven("open")  # (2 + 1) * (3 + 1 + 2 + 27) = 99
    assert refused(d.host, replace(d.introduction(OTHER), n_features=(2, 28))).code == "too_few_rows"
    d.host.answer(replace(d.introduction(OTHER), n_features=(2, 27)))


@pytest.mark.parametrize(
    "changes",
    [
        {"round": 1},
        {"start": 1},
        {"start": -1},
        {"seeds": ()},
        {"seeds": (bytes(31),)},
        {"seeds": (bytes(32), bytes(32))},
        {"shares": ()},
        {"shares": (b"",)},
        {"shares": (bytes(8 * N_FIT + 8),)},
        {"shares": (bytes(8 * N_FIT - 1),)},
    ],
    ids=str,
)
def test_rows_to_veil_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    d = Driven("answered")
    assert refused(d.host, replace(d.veil(), **changes)).code == "bad_value"


def test_rows_are_paired_in_order_and_once_a_round() -> None:
    d = Driven("answered")
    d.host.answer(d.veil(60))
    assert refused(d.host, Pair(factors=())).code == "bad_value"
    assert refused(d.host, Pair(factors=(bytes(16 * 60 * 3 - 8),))).code == "bad_value"
    reply = d.host.answer(d.pair(60))
    assert (reply.n_rows, reply.sums) == (60, ())  # of part of the rows nothing is shown
    d.host.answer(d.veil(40, start=60))
    assert refused(d.host, d.pair(40, n_other=2)).code == "bad_value"
    reply = d.host.answer(d.pair(40))
    assert (reply.n_rows, len(reply.sums[0])) == (N_FIT, 8 * 2 * 3)
    assert refused(d.host, d.veil()).code == "bad_value"
    d.host.answer(d.weigh())
    d.host.answer(d.rows())
    d.host.answer(d.collect())
    d.host.answer(d.veil())


@pytest.mark.parametrize(
    "changes",
    [{"places": (1, 0)}, {"places": (0, 0)}, {"places": (2,)}, {"places": (-1,)}, {"n_values": 0}, {"n_values": 4}],
    ids=str,
)
def test_features_to_keep_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    d = Driven("answered")
    assert refused(d.host, replace(d.keep(), **changes)).code == "bad_value"


def test_only_features_that_were_kept_end_in_the_half() -> None:
    d = Driven("answered")
    d.host.answer(d.keep())
    assert refused(d.host, d.seal()).code == "bad_value"
    assert refused(d.host, d.keep()).code == "bad_value"
    d.host.answer(replace(d.seal(), coefficients=(-1.0,)))
    assert [f.name for f in d.host.half.features] == [FEATURES[1].name]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"round": 1}, "bad_value"),
        ({"round": -1}, "bad_value"),
        ({"start": 5}, "bad_value"),
        ({"start": -5}, "bad_value"),
        ({"ciphertexts": b""}, "bad_value"),
        ({"ciphertexts": b"\1" * SIZE}, "bad_value"),
        ({"ciphertexts": b"\1" * (2 * SIZE - 1)}, "bad_value"),
        ({"ciphertexts": b"\1" * 2 * SIZE * (N_FIT + 1)}, "bad_value"),
    ],
)
def test_derivatives_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    d = Driven("awaiting")
    assert refused(d.host, replace(d.rows(), **changes)).code == code


def test_derivatives_come_in_order_and_whole() -> None:
    d = Driven("awaiting")
    assert d.host.answer(d.rows(60)).n_rows == 60
    assert refused(d.host, d.rows(41, start=60)).code == "bad_value"
    assert refused(d.host, d.rows(10, start=59)).code == "bad_value"
    assert refused(d.host, d.collect()).code == "bad_value"
    assert d.host.answer(d.rows(40, start=60)).n_rows == N_FIT
    assert refused(d.host, replace(d.collect(), round=1)).code == "bad_value"
    assert refused(d.host, replace(d.collect(), ciphertexts=b"\1" * SIZE)).code == "bad_value"
    d.host.answer(d.collect())


def test_ciphertexts_outside_the_group_are_refused(short_keys: Key) -> None:
    host = fresh()
    host.policy = HostPolicy(3, min_rows=1, cipher=short_keys.rules)
    d = Driven("awaiting", host, short_keys.secret())
    public, good = d.secret.public, d.rows(1).ciphertexts
    for bad in (0, public.n, public.n_squared, public.n * 5):
        spoilt = good[: public.ciphertext_bytes] + public.dump([bad])
        assert refused(d.host, replace(d.rows(1), ciphertexts=spoilt)).code == "bad_ciphertext"


@pytest.mark.parametrize(
    "changes",
    [
        {"round": 0},
        {"round": 2},
        {"coefficients": ()},
        {"coefficients": (1.0,)},
        {"coefficients": (1.0, 1.0, 1.0)},
        {"coefficients": (1e9, 0.0)},
    ],
)
def test_coefficients_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    d = Driven("answered")
    assert refused(d.host, replace(d.weigh(), **changes)).code == "bad_value"


def test_no_more_margins_are_shown_than_agreed() -> None:
    d = Driven("answered")
    for _ in range(2):
        d.host.answer(d.weigh())
        d.host.answer(d.rows())
        d.host.answer(d.collect())
    assert refused(d.host, d.weigh()).code == "bad_value"
    d.host.answer(d.seal())


@pytest.mark.parametrize(
    "changes",
    [{"coefficients": ()}, {"coefficients": (1e9, 0.0)}, {"points_to_double": 0.0}, {"points_to_double": -1.0}],
)
def test_an_end_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    d = Driven("answered")
    assert refused(d.host, replace(d.seal(), **changes)).code == "bad_value"


def test_a_host_without_memory_goes_on_where_it_was() -> None:
    d = Driven("receiving")
    twin = LogisticHost("host:a", d.host.table, d.host.features, d.host.policy)
    twin.state = LogisticState.load(d.host.state.dump())
    assert encode(twin.answer(d.collect())) == encode(d.host.answer(d.collect()))
    assert repr(d.host.state) == "<LogisticState redacted>"
    with pytest.raises(AttributeError):
        encode(d.host.state)


def test_ciphertexts_are_forgotten_once_they_are_added_up() -> None:
    assert Driven("answered").host.state.ciphertexts.size == 0
