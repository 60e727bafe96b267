"""Publishing, scoring a file and serving, from nodes that demand the bank's certificate: by the commands' own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import ConfigError
from lab.serving import command
from lab.serving.access.listening import Listening
from lab.serving.command import Serving
from lab.serving.server import running
from models.errors import LianmoError
from tests.lab.serving.papers import Papers
from tests.lab.serving.publishing.conftest import COURT, TAX, Lab


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture
def urls(lab: Lab, papers: Papers) -> Iterator[dict[str, str]]:
    """The nodes of the first run, each with the bank's certificate registered."""
    door = papers.door(papers.bank())
    with ExitStack() as stack:
        nodes = {p: Serving(directory=lab.host("first", p), urls={}, door=door) for p in (TAX, COURT)}
        yield {p: stack.enter_context(running(node.node_app(), tls=door.tls())) for p, node in nodes.items()}


def lianmo(*arguments: object) -> Exception | None:
    """What a command failed with."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    error = done.exception
    assert error is None or isinstance(error, LianmoError), done.output
    return error


def test_the_commands_show_the_banks_certificate(lab: Lab, papers: Papers, urls: dict[str, str]) -> None:
    bank, shelf = lab.bank("first"), lab.folder / "shelf"
    hosts, without = papers.hosts_file(urls), papers.hosts_file(urls, shown=None, name="without")

    assert lianmo("models", "publish", bank, "--shelf", shelf, "--hosts", without)
    assert lab.shelf.in_force() is None
    assert lianmo("models", "publish", bank, "--shelf", shelf, "--hosts", hosts) is None
    assert lab.shelf.in_force()

    applicants, scored = lab.folder / "applicants.csv", lab.folder / "scored.csv"
    pd.read_csv(lab.folder / "bank.csv", dtype={"id": str}).drop(columns="bad").head(3).to_csv(applicants, index=False)
    assert lianmo("score", bank, applicants, "--hosts", without, "--out", scored)
    assert lianmo("score", bank, applicants, "--hosts", hosts, "--out", scored) is None
    assert pd.read_csv(scored)["default_probability"].notna().all()

    body = {"application_id": "a", "applicant_id": str(pd.read_csv(applicants, dtype=str)["id"][0])}
    body["features"] = {"amount": 100.0}  # type: ignore[assignment]
    rules = lab.folder / "service.toml"
    rules.write_text("[service]\ndeadline_seconds = 30.0\n")
    for file, mode in ((hosts, "joint"), (without, "bank_only")):
        serving = Serving(directory=bank, urls={}, hosts=file, door=Listening(bind="127.0.0.1"), rules=rules)
        with running(serving.app()) as url:
            told = httpx.post(f"{url}/v1/scores", json=body, trust_env=False, timeout=60).json()
        assert told["mode"] == mode


def test_what_a_model_needs_must_stand_in_the_file(lab: Lab, papers: Papers, urls: dict[str, str]) -> None:
    one = papers.hosts_file({TAX: urls[TAX]}, name="one")
    with pytest.raises(ConfigError) as caught:
        Serving(directory=lab.bank("first"), urls={}, hosts=one, door=Listening(bind="127.0.0.1")).app()
    assert caught.value.code == "hosts_missing"
    assert COURT in caught.value.english


def test_a_key_that_the_bank_did_not_register_cannot_publish(lab: Lab, papers: Papers, urls: dict[str, str]) -> None:
    papers.bank("like-it")
    hosts = papers.hosts_file(urls, shown="like-it")
    error = lianmo("models", "publish", lab.bank("first"), "--shelf", lab.folder / "shelf", "--hosts", hosts)
    assert "does not take us for its bank" in str(error)


def test_serve_hands_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted: list[Serving] = []
    monkeypatch.setattr(command, "serve_party", lambda serving, _: wanted.append(serving))
    files = {name: tmp_path / name for name in ("hosts", "bank-cert", "caller-ca", "policy", "rules")}
    options = [part for name, path in files.items() for part in (f"--{name}", path)]
    assert lianmo("serve", tmp_path, *options) is None
    (given,) = wanted
    assert (given.hosts, given.door.bank, given.door.authority) == tuple(list(files.values())[:3])
    assert (given.policy, given.rules) == (files["policy"], files["rules"])
