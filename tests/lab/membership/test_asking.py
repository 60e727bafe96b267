"""What a bank is told of a run that failed: the party where it went wrong, not who noticed."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from federation.errors import TransportError
from lab.config import parse_config
from lab.errors import ConfigError, ReportedError, ServiceError
from lab.failures import note_error
from lab.jobs import GuestJob, jobs_of
from lab.membership.asking import ended as last_word
from lab.membership.asking import hold, hub_of, raise_failure
from lab.membership.terms import Terms
from models.errors import LianmoError
from tests.lab.membership.test_session import joined

SESSION = "a" * 32


@pytest.fixture
def job(tmp_path: Path) -> GuestJob:
    told = {"guest": {"party": "bank", "data": "a.csv", "label": "y"}, "hub": {"node": "bank", "hosts": ["host:tax"]}}
    guest, _ = jobs_of(parse_config(told, tmp_path), SESSION, tmp_path / "run")
    guest.directory.mkdir(parents=True)
    return guest


def ended(state: str, **codes: str) -> dict[str, Any]:
    return {"state": state, "outcomes": {party.replace("_", ":"): {"code": code} for party, code in codes.items()}}


def test_the_root_of_it_is_told_not_its_consequence(job: GuestJob) -> None:
    note_error(job, LianmoError("session_closed", "The session was closed.", "会话已关闭。"))
    with pytest.raises(ServiceError) as told:
        raise_failure(job, ended("failed", bank="session_closed", host_tax="keys_too_open"))
    assert "host:tax [keys_too_open]" in told.value.english
    assert "session_closed" not in told.value.english


@pytest.mark.parametrize("other", ["party_left", "no_reply", ""])
def test_the_banks_own_error_is_told_where_nobody_knows_better(job: GuestJob, other: str) -> None:
    note_error(job, LianmoError("bad_data", "The file is wrong.", "文件有误。"))
    with pytest.raises(ReportedError) as told:
        raise_failure(job, ended("failed", bank="bad_data", host_tax=other))
    assert told.value.code == "bad_data"


def test_a_run_that_is_done_is_no_failure(job: GuestJob) -> None:
    raise_failure(job, ended("done", bank="", host_tax=""))


def test_a_stopped_run_says_so(job: GuestJob) -> None:
    with pytest.raises(ServiceError) as told:
        raise_failure(job, ended("stopped"))
    assert told.value.code == "run_stopped"


class Answering:
    """A hub that says this, one thing after the other."""

    def __init__(self, *said: dict[str, Any] | LianmoError) -> None:
        self.said = list(said)

    def run(self, session: str) -> dict[str, Any]:
        told = self.said.pop(0)
        if isinstance(told, LianmoError):
            raise told
        return told


AWAY = TransportError("hub", "hub_unreachable", "It is away.", "暂不可达。")


def ending(job: GuestJob, *said: dict[str, Any] | LianmoError) -> dict[str, Any]:
    hub: Any = Answering(*said)
    return last_word(hub, SESSION, job.directory / "error.json")


def test_a_hub_that_is_away_is_waited_for_while_our_part_goes_on(
    job: GuestJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.membership.asking._LOOK_SECONDS", 0.0)
    done = ended("done", bank="")
    assert ending(job, {"state": "running"}, AWAY, AWAY, done) is done


def test_a_hub_is_waited_for_a_minute_each_time_it_is_away(job: GuestJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.membership.asking._LOOK_SECONDS", 25.0)
    monkeypatch.setattr("lab.membership.asking.time.sleep", lambda _: None)
    done = ended("done", bank="")
    assert ending(job, AWAY, AWAY, {"state": "running"}, AWAY, AWAY, done) is done
    with pytest.raises(TransportError):
        ending(job, AWAY, AWAY, AWAY, done)


def test_a_hub_that_is_away_is_not_waited_for_once_our_part_has_ended(job: GuestJob) -> None:
    note_error(job, LianmoError("relay_lost", "The connection has ended.", "连接已断开。"))
    with pytest.raises(ReportedError) as told:
        raise_failure(job, ending(job, AWAY))
    assert told.value.code == "relay_lost"


def test_a_hub_that_was_started_anew_knows_nothing_and_the_run_can_be_resumed(job: GuestJob) -> None:
    forgotten = ReportedError("no_such_run", "You have no run of this number here.", "本方没有该编号的运行。", 1)
    with pytest.raises(ServiceError) as told:
        raise_failure(job, ending(job, forgotten))
    assert told.value.code == "hub_restarted"


def test_what_the_hub_says_against_us_is_not_waited_out(job: GuestJob) -> None:
    with pytest.raises(ReportedError) as told:
        ending(job, ReportedError("denied", "No member.", "不是成员。", 1))
    assert told.value.code == "denied"


def test_who_was_killed_is_told_not_who_noticed(job: GuestJob) -> None:
    with pytest.raises(ServiceError) as told:
        raise_failure(job, ended("failed", bank="node_lost", host_tax="party_left"))
    assert "bank [node_lost]" in told.value.english
    assert "party_left" not in told.value.english


@pytest.mark.parametrize(("party", "role"), [("other", "guest"), ("bank", "coordinator")])
def test_a_run_is_begun_from_the_folder_of_who_begins_it(tmp_path: Path, party: str, role: Any) -> None:
    node = joined(tmp_path / "bank", "bank", "guest")
    assert hub_of(node, "bank", "guest").node == node
    with pytest.raises(ConfigError) as told:
        hub_of(node, party, role)
    assert told.value.code == "hub_role"


class Holding(Answering):
    """A hub at which a run is begun; ``noted``: sessions that our node would have taken part in when it was asked."""

    def __init__(self, node: Path, *said: Any) -> None:
        super().__init__(*said)
        self.node = node
        self.noted: list[str] = []
        self.stopped: list[str] = []

    def asked(self) -> list[str]:
        return [path.stem for path in (self.node / "hub" / "asked").glob("*")]

    def begin(self, session: str, others: Any, terms: Any) -> None:
        self.noted = self.asked()

    def run(self, session: str) -> dict[str, Any]:
        if isinstance(self.said[0], KeyboardInterrupt):
            raise self.said[0]
        return super().run(session)

    def stop(self, session: str) -> None:
        self.stopped.append(session)
        raise AWAY  # what went wrong is told, not that


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (ended("done", bank="", host_tax=""), None),
        (ended("failed", bank="", host_tax="policy"), ServiceError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_run_that_is_given_up_is_stopped_and_our_node_takes_part_no_longer(
    job: GuestJob, tmp_path: Path, said: Any, raised: type[BaseException] | None
) -> None:
    hub: Any = Holding(tmp_path / "node", said)
    with pytest.raises(raised) if raised else nullcontext():
        hold(hub, SESSION, job, ["host:tax"], Terms(guest="bank", party_seconds=1, answer_seconds=1))
    assert hub.noted == [SESSION]
    assert hub.asked() == []
    assert hub.stopped == ([SESSION] if raised else [])
