"""Runs at the hub: who is addressed, in which order, and how they end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.errors import TransportError
from federation.transports.link import Link
from lab.errors import ReportedError, ServiceError
from lab.hub.members import Members
from lab.membership.hub_client import Hub
from lab.membership.papers import tls_of
from tests.lab.hub.harness import HubAtWork

FIRST, SECOND, THIRD = "a" * 32, "b" * 32, "c" * 32
DONE = {"bank": {"code": ""}, "host:tax": {"code": ""}}


@pytest.fixture
def bank(hub: HubAtWork, tmp_path: Path) -> Hub:
    hub.joined(tmp_path / "tax", "host:tax")
    return hub.joined(tmp_path / "bank", "bank")


def until(true: Callable[[], bool]) -> None:
    """Wait without sleeping on a guess: ask again until it is so, or fail."""
    waiting = threading.Event()
    for _ in range(200):
        if true():
            return
        waiting.wait(0.05)
    pytest.fail("it did not come to be")


def test_each_registered_node_gets_its_own_ticket(hub: HubAtWork, bank: Hub) -> None:
    hub.flower.outcomes[FIRST] = DONE
    assert bank.begin(FIRST, ["host:tax"], {"guest": "bank"})["state"] in ("queued", "running")
    until(lambda: bank.run(FIRST)["state"] == "done")
    assert bank.run(FIRST)["outcomes"] == DONE
    (settings,) = hub.flower.started
    nodes = {member.party: member.flower_node for member in Members(hub.folder).all()}
    assert json.loads(settings["nodes"]) == nodes
    tickets = json.loads(settings["tickets"])
    assert set(tickets) == {"bank", "host:tax"}
    assert len(set(tickets.values())) == 2
    assert json.loads(settings["terms"]) == {"guest": "bank"}


def test_a_finished_run_leaves_no_ticket_and_no_file(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    hub.flower.outcomes[FIRST] = DONE
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "done")
    ticket = json.loads(hub.flower.started[0]["tickets"])["bank"]
    with pytest.raises(TransportError) as refused:
        Link(hub.settings.address, FIRST, "bank", ticket, tls=tls_of(tmp_path / "bank")).__enter__()
    assert refused.value.code == "session_unknown"
    assert not (hub.folder / "runs" / FIRST).exists()


def test_runs_that_wait_are_limited(hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.hub.sessions._MOST", 1)
    bank.begin(FIRST, ["host:tax"], {})
    with pytest.raises(ReportedError) as refused:
        bank.begin(SECOND, ["host:tax"], {})
    assert refused.value.code == "too_many_runs"


def test_runs_that_are_over_are_forgotten_in_the_end(
    hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.hub.sessions._REMEMBERED", 0)
    hub.flower.outcomes |= {FIRST: DONE, SECOND: DONE}
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "done")
    bank.begin(SECOND, ["host:tax"], {})
    with pytest.raises(ReportedError) as refused:
        bank.run(FIRST)
    assert refused.value.code == "no_such_run"


def test_whatever_happens_at_the_hub_the_guest_hears_that_its_run_is_over(
    hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(settings: dict[str, str | int], config: Path) -> str:
        raise OSError(28, "ticket-of-bank")

    monkeypatch.setattr(hub.flower, "start_run", broken)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "failed")
    assert bank.run(FIRST)["outcomes"] == {party: {"code": "internal"} for party in DONE}
    assert "unexpected OSError" in caplog.text
    assert "ticket-of-bank" not in caplog.text
    hub.sessions.relay.open_session(FIRST, {"bank": "t"})  # it is closed


def test_two_runs_with_one_party_go_one_after_the_other(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    other = hub.joined(tmp_path / "other", "other")
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "running" and len(hub.flower.started) == 1)
    hub.flower.outcomes[SECOND] = {"other": {"code": ""}, "host:tax": {"code": ""}}
    assert other.begin(SECOND, ["host:tax"], {})["state"] == "queued"
    until(lambda: other.run(SECOND)["state"] == "queued")
    assert len(hub.flower.started) == 1
    assert bank.stop(FIRST)["state"] == "stopped"
    assert hub.flower.stopped == ["1"]
    until(lambda: other.run(SECOND)["state"] == "done")


def test_runs_that_name_the_same_parties_in_another_order_do_not_wait_for_each_other(hub: HubAtWork, bank: Hub) -> None:
    async def begin(session: str, *parties: str) -> None:
        hub.sessions.begin(session, "bank", dict.fromkeys(parties, "1"), "{}")

    hub.flower.outcomes |= {SECOND: DONE, THIRD: DONE}
    for session, parties in ((FIRST, DONE), (SECOND, DONE), (THIRD, reversed(DONE))):
        asyncio.run_coroutine_threadsafe(begin(session, *parties), hub.loop).result(10)
    until(lambda: bank.run(FIRST)["state"] == "running")
    bank.stop(FIRST)
    until(lambda: all(bank.run(session)["state"] == "done" for session in (SECOND, THIRD)))


def test_a_runs_tickets_lie_where_their_owner_alone_reads(hub: HubAtWork, bank: Hub) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    (place,) = (hub.folder / "runs").iterdir()
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_queued_run_can_be_stopped(hub: HubAtWork, bank: Hub) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "running")
    bank.begin(SECOND, ["host:tax"], {})
    assert bank.stop(SECOND)["state"] == "stopped"
    assert bank.run(FIRST)["state"] == "running"


def test_nobody_else_sees_or_stops_a_run(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    other = hub.joined(tmp_path / "other", "other")
    for call in (other.run, other.stop):
        with pytest.raises(ReportedError) as refused:
            call(FIRST)
        assert refused.value.code == "no_such_run"
    until(lambda: bank.run(FIRST)["state"] == "running")


def test_a_session_is_held_once(hub: HubAtWork, bank: Hub) -> None:
    """Whoever asks for it again, its first asker having died, is given it as it is."""
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "running")
    assert bank.begin(FIRST, ["host:tax"], {})["state"] == "running"
    all_tell(hub)
    until(lambda: bank.run(FIRST)["state"] == "done")
    assert bank.begin(FIRST, ["host:tax"], {})["outcomes"] == DONE
    assert len(hub.flower.started) == 1


def all_tell(hub: HubAtWork) -> None:
    """Each party of the run that began last, that its part is done."""

    async def tell() -> None:
        for party, ticket in json.loads(hub.flower.started[-1]["tickets"]).items():
            hub.sessions.ended(FIRST, party, ticket, "")

    asyncio.run_coroutine_threadsafe(tell(), hub.loop).result(10)


@pytest.mark.parametrize("session", ["../../etc", "A" * 32])
def test_a_session_has_a_number_of_its_own(bank: Hub, session: str) -> None:
    with pytest.raises(ReportedError) as refused:
        bank.begin(session, ["host:tax"], {})
    assert refused.value.code == "bad_session"


def test_what_parties_say_themselves_ends_a_run(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    """Flower, which is seconds behind or away, is not waited for."""
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    bank.ended(FIRST, tickets["bank"], "party_left")
    Hub(tmp_path / "tax").ended(FIRST, tickets["host:tax"], "Values Of Applicants")
    until(lambda: bank.run(FIRST)["state"] == "failed")
    assert bank.run(FIRST)["outcomes"] == {"bank": {"code": "party_left"}, "host:tax": {"code": "internal"}}
    with pytest.raises(ReportedError) as late:
        bank.ended(FIRST, tickets["bank"], "")
    assert late.value.code == "no_such_run"


def test_flowers_part_that_goes_on_after_the_parties_own_is_ended(
    hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.hub.sessions._SETTLE_SECONDS", 0.0)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    all_tell(hub)
    until(lambda: hub.flower.stopped == ["1"])
    until(lambda: not list((hub.folder / "runs").iterdir()))
    assert bank.run(FIRST)["state"] == "done"


def test_nobody_tells_how_anothers_part_or_an_earlier_attempt_ended(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    tax, other = Hub(tmp_path / "tax"), hub.joined(tmp_path / "other", "other")
    bank.ended(FIRST, tickets["bank"], "party_left")
    tax.ended(FIRST, tickets["host:tax"], "party_left")
    until(lambda: bank.run(FIRST)["state"] == "failed")
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 2)
    now = json.loads(hub.flower.started[1]["tickets"])
    for who, ticket in ((bank, tickets["bank"]), (tax, now["bank"]), (other, now["bank"]), (bank, ""), (bank, "é")):
        with pytest.raises(ReportedError) as refused:
            who.ended(FIRST, ticket, "")
        assert refused.value.code == "no_such_run"
    assert bank.run(FIRST)["outcomes"] == {}


def test_a_party_that_is_killed_ends_the_run_within_seconds(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the relay and says nothing; Flower would notice after a minute."""
    monkeypatch.setattr("lab.hub.sessions._WORD_SECONDS", 0.1)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")):
        with Link(hub.settings.address, FIRST, "host:tax", tickets["host:tax"], tls=tls_of(tmp_path / "tax")):
            assert bank.run(FIRST)["outcomes"] == {}
        until(lambda: bank.run(FIRST)["outcomes"] == {"host:tax": {"code": "node_lost"}})
        assert bank.run(FIRST)["state"] == "running"  # the bank has its word to say
    bank.ended(FIRST, tickets["bank"], "party_left")
    until(lambda: bank.run(FIRST)["state"] == "failed")


