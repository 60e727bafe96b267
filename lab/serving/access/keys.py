"""API keys: made once, shown once, kept as digests in ``keys.json`` of the access folder.

A key is ``lianmo_ID_SECRET``: a public number of 48 bits, by which it is found and spoken of, and a secret of 256
random bits. NIST SP 800-63B §5.1.2.2 asks of secrets with 112 bits of entropy or more that they be kept under an
approved one-way function, without salt; the slow functions of OWASP's Password Storage Cheat Sheet are for what people
choose, and would cost each call tens of milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lab.errors import ConfigError
from lab.governance import folder as private
from lab.serving.access.caller import RIGHTS, Caller, Right
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random secret",
        key_bits=(256,),
        purpose="API keys of the scoring service",
        purpose_zh="评分服务的 API 密钥",
        standard="NIST SP 800-63B",
        library="secrets",
    ),
    Declared(
        algorithm="SHA-256",
        purpose="API keys, kept as digests",
        purpose_zh="API 密钥的摘要保存",
        standard="FIPS 180-4",
        library="hashlib",
    ),
    Declared(
        algorithm="comparison in constant time",
        purpose="digests of API keys",
        purpose_zh="API 密钥摘要的比对",
        standard="none",
        library="hmac",
    ),
)

FILE: Final = "keys.json"
_FORM: Final = re.compile(r"lianmo_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Attributes:
    name: of the caller; several keys may have the same, as while one replaces another.
    digest: SHA-256 of the secret, hexadecimal.
    owner: who answers for it: a person or a department.
    made, expires, revoked: ISO 8601, UTC; ``revoked`` empty: it is not.
    """

    key_id: str
    name: str
    scopes: tuple[Right, ...]
    purposes: tuple[str, ...]
    owner: str
    digest: str = field(repr=False)
    made: str
    expires: str
    revoked: str = ""

    def state(self, now: datetime) -> str:
        """``active``, ``revoked`` or ``expired``."""
        if self.revoked:
            return "revoked"
        return "active" if now < datetime.fromisoformat(self.expires) else "expired"

    @property
    def caller(self) -> Caller:
        """Who shows it."""
        return Caller(f"key:{self.name}", frozenset(self.scopes), frozenset(self.purposes))


Keys = Mapping[str, ApiKey]


def read_keys(path: Path) -> Keys:
    """Id → key; none if there is no file. Raises ``KeysError``."""
    if not path.exists():
        return {}
    try:
        found = [ApiKey(**_tuples(data)) for data in private.read(path)["keys"]]
    except (KeyError, TypeError) as error:
        raise private.unreadable(path) from error
    return {key.key_id: key for key in found}


def find(keys: Keys, shown: str, now: datetime) -> tuple[ApiKey | None, str]:
    """The key that ``shown`` is, and its state: ``active``, ``revoked``, ``expired`` or ``unknown``.

    A wrong secret takes as long as a right one, and an unknown id as long as a known one.
    """
    form = _FORM.fullmatch(shown)
    key = keys.get(form[1]) if form else None
    digest = hashlib.sha256((form[2] if form else "").encode()).hexdigest()
    if not hmac.compare_digest(digest, key.digest if key else _NO_DIGEST) or key is None:
        return None, "unknown"
    return key, key.state(now)


class KeyBook:
    """The file, for those who give keys out; one process at a time writes it."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock

    def all(self) -> list[ApiKey]:
        """By name, the newest last."""
        return sorted(read_keys(self._file).values(), key=lambda key: (key.name, key.made))

    def add(
        self, name: str, scopes: Sequence[str], days: float, owner: str = "", purposes: Sequence[str] = ()
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is nowhere else.

        Args:
            days: it is good for so long.

        Raises:
            ConfigError: ``bad_caller_name``, ``unknown_scope``.
            KeysError: the folder is not its owner's alone.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "bad_caller_name",
                "A caller's name is up to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit.",
                "调用方名称最多 64 个字符，仅限 a-z、0-9、“.”、“_”、“-”，且以字母或数字开头。",
            )
        if not scopes or (unknown := sorted(set(scopes) - set(RIGHTS))):
            named = ", ".join(unknown) if scopes else "none was given"
            raise ConfigError(
                "unknown_scope",
                f"--scope is one or more of {', '.join(RIGHTS)}; not: {named}.",
                f"--scope 应为 {'、'.join(RIGHTS)} 中的一项或多项（现为：{named}）。",
            )
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name,
            scopes=tuple(right for right in RIGHTS if right in scopes),
            purposes=tuple(dict.fromkeys(purposes)),
            owner=owner,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            made=_text(now),
            expires=_text(now + timedelta(days=days)),
        )
        with private.locked(self._folder):
            self._write({**read_keys(self._file), key.key_id: key})
        return key, f"lianmo_{key.key_id}_{secret}"

    def revoke(self, name: str) -> list[ApiKey]:
        """Refuse from the next call on all keys of a caller, or the one key of this id. Raises ``ConfigError``."""
        now = self._clock()
        return self._change(name, lambda key: replace(key, revoked=key.revoked or _text(now)))

    def rotate(self, name: str, days: float, overlap_hours: float) -> tuple[ApiKey, str]:
        """A new key with the rights of the caller's newest; its other keys end after the overlap, or sooner.

        Raises:
            ConfigError: ``no_such_key``: it has no active one.
        """
        now = self._clock()
        active = [key for key in self.all() if key.name == name and key.state(now) == "active"]
        if not active:
            raise _no_such_key(name)
        last = _text(now + timedelta(hours=overlap_hours))
        for old in active:
            self._change(old.key_id, lambda key: replace(key, expires=min(key.expires, last)))
        newest = active[-1]
        return self.add(name, newest.scopes, days, newest.owner, newest.purposes)

    def _change(self, name: str, change: Callable[[ApiKey], ApiKey]) -> list[ApiKey]:
        with private.locked(self._folder):
            keys = dict(read_keys(self._file))
            found = [key for key in keys.values() if name in (key.name, key.key_id)]
            if not found:
                raise _no_such_key(name)
            changed = [change(key) for key in found]
            self._write(keys | {key.key_id: key for key in changed})
        return changed

    @property
    def _file(self) -> Path:
        return self._folder / FILE

    def _write(self, keys: Keys) -> None:
        private.write(self._file, {"format": 1, "keys": [asdict(key) for key in keys.values()]})


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _no_such_key(name: str) -> ConfigError:
    return ConfigError(
        "no_such_key",
        f"There is no active key of '{name:.80}'. `lianmo access ls` lists them.",
        f"没有“{name:.80}”的有效密钥。可用 lianmo access ls 查看。",
    )
