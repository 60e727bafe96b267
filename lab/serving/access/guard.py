"""Who calls, may the caller do this, and not too often: asked of every request before its body is read."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

from lab.governance.folder import private_folder
from lab.serving.access import keys, settings
from lab.serving.access.caller import RIGHTS, Caller
from lab.serving.access.certificates import known, peer_of
from lab.serving.access.guesses import Guesses
from lab.serving.access.limits import Meter, Reading
from lab.serving.access.paths import needed
from lab.serving.access.settings import AccessSettings, Limit
from lab.serving.access.tokens import TokenCheck, TokenRefused, read_jwks
from lab.serving.access.watched import Watched
from lab.serving.problems import RequestError

log = logging.getLogger("lianmo.serving")

API_KEY: Final = "x-api-key"
_LIMITS: Final = "limits"
#: What a path without need of a right is asked by.
ANYBODY: Final = Caller("anybody", frozenset())
_ALL_RIGHTS: Final = frozenset(RIGHTS)


@dataclass(slots=True)
class Visit:
    """One request that was let in, as ``request.state.visit``."""

    caller: Caller
    limit: Limit | None = None
    meter: Meter | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def charge(self, n: int) -> None:
        """Count ``n`` more rows of a batch against the caller's rate; it waits for them before its next call."""
        if self.meter and self.limit and n > 0:
            self.headers = _told(self.meter.take(n), self.limit)


class Guard(Protocol):
    """What the gate asks."""

    def visit(self, scope: Scope, headers: Headers) -> Any:
        """A context that yields the ``Visit`` while the request lasts. Raises ``RequestError`` instead."""
        ...


class NoGuard:
    """Lets in whoever can connect; where TLS asks for certificates, that is whoever has one."""

    @contextmanager
    def visit(self, scope: Scope, headers: Headers) -> Iterator[Visit]:  # noqa: ARG002
        peer = peer_of(scope)
        subject = "".join(c if c.isprintable() else "?" for c in peer.subject[:200]) if peer else ""
        yield Visit(Caller(f"certificate:{subject}" if peer else ANYBODY.name, _ALL_RIGHTS))


