"""``lianmo access`` and the door of ``lianmo serve`` as an operator and a program meet them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lab.cli import app
from lab.errors import ConfigError
from lab.serving.access.keys import find, read_keys


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def lianmo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def as_json(*arguments: object) -> Any:
    done = lianmo("access", *arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_the_life_of_a_key() -> None:
    made = as_json("add", "loan-desk", "--scope", "score", "--scope", "read", "--expires", "90d", "--owner", "Loans")
    ends = datetime.fromisoformat(made["expires"])
    assert timedelta(days=89) < ends - datetime.now(UTC) < timedelta(days=91)
    assert "digest" not in made
    rotated = as_json("rotate", "loan-desk", "--overlap", "1")
    assert [key["state"] for key in as_json("ls")] == ["active", "active"]
    assert [key["state"] for key in as_json("revoke", made["key_id"])] == ["revoked"]
    keys = read_keys(Path("access/keys.json"))
    states = [find(keys, key["key"], datetime.now(UTC))[1] for key in (made, rotated)]
    assert states == ["revoked", "active"]


def test_people_see_the_key_once() -> None:
    done = lianmo("access", "add", "loan-desk", "--scope", "score", "--purpose", "loan_score")
    text = next(line for line in done.stdout.splitlines() if line.startswith("lianmo_"))
    assert "仅显示一次" in done.stdout
    listed = lianmo("access", "ls").stdout
    assert "loan-desk" in listed
    assert "loan_score" in listed
    assert text.split("_", 2)[2] not in listed


@pytest.mark.parametrize("expires", ["yesterday", "2020-01-01", "0d", "-3d", "nand", "infd", "99999d"])
def test_an_end_that_is_none(expires: str) -> None:
    done = lianmo("access", "add", "desk", "--scope", "score", f"--expires={expires}")
    assert isinstance(done.exception, ConfigError)
    assert done.exception.code == "bad_expiry"
    assert not Path("access").exists()


def test_a_date_is_an_end() -> None:
    day = (datetime.now() + timedelta(days=10)).date().isoformat()
    made = as_json("add", "desk", "--scope", "score", "--expires", day)
    assert datetime.fromisoformat(made["expires"]).astimezone().date().isoformat() == day


def test_serving_to_a_network_asks_for_a_guard_before_anything_else() -> None:
    for arguments, code in (
        ((), "open_service"),
        (("--access", "access"), "plain_service"),
        (("--open",), "plain_service"),
        (("--tls-cert", "c.pem"), "tls_incomplete"),
    ):
        done = lianmo("serve", "nowhere", "--bind", "0.0.0.0", *arguments)
        assert isinstance(done.exception, ConfigError)
        assert done.exception.code == code