def test_who_computes_on_when_another_has_failed_is_not_waited_for_for_ever(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.hub.sessions._GRACE_SECONDS", 0.1)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "host:tax", tickets["host:tax"], tls=tls_of(tmp_path / "tax")) as stuck:
        bank.ended(FIRST, tickets["bank"], "party_timeout")
        until(lambda: bank.run(FIRST)["state"] == "failed")
        with pytest.raises(TransportError):
            stuck.receive(10)
    assert bank.run(FIRST)["outcomes"]["host:tax"] == {"code": "no_reply"}


def test_a_session_outlives_flower(hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower says that the run is over: not while parties are at it."""
    monkeypatch.setattr("lab.hub.sessions._ASK_SECONDS", 0.1)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")):
        looked: list[str] = []
        came = hub.sessions.relay.came
        monkeypatch.setattr(hub.sessions.relay, "came", lambda session: looked.append(session) or came(session))
        hub.flower.over = True
        until(lambda: len(looked) > 5)
        Hub(tmp_path / "tax").ended(FIRST, tickets["host:tax"], "")
        assert bank.run(FIRST)["state"] == "running"
        bank.ended(FIRST, tickets["bank"], "")
    until(lambda: bank.run(FIRST)["state"] == "done")


def test_flower_is_asked_anew_if_it_died_before_all_had_come(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")) as link:
        hub.flower.starts += 1
        until(lambda: len(hub.flower.started) == 2)
        assert json.loads(hub.flower.started[1]["tickets"]) == tickets  # who is there already stays
        with Link(hub.settings.address, FIRST, "host:tax", tickets["host:tax"], tls=tls_of(tmp_path / "tax")):
            link.await_party("host:tax", 10)
            hub.flower.starts += 1  # all have come: Flower is of no more use
            bank.ended(FIRST, tickets["bank"], "")
            Hub(tmp_path / "tax").ended(FIRST, tickets["host:tax"], "")
            until(lambda: bank.run(FIRST)["state"] == "done")
    assert len(hub.flower.started) == 2


@pytest.mark.parametrize("noticed", [True, False], ids=["started again already", "not yet"])
def test_flower_dying_under_the_call_is_asked_again(
    hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    start, died, failed = hub.flower.start_run, hub.flower.died, list[str]()

    async def dying(settings: dict[str, str | int], config: Path) -> str:
        if not failed:
            failed.append("superlink_call")
            hub.flower.starts += noticed
            hub.flower.dead = not noticed
            raise ServiceError("superlink_call", "It did not.", "未完成。")
        return await start(settings, config)

    def noted() -> bool:
        """The hub asks more than once before it is started again."""
        failed.append("asked")
        if failed.count("asked") == 3:
            hub.flower.starts += 1
        return died()

    monkeypatch.setattr(hub.flower, "start_run", dying)
    monkeypatch.setattr(hub.flower, "died", noted)
    hub.flower.outcomes[FIRST] = DONE
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "done")
    assert len(hub.flower.started) == 1


def test_a_call_that_flower_did_not_do_is_an_error(hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(settings: dict[str, str | int], config: Path) -> str:
        raise ServiceError("superlink_call", "It did not.", "未完成。")

    monkeypatch.setattr(hub.flower, "start_run", failing)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "failed")
    assert {told["code"] for told in bank.run(FIRST)["outcomes"].values()} == {"superlink_call"}


def test_a_call_that_flower_did_before_it_died_is_no_error(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have come: what becomes of Flower is of no importance any more."""
    start, over = hub.flower.start_run, threading.Event()

    async def slow(settings: dict[str, str | int], config: Path) -> str:
        await start(settings, config)
        await asyncio.to_thread(over.wait, 20)
        raise ServiceError("superlink_call", "It did not.", "未完成。")

    monkeypatch.setattr(hub.flower, "start_run", slow)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with (
        Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")),
        Link(hub.settings.address, FIRST, "host:tax", tickets["host:tax"], tls=tls_of(tmp_path / "tax")),
    ):
        over.set()
        bank.ended(FIRST, tickets["bank"], "")
        Hub(tmp_path / "tax").ended(FIRST, tickets["host:tax"], "")
        until(lambda: bank.run(FIRST)["state"] == "done")


@pytest.mark.parametrize("answer", ["over", "none"])
def test_what_flower_says_of_a_run_counts_only_if_nobody_came_meanwhile(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """It is asked while nobody is there, and answers, or dies, when somebody is."""
    monkeypatch.setattr("lab.hub.sessions._ASK_SECONDS", 0.1)
    asked, came, answered = threading.Event(), threading.Event(), threading.Event()

    async def is_over(run: str) -> bool:
        if not asked.is_set():
            asked.set()
            await asyncio.to_thread(came.wait, 20)
            answered.set()
            if answer == "none":
                raise ServiceError("superlink_call", "It did not.", "未完成。")
        return True

    monkeypatch.setattr(hub.flower, "is_over", is_over)
    bank.begin(FIRST, ["host:tax"], {})
    assert asked.wait(20)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")):
        came.set()
        assert answered.wait(20)
        Hub(tmp_path / "tax").ended(FIRST, tickets["host:tax"], "")
        bank.ended(FIRST, tickets["bank"], "")
    until(lambda: bank.run(FIRST)["state"] == "done")


def test_what_flower_says_does_not_count_for_who_is_at_the_relay(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.hub.sessions._GRACE_SECONDS", 60)
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: len(hub.flower.started) == 1)
    tickets = json.loads(hub.flower.started[0]["tickets"])
    with Link(hub.settings.address, FIRST, "bank", tickets["bank"], tls=tls_of(tmp_path / "bank")):
        report = Path(str(hub.flower.started[0]["result"]))
        report.write_text(json.dumps({"bank": {"code": "no_reply"}, "host:tax": {"code": "unknown_bundle"}}))
        until(lambda: "host:tax" in bank.run(FIRST)["outcomes"])
        assert bank.run(FIRST)["outcomes"] == {"host:tax": {"code": "unknown_bundle"}}
        bank.ended(FIRST, tickets["bank"], "party_absent")
        until(lambda: bank.run(FIRST)["state"] == "failed")


def test_a_death_is_noticed_while_flower_takes_its_time_to_answer(
    hub: HubAtWork, bank: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.hub.sessions._ASK_SECONDS", 0.1)
    monkeypatch.setattr("lab.hub.sessions._WORD_SECONDS", 0.1)
    asked, enough = threading.Event(), threading.Event()

    async def is_over(run: str) -> bool:
        asked.set()
        return await asyncio.to_thread(enough.wait, 60)

    monkeypatch.setattr(hub.flower, "is_over", is_over)
    bank.begin(FIRST, ["host:tax"], {})
    assert asked.wait(20)
    ticket = json.loads(hub.flower.started[0]["tickets"])["host:tax"]
    try:
        with Link(hub.settings.address, FIRST, "host:tax", ticket, tls=tls_of(tmp_path / "tax")):
            pass
        until(lambda: bank.run(FIRST)["outcomes"] == {"host:tax": {"code": "node_lost"}})
    finally:
        enough.set()


def test_flowers_end_is_the_runs_if_nobody_came(hub: HubAtWork, bank: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.hub.sessions._ASK_SECONDS", 0.2)
    hub.flower.over = True
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "failed")


def test_a_run_that_failed_may_be_begun_again_by_its_guest(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    hub.flower.outcomes[FIRST] = {**DONE, "host:tax": {"code": "party_left"}}
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "failed")
    with pytest.raises(ReportedError):
        hub.joined(tmp_path / "other", "other").begin(FIRST, ["host:tax"], {})
    hub.flower.outcomes[FIRST] = DONE
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "done")
    first, second = (json.loads(settings["tickets"]) for settings in hub.flower.started)
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("hosts", [["host:bids"], ["bank"]])
def test_who_is_no_host_here_is_not_asked(hub: HubAtWork, bank: Hub, hosts: list[str]) -> None:
    with pytest.raises(ReportedError) as refused:
        bank.begin(FIRST, hosts, {})
    assert refused.value.code == "party_absent"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(DONE, "done"), ({**DONE, "host:tax": {"code": "policy"}}, "failed"), ({}, "failed")],
)
def test_how_a_run_ends(hub: HubAtWork, bank: Hub, outcome: dict[str, Any], state: str) -> None:
    hub.flower.outcomes[FIRST] = outcome
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == state)


def test_a_member_that_is_put_out_ends_its_runs(hub: HubAtWork, bank: Hub) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "running")
    Members(hub.folder).remove("host:tax")
    remaining = [member.party for member in Members(hub.folder).all()]
    asyncio.run_coroutine_threadsafe(hub.sessions.keep_to(["bank", "host:tax"]), hub.loop).result(10)
    assert bank.run(FIRST)["state"] == "running"
    asyncio.run_coroutine_threadsafe(hub.sessions.keep_to(remaining), hub.loop).result(10)
    assert bank.run(FIRST)["state"] == "stopped"


def test_a_member_that_leaves_ends_its_runs(hub: HubAtWork, bank: Hub, tmp_path: Path) -> None:
    bank.begin(FIRST, ["host:tax"], {})
    until(lambda: bank.run(FIRST)["state"] == "running")
    Hub(tmp_path / "tax").leave()
    assert bank.run(FIRST)["state"] == "stopped"
