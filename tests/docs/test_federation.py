"""The page on federations: both languages show the same commands, every command exists, and the quick start works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.data.demo import write_demo_data
from lab.flower_programs import free_port

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = DOCS / "federation.md", DOCS / "federation.zh.md"
#: Commands that stay, and what they say once they are ready.
STAYING = {"hub start": "listens on", "node join": "waits for sessions"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """What stands behind the fence, and the text, in order."""
    return re.findall(r"^```([a-z]+ [^\n]+)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> set[str]:
    """Every command of ours, in blocks and in the text."""
    text = page.read_text("utf-8")
    inline = re.findall(r"`(lianmo [^`]+)`", text)
    return {*inline, *(line for _, block in blocks(page) for line in block.splitlines() if line.startswith("lianmo "))}


def test_both_languages_show_the_same() -> None:
    assert blocks(ENGLISH) == blocks(CHINESE)
    assert commands(ENGLISH) == commands(CHINESE)
    assert ENGLISH.read_text("utf-8").count("\n## ") == CHINESE.read_text("utf-8").count("\n## ")


@pytest.mark.parametrize("command", sorted(commands(ENGLISH)))
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    named = [word for word in words if re.fullmatch(r"[a-z]+", word)][: 1 if words[0] in ("train", "trace") else 2]
    told = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"})
    assert told.exit_code == 0, told.output
    for option in (word for word in words if word.startswith("--")):
        assert option in re.sub(r"\x1b\[[0-9;]*m", "", told.output)


class Roles:
    """The pages' roles, each with a folder and terminals of its own."""

    def __init__(self, folder: Path, port: int, stack: ExitStack) -> None:
        self.folder, self.port, self.stack = folder, port, stack

    def do(self, role: str) -> str:
        """Run the blocks of a role's terminal, files first as they come; returns what was printed."""
        place = self.folder / role.partition("-")[0]
        printed = ""
        for head, text in blocks(ENGLISH):
            kind, who, *path = head.split()
            if who != role:
                continue
            if kind == "toml":
                (place / path[0]).write_text(text, "utf-8")
                continue
            for line in text.splitlines():
                words = shlex.split(
                    line.replace("hub.example.org:9443", f"127.0.0.1:{self.port}").replace("0.0.0.0", "127.0.0.1")
                )
                ready = STAYING.get(" ".join(words[1:3]))
                if words[0] == "lianmo":
                    words = [sys.executable, "-m", "lab.cli", *words[1:]]
                if ready:
                    self.stack.enter_context(staying(words, place, ready))
                else:
                    printed += run(words, place)
        return printed


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIANMO_")}
    return {**kept, "PYTHONUTF8": "1", "COLUMNS": "200"}


def run(words: list[str], place: Path) -> str:
    told = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False, timeout=240, env=environment())
    assert told.returncode == 0, f"{words}: {told.stdout}{told.stderr}"
    return told.stdout


@contextmanager
def staying(words: list[str], place: Path, ready: str) -> Iterator[None]:
    """A command that stays in its terminal, once it is ready."""
    log, waiting = place / "terminal.log", threading.Event()
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, cwd=place, env=environment())
    try:
        for _ in range(1200):
            if ready in log.read_text("utf-8") or process.poll() is not None:
                break
            waiting.wait(0.1)
        assert ready in log.read_text("utf-8"), log.read_text("utf-8")
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_from_nothing_to_a_run(tmp_path: Path) -> None:
    data = write_demo_data(tmp_path / "data")
    for role in ("hub", "host", "bank"):
        (tmp_path / role).mkdir()
    for role, party, name in (("host", "host:social", "social.csv"), ("bank", "bank", "bank.csv")):
        lines = data[party].read_text("utf-8").splitlines()[:1501]
        (tmp_path / role / name).write_text("\n".join(lines) + "\n", "utf-8")
    with ExitStack() as stack:
        roles = Roles(tmp_path, free_port(), stack)
        roles.do("hub")
        for role, name in (("host", "host-social.invitation"), ("bank", "bank.invitation")):
            shutil.move(tmp_path / "hub" / name, tmp_path / role / name)  # handed over
            roles.do(role)
        roles.do("host-2")
        assert "host:social" in roles.do("bank-2")
        assert (tmp_path / "bank" / "runs" / "first" / "result.json").exists()
        assert list((tmp_path / "host" / "node" / "runs").glob("*/half.json"))
        assert "host:social" in roles.do("hub-2")
        assert roles.do("host-3")
        assert "host:social" not in roles.do("hub-2")
    assert not list(tmp_path.rglob("*.invitation"))
