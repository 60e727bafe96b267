"""Mechanisms of differential privacy and what they spend together, from OpenDP (its only import)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Mechanism = Any


@lru_cache(maxsize=64)
def discrete_laplace(epsilon: float) -> Mechanism:
    """Noise on integers, with at most this epsilon if they move by one in all (L1)."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    scale = 1 / epsilon
    space = vector_domain(atom_domain(T="i64")), l1_distance(T="i64")
    made: Any = make_laplace(*space, scale=scale)
    while made.map(1) > epsilon:
        scale = math.nextafter(scale, math.inf)
        made = make_laplace(*space, scale=scale)
    return made


@lru_cache(maxsize=64)
def discrete_gaussian(scale: float) -> Mechanism:
    """Noise on integers of about this standard deviation."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    return make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=scale)


def epsilon_of_laplace(every: Sequence[Mechanism]) -> float:
    """Epsilon of all, if each's integers move by one; rounded upwards."""
    from opendp.combinators import make_composition

    together: Any = make_composition(list(every))
    return float(together.map(1))


def epsilon_of_gaussians(every: Sequence[Mechanism], moved: float, delta: float) -> float:
    """Epsilon of all at this delta, if each's integers move by ``moved`` (L2); rounded upwards."""
    from opendp.combinators import make_composition, make_zCDP_to_approxDP

    together: Any = make_zCDP_to_approxDP(make_composition(list(every)))
    return float(together.map(moved).epsilon(delta=delta))
