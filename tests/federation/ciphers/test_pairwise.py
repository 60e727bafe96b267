"""Keys of pairs: the vectors of RFC 7748, 5869 and 8439, and both sides alike."""

from __future__ import annotations

import pytest

from federation.ciphers import pairwise
from federation.ciphers.pairwise import agree, expand, generate_key, public_key, stream

# RFC 7748 §6.1
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def test_public_keys_and_the_agreement_are_those_of_rfc_7748(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (public_key(ALICE), public_key(BOB)) == (ALICE_PUBLIC, BOB_PUBLIC)
    monkeypatch.setattr(pairwise, "expand", lambda secret, purpose: secret)
    assert agree(ALICE, [BOB_PUBLIC], b"") == (SHARED,)
    assert agree(BOB, [ALICE_PUBLIC], b"") == (SHARED,)


def test_expansion_is_that_of_rfc_5869() -> None:
    """Appendix A.3: no salt, no info; the first 32 of its 42 bytes."""
    assert expand(b"\x0b" * 22, b"").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


def test_the_stream_is_that_of_rfc_8439() -> None:
    """Appendix A.1, vectors 1 and 2: block 0 and block 1 under the key and nonce of zeros."""
    blocks = stream(bytes(32), 128)
    assert blocks[:32].hex() == "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert blocks[64:96].hex() == "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    assert stream(bytes(32), 64, (1).to_bytes(4, "little") + bytes(12)) == blocks[64:]


def test_both_sides_have_the_same_key_and_each_purpose_its_own() -> None:
    a, b = generate_key(), generate_key()
    assert agree(a, [public_key(b)], b"x") == agree(b, [public_key(a)], b"x")
    assert agree(a, [public_key(b)], b"x") != agree(a, [public_key(b)], b"y")


@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little"), b"", bytes(31)], ids=len)
def test_a_point_of_small_order_or_no_point_is_refused(public: bytes) -> None:
    with pytest.raises(ValueError):
        agree(generate_key(), [public], b"")
