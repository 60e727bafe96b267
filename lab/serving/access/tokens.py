"""Access tokens of the bank's own authorisation server, checked offline against its public keys; none is made here."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

import jwt

from lab.errors import ConfigError
from lab.serving.access.caller import RIGHTS, Caller, Right
from lab.serving.access.settings import Algorithm, OAuth
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="JWS signatures: RSA, RSA-PSS, ECDSA, EdDSA",
        key_bits=(256, 384, 521, 2048, 3072, 4096),
        purpose="access tokens of the bank's authorisation server, verified",
        purpose_zh="验证银行授权服务器签发的访问令牌",
        standard="RFC 7515; RFC 7518; RFC 8037; RFC 9068",
        library="jwt",
    ),
    Declared(
        algorithm="SHA-256",
        purpose="tokens found good, remembered as digests until they expire",
        purpose_zh="已验证令牌的摘要缓存",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)

#: Clocks may differ by so many seconds.
LEEWAY: Final = 30
_MOST_BYTES: Final = 8192
_MOST_REMEMBERED: Final = 4096
_LEAST_RSA_BITS: Final = 2048
_CALLER: Final = re.compile(r"[A-Za-z0-9._:@/-]{1,64}")
_REQUIRED: Final = ("iss", "exp", "aud", "iat")


class TokenRefused(Exception):
    """``args[0]``: why, in a word of ours, for the log. The caller is not told."""


class TokenCheck:
    """One issuer's tokens under one set of keys.

    Args:
        keys: id → algorithm → key; what is not there verifies nothing.
    """

    def __init__(self, settings: OAuth, keys: Mapping[str, Mapping[str, jwt.PyJWK]]) -> None:
        self._settings, self._keys = settings, keys
        self._good: dict[bytes, tuple[Caller, float, str | None]] = {}

    def caller(self, token: str, thumbprint: str | None) -> Caller:
        """Who bears it.

        Args:
            thumbprint: of the certificate of the connection; a token that is bound to one is good with it only
                (RFC 8705 §3).

        Raises:
            TokenRefused
        """
        if len(token) > _MOST_BYTES:
            raise TokenRefused("too_long")
        digest = hashlib.sha256(token.encode()).digest()
        found = self._good.get(digest)
        if found is None:
            found = self._checked(token)
            if len(self._good) >= _MOST_REMEMBERED:
                self._good.clear()
            self._good[digest] = found
        caller, expires, bound = found
        if time.time() >= expires + LEEWAY:
            self._good.pop(digest, None)
            raise TokenRefused("expired")
        if bound is not None and bound != thumbprint:
            raise TokenRefused("another_certificate")
        return caller

    def _checked(self, token: str) -> tuple[Caller, float, str | None]:
        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
            # RFC 8725 §3.1, §3.11: algorithm, key and type are ours to allow; the token only says which of them.
            if str(header.get("typ")).lower().removeprefix("application/") != settings.type.lower():
                raise TokenRefused("wrong_type")
            key = self._key(header.get("kid"), str(header.get("alg")))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY,
                options={"require": [*_REQUIRED, settings.caller_claim]},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(type(error).__name__) from None
        name = claims[settings.caller_claim]
        if not isinstance(name, str) or not _CALLER.fullmatch(name):
            raise TokenRefused("unusable_name")
        if settings.revoked & {
            name,
            str(claims.get("jti")),
        }:  # a change of settings begins anew, with nothing remembered
            raise TokenRefused("revoked")
        caller = Caller(f"oauth:{name}", self._rights(claims.get(settings.scope_claim)), frozenset(settings.purposes))
        return caller, float(claims["exp"]), _bound(claims)

    def _key(self, kid: object, algorithm: str) -> jwt.PyJWK:
        if kid is None and len(self._keys) == 1:
            (kid,) = self._keys
        found = self._keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            raise TokenRefused("unknown_key")
        if algorithm not in found:
            raise TokenRefused("algorithm_not_allowed")
        return found[algorithm]

    def _rights(self, scope: Any) -> frozenset[Right]:
        words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else ()
        table = self._settings.scopes or {right: (right,) for right in RIGHTS}
        return frozenset(right for word in words for right in table.get(str(word), ()))


def _bound(claims: Mapping[str, Any]) -> str | None:
    """Thumbprint of the certificate that a token is bound to. Raises ``TokenRefused`` if to anything else, as DPoP."""
    if "cnf" not in claims:
        return None
    match claims["cnf"]:
        case {"x5t#S256": str(bound)}:
            return bound
    raise TokenRefused("bound_otherwise")


def read_jwks(path: Path, settings: OAuth) -> TokenCheck:
    """The check with the keys of a JWK set; keys that are not for these signatures are passed over.

    Raises:
        ConfigError: ``jwks_unusable``: no such file, one that others may write, no JWK set, a short RSA key, or no
            usable key in it.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise _unusable(
                "others can write it, and so make themselves tokens (chmod go-w)",
                "他人可写，可借此伪造令牌（请执行 chmod go-w）",
            )
        told = json.loads(path.read_text("utf-8"))["keys"]
        keys = {}
        for place, data in enumerate(told):
            if allowed := _allowed(data) & frozenset(settings.algorithms):
                found = {algorithm: jwt.PyJWK(data, algorithm) for algorithm in allowed}
                if data["kty"] == "RSA" and any(key.key.key_size < _LEAST_RSA_BITS for key in found.values()):
                    raise _unusable("an RSA key has fewer than 2048 bits", "RSA 密钥不足 2048 位")
                keys[str(data.get("kid", place))] = found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError):
        raise _unusable("it is missing or no JWK set", "文件缺失或不是 JWK 集") from None
    if not keys:
        raise _unusable("no key in it fits the algorithms of access.toml", "其中没有符合 access.toml 所列算法的密钥")
    return TokenCheck(settings, keys)


_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


def _allowed(data: Mapping[str, Any]) -> frozenset[str]:
    """What a key may verify: its own ``alg``, or what its type allows; nothing if it is for encryption or secret."""
    kind, use = data["kty"], data.get("use", "sig")
    if use != "sig" or kind not in ("RSA", "EC", "OKP") or "d" in data:
        return frozenset()
    of_kind = (
        frozenset(name for name in get_args(Algorithm) if name[:2] in ("RS", "PS"))
        if kind == "RSA"
        else frozenset({_BY_CURVE.get(data["crv"], "")})
    )
    return of_kind & {data["alg"]} if "alg" in data else of_kind


def _unusable(english: str, chinese: str) -> ConfigError:
    return ConfigError(
        "jwks_unusable",
        f"The file of public keys (jwks) cannot be used: {english}.",
        f"公钥文件（jwks）无法使用：{chinese}。",
    )
