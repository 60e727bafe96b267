"""The city: enterprises, and the hidden state of each in every quarter from which all else follows.

Three numbers move an enterprise. *Business* is how well it earns, *conduct* how well it keeps rules, *burden* how much
it owes. Each is a fixed part plus an AR(1) process over quarters; business also follows the economy, the industry and
the district, burden also that of the head of the enterprise's group. Nobody sees them: observables are noisy functions
of the state of their own quarter, default a logistic hazard on the state of the quarters after a loan was paid out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.quarters import N_QUARTERS, SNAPSHOT, Dates, Ints, quarter_of
from models.samples import check_parameter

Values = NDArray[np.float32]

#: GB/T 4754 section letter → share of enterprises, log of annual sales per employee (CNY), swing of the year's seasons.
INDUSTRIES: Final = {
    "A": (0.05, 12.4, 0.30),
    "C": (0.29, 13.2, 0.08),
    "E": (0.08, 13.1, 0.20),
    "F": (0.28, 13.8, 0.12),
    "G": (0.06, 12.9, 0.08),
    "H": (0.05, 12.0, 0.15),
    "I": (0.07, 12.9, 0.12),
    "L": (0.07, 12.6, 0.08),
    "M": (0.04, 12.7, 0.15),
    "R": (0.01, 12.2, 0.18),
}
LETTERS: Final = tuple(INDUSTRIES)
SIZES: Final = ("large", "medium", "small", "micro")
KINDS: Final = ("company", "household_business", "farmers_cooperative")
DISTRICTS: Final = tuple(f"3999{k:02d}" for k in range(1, 11))
TOWNS: Final = tuple(f"{d}-{k:02d}" for d in DISTRICTS for k in range(1, 9))
PARKS: Final = tuple(f"park-{k:02d}" for k in range(1, 13))

#: Blows to the economy that everyone remembers: quarter → how far business fell.
_SHOCKS: Final = {8: -0.9, 9: -0.5, 17: -0.7, 18: -0.3}
_PERSISTENCE: Final = {"business": 0.93, "conduct": 0.84, "burden": 0.95}
_FIXED_SHARE: Final = {"business": 0.45, "conduct": 0.10, "burden": 0.50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a population is drawn from.

    Attributes:
        n_enterprises: 100 to 5,000,000.
        seed: the same seed and number give the same bytes.
        default_rate: of booked loans within 12 months, on average over all years; 0.005 to 0.2.

    Raises:
        ModelError: ``bad_parameter``.
    """

    n_enterprises: int
    seed: int
    default_rate: float = 0.045

    def __post_init__(self) -> None:
        check_parameter("n_enterprises", self.n_enterprises, 100, 5_000_000)
        check_parameter("seed", self.seed, 0, 2**32 - 1)
        check_parameter("default_rate", self.default_rate, 0.005, 0.2)

    def rng(self, *place: int) -> np.random.Generator:
        """An independent stream for each place: a draw more in one table changes no other."""
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.seed, spawn_key=place)))


@dataclass(frozen=True, slots=True)
class City:
    """What all enterprises share: business by quarter and industry, and by district."""

    industry: Values
    district: Values


