"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from phe import paillier as phe

from federation.ciphers.paillier import PaillierSecret
from federation.ciphers.suite import CipherRules
from tests.builders import Problem, vertical_problem

settings.register_profile(
    "lianmo",
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("lianmo")

# Hundreds of processes are started, each of which would compile our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow ones first: where workers share the tests, none is left alone with a long one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@dataclass(frozen=True)
class Key:
    """Primes of a Paillier key and the rules under which it may be used."""

    p: int
    q: int
    rules: CipherRules

    def secret(self, expected: int = 100) -> PaillierSecret:
        return PaillierSecret(self.p, self.q, minimum_bits=self.rules.minimum_key_bits, expected=expected)


def _key(bits: int, rules: CipherRules) -> Key:
    _, secret = phe.generate_paillier_keypair(n_length=bits)
    return Key(secret.p, secret.q, rules)


@pytest.fixture(scope="session")
def short_keys() -> Key:
    """The only place where a key under 2,048 bits is allowed."""
    return _key(512, CipherRules(minimum_key_bits=512))


@pytest.fixture(scope="session")
def real_key() -> Key:
    """A key as runs use it; generated once per worker."""
    return _key(2048, CipherRules())


@pytest.fixture(scope="session")
def problem() -> Problem:
    """A bank and two hosts: missing values, categories, other orders, missing rows, strangers."""
    return vertical_problem()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets."""
    folder = Path(os.environ.get("LIANMO_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set LIANMO_DATA")
    return folder
