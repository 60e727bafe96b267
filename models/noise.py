"""Noise on counts, and what it spends: the discrete Laplace mechanism (``models.mechanisms``).

Mechanism: Ghosh, Roughgarden & Sundararajan, "Universally utility-maximizing privacy mechanisms", STOC 2009 (there:
geometric). Probability of noise ``k``: ``(1 - a) / (1 + a) * a**abs(k)`` with ``a = exp(-epsilon)``, drawn exactly and
from the operating system's randomness. Composition: Dwork & Roth, The Algorithmic Foundations of Differential Privacy,
2014, §3.5.

Noise further out than ``furthest`` is drawn again, so that whoever packs counts can prove room for it. What that adds
to epsilon is a delta below 2**-100 for all counts that one applicant moves by one: it is not booked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from models.errors import ModelError
from models.losses import Integers
from models.mechanisms import Mechanism, discrete_laplace, epsilon_of_laplace

LEAST_EPSILON: Final = 0.1
MOST_EPSILON: Final = 20.0
#: Bits of the probability with which noise would be further out than ``furthest``.
_TAIL_BITS: Final = 100

#: Epsilon and how many → as many numbers, independent of each other, shape ``(n,)``.
Draw = Callable[[float, int], Integers]


def draw(epsilon: float, n: int) -> Integers:
    """Noise for ``n`` counts of which one applicant moves one by one. Raises ``ModelError`` (``bad_epsilon``)."""
    return np.array(_mechanism(epsilon)([0] * n), dtype=np.int64)


def bounded(source: Draw, epsilon: float, n: int) -> Integers:
    """Noise of a source, none of it beyond ``furthest``, shape ``(n,)``."""
    found = source(epsilon, n)
    while (far := np.flatnonzero(np.abs(found) > furthest(epsilon))).size:
        found[far] = source(epsilon, len(far))
    return found


def furthest(epsilon: float) -> int:
    """Magnitude that noise exceeds with a probability below 2**-100."""
    return math.ceil(_TAIL_BITS * math.log(2) / epsilon)


def likely(epsilon: float) -> int:
    """Magnitude that noise exceeds once in a thousand times at most."""
    return math.ceil(math.log(1000) / epsilon)


def spent(releases: Iterable[tuple[float, int]]) -> float:
    """What releases spend together, whatever each was chosen after.

    Args:
        releases: epsilon of each, and how many tables of counts it had; one applicant moves one count of each by one.

    Returns:
        Epsilon, rounded upwards.

    Raises:
        ModelError: ``bad_epsilon``.
    """
    every = [_mechanism(epsilon) for epsilon, n in releases for _ in range(n)]
    if not every:
        return 0.0
    return epsilon_of_laplace(every)


def _mechanism(epsilon: float) -> Mechanism:
    """OpenDP's, with at most this epsilon if one count moves by one."""
    if not LEAST_EPSILON <= epsilon <= MOST_EPSILON:
        raise ModelError(
            "bad_epsilon",
            f"epsilon is {epsilon:g}; it must be from {LEAST_EPSILON:g} to {MOST_EPSILON:g}.",
            f"epsilon 为 {epsilon:g}，应在 {LEAST_EPSILON:g} 至 {MOST_EPSILON:g} 之间。",
        )
    return discrete_laplace(epsilon)
