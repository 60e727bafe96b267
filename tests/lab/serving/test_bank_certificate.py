"""Who speaks as the bank at a data node: the holder of the key that the bank registered, over real TLS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from federation.errors import TransportError
from federation.transports.http import HttpWire
from lab.errors import ConfigError
from lab.serving.access.listening import Listening
from lab.serving.bank_certificate import need_bank, read_bank_keys
from lab.serving.host_api import create_host_app
from lab.serving.hosts import hosts_of
from lab.serving.problems import RequestError
from lab.serving.server import running
from tests.lab.serving.conftest import FRAME, TAX, World, problem_of
from tests.lab.serving.papers import Papers


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@contextmanager
def caller(papers: Papers, url: str, shown: str) -> Iterator[httpx.Client]:
    tls = hosts_of({}, papers.hosts_file({TAX: url}, shown=shown)).tls[TAX]
    with httpx.Client(base_url=url, verify=tls, trust_env=False) as session:
        yield session


def test_only_the_key_that_the_bank_registered_speaks_as_it(world: World, papers: Papers) -> None:
    """The other has the bank's name, of the same authority: an authority that is careless, or was taken."""
    registered = papers.bank()
    papers.bank("like-it")
    with papers.node(world.endpoint(TAX), papers.door(registered)) as url:
        with caller(papers, url, "bank") as bank:
            assert bank.post("/v1/messages", content=b"x", headers=FRAME).status_code == 200
        with caller(papers, url, "like-it") as other:
            for _ in range(2):  # also the second request of a connection
                reply = other.post("/v1/messages", content=b"x", headers=FRAME)
                assert "bank" in problem_of(reply, 403, "other_caller")["detail"]
            assert other.get("/healthz").status_code == 200


def test_the_bank_is_told_that_it_is_not_taken_for_itself(world: World, papers: Papers) -> None:
    registered = papers.bank()
    papers.bank("like-it")
    with papers.node(world.endpoint(TAX), papers.door(registered)) as url:
        at = hosts_of({}, papers.hosts_file({TAX: url}, shown="like-it"))
        with HttpWire(at.urls, tls=at.tls) as wire, pytest.raises(TransportError) as caught:
            wire.exchange({TAX: b"x"})
    assert "does not take us for its bank" in caught.value.english
    assert "登记" in caught.value.chinese


def test_another_name_is_refused_whatever_its_key(world: World, papers: Papers) -> None:
    other = papers.bank("other", common_name="bank2")
    with papers.node(world.endpoint(TAX), papers.door(other)) as url, caller(papers, url, "other") as session:
        problem_of(session.post("/v1/messages", content=b"x", headers=FRAME), 403, "other_caller")


def test_a_new_certificate_is_registered_beside_the_old_and_holds_at_the_next_call(
    world: World, papers: Papers
) -> None:
    registered = papers.folder / "registered.pem"
    old, new = papers.bank("old"), papers.bank("new")
    shutil.copy(old, registered)
    with (
        papers.node(world.endpoint(TAX), papers.door(registered)) as url,
        caller(papers, url, "old") as before,
        caller(papers, url, "new") as after,
    ):

        def statuses() -> tuple[int, int]:
            told = [s.post("/v1/messages", content=b"x", headers=FRAME).status_code for s in (before, after)]
            return told[0], told[1]

        assert statuses() == (200, 403)
        registered.write_bytes(old.read_bytes() + new.read_bytes())
        assert statuses() == (200, 200)
        registered.write_bytes(new.read_bytes())
        assert statuses() == (403, 200)  # also on the connection that was open
        registered.write_bytes(b"half a fi")
        assert statuses() == (403, 200)


def test_where_a_key_is_registered_nobody_speaks_without_a_certificate(world: World, papers: Papers) -> None:
    keys = read_bank_keys(papers.bank())
    scope = {"state": {"request_id": "r-1"}}
    need_bank(scope, "bank", None)
    with pytest.raises(RequestError) as caught:
        need_bank(scope, "bank", keys)
    assert caught.value.code == "other_caller"
    door = Listening(bind="127.0.0.1", bank=papers.folder / "bank.pem")
    with running(create_host_app(world.endpoint(TAX), bank_keys=door.bank_keys())) as url:
        reply = httpx.post(url + "/v1/messages", content=b"x", headers=FRAME, trust_env=False)
        problem_of(reply, 403, "other_caller")


def test_a_file_without_certificates_and_a_door_that_asks_for_none_are_refused(papers: Papers) -> None:
    (papers.folder / "none.pem").write_text("nothing")
    for name in ("none.pem", "absent.pem"):
        with pytest.raises(ConfigError) as caught:
            read_bank_keys(papers.folder / name)
        assert caught.value.code == "bank_keys"
        assert name in caught.value.chinese
    with pytest.raises(ConfigError) as caught:
        Listening(bind="127.0.0.1", bank=papers.bank()).check()
    assert caught.value.code == "tls_incomplete"
    assert "--caller-ca" in caught.value.english
