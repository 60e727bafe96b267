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
from lab.serving.access.listening import Listening
from lab.serving.command import Serving
from lab.serving.nodes import scoring_endpoint
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
        yield {
            party: stack.enter_context(papers.node(scoring_endpoint(lab.host("first", party)), door))
            for party in (TAX, COURT)
        }


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
