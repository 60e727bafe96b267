"""An access folder, an authorisation server made by hand from the RFCs, and the bank's service behind a guard."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fastapi import FastAPI

from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from tests.lab.serving.conftest import World, ask

ISSUER, AUDIENCE = "https://login.bank.example/realms/loans", "lianmo-scoring"
OAUTH = f'[oauth]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\n'


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def of_int(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


@dataclass
class Issuer:
    """Signs tokens as RFC 7515 says, without the library under test."""

    rsa_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ed_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def jwks(self) -> dict[str, Any]:
        public = self.rsa_key.public_key().public_numbers()
        point = self.ec_key.public_key().public_numbers()
        return {
            "keys": [
                {"kty": "RSA", "kid": "rsa-1", "use": "sig", "n": of_int(public.n), "e": of_int(public.e)},
                {
                    "kty": "EC",
                    "kid": "ec-1",
                    "crv": "P-256",
                    "x": b64(point.x.to_bytes(32, "big")),
                    "y": b64(point.y.to_bytes(32, "big")),
                },
                {"kty": "OKP", "kid": "ed-1", "crv": "Ed25519", "x": b64(self.ed_key.public_key().public_bytes_raw())},
                {"kty": "oct", "kid": "oct-1", "alg": "HS256", "k": b64(b"k" * 32)},
            ]
        }

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "loan-app",
            "client_id": "loan-app",
            "iat": now,
            "exp": now + 300,
            "jti": "1",
            "scope": "score models",
        } | changed
        return {name: value for name, value in claims.items() if value is not ...}

    def token(self, alg: str = "RS256", header: dict[str, Any] | None = None, **changed: Any) -> str:
        kid = {"ES256": "ec-1", "EdDSA": "ed-1"}.get(alg, "rsa-1")
        head = {"typ": "at+jwt", "alg": alg, "kid": kid} | (header or {})
        head = {name: value for name, value in head.items() if value is not ...}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(self.claims(**changed)).encode())}"
        return f"{signed}.{b64(self.signature(alg, signed.encode()))}"

    def signature(self, alg: str, signed: bytes) -> bytes:
        if alg == "ES256":
            r, s = decode_dss_signature(self.ec_key.sign(signed, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if alg == "EdDSA":
            return self.ed_key.sign(signed)
        if alg == "PS256":
            return self.rsa_key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return self.rsa_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


@dataclass
class Bank:
    """The bank's service behind a guard over ``folder``."""

    app: FastAPI
    folder: Path
    world: World

    @property
    def book(self) -> KeyBook:
        return KeyBook(self.folder)

    def key(self, *scopes: str, name: str = "loan-desk", days: float = 1.0, **more: Any) -> str:
        return self.book.add(name, scopes, days, **more)[1]

    def score(self, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.app, "POST", "/v1/scores", json=self.world.body(3), headers=named)

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.app, "GET", path, headers=named)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "access"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def bank_of(world: World, folder: Path, issuer: Issuer) -> Callable[..., Bank]:
    """Makes the service with such an ``access.toml`` and the issuer's keys beside it."""

    def made(settings: str = "") -> Bank:
        (folder / "access.toml").write_text(settings, "utf-8")
        (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
        guard = FolderGuard(folder)
        app = world.app(guard)
        return Bank(app, folder, world)

    return made


@pytest.fixture
def bank(bank_of: Callable[..., Bank]) -> Bank:
    return bank_of(OAUTH)
