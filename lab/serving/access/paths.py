"""Which right each request needs: a closed list; what is not on it needs ``admin``."""

from __future__ import annotations

from typing import Final

from lab.serving.access.caller import Right

#: Asked by load balancers, which show nothing. They say whether the service is up.
OPEN: Final = frozenset({"/healthz", "/readyz"})

_NEEDED: Final[dict[tuple[str, str], Right]] = {
    ("POST", "/v1/scores"): "score",
    ("POST", "/v1/scores:batch"): "batch",
    ("POST", "/v1/messages"): "score",  # a data node's endpoint
    ("GET", "/v1/models/current"): "models",
    ("GET", "/openapi.json"): "models",
    ("GET", "/metrics"): "metrics",
}
_ONE_SCORE: Final = "/v1/scores/"


def needed(method: str, path: str) -> Right | None:
    """The right for a path as the router sees it, or as OpenAPI writes it; None: anybody's."""
    if method == "HEAD":
        method = "GET"
    if method == "GET" and path in OPEN:
        return None
    if method == "GET" and path.startswith(_ONE_SCORE):
        _, *below = path.removeprefix(_ONE_SCORE).split("/")
        return "read" if below in ([], ["report"]) else "admin"
    return _NEEDED.get((method, path), "admin")
