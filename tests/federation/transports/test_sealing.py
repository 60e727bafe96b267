"""Keys agreed by two parties over a relay that may do what it likes, and frames under them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.codec import decode, encode
from federation.errors import LocalProtocolError, RemoteProtocolError
from federation.messages import Goodbye, Message
from federation.transports import agreement, sealing
from federation.transports.agreement import Agreement, Keys, joined
from federation.transports.frames import LAST, PART
from federation.transports.messages import SealAnswer, SealConfirm, SealOffer
from federation.transports.sealing import SealedSession
from tests.federation.transports.keyring import PRIVATE, PUBLIC, seals

BANK, TAX, OTHER = "bank", "host:tax", "host:电信"
names = pytest.mark.parametrize("name", SUITE_NAMES)


def sides(name: str = "international", session: str = "s-1") -> tuple[SealedSession, SealedSession]:
    return SealedSession(seals(BANK, name), session, BANK), SealedSession(seals(TAX, name), session, TAX)


def offered(bank: SealedSession) -> bytes:
    offer = bank.arrived(TAX)
    assert offer is not None
    return offer


def agree(bank: SealedSession, tax: SealedSession) -> tuple[bytes, bytes, bytes]:
    """Carry the three messages; returns them."""
    assert tax.arrived(BANK) is None  # it waits for the offer
    offer = offered(bank)
    answer, _ = tax.take(BANK, LAST, offer)
    assert answer is not None
    assert not tax.ready(BANK)  # who asked is not yet proven
    confirm, _ = bank.take(TAX, LAST, answer)
    assert confirm is not None
    assert tax.take(BANK, LAST, confirm) == (None, None)
    assert bank.ready(TAX)
    assert tax.ready(BANK)
    return offer, answer, confirm


def agreed(name: str = "international", session: str = "s-1") -> tuple[SealedSession, SealedSession]:
    pair = sides(name, session)
    agree(*pair)
    return pair


def refusal(side: SealedSession, peer: str, body: bytes, kind: int = LAST) -> str:
    """The code with which ``side`` refuses a frame in the name of ``peer``, whom it names."""
    with pytest.raises(RemoteProtocolError) as refused:
        side.take(peer, kind, body)
    assert refused.value.party == peer
    assert refused.value.english.startswith(f"{peer}: ")
    assert refused.value.chinese.startswith(f"{peer}：")
    return refused.value.code


@names
def test_frames_in_both_directions_open_in_order(name: str) -> None:
    bank, tax = agreed(name)
    for k, kind in enumerate((PART, PART, LAST, LAST)):
        body = b"frame %d" % k * k
        sealed = bank.seal(TAX, kind, body)
        assert len(sealed) == len(body) + 16
        assert tax.take(BANK, kind, sealed) == (None, body)
        assert bank.take(TAX, kind, tax.seal(BANK, kind, body)) == (None, body)


@names
def test_nothing_of_a_frame_is_to_be_seen_and_equal_ones_differ(name: str) -> None:
    bank, tax = agreed(name)
    body = b"boosting.open" * 100
    sealed = {bank.seal(TAX, LAST, body), bank.seal(TAX, LAST, body), tax.seal(BANK, LAST, body)}
    assert len(sealed) == 3
    assert not any(b"boosting" in s or body[:16] in s for s in sealed)


# -- what a relay may do to frames ---------------------------------------------------------------------------------


def test_a_repeated_frame() -> None:
    bank, tax = agreed()
    sealed = bank.seal(TAX, LAST, b"go")
    tax.take(BANK, LAST, sealed)
    assert refusal(tax, BANK, sealed) == "seal_broken"


def test_a_frame_before_its_turn_and_a_dropped_one() -> None:
    bank, tax = agreed()
    bank.seal(TAX, PART, b"first")
    assert refusal(tax, BANK, bank.seal(TAX, LAST, b"second")) == "seal_broken"


def test_a_message_that_is_made_to_end_elsewhere() -> None:
    bank, tax = agreed()
    assert refusal(tax, BANK, bank.seal(TAX, PART, b"first of two"), LAST) == "seal_broken"
    bank, tax = agreed()
    assert refusal(tax, BANK, bank.seal(TAX, LAST, b"whole"), PART) == "seal_broken"


@names
def test_a_frame_with_a_bit_flipped_cut_or_lengthened(name: str) -> None:
    for damage in (lambda s: bytes([s[0] ^ 1]) + s[1:], lambda s: s[:-1] + bytes([s[-1] ^ 128]), lambda s: s[:-1]):
        bank, tax = agreed(name)
        assert refusal(tax, BANK, damage(bank.seal(TAX, LAST, b"go"))) == "seal_broken"
    bank, tax = agreed(name)
    assert refusal(tax, BANK, bank.seal(TAX, LAST, b"go") + b"\0") == "seal_broken"
    bank, tax = agreed(name)
    assert refusal(tax, BANK, b"") == "seal_broken"


def test_a_frame_sent_back_to_its_sender() -> None:
    bank, _ = agreed()
    assert refusal(bank, TAX, bank.seal(TAX, LAST, b"go")) == "seal_broken"


def test_a_frame_of_another_session_with_the_same_keys_of_parties() -> None:
    bank, _ = agreed(session="s-1")
    _, tax = agreed(session="s-1")
    assert refusal(tax, BANK, bank.seal(TAX, LAST, b"go")) == "seal_broken"


def test_the_place_of_a_frame_is_sealed_with_it_even_if_keys_were_the_same() -> None:
    """Keys differ by direction, pair and session already; what is tested here is the associated data alone."""
    bank, _ = agreed()
    outgoing = bank._outgoing[TAX]

    def direction(session: str, sender: str, receiver: str) -> Any:
        return sealing._Direction(outgoing._suite, outgoing._key, session, sender, receiver)

    sealed = direction("s-1", BANK, TAX).seal(LAST, b"go")
    assert direction("s-1", BANK, TAX).open(LAST, sealed) == b"go"
    for other in (("s-2", BANK, TAX), ("s-1", TAX, BANK), ("s-1", BANK, OTHER), ("s-1", OTHER, TAX)):
        with pytest.raises(sealing.NotDecryptable):
            direction(*other).open(LAST, sealed)


def test_a_frame_spliced_from_one_pair_into_another() -> None:
    bank, tax = agreed()
    other = SealedSession(seals(OTHER), "s-1", OTHER)
    offer = bank.arrived(OTHER)
    assert offer is not None
    answer, _ = other.take(BANK, LAST, offer)
    assert answer is not None
    bank.take(OTHER, LAST, answer)
    assert refusal(tax, BANK, bank.seal(OTHER, LAST, b"for the other")) == "seal_broken"
    assert refusal(bank, OTHER, tax.seal(BANK, LAST, b"from tax")) == "seal_broken"


def test_a_clear_frame_instead_of_a_sealed_one() -> None:
    clear = (1).to_bytes(8, "big") + encode(Goodbye(code=""))
    bank, tax = agreed()
    assert refusal(tax, BANK, clear) == "seal_broken"
    for bank, tax in (sides(), sides()):  # before keys are agreed: a peer without seals
        offered(bank)
        assert refusal(bank, TAX, clear) == "not_sealed"
        assert refusal(tax, BANK, clear) == "not_sealed"


def test_a_counter_never_comes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST_FRAMES", 2)
    bank, tax = agreed()
    for _ in range(2):
        tax.take(BANK, LAST, bank.seal(TAX, LAST, b"go"))
    with pytest.raises(LocalProtocolError) as exhausted:
        bank.seal(TAX, LAST, b"once more")
    assert exhausted.value.code == "seal_exhausted"
    assert refusal(tax, BANK, b"x" * 32) == "seal_broken"


# -- what a relay may do to the agreement --------------------------------------------------------------------------


@names
def test_the_relay_with_keys_of_its_own_in_the_middle(name: str) -> None:
    bank, tax = sides(name)
    own = suite(name)
    private = own.new_sealing_key()
    offered(bank)
    forged, _ = tax.take(BANK, LAST, encode(SealOffer(suite=name, key=own.sealing_key(private))))
    assert forged is not None
    assert refusal(bank, TAX, forged) == "seal_unknown_key"  # signed over another key than the bank's


@names
def test_a_party_that_signs_with_another_key(name: str) -> None:
    impostor = replace(seals(TAX, name), sign=seals("stranger", name).sign)
    bank, tax = SealedSession(seals(BANK, name), "s", BANK), SealedSession(impostor, "s", TAX)
    answer, _ = tax.take(BANK, LAST, offered(bank))
    assert answer is not None
    assert refusal(bank, TAX, answer) == "seal_unknown_key"
    impostor = replace(seals(BANK, name), sign=seals("stranger", name).sign)
    bank, tax = SealedSession(impostor, "s", BANK), SealedSession(seals(TAX, name), "s", TAX)
    answer, _ = tax.take(BANK, LAST, offered(bank))
    assert answer is not None
    confirm, _ = bank.take(TAX, LAST, answer)
    assert confirm is not None
    assert refusal(tax, BANK, confirm) == "seal_unknown_key"
    assert not tax.ready(BANK)


def changed(body: bytes, kind: type[Message], field: str, value: bytes) -> bytes:
    return encode(replace(decode(body, "x", allowed=(kind,)), **{field: value}))


@names
def test_any_part_of_the_agreement_changed(name: str) -> None:
    own = suite(name)
    cases = [
        ("offer", SealOffer, "key", own.sealing_key(own.new_sealing_key())),
        ("answer", SealAnswer, "secret", own.seal(own.sealing_key(own.new_sealing_key()), bytes(32), b"")),
        ("answer", SealAnswer, "signature", bytes(64)),
        ("answer", SealAnswer, "mac", bytes(32)),
        ("confirm", SealConfirm, "signature", bytes(64)),
        ("confirm", SealConfirm, "mac", bytes(32)),
    ]
    for step, kind, field, value in cases:
        bank, tax = sides(name)
        offer = offered(bank)
        if step == "offer":
            offer = changed(offer, kind, field, value)
        answer, _ = tax.take(BANK, LAST, offer)
        assert answer is not None
        if step == "answer":
            answer = changed(answer, kind, field, value)
        expected = "seal_broken" if field == "mac" else "seal_unknown_key"
        if step != "confirm":
            assert refusal(bank, TAX, answer) == expected, (step, field)
            continue
        confirm, _ = bank.take(TAX, LAST, answer)
        assert confirm is not None
        assert refusal(tax, BANK, changed(confirm, kind, field, value)) == expected, (step, field)


def test_an_offered_key_that_is_none() -> None:
    for key in (b"", bytes(32), bytes(31)):  # 32 zero bytes: of small order
        _, tax = sides()
        assert refusal(tax, BANK, encode(SealOffer(suite="international", key=key))) == "seal_broken"


def test_an_agreement_of_an_earlier_session_played_again() -> None:
    offer, answer, confirm = agree(*sides())
    bank, tax = sides()
    offered(bank)
    assert refusal(bank, TAX, answer) == "seal_unknown_key"
    tax.take(BANK, LAST, offer)  # answered with a fresh secret
    assert refusal(tax, BANK, confirm) == "seal_unknown_key"


def test_an_agreement_moved_to_another_session_or_party() -> None:
    bank = SealedSession(seals(BANK), "s-1", BANK)
    elsewhere = SealedSession(seals(TAX), "s-2", TAX)
    answer, _ = elsewhere.take(BANK, LAST, offered(bank))
    assert answer is not None
    assert refusal(bank, TAX, answer) == "seal_unknown_key"
    bank = SealedSession(seals(BANK, host_tax=PUBLIC["international"][OTHER]), "s-1", BANK)  # one key, two names
    other = SealedSession(seals(OTHER), "s-1", OTHER)
    answer, _ = other.take(BANK, LAST, offered(bank))
    assert answer is not None
    assert refusal(bank, TAX, answer) == "seal_unknown_key"


def test_messages_of_an_agreement_sent_back_or_out_of_turn() -> None:
    offer, answer, confirm = agree(*sides())
    bank, tax = sides()
    own_offer = offered(bank)
    for reflected in (own_offer, confirm):
        assert refusal(bank, TAX, reflected) == "not_sealed"
    for early in (answer, confirm):
        assert refusal(tax, BANK, early) == "not_sealed"
    tax.take(BANK, LAST, own_offer)
    assert refusal(tax, BANK, offer) == "not_sealed"
    bank, tax = agreed()
    for late in (offer, answer, confirm):
        assert refusal(tax, BANK, late) == "seal_broken"
        assert refusal(bank, TAX, late) == "seal_broken"


def test_an_agreement_in_pieces_or_too_long() -> None:
    bank, tax = sides()
    assert refusal(tax, BANK, offered(bank), PART) == "not_sealed"
    assert refusal(tax, BANK, encode(SealOffer(suite="international", key=bytes(5000)))) == "not_sealed"


def test_another_version_or_other_fields() -> None:
    _, tax = sides()
    assert refusal(tax, BANK, msgpack.packb([0, "seal.offer", ["international", bytes(32)]])) == "wrong_version"
    assert refusal(tax, BANK, msgpack.packb([1, "seal.offer", [1, 2]])) == "bad_value"


def test_another_suite_is_refused() -> None:
    bank, tax = SealedSession(seals(BANK, "sm"), "s", BANK), SealedSession(seals(TAX), "s", TAX)
    assert refusal(tax, BANK, offered(bank)) == "seal_other_suite"
    mixed = SealedSession(seals(BANK, host_tax=PUBLIC["sm"][TAX]), "s", BANK)
    with pytest.raises(RemoteProtocolError) as refused:
        mixed.check(TAX)
    assert (refused.value.party, refused.value.code) == (TAX, "seal_other_suite")


def test_strangers_get_nothing_and_are_not_read() -> None:
    bank, _ = sides()
    assert bank.arrived("stranger") is None
    assert refusal(bank, "stranger", b"hello") == "seal_unknown_key"
    with pytest.raises(RemoteProtocolError) as refused:
        bank.check("stranger")
    assert refused.value.code == "seal_unknown_key"


def test_an_offer_is_made_once() -> None:
    bank, _ = sides()
    offered(bank)
    assert bank.arrived(TAX) is None


def test_a_party_that_knows_the_signing_key_but_not_the_secret_is_refused() -> None:
    """Misbinding (Krawczyk 2003, §3.1): the signature alone does not show that the signer knows the key."""
    bank, tax = sides()
    answer, _ = tax.take(BANK, LAST, offered(bank))
    assert answer is not None
    confirm, _ = bank.take(TAX, LAST, answer)
    assert confirm is not None
    assert refusal(tax, BANK, changed(confirm, SealConfirm, "mac", bytes(32))) == "seal_broken"


# -- keys ----------------------------------------------------------------------------------------------------------


def both(name: str) -> tuple[Keys, Keys, Agreement, Agreement]:
    bank, tax = Agreement(seals(BANK, name), "s", BANK, TAX), Agreement(seals(TAX, name), "s", TAX, BANK)
    offer = bank.opening()
    assert offer is not None
    answer, _ = tax.take(offer)
    assert answer is not None
    confirm, of_bank = bank.take(answer)
    assert confirm is not None
    _, of_tax = tax.take(confirm)
    assert of_bank is not None
    assert of_tax is not None
    return of_bank, of_tax, bank, tax


@names
def test_keys_are_the_same_at_both_ends_and_new_each_time(name: str) -> None:
    first, other, *_ = both(name)
    assert (first.sending, first.receiving) == (other.receiving, other.sending)
    again, *_ = both(name)
    made = {first.sending, first.receiving, again.sending, again.receiving}
    assert len({key.secret for key in made}) == len({key.nonce for key in made}) == 4
    assert all(len(key.secret) == suite(name).secret_bytes and len(key.nonce) == 12 for key in made)


def test_macs_are_of_the_role_the_speaker_the_secret_and_the_transcript() -> None:
    made = Agreement(seals(BANK), "s", BANK, TAX)
    usual: tuple[str, bytes, bytes, str] = ("answer", b"s" * 32, b"T", BANK)
    others = [
        ("confirm", *usual[1:]),
        (usual[0], b"t" * 32, *usual[2:]),
        (*usual[:2], b"U", BANK),
        (*usual[:3], TAX),
    ]
    assert len({made._mac(*usual), *(made._mac(*other) for other in others)}) == 5


def test_the_secret_is_drawn_anew_for_every_offer() -> None:
    secrets = set()
    for _ in range(3):
        bank, tax = (Agreement(seals(p), "s", p, q) for p, q in ((BANK, TAX), (TAX, BANK)))
        tax.take(bank.opening() or b"")
        assert tax._unconfirmed
        secrets.add(tax._unconfirmed[0])
    assert len(secrets) == 3
    assert {len(secret) for secret in secrets} == {32}


def test_what_is_signed_holds_the_protocol_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay could change the version that a message shows."""
    bank, tax = sides()
    offer = offered(bank)
    with monkeypatch.context() as patch:
        patch.setattr(agreement, "PROTOCOL_VERSION", 2)
        answer, _ = tax.take(BANK, LAST, offer)
    assert answer is not None
    assert refusal(bank, TAX, answer) == "seal_unknown_key"


@names
def test_nothing_that_opens_frames_outlives_the_agreement(name: str) -> None:
    *_, bank, tax = both(name)
    assert bank._private == b""
    assert tax._unconfirmed is None


def test_seals_do_not_print_what_is_secret() -> None:
    shown = repr(seals(BANK))
    assert PRIVATE["international"][BANK].hex() not in shown
    assert "sign=" not in shown


def test_parts_joined_are_told_apart() -> None:
    assert joined("a", b"bc") != joined("ab", b"c") != joined("abc")
    assert joined("电", b"") == b"\0\0\0\x03\xe7\x94\xb5\0\0\0\0"
