"""What a bank would learn of a data node in a run of some kind: from what its messages say of themselves."""

from __future__ import annotations

import inspect
from typing import Final

from federation.disclosure import revealed_by
from federation.messages import REGISTRY
from federation.vertical import host as _training  # noqa: F401 - registers its messages
from federation.vertical.binning.messages import PrebinSums
from federation.vertical.scoring import host as _scoring  # noqa: F401 - registers its messages
from federation.vertical.stability.messages import Shifts
from lab.governance.policy import Algorithm

#: Algorithm → protocols that its sessions speak, as kinds of messages begin.
PROTOCOLS: Final[dict[Algorithm, tuple[str, ...]]] = {
    "boosting": ("alignment", "boosting", "stability"),
    "scorecard": ("alignment", "binning", "scorecard", "logistic", "stability"),
    "scoring": ("scoring",),
    "shadow": ("scoring",),
}


def would_learn(algorithm: Algorithm, epsilon: float | None = None) -> list[tuple[str, str, str]]:
    """Kind of message, what it tells the bank in English and in Chinese; those that tell nothing are left out.

    Args:
        epsilon: of the noise that the project's terms demand on counts.
    """
    found = []
    for kind, message in sorted(REGISTRY.items()):
        if kind.partition(".")[0] in PROTOCOLS[algorithm] and (inspect.getdoc(message) or "").startswith(
            "Host → guest"
        ):
            if epsilon and message is Shifts:
                continue  # withheld then
            english, chinese = revealed_by(message, epsilon or 0.0 if message is PrebinSums else 0.0)
            if not english.lower().startswith("nothing"):
                found.append((kind, english, chinese))
    return found