def draw_city(rng: np.random.Generator) -> City:
    """Paths of the economy and its industries, shape ``(N_QUARTERS, 10)``, and levels of districts, shape ``(10,)``."""
    economy = 0.2 * _ar1(rng, 1, 0.8)
    for quarter, blow in _SHOCKS.items():
        economy[quarter] += blow
    industry = 0.25 * _ar1(rng, len(LETTERS), 0.92)
    return City(economy + industry, (0.2 * rng.standard_normal(len(DISTRICTS))).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Enterprises:
    """One block of the population, arrays of one value per enterprise; states have shape ``(N_QUARTERS, n)``.

    Attributes:
        first_quarter: the first whole quarter on the register, 0 if older than the calendar.
        scale: log of annual sales (CNY) when business is neither good nor bad.
        head: number of the group's first member; of the enterprise itself if it belongs to none.
        growth: of sales per quarter, as a logarithm.
    """

    kind: Ints
    industry: Ints
    size: Ints
    district: Ints
    town: Ints
    park: Ints
    registered_on: Dates
    first_quarter: Ints
    employees: Ints
    capital: Ints
    scale: Values
    growth: Values
    head: Ints
    business: Values
    conduct: Values
    burden: Values

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Quarters in which an enterprise is on the register, shape ``(N_QUARTERS, n)``."""
        return np.arange(N_QUARTERS)[:, None] >= self.first_quarter

    def age(self, on: Dates, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Years since registration."""
        days = (on - self.registered_on[rows]).astype(np.float64)
        return np.asarray(days / 365.25)


def draw_enterprises(city: City, n: int, rng: np.random.Generator) -> Enterprises:
    """``n`` enterprises and their states."""
    shares = np.array([share for share, *_ in INDUSTRIES.values()])
    industry = rng.choice(len(LETTERS), n, p=shares)
    district = rng.choice(len(DISTRICTS), n, p=np.linspace(1.6, 0.4, len(DISTRICTS)) / 10)
    farm = industry == LETTERS.index("A")
    kind = np.where(farm & (rng.random(n) < 0.6), 2, (rng.random(n) < 0.18).astype(np.int64))
    employees = np.clip(np.exp(rng.normal(2.0, 1.1, n) - 0.9 * (kind == 1)), 1, 3000).astype(np.int64)
    size = np.searchsorted([10, 100, 300], employees, side="right")
    days = np.clip(rng.exponential(8.5 * 365.25, n), 60, 40 * 365).astype(np.int64)
    registered_on = SNAPSHOT - days
    level = np.array([log_sales for _, log_sales, _ in INDUSTRIES.values()])
    head = _heads(n, rng)
    business = _state(rng, n, "business") + city.industry[:, industry] + city.district[district]
    own = _state(rng, n, "burden")
    return Enterprises(
        kind=kind,
        industry=industry,
        size=3 - size,
        district=district,
        town=8 * district + rng.integers(0, 8, n),
        park=np.where((rng.random(n) < 0.22) & ~farm, rng.integers(0, len(PARKS), n), -1),
        registered_on=registered_on,
        first_quarter=np.maximum(quarter_of(registered_on) + 1, 0),
        employees=employees,
        capital=10_000 * np.maximum(1, np.exp(rng.normal(4.2, 0.9, n) + 0.35 * np.log(employees))).astype(np.int64),
        scale=(level[industry] + 0.95 * np.log(employees) + rng.normal(0, 0.7, n)).astype(np.float32),
        growth=rng.normal(0.008, 0.012, n).astype(np.float32),
        head=head,
        business=business,
        conduct=_state(rng, n, "conduct"),
        burden=np.where(head == np.arange(n), own, np.float32(0.75) * own + np.float32(0.66) * own[:, head]),
    )


def season(industry: NDArray[Any]) -> Values:
    """Logarithm of a quarter's share of the year's sales, shape ``(N_QUARTERS, n)``; seasons fade over the years."""
    swing = np.array([swing for *_, swing in INDUSTRIES.values()])[industry]
    quarters = np.arange(N_QUARTERS)
    shape = np.array([-1.0, 0.1, 0.0, 0.9])[quarters % 4] * (1.2 - 0.015 * quarters)
    return np.asarray(shape[:, None] * swing, dtype=np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, ...] | int, scale: float) -> Values:
    """Normal noise in single precision."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(scale)
    return values


def chance(logit: NDArray[Any]) -> NDArray[Any]:
    """Probability of a log-odds."""
    return np.asarray(1 / (1 + np.exp(-logit)))


def _state(rng: np.random.Generator, n: int, name: str) -> Values:
    """Variance 1: a share fixed for good, the rest an AR(1) process."""
    fixed = _FIXED_SHARE[name]
    moving = _ar1(rng, n, _PERSISTENCE[name])
    moving *= np.float32(np.sqrt(1 - fixed))
    moving += noise(rng, n, float(np.sqrt(fixed)))
    return moving


def _ar1(rng: np.random.Generator, n: int, persistence: float) -> Values:
    """Stationary, variance 1, shape ``(N_QUARTERS, n)``."""
    path = noise(rng, (N_QUARTERS, n), float(np.sqrt(1 - persistence**2)))
    path[0] /= np.float32(np.sqrt(1 - persistence**2))
    for t in range(1, N_QUARTERS):
        path[t] += np.float32(persistence) * path[t - 1]
    return path


def _heads(n: int, rng: np.random.Generator) -> Ints:
    """Groups of two to six neighbours for about a sixth of the enterprises."""
    sizes = np.where(rng.random(n) < 0.06, rng.integers(2, 7, n), 1)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return starts[np.searchsorted(starts, np.arange(n), side="right") - 1].astype(np.int64)