class FolderGuard:
    """Lets in whom an access folder names: ``keys.json``, ``access.toml`` and the JWK set that it names.

    All three are read again when they change. ``limits/`` holds a file of eight bytes for each caller. Keys and tokens
    from an address that showed too many wrong ones are not looked at for a while; a certificate is.

    Raises:
        ConfigError: ``access_unusable``, ``jwks_unusable``.
        KeysError: the folder or its keys can be read by others, or are damaged.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self._limits = private_folder(folder / _LIMITS)
        self._keys = Watched(folder / keys.FILE, keys.read_keys)
        self._settings = Watched(folder / settings.FILE, settings.read_settings)
        self._tokens: tuple[AccessSettings, Watched[TokenCheck]] | None = None
        self._meters: dict[str, tuple[Limit, Meter]] = {}
        self._under_way: Counter[str] = Counter()
        self._guesses = Guesses()
        self._folder = folder
        self._token_check(self._settings.content())

    @contextmanager
    def visit(self, scope: Scope, headers: Headers) -> Iterator[Visit]:
        right = needed(scope["method"], scope["path"])
        if right is None:
            yield Visit(ANYBODY)
            return
        current = self._settings.content()
        caller = self._identified(scope, headers, current)
        caller.need(right)
        limit = current.limits.of(caller.name)
        meter = self._meter(caller.name, limit)
        with self._one_more(caller.name, limit):
            reading = meter.take()
            told = _told(reading, limit)
            if reading.wait:
                raise _too_many(reading.wait, told)
            yield Visit(caller, limit, meter, told)

    def _identified(self, scope: Scope, headers: Headers, current: AccessSettings) -> Caller:
        """By the key; if none is shown by the token; if none is by the certificate: what is shown first must be good.

        Raises:
            RequestError: 401, ``not_authenticated``; 429, ``too_many_wrong_credentials``.
        """
        shown, tokens = headers.getlist(API_KEY), headers.getlist("authorization")
        if not shown and not tokens:
            return self._certified(scope, current)
        address, rate = (scope.get("client") or ("-",))[0], current.wrong_credentials.rate
        if wait := self._guesses.wait(address, rate):
            raise _too_many_wrong(wait)
        try:
            return self._shown(scope, shown, tokens, current)
        except RequestError:
            self._guesses.wrong(address, rate)
            raise

    def _shown(self, scope: Scope, shown: Sequence[str], tokens: Sequence[str], current: AccessSettings) -> Caller:
        peer = peer_of(scope)
        if len(shown) > 1 or len(tokens) > 1:
            raise _unknown(scope, "shown twice")
        if shown:
            key, state = keys.find(self._keys.content(), shown[0], datetime.now(UTC))
            if key and state == "active":
                return key.caller
            raise _unknown(scope, f"key {key.key_id if key else '-'} {state}")
        scheme, _, token = tokens[0].partition(" ")
        check = self._token_check(current)
        if scheme.lower() != "bearer" or check is None:
            raise _unknown(scope, "scheme not served")
        try:
            return check.caller(token.strip(), peer.thumbprint if peer else None)
        except TokenRefused as refused:
            raise _unknown(scope, f"token {refused.args[0]}", ', error="invalid_token"') from None

    def _certified(self, scope: Scope, current: AccessSettings) -> Caller:
        if peer := peer_of(scope):
            if caller := known(peer, current.certificates):
                return caller
            raise _unknown(scope, "certificate of nobody")
        raise _unknown(scope, "nothing shown")

    def _token_check(self, current: AccessSettings) -> TokenCheck | None:
        oauth = current.oauth
        if oauth is None:
            return None
        if self._tokens is None or self._tokens[0] is not current:
            self._tokens = current, Watched(self._folder / oauth.jwks, lambda path: read_jwks(path, oauth))
        return self._tokens[1].content()

    def _meter(self, name: str, limit: Limit) -> Meter:
        found = self._meters.get(name)
        if found is None or found[0] != limit:
            found = self._meters[name] = limit, Meter(self._limits / quote(name, safe=""), limit.rate)
        return found[1]

    @contextmanager
    def _one_more(self, name: str, limit: Limit) -> Iterator[None]:
        if self._under_way[name] >= limit.concurrent:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_at_once",
                f"The caller has {limit.concurrent} calls under way, as many as it may. Wait for one to be answered.",
                f"调用方同时进行的调用已达上限 {limit.concurrent} 个，请等待其中之一完成。",
                headers={"Retry-After": "1"},
            )
        self._under_way[name] += 1
        try:
            yield
        finally:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]


def _unknown(scope: Scope, why: str, challenge: str = "") -> RequestError:
    """One answer whatever was wrong; the log says what."""
    log.warning(
        "caller refused: %s from=%s request=%s", why, (scope.get("client") or "-")[0], scope["state"]["request_id"]
    )
    return RequestError(
        HTTPStatus.UNAUTHORIZED,
        "not_authenticated",
        "Calls need an API key, an access token or a certificate that is in force.",
        "调用需要有效的 API 密钥、访问令牌或证书。",
        headers={"WWW-Authenticate": f'Bearer realm="lianmo"{challenge}'},
    )


def _too_many(wait: float, told: dict[str, str]) -> RequestError:
    seconds = max(1, math.ceil(wait))
    return RequestError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_requests",
        f"The caller asks faster than it may. Ask again in {seconds} s.",
        f"调用频率超过上限，请在 {seconds} 秒后重试。",
        headers={"Retry-After": str(seconds), **told},
    )


def _too_many_wrong(wait: float) -> RequestError:
    seconds = max(1, math.ceil(wait))
    return RequestError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_wrong_credentials",
        f"Too many wrong keys or tokens came from this address; none is looked at for {seconds} s. Check yours.",
        f"来自该地址的无效密钥或令牌过多，{seconds} 秒内不再校验。请检查所用凭据。",
        headers={"Retry-After": str(seconds)},
    )


def _told(reading: Reading, limit: Limit) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10: quota and window, what is left, when it is whole again."""
    window = math.ceil(limit.burst / limit.per_second)
    return {
        "RateLimit-Policy": f'"caller";q={limit.burst};w={window}',
        "RateLimit": f'"caller";r={reading.left};t={math.ceil(reading.full_in)}',
    }
