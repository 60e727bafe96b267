"""Real numbers clipped and rounded to a few bits, so that sums over sites are sums of small integers.

BatchCrypt's quantisation (Zhang et al., USENIX ATC 2020, §4.2): symmetric about 0, the same at all sites, clipped;
``federation.ciphers.words`` proves the room that its packing leaves for carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quantiser:
    """Attributes:
    clip: largest magnitude that is told apart; what is beyond becomes ±clip.
    bits: of a number, sign included, 2 to 52.
    """

    clip: float
    bits: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.clip) and self.clip > 0 and 2 <= self.bits <= 52):
            raise ModelError(
                "bad_quantisation",
                "Numbers are rounded to 2 to 52 bits within a positive limit.",
                "数值量化位数须为 2 至 52，截断界限须为正数。",
            )

    @property
    def bound(self) -> int:
        """Largest magnitude of a quantised number."""
        return (1 << (self.bits - 1)) - 1

    @property
    def step(self) -> float:
        """What one unit stands for."""
        return self.clip / self.bound

    def quantise(self, values: Floats) -> Numbers:
        """Nearest multiples of ``step``, in units; of magnitude at most ``bound``. The error of a value that is not
        clipped is at most half a step.

        Raises:
            ModelError: ``not_finite``: a value is missing or infinite.
        """
        if not np.isfinite(values).all():
            raise ModelError(
                "not_finite",
                "A number that should be summed over sites is missing or infinite.",
                "待跨站点求和的数值中存在缺失或无穷值。",
            )
        found: Numbers = np.rint(np.clip(values, -self.clip, self.clip) / self.step).astype(np.int64)
        return np.clip(found, -self.bound, self.bound)

    def restored(self, numbers: Numbers) -> Floats:
        """What quantised numbers, or sums of them, stand for."""
        return np.multiply(numbers, self.step, dtype=np.float64)
