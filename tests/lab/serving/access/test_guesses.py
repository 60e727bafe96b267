"""Whoever guesses keys waits, by address; nobody else does, and no number of addresses fills the memory."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from lab.serving.access.guard import FolderGuard
from lab.serving.access.guesses import MOST_ADDRESSES, Guesses, neighbourhood
from lab.serving.access.keys import KeyBook
from lab.serving.access.limits import Rate
from lab.serving.problems import RequestError

RATE = Rate(per_second=0.5, burst=3)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(0, 20), max_size=60))
def test_it_is_a_bucket_of_so_many_that_fills_again(pauses: list[int]) -> None:
    """Against a bucket that is filled drop by drop."""
    clock = Clock()
    guesses, level, at = Guesses(clock=clock), float(RATE.burst), clock.now
    for pause in pauses:
        clock.now += pause / 2
        level, at = min(RATE.burst, level + (clock.now - at) * RATE.per_second), clock.now
        looked_at = guesses.wait("10.0.0.1", RATE) == 0.0
        assert looked_at == (level >= 1.0)
        if looked_at:
            guesses.wrong("10.0.0.1", RATE)
            level -= 1.0


def test_no_number_of_addresses_fills_the_memory() -> None:
    guesses = Guesses(most=100, clock=Clock())
    recent: deque[str] = deque(maxlen=100)
    for k in range(1000):
        recent.append(f"10.0.{k // 250}.{k % 250}")
        guesses.wrong(recent[-1], RATE)
    assert len(guesses) == 100
    rate = Rate(0.5, 1)
    assert all(guesses.wait(address, rate) > 0 for address in recent)
    assert guesses.wait("10.0.0.0", rate) == 0.0  # forgotten
    assert MOST_ADDRESSES <= 10_000


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        (":::", "::::", False),
    ],
)
def test_a_subscriber_of_ipv6_is_one_address(one: str, other: str, alike: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is alike


class Door:
    """A guard over a folder with one good key."""

    def __init__(self, folder: Path) -> None:
        (folder / "access.toml").write_text("[wrong_credentials]\nper_second = 0.5\nburst = 3\n", "utf-8")
        self.good = KeyBook(folder).add("loan-desk", ("score",), 1.0)[1]
        self.guard, self.clock = FolderGuard(folder), Clock()
        self.guard._guesses = Guesses(clock=self.clock)

    def ask(self, address: str, **shown: str) -> str:
        """Empty if let in, else the code of the refusal."""
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/scores", "client": (address, 1)}
        scope["state"] = {"request_id": "r"}
        headers = Headers({name.replace("_", "-"): value for name, value in shown.items()})
        try:
            with self.guard.visit(scope, headers):
                return ""
        except RequestError as error:
            self.status, self.retry_after = error.status, error.headers.get("Retry-After")
            return error.code


def test_after_some_wrong_keys_none_from_that_address_is_looked_at_for_a_while(folder: Path) -> None:
    door = Door(folder)
    for k in range(3):
        wrong = {"x_api_key": f"lm_{k}"} if k else {"authorization": "Bearer forged"}
        assert door.ask("10.0.0.1", **wrong) == "not_authenticated"
    for shown in (door.good, "lm_9"):  # whether it would have been the right one is not to be learnt
        assert door.ask("10.0.0.1", x_api_key=shown) == "too_many_wrong_credentials"
    assert door.ask("10.0.0.1", authorization="Bearer forged") == "too_many_wrong_credentials"
    assert (door.status, door.retry_after) == (429, "2")
    assert door.ask("10.0.0.2", x_api_key=door.good) == ""
    door.clock.now += 2.1
    assert door.ask("10.0.0.1", x_api_key=door.good) == ""


def test_good_keys_and_calls_that_show_nothing_are_not_counted(folder: Path) -> None:
    door = Door(folder)
    for _ in range(10):
        assert door.ask("10.0.0.1", x_api_key=door.good) == ""
        assert door.ask("10.0.0.1") == "not_authenticated"
    assert len(door.guard._guesses) == 0
