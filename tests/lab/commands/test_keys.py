"""``lianmo node`` as an officer and a program meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lab.cli import app
from lab.commands import options
from lab.errors import ConfigError, KeysError
from lab.governance import keys as key_module

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap stretching, the passphrase in the environment, the default folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv(options.PASSPHRASE, PASSPHRASE)
    for suite in key_module.suite_named("international"), key_module.suite_named("sm"):
        monkeypatch.setattr(type(suite), "stretching_cost", 1024)


def lianmo(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["node", *map(str, arguments)], input=answer)


def as_json(*arguments: object) -> Any:
    done = lianmo(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def generate(party: str = "host:tax", node: str = "node", suite: str = "international") -> list[dict[str, str]]:
    made: list[dict[str, str]] = as_json("keys", "generate", "--party", party, "--suite", suite, "--node", node)
    return made


@pytest.mark.parametrize("suite", ["international", "sm"])
def test_the_life_of_a_key(suite: str) -> None:
    signing, sealing, _ = generate(suite=suite)
    old, new = as_json("keys", "rotate", signing["key_id"])
    assert (old["state"], new["state"], old["successor"]) == ("retired", "active", new["key_id"])
    [revoked] = as_json("keys", "revoke", sealing["key_id"], "--reason", "laptop lost")
    assert (revoked["state"], revoked["reason"]) == ("revoked", "laptop lost")
    [destroyed] = as_json("keys", "destroy", sealing["key_id"], "--yes")
    assert destroyed["state"] == "destroyed"
    listed = as_json("keys", "list")
    assert listed["owner"] == "host:tax"
    assert [k["state"] for k in listed["keys"]] == ["retired", "destroyed", "active", "active"]
    assert listed["others"] == []


def test_people_read_it_in_two_languages_and_see_the_fingerprint_to_read_out() -> None:
    made = generate()
    shown = lianmo("keys", "list")
    assert shown.exit_code == 0
    for text in ("Keys 密钥", "signing 签名", "active 有效", made[0]["key_id"], made[0]["fingerprint"]):
        assert text in shown.stdout


def test_public_keys_pass_from_one_node_to_another() -> None:
    made = generate(node="tax", suite="sm")
    generate("bank", node="bank")
    assert lianmo("keys", "export", "--node", "tax", "--out", "tax.json").exit_code == 0
    assert isinstance(lianmo("keys", "import", "tax.json", "--node", "bank", "--json").exception, KeysError)
    refused = lianmo("keys", "import", "tax.json", "--node", "bank", answer="n\n")
    assert isinstance(refused.exception, KeysError)
    assert made[0]["fingerprint"] in refused.output
    assert as_json("keys", "list", "--node", "bank")["others"] == []

    assert lianmo("keys", "import", "tax.json", "--node", "bank", answer="y\n").exit_code == 0
    others = as_json("keys", "list", "--node", "bank")["others"]
    assert [(k["owner"], k["key_id"]) for k in others] == [("host:tax", m["key_id"]) for m in made[:2]]
    assert "host:tax" in lianmo("keys", "list", "--node", "bank").stdout

    revoked = as_json("keys", "revoke", made[0]["key_id"], "--reason", "their laptop", "--node", "bank")
    assert (revoked["owner"], revoked["state"]) == ("host:tax", "revoked")
    given = ("--fingerprint", made[0]["fingerprint"])
    accepted = as_json("keys", "import", "tax.json", "--node", "bank", *given)
    assert [k["state"] for k in accepted] == ["revoked", "active"]


def test_an_export_on_standard_output_is_json_and_nothing_else() -> None:
    made = generate()
    done = lianmo("keys", "export")
    assert json.loads(done.stdout)["owner"] == "host:tax"
    assert made[0]["fingerprint"] in done.stderr
    assert made[0]["fingerprint"] not in done.stdout


def test_destroying_asks_first() -> None:
    [key, *_] = generate()
    as_json("keys", "rotate", key["key_id"])
    assert lianmo("keys", "destroy", key["key_id"], answer="n\n").exit_code == 1
    assert as_json("keys", "list")["keys"][0]["state"] == "retired"
    assert lianmo("keys", "destroy", key["key_id"], answer="y\n").exit_code == 0
    assert as_json("keys", "list")["keys"][0]["state"] == "destroyed"


@pytest.mark.parametrize("command", ["generate", "rotate", "export"])
def test_no_command_takes_a_passphrase_as_an_argument(command: str) -> None:
    assert "--pass" not in lianmo("keys", command, "--help").stdout


def test_a_passphrase_is_asked_for_twice_when_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(options.PASSPHRASE)
    generating = ("keys", "generate", "--party", "bank", "--purpose", "signing")
    done = lianmo(*generating, answer=f"{PASSPHRASE}\nanother thing\n{PASSPHRASE}\n{PASSPHRASE}\n")
    assert done.exit_code == 0
    assert PASSPHRASE not in done.output
    assert lianmo("keys", "export", answer=f"{PASSPHRASE}\n").exit_code == 0
    refused = lianmo("keys", "export", answer="")
    assert isinstance(refused.exception, ConfigError)
    assert refused.exception.code == "no_passphrase"


def test_a_short_passphrase_and_an_unknown_purpose_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = lianmo("keys", "generate", "--party", "bank", "--purpose", "fun")
    assert isinstance(refused.exception, ConfigError)
    monkeypatch.setenv(options.PASSPHRASE, "short")
    refused = lianmo("keys", "generate", "--party", "bank")
    assert isinstance(refused.exception, KeysError)
    assert not Path("node").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{", "[" * 100_000])
def test_a_file_that_is_no_export_is_refused(content: str | None) -> None:
    generate()
    if content is not None:
        Path("x.json").write_text(content)
    refused = lianmo("keys", "import", "x.json")
    assert isinstance(refused.exception, ConfigError)


def test_the_inventory_for_people_and_programs() -> None:
    found = as_json("inventory")
    fields = "module algorithm key_bits purpose purpose_zh standard library version national"
    assert set(found[0]) == set(fields.split())
    assert any(entry["national"] for entry in found)
    assert "商用密码应用清单" in lianmo("inventory").stdout
