"""What every suite promises: back to what it was, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.ciphers.suites.interface import DIGEST_BYTES, Suite, fingerprint, key_id
from federation.errors import BadCost, BadKey, BadSignature, CipherError, NotDecryptable, NotSealedToUs

short = st.binary(max_size=300)


@pytest.fixture(params=SUITE_NAMES)
def of(request: pytest.FixtureRequest) -> Suite:
    return suite(request.param)


names = pytest.mark.parametrize("name", SUITE_NAMES)


def flipped(data: bytes, step: int = 1) -> Iterator[bytes]:
    for bit in range(0, 8 * len(data), step):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def cut_short(data: bytes) -> Iterator[bytes]:
    yield from (data[:n] for n in range(len(data)))
    yield data + b"\x00"


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(CipherError, match="international and sm") as refused:
        suite("des")
    assert refused.value.code == "unknown_suite"


@names
@settings(max_examples=20)
@given(message=short)
def test_a_signature_is_one_of_its_message(name: str, message: bytes) -> None:
    of = suite(name)
    private = of.new_signing_key()
    of.verify(of.verifying_key(private), message, of.sign(private, message))


def test_a_signature_with_any_bit_flipped_or_byte_missing_is_refused(of: Suite) -> None:
    private = of.new_signing_key()
    public, signature = of.verifying_key(private), of.sign(private, b"message")
    for changed in (*flipped(signature), *cut_short(signature)):
        with pytest.raises(BadSignature):
            of.verify(public, b"message", changed)


def test_a_signature_of_another_message_or_key_is_refused(of: Suite) -> None:
    private = of.new_signing_key()
    public, signature = of.verifying_key(private), of.sign(private, b"message")
    for other in (*flipped(b"message"), *cut_short(b"message")):
        with pytest.raises(BadSignature):
            of.verify(public, other, signature)
    with pytest.raises(BadSignature):
        of.verify(of.verifying_key(of.new_signing_key()), b"message", signature)


@names
@settings(max_examples=20)
@given(plaintext=short, context=short)
def test_what_is_sealed_or_encrypted_comes_back(name: str, plaintext: bytes, context: bytes) -> None:
    of = suite(name)
    private, secret = of.new_sealing_key(), of.new_secret()
    assert of.unseal(private, of.seal(of.sealing_key(private), plaintext, context), context) == plaintext
    assert of.decrypt(secret, of.encrypt(secret, plaintext, context), context) == plaintext


def test_what_is_sealed_opens_whole_and_unchanged_only(of: Suite) -> None:
    private = of.new_sealing_key()
    sealed = of.seal(of.sealing_key(private), b"plaintext", b"context")
    for changed in (*flipped(sealed, step=5), *cut_short(sealed)):  # every byte, every place in a byte
        with pytest.raises(NotSealedToUs):
            of.unseal(private, changed, b"context")


def test_what_is_sealed_opens_with_its_key_and_context_only(of: Suite) -> None:
    private = of.new_sealing_key()
    sealed = of.seal(of.sealing_key(private), b"plaintext", b"context")
    for context in (*flipped(b"context"), *cut_short(b"context")):
        with pytest.raises(NotSealedToUs):
            of.unseal(private, sealed, context)
    with pytest.raises(NotSealedToUs):
        of.unseal(of.new_sealing_key(), sealed, b"context")


def test_what_is_encrypted_is_decrypted_whole_and_unchanged_with_its_key_and_context_only(of: Suite) -> None:
    secret = of.new_secret()
    encrypted = of.encrypt(secret, b"plaintext", b"context")
    for changed in (*flipped(encrypted), *cut_short(encrypted)):
        with pytest.raises(NotDecryptable):
            of.decrypt(secret, changed, b"context")
    for other in flipped(secret):
        with pytest.raises(NotDecryptable):
            of.decrypt(other, encrypted, b"context")
    for context in (*flipped(b"context"), *cut_short(b"context")):
        with pytest.raises(NotDecryptable):
            of.decrypt(secret, encrypted, context)


def test_the_same_plaintext_never_looks_the_same(of: Suite) -> None:
    public, secret = of.sealing_key(of.new_sealing_key()), of.new_secret()
    assert of.encrypt(secret, b"plaintext", b"") != of.encrypt(secret, b"plaintext", b"")
    assert of.seal(public, b"plaintext", b"") != of.seal(public, b"plaintext", b"")


@names
@given(wrong=st.binary(max_size=80))
def test_bytes_that_are_no_key_are_refused(name: str, wrong: bytes) -> None:
    of = suite(name)
    lengths = {len(of.new_secret()), len(of.new_signing_key()), len(of.verifying_key(of.new_signing_key()))}
    if len(wrong) in lengths:
        wrong += b"too long" * 8
    for use in (
        lambda: of.sign(wrong, b""),
        lambda: of.verifying_key(wrong),
        lambda: of.verify(wrong, b"", bytes(64)),
        lambda: of.sealing_key(wrong),
        lambda: of.seal(wrong, b"", b""),
        lambda: of.unseal(wrong, bytes(200), b""),
        lambda: of.encrypt(wrong, b"", b""),
        lambda: of.decrypt(wrong, bytes(40), b""),
    ):
        with pytest.raises(BadKey):
            use()


def test_a_passphrase_gives_the_same_key_for_the_same_salt_only(of: Suite) -> None:
    key = of.stretch(b"passphrase", bytes(16), 1024)
    assert key == of.stretch(b"passphrase", bytes(16), 1024)
    assert key != of.stretch(b"passphrasf", bytes(16), 1024)
    assert key != of.stretch(b"passphrase", bytes(15) + b"\x01", 1024)
    assert key != of.stretch(b"passphrase", bytes(16), 2048)
    assert of.decrypt(key, of.encrypt(key, b"fits", b""), b"") == b"fits"


@pytest.mark.parametrize("cost", [0, -1, 1023, 2**40])
def test_a_cost_that_no_release_has_written_is_refused(of: Suite, cost: int) -> None:
    with pytest.raises(BadCost):
        of.stretch(b"passphrase", bytes(16), cost)


def test_a_key_is_named_by_the_digest_of_its_public_key(of: Suite) -> None:
    public = of.verifying_key(of.new_signing_key())
    assert len(of.digest(public)) == DIGEST_BYTES
    assert key_id(of, public) == of.digest(public).hex()[:16]
    assert fingerprint(of, public).replace(" ", "") == of.digest(public).hex()
    assert {len(group) for group in fingerprint(of, public).split(" ")} == {4}


def test_suites_do_not_read_each_other() -> None:
    ours, theirs = suite("international"), suite("sm")
    private = theirs.new_signing_key()
    with pytest.raises(BadKey):
        ours.verify(theirs.verifying_key(private), b"message", theirs.sign(private, b"message"))
    with pytest.raises(BadKey):
        theirs.verify(ours.verifying_key(private), b"message", ours.sign(private, b"message"))


def test_what_a_counted_nonce_encrypted_opens_with_nothing_else(of: Suite) -> None:
    secret, nonce = of.new_secret(), bytes(12)
    assert len(secret) == of.secret_bytes
    encrypted = of.raw_encrypt(secret, nonce, b"plaintext", b"context")
    assert len(encrypted) == len(b"plaintext") + 16
    assert of.raw_decrypt(secret, nonce, encrypted, b"context") == b"plaintext"
    others = [
        (of.new_secret(), nonce, encrypted, b"context"),
        (secret, bytes(11) + b"\x01", encrypted, b"context"),
        (secret, b"", encrypted, b"context"),
        (secret, nonce, encrypted, b"contexu"),
        *((secret, nonce, changed, b"context") for changed in (*flipped(encrypted), *cut_short(encrypted))),
    ]
    for other in others:
        with pytest.raises(NotDecryptable):
            of.raw_decrypt(*other)


def test_keys_of_different_uses_differ(of: Suite) -> None:
    secret = bytes(32)
    assert len({of.derive(secret, label, 32) for label in (b"", b"a", b"b")} | {of.mac(secret, b"a")}) == 4
