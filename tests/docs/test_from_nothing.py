"""From nothing to a model, by the blocks of the roles' pages as they stand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab.data.demo import write_demo_data
from lab.flower_programs import free_port
from tests.docs.pages import DOCS, blocks

PAGES = [DOCS / "federation.md", *sorted(path for path in (DOCS / "roles").glob("*.md") if ".zh." not in path.name)]
#: Commands that stay, and what they say once they are ready.
STAYING = {"hub start": "listens on", "node join": "waits for sessions"}
CITIES = ("suzhou", "wuxi", "yancheng")


class Roles:
    """The pages' roles, each with a folder and terminals of its own, and a hub on this machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.said = {"hub.example.org:9443": f"127.0.0.1:{free_port()}", "0.0.0.0": "127.0.0.1"}

    def do(self, role: str, where: str = "", **said: str) -> str:
        """Run the blocks of a role's terminal in a folder, files as they come; returns what was printed.

        Args:
            where: the role's own folder if not given.
            said: words of the page, and what this reader says instead.
        """
        place, printed = self.folder / (where or role.partition("-")[0]), ""
        place.mkdir(exist_ok=True)
        for kind, who, file, text in self._blocks({**self.said, **said}):
            if who == role and kind == "toml":
                (place / file).write_text(text, "utf-8")
            elif who == role:
                printed += "".join(self._line(line, place) for line in text.splitlines())
        return printed

    def _blocks(self, said: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
        """Language, role, file and text of each."""
        for head, text in (each for page in PAGES for each in blocks(page)):
            for word, instead in said.items():
                text = text.replace(word, instead)
            kind, who, file, *_ = [*head.split(" "), "", ""]
            yield kind, who, file, text

    def _line(self, line: str, place: Path) -> str:
        words = shlex.split(line)
        ready = STAYING.get(" ".join(words[1:3]))
        if words[0] == "lianmo":
            words = [sys.executable, "-m", "lab.cli", *words[1:]]
        if ready:
            self.stack.enter_context(staying(words, place, ready))
            return ""
        return run(words, place)


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
def test_hub_officer_and_modeller(tmp_path: Path) -> None:
    data = write_demo_data(tmp_path / "data")
    with ExitStack() as stack:
        roles = Roles(tmp_path, stack)
        roles.do("hub")
        for role, party, name in (("host", "host:social", "social.csv"), ("bank", "bank", "bank.csv")):
            (tmp_path / role).mkdir()
            lines = data[party].read_text("utf-8").splitlines()[:1501]
            (tmp_path / role / name).write_text("\n".join(lines) + "\n", "utf-8")
            invitation = f"{party.replace(':', '-')}.invitation"
            shutil.move(tmp_path / "hub" / invitation, tmp_path / role / invitation)  # handed over
            roles.do(role)
        roles.do("host-2")
        assert "host:social" in roles.do("bank-2")
        assert (tmp_path / "bank" / "runs" / "first" / "report.html").exists()
        assert list((tmp_path / "host" / "node" / "runs").glob("*/half.json"))
        assert "host:social" in roles.do("hub-2")
        assert roles.do("host-3")
        assert "host:social" not in roles.do("hub-2")
    assert not list(tmp_path.rglob("*.invitation"))


@pytest.mark.slow
def test_coordinator_and_sites(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    with ExitStack() as stack:
        roles = Roles(tmp_path, stack)
        roles.do("hub")
        for party in ("coordinator", *(f"site:{city}" for city in CITIES)):
            folder = tmp_path / party.removeprefix("site:")
            folder.mkdir()
            out = folder / f"{party.replace(':', '-')}.invitation"
            run([sys.executable, "-m", "lab.cli", "hub", "invite", party, "--out", str(out)], tmp_path / "hub")
        for city in CITIES:
            age, home = rng.integers(20, 70, 400), rng.choice(["own", "rent"], 400)
            frame = pd.DataFrame({"amount": rng.integers(1, 90, 400), "age": age, "home": home})
            frame["default"] = (rng.normal(size=400) > (age - 45) / 20).astype(int)
            frame.rename_axis("id").to_csv(tmp_path / city / f"{city}.csv")
            roles.do("site", city, suzhou=city)
            roles.do("site-2", city)
        roles.do("coordinator")
        assert "AUC" in roles.do("coordinator-2")
        for city in CITIES:
            (session,) = (tmp_path / city / "node" / "runs").iterdir()
            shutil.copy(tmp_path / city / f"{city}.csv", tmp_path / city / "new.csv")
            assert "default_probability" in roles.do("site-3", city, SESSION=session.name)
