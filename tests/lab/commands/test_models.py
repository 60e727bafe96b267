"""``lianmo models``: publish, try, roll back, retire and look, for people and for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from federation.errors import Refused
from lab.cli import app
from lab.serving.publishing import publisher
from tests.lab.serving.publishing.conftest import TAX, Lab, lab, trained  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for while these tests publish, so there is nothing to wait for."""
    monkeypatch.setattr(publisher, "GRACE_SECONDS", 0.0)


def call(lab: Lab, urls: dict[str, str], *arguments: object) -> Any:  # noqa: F811
    hosts = [part for name, url in urls.items() for part in ("--host", f"{name}={url}")]
    words = ["models", *map(str, arguments), "--shelf", str(lab.shelf.directory), "--json"]
    done = CliRunner().invoke(app, words if arguments[0] == "ls" else [*words, *hosts])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_models_life_on_the_shelf(lab: Lab) -> None:  # noqa: F811
    with lab.hosts() as urls:
        first = call(lab, urls, "publish", lab.bank("first"))["champion"]
        second = call(lab, urls, "publish", lab.bank("second"))
        assert second["previous"] == first
        tried = call(lab, urls, "canary", lab.bank("third"), "--share", 0.25)
        assert tried["challenger"]["mode"] == "canary"
        assert tried["challenger"]["share"] == 0.25
        told = call(lab, urls, "ls")
        states = {row["version"]: row["state"] for row in told["versions"]}
        assert states == {
            first: "previous",
            second["champion"]: "champion",
            tried["challenger"]["version"]: "canary",
        }
        assert call(lab, urls, "retire")["challenger"] is None
        assert call(lab, urls, "shadow", lab.bank("third"))["challenger"]["share"] == 1.0
        promoted = call(lab, urls, "promote")
        assert promoted["champion"] == tried["challenger"]["version"]
        assert call(lab, urls, "rollback")["champion"] == second["champion"]
        assert {row["bank_only"] for row in call(lab, urls, "ls")["versions"]} != {"–"}


def test_a_refusal_is_an_error_that_names_the_host(lab: Lab) -> None:  # noqa: F811
    (lab.host("second", TAX) / "half.json").unlink()
    with lab.hosts() as urls:
        first = call(lab, urls, "publish", lab.bank("first"))
        with pytest.raises(Refused, match="host:tax"):
            call(lab, urls, "publish", lab.bank("second"))
        assert call(lab, urls, "ls")["in_force"] == first


def test_an_empty_shelf_is_shown_as_such(lab: Lab) -> None:  # noqa: F811
    assert call(lab, {}, "ls") == {"in_force": None, "versions": []}


def test_people_read_a_table(lab: Lab) -> None:  # noqa: F811
    with lab.hosts() as urls:
        call(lab, urls, "publish", lab.bank("first"))
    done = CliRunner().invoke(app, ["models", "ls", "--shelf", str(lab.shelf.directory)])
    assert "champion" in done.stdout
