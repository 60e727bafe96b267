"""Access tokens, signed by hand: the good ones, and each way of being a bad one."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ConfigError
from lab.serving.access.settings import OAuth
from lab.serving.access.tokens import LEEWAY, TokenCheck, TokenRefused, read_jwks
from tests.lab.serving.access.conftest import AUDIENCE, ISSUER, Issuer, b64, of_int

SETTINGS = OAuth(issuer=ISSUER, audience=AUDIENCE)


@pytest.fixture
def check(issuer: Issuer, folder: Path) -> TokenCheck:
    return check_of(issuer, folder)


def check_of(issuer: Issuer, folder: Path, **settings: Any) -> TokenCheck:
    file = folder / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    return read_jwks(file, SETTINGS.model_copy(update=settings))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_good_token_names_its_caller_and_rights(check: TokenCheck, issuer: Issuer, alg: str) -> None:
    token = issuer.token(alg, scope="score models something-else")
    for _ in range(2):  # checked, then remembered
        caller = check.caller(token, None)
        assert caller.name == "oauth:loan-app"
        assert caller.rights == {"score", "models"}
        assert caller.purposes == frozenset()


def test_scopes_of_the_server_are_mapped_and_nothing_else_counts(issuer: Issuer, folder: Path) -> None:
    check = check_of(issuer, folder, scopes={"loans:use": ("score", "read")}, purposes=("loan_score",))
    caller = check.caller(issuer.token(scope="loans:use admin score"), None)
    assert caller.rights == {"score", "read"}
    assert caller.purposes == {"loan_score"}
    assert check.caller(issuer.token(scope=["loans:use", 7, ["admin"]]), None).rights == {"score", "read"}
    for nothing in (..., None, 7, {"loans:use": 1}):
        assert check.caller(issuer.token(scope=nothing), None).rights == frozenset()


def test_other_servers_name_bearer_and_scopes_elsewhere(issuer: Issuer, folder: Path) -> None:
    check = check_of(issuer, folder, caller_claim="azp", scope_claim="roles")
    caller = check.caller(issuer.token(azp="6f1c", client_id=..., roles=["score"], scope="admin"), None)
    assert (caller.name, caller.rights) == ("oauth:6f1c", {"score"})
    with pytest.raises(TokenRefused):
        check.caller(issuer.token(), None)


BAD: dict[str, dict[str, Any]] = {
    "of another audience": {"aud": "another-service"},
    "of no audience": {"aud": ...},
    "of another issuer": {"iss": "https://evil.example"},
    "of no issuer": {"iss": ...},
    "expired": {"exp": int(time.time()) - LEEWAY - 5},
    "without an end": {"exp": ...},
    "with an end that is no number": {"exp": "tomorrow"},
    "with an infinite end": {"exp": float("inf")},
    "not yet good": {"nbf": int(time.time()) + 3600},
    "made in the future": {"iat": int(time.time()) + 3600},
    "without a caller": {"client_id": ...},
    "with a caller that is no name": {"client_id": "a\nforged line"},
    "with a caller that is a number": {"client_id": 7},
    "bound to another certificate": {"cnf": {"x5t#S256": "abc"}},
    "bound to a key we do not see": {"cnf": {"jkt": "abc"}},
    "bound to nonsense": {"cnf": "abc"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_token_is_refused(check: TokenCheck, issuer: Issuer, what: str) -> None:
    with pytest.raises(TokenRefused):
        check.caller(issuer.token(**BAD[what]), None)


HEADS: dict[str, dict[str, Any]] = {
    "an id token": {"typ": "JWT"},
    "of no type": {"typ": ...},
    "of a type that is no text": {"typ": 7},
    "of another key": {"kid": "rsa-2"},
    "of no key among several": {"kid": ...},
    "of a key that is no text": {"kid": ["rsa-1"]},
    "with the other key": {"kid": "ec-1"},
    "with a header we must understand and do not": {"crit": ["exp2"], "exp2": 1},
    "of an algorithm not on the list": {"alg": "RS512"},
    "of none": {"alg": "none"},
    "of None": {"alg": "None"},
    "of an algorithm that is no text": {"alg": ["RS256"]},
}


@pytest.mark.parametrize("what", HEADS)
def test_a_token_is_refused_for_its_header(check: TokenCheck, issuer: Issuer, what: str) -> None:
    with pytest.raises(TokenRefused):
        check.caller(issuer.token(header=HEADS[what]), None)


def test_no_signature_is_none(check: TokenCheck, issuer: Issuer) -> None:
    for alg in ("none", "NONE", "RS256", ""):
        head = b64(json.dumps({"typ": "at+jwt", "alg": alg, "kid": "rsa-1"}).encode())
        with pytest.raises(TokenRefused):
            check.caller(f"{head}.{b64(json.dumps(issuer.claims()).encode())}.", None)


def test_a_public_key_is_no_shared_secret(check: TokenCheck, issuer: Issuer) -> None:
    """The confusion of RFC 8725 §2.1: the public key, in each form an attacker has it, as the key of an HMAC."""
    public = issuer.rsa_key.public_key()
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    forms = [public.public_bytes(pem, spki), public.public_bytes(serialization.Encoding.DER, spki)]
    forms += [json.dumps(issuer.jwks()["keys"][0]).encode(), b""]
    for kid in ("rsa-1", "oct-1"):
        for secret in forms:
            head = b64(json.dumps({"typ": "at+jwt", "alg": "HS256", "kid": kid}).encode())
            signed = f"{head}.{b64(json.dumps(issuer.claims()).encode())}"
            with pytest.raises(TokenRefused):
                check.caller(f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}", None)


def test_a_secret_key_in_the_set_verifies_nothing(check: TokenCheck, issuer: Issuer) -> None:
    head = b64(json.dumps({"typ": "at+jwt", "alg": "HS256", "kid": "oct-1"}).encode())
    signed = f"{head}.{b64(json.dumps(issuer.claims()).encode())}"
    with pytest.raises(TokenRefused) as caught:
        check.caller(f"{signed}.{b64(hmac.digest(b'k' * 32, signed.encode(), 'sha256'))}", None)
    assert caught.value.args == ("unknown_key",)


def test_a_changed_claim_breaks_the_signature(check: TokenCheck, issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    body = b64(json.dumps(issuer.claims(scope="admin")).encode())
    with pytest.raises(TokenRefused) as caught:
        check.caller(f"{head}.{body}.{signature}", None)
    assert caught.value.args == ("InvalidSignatureError",)


def test_a_bound_token_is_good_with_its_certificate_only(check: TokenCheck, issuer: Issuer) -> None:
    token = issuer.token(cnf={"x5t#S256": "thumb"})
    assert check.caller(token, "thumb").name == "oauth:loan-app"
    for other in (None, "another"):  # the token is remembered by now
        with pytest.raises(TokenRefused):
            check.caller(token, other)


def test_a_remembered_token_ends_when_it_ends(
    check: TokenCheck, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token()
    check.caller(token, None)
    later = time.time() + 300 + LEEWAY + 1
    monkeypatch.setattr("lab.serving.access.tokens.time.time", lambda: later)
    with pytest.raises(TokenRefused) as caught:
        check.caller(token, None)
    assert caught.value.args == ("expired",)


def test_what_is_remembered_is_bounded_and_holds_no_token(
    check: TokenCheck, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.serving.access.tokens._MOST_REMEMBERED", 3)
    tokens = [issuer.token("ES256", jti=str(n)) for n in range(7)]
    for token in tokens:
        check.caller(token, None)
    assert len(check._good) <= 3
    assert set(map(len, check._good)) == {hashlib.sha256().digest_size}


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda b: ".".join([b64(b)] * 3))))
def test_no_text_makes_the_check_fail(text: str) -> None:
    with pytest.raises(TokenRefused):
        TokenCheck(SETTINGS, {}).caller(text.encode("utf-8", "ignore").decode(), None)


@pytest.mark.parametrize("head", ["[" * 5000, '{"a":' * 1500, "1e400", '"x"', "null"])
def test_a_header_that_is_no_header_is_refused(check: TokenCheck, head: str) -> None:
    with pytest.raises(TokenRefused):
        check.caller(f"{b64(head.encode())}.e30.e30", None)
    with pytest.raises(TokenRefused) as caught:
        check.caller("a" * 8193, None)
    assert caught.value.args == ("too_long",)


def test_key_sets_that_cannot_be_used(issuer: Issuer, folder: Path) -> None:
    short = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    weak = {"kty": "RSA", "kid": "weak", "n": of_int(short.n), "e": of_int(short.e)}
    encrypting = issuer.jwks()["keys"][0] | {"use": "enc"}
    private = issuer.jwks()["keys"][1] | {"d": b64(issuer.ec_key.private_numbers().private_value.to_bytes(32, "big"))}
    secret = issuer.jwks()["keys"][3]
    broken = {"kty": "RSA", "kid": "x", "n": "!", "e": "AQAB"}
    file = folder / "jwks.json"
    texts = [json.dumps({"keys": keys}) for keys in ([], [weak], [encrypting], [private], [secret], [broken], [7], {})]
    for text in ("", "[]", "{}", *texts):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_jwks(file, SETTINGS)
        assert caught.value.code == "jwks_unusable"
    with pytest.raises(ConfigError):
        read_jwks(folder / "absent.json", SETTINGS)


def test_a_key_set_that_others_can_write_is_refused(issuer: Issuer, folder: Path) -> None:
    file = folder / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    for mode in (0o646, 0o664):
        file.chmod(mode)
        with pytest.raises(ConfigError, match="others can write it"):
            read_jwks(file, SETTINGS)
    file.chmod(0o644)
    assert read_jwks(file, SETTINGS)


def test_a_key_for_one_algorithm_verifies_no_other(issuer: Issuer, folder: Path) -> None:
    jwks = issuer.jwks()
    jwks["keys"][0]["alg"] = "PS256"
    (folder / "jwks.json").write_text(json.dumps(jwks))
    check = read_jwks(folder / "jwks.json", SETTINGS)
    assert check.caller(issuer.token("PS256"), None).name == "oauth:loan-app"
    with pytest.raises(TokenRefused) as caught:
        check.caller(issuer.token("RS256"), None)
    assert caught.value.args == ("algorithm_not_allowed",)


def test_an_old_server_may_call_its_tokens_jwt(issuer: Issuer, folder: Path) -> None:
    check = check_of(issuer, folder, type="JWT")
    assert check.caller(issuer.token(header={"typ": "JWT"}), None)
    make: Callable[[], object] = lambda: check.caller(issuer.token(), None)  # noqa: E731
    with pytest.raises(TokenRefused):
        make()


def test_algorithms_with_shared_secrets_cannot_be_configured() -> None:
    for name in ("HS256", "none"):
        with pytest.raises(ValueError, match="algorithms"):
            OAuth(issuer="i", audience="a", algorithms=(name,))  # type: ignore[arg-type]
