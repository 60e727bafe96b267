"""What a bank is told of a run that failed: the party where it went wrong, not who noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.config import parse_config
from lab.errors import ReportedError, ServiceError
from lab.failures import note_error
from lab.jobs import GuestJob, jobs_of
from lab.membership.asking import raise_failure
from models.errors import LianmoError


@pytest.fixture
def job(tmp_path: Path) -> GuestJob:
    told = {"guest": {"party": "bank", "data": "a.csv", "label": "y"}, "hub": {"node": "bank", "hosts": ["host:tax"]}}
    guest, _ = jobs_of(parse_config(told, tmp_path), "a" * 32, tmp_path / "run")
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
