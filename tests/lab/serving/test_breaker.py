"""When a party is asked, and when it is left alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.serving.breaker import Breaker


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(3, 5.0, clock)


def fail(breaker: Breaker, n: int) -> None:
    for _ in range(n):
        assert breaker.admits()
        breaker.failed()


def test_failures_in_a_row_open_it_and_others_do_not(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"
    assert not breaker.admits()


def test_one_question_tries_after_a_while_and_its_success_closes(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 4.9
    assert breaker.is_open()
    clock.now += 0.2
    assert not breaker.is_open()
    assert breaker.admits()
    assert breaker.state == "half_open"
    assert not breaker.admits()  # one at a time
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.admits()


def test_a_trial_that_fails_opens_it_at_once(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    fail(breaker, 1)
    assert breaker.state == "open"
    assert not breaker.admits()


def test_a_trial_of_which_nothing_is_heard_does_not_bar_the_next(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    assert breaker.admits()
    clock.now += 5
    assert breaker.admits()


@given(st.lists(st.sampled_from(["ask_well", "ask_ill", "wait"])))
def test_while_it_fails_it_is_asked_no_more_than_allowed(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(2, 1.0, clock)
    failed_in_a_row, last_failure = 0, -1e9
    for step in steps:
        if step == "wait":
            clock.now += 0.4
            continue
        admitted = breaker.admits()
        if failed_in_a_row >= 2 and clock.now < last_failure + 1.0:
            assert not admitted
        if failed_in_a_row < 2:
            assert admitted
        if admitted and step == "ask_well":
            breaker.succeeded()
            failed_in_a_row = 0
        elif admitted:
            breaker.failed()
            failed_in_a_row, last_failure = failed_in_a_row + 1, clock.now
