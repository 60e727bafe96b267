"""Who calls, and what the caller may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal, get_args

from lab.serving.problems import RequestError

Right = Literal["score", "batch", "read", "models", "metrics", "admin"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)


@dataclass(frozen=True, slots=True)
class Caller:
    """Attributes:
    name: ``key:…``, ``oauth:…`` or ``certificate:…``, so that no two ways to be known share a name.
    rights: what it may do; each stands for itself, ``admin`` does not contain the others.
    purposes: what it may score for; empty: for any.
    """

    name: str
    rights: frozenset[Right]
    purposes: frozenset[str] = field(default_factory=frozenset)

    def need(self, right: Right) -> None:
        """Raises ``RequestError`` (403, ``missing_scope``), naming the scope as RFC 6750 §3.1 does."""
        if right not in self.rights:
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "missing_scope",
                f"The caller has no scope '{right}'. Ask the service's operator for it.",
                f"调用方没有 {right} 权限，请向服务运营方申请。",
                headers={"WWW-Authenticate": f'Bearer realm="lianmo", error="insufficient_scope", scope="{right}"'},
                scope=right,
            )

    def need_purpose(self, purpose: str) -> None:
        """Raises ``RequestError`` (403, ``purpose_not_allowed``)."""
        if self.purposes and purpose not in self.purposes:
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "purpose_not_allowed",
                f"The caller may score for: {', '.join(sorted(self.purposes))}. Ask the service's operator for more.",
                f"调用方仅可用于以下目的：{'、'.join(sorted(self.purposes))}。如需其他目的，请向服务运营方申请。",
                purposes=sorted(self.purposes),
            )
