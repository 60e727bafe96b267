"""What a node makes of what the hub sends: its own files decide, and nothing the hub sends is a path."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from federation.errors import LocalProtocolError, TransportError
from lab.config import parse_config
from lab.errors import ConfigError
from lab.hub.authority import new_authority, request_for, sign_request
from lab.hub.invitations import Role
from lab.jobs import GuestJob, HostJob, jobs_of, save_job
from lab.membership.papers import Membership, keep, membership_of, new_keys
from lab.membership.session import ask_for, job_of, no_longer, telling
from lab.membership.terms import Terms
from models.bundle import load

SESSION = "0123456789abcdef" * 2
TERMS = Terms(guest="bank", party_seconds=5, answer_seconds=7)


def joined(node: Path, party: str, role: Role) -> Path:
    keys, authority = new_keys("international"), new_authority("test")
    certificate = sign_request(authority, party, request_for(party, keys.key))
    membership = Membership(hub="lab", address="127.0.0.1:1", party=party, role=role, seal_suite="international")
    keep(node, membership, keys, authority.certificate, certificate)
    return node


@pytest.fixture
def host(tmp_path: Path) -> Path:
    node = joined(tmp_path / "tax", "host:tax", "host")
    (node / "party.toml").write_text('party = "host:tax"\ndata = "tax.csv"\nmin_rows_per_bin = 30\nn_jobs = 2\n')
    return node


def settings(**changed: Any) -> dict[str, Any]:
    return {"session": SESSION, "ticket": "t", "terms": TERMS.model_dump_json(), **changed}


def test_a_hosts_job_is_its_own_file_and_the_guests_terms(host: Path) -> None:
    job = job_of(host, "host:tax", settings())
    assert isinstance(job, HostJob)
    assert job.party.data == host / "tax.csv"
    assert (job.party.min_rows_per_bin, job.n_jobs) == (30, 2)
    assert (job.guest, job.party_seconds, job.answer_seconds) == ("bank", 5, 7)
    assert job.directory == host / "runs" / SESSION
    assert job.link
    assert (job.link.session, job.link.ticket, job.link.node) == (SESSION, "t", host)
    assert load(job.directory / "job.json")["link"] is None  # the ticket is spent at once
    assert (job.directory / "job.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"session": "../../../etc"},
        {"session": SESSION.upper()},
        {"session": None},
        {"ticket": 5},
        {"terms": "{}"},
        {"terms": "not json"},
        {"terms": '{"guest": "../bank", "party_seconds": 1, "answer_seconds": 1}'},
        {"terms": TERMS.model_dump_json()[:-1] + ', "data": "/etc/passwd"}'},
        {"terms": TERMS.model_dump_json()[:-1] + ', "continues": "../other"}'},
    ],
)
def test_other_terms_are_refused_before_anything_is_written(host: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        job_of(host, "host:tax", settings(**changed))
    assert refused.value.code == "bad_value"
    assert not (host / "runs").exists()


def test_a_node_is_nobody_but_itself(host: Path) -> None:
    with pytest.raises(LocalProtocolError):
        job_of(host, "bank", settings())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('party = "host:bids"\ndata = "a.csv"\n', "party_other"),
        ('party = "host:tax"\ndata = "a.csv"\nlabel = "y"\n', "party_unreadable"),
        ('party = "host:tax"\n', "party_unreadable"),
        ("no toml", "party_unreadable"),
        (None, "party_missing"),
    ],
)
def test_a_hosts_own_file_is_checked(host: Path, content: str | None, code: str) -> None:
    if content is None:
        (host / "party.toml").unlink()
    else:
        (host / "party.toml").write_text(content)
    with pytest.raises(ConfigError) as refused:
        job_of(host, "host:tax", settings())
    assert refused.value.code == code


def test_a_bank_takes_part_only_in_what_it_asked_for(tmp_path: Path) -> None:
    node = joined(tmp_path / "bank", "bank", "guest")
    with pytest.raises(LocalProtocolError) as refused:
        job_of(node, "bank", settings())
    assert refused.value.code == "not_asked"
    told = {
        "guest": {"party": "bank", "data": "bank.csv", "label": "default"},
        "hub": {"node": "bank", "hosts": ["host:tax"]},
    }
    config = parse_config(told, tmp_path)
    guest, hosts = jobs_of(config, SESSION, tmp_path / "run")
    assert hosts == ()
    save_job(guest)
    ask_for(node, SESSION, guest.directory)
    job = job_of(node, "bank", settings())
    assert isinstance(job, GuestJob)
    assert (job.hosts, job.directory) == (("host:tax",), guest.directory)
    ask_for(node, other := "f" * 32, guest.directory)  # where the job of another session lies
    with pytest.raises(LocalProtocolError) as mistaken:
        job_of(node, "bank", settings(session=other))
    assert mistaken.value.code == "bad_value"
    no_longer(node, SESSION)
    with pytest.raises(LocalProtocolError):
        job_of(node, "bank", settings())


def test_papers_that_others_can_read_are_refused(host: Path) -> None:
    from lab.errors import KeysError

    (host / "hub" / "seal.key").chmod(0o640)
    with pytest.raises(KeysError) as refused:
        membership_of(host)
    assert refused.value.code == "keys_too_open"
    with pytest.raises(ConfigError) as missing:
        membership_of(host.parent)
    assert missing.value.code == "not_joined"


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, ""), (ConfigError("party_missing", "It is.", "缺少。"), "party_missing"), (OSError(), "internal")],
)
@pytest.mark.parametrize("away", [False, True])
def test_however_a_part_ends_the_hub_hears_a_code(
    host: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, code: str, away: bool
) -> None:
    """One that is away changes nothing: what went wrong is told, not that."""
    heard = []

    def ended(hub: Any, session: str, ticket: str, code: str) -> None:
        heard.append((session, ticket, code))
        if away:
            raise TransportError("hub", "hub_unreachable", "It is away.", "暂不可达。")

    monkeypatch.setattr("lab.membership.session.Hub.ended", ended)
    with pytest.raises(type(error)) if error else nullcontext(), telling(host, settings()):
        if error:
            raise error
    assert heard == [(SESSION, "t", code)]
