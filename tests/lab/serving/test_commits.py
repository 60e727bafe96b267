"""Calls that share a write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from lab.serving.commits import GroupCommit


def test_what_comes_during_a_write_shares_the_next() -> None:
    written: list[list[int]] = []
    first, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> None:
        written.append(list(items))
        first.set()
        assert go_on.wait(10)

    async def calls() -> None:
        commits = GroupCommit(write)
        one = asyncio.ensure_future(commits.commit(0))
        await asyncio.to_thread(first.wait, 10)
        rest = [asyncio.ensure_future(commits.commit(k)) for k in range(1, 40)]
        await asyncio.sleep(0)
        assert not one.done()
        go_on.set()
        await asyncio.gather(one, *rest)
        commits.close()

    asyncio.run(calls())
    assert written == [[0], list(range(1, 40))]


def test_a_write_that_fails_fails_all_its_calls_and_not_the_next() -> None:
    class Full(Exception):
        pass

    def write(items: Sequence[str]) -> None:
        if "bad" in items:
            raise Full

    async def calls() -> None:
        commits = GroupCommit(write)
        with pytest.raises(Full):
            await commits.commit("bad")
        await commits.commit("good")
        commits.close()
        await commits.commit("after it was closed")
        commits.close()

    asyncio.run(calls())


def test_a_call_that_is_given_up_harms_no_other() -> None:
    async def calls() -> None:
        commits: GroupCommit[int] = GroupCommit(lambda items: None)
        gone = asyncio.ensure_future(commits.commit(1))
        await asyncio.sleep(0)
        gone.cancel()
        await commits.commit(2)
        assert gone.cancelled()
        commits.close()

    before = set(threading.enumerate())
    asyncio.run(calls())
    assert set(threading.enumerate()) <= before


def test_one_that_was_never_used_is_closed_at_once() -> None:
    GroupCommit(lambda items: None).close()
