"""Every command of ours that units, container files and scripts give or tell exists, with these options."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lab.cli import app

FOLDER = Path(__file__).parents[2] / "deploy"
COMPOSE = FOLDER / "container" / "compose.yaml"


def told() -> set[str]:
    """Words after ``lianmo``: of units, of scripts, of comments; and after the service that compose runs."""
    found = set[str]()
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        text = path.read_text("utf-8")
        found.update(re.findall(r"(?:/bin/|^# +)lianmo\"? ((?!is ready|--help).+)", text, re.MULTILINE))
        found.update(re.findall(r"compose run --rm (?:--no-deps )?[a-z]+ ([^;)\n]+)", text))
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    found.update(shlex.join(service["command"]) for service in services.values())
    return {re.sub(r" {2,}\S.*| > .*", "", command).strip() for command in found}


def understood(command: str) -> None:
    """Raises if there is no such command or option, or a word too many."""
    words = shlex.split(command.replace("$LIANMO_SERVE", "shelf"))
    words = [__file__ if word.lower().endswith("invitation") else word for word in words]  # it has to be there
    group: Any = typer.main.get_command(app)
    while words and hasattr(group, "commands"):
        group = group.commands[words.pop(0)]
    group.make_context(group.name, words)


def test_none_is_overlooked() -> None:
    commands = {" ".join(command.split()[:2]) for command in told()}
    assert commands >= {"hub init", "hub start", "hub invite", "node join", "node start", "node inventory"}
    assert {command.split()[0] for command in commands} == {"hub", "node", "access", "serve", "train"}


@pytest.mark.parametrize("command", sorted(told()))
def test_it_exists_with_these_options(command: str) -> None:
    understood(command)


def test_the_reader_refuses() -> None:
    for command in ("hub begin", "hub start --home /x", "node start one two"):
        with pytest.raises(Exception) as refused:
            understood(command)
        assert type(refused.value).__name__ in ("KeyError", "NoSuchOption", "UsageError")


def test_the_image_asks_a_module_that_is_there() -> None:
    (module,) = re.findall(r'"-m", "([a-z.]+)"', (FOLDER / "container" / "Containerfile").read_text("utf-8"))
    assert find_spec(module)
