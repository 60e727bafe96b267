"""Runs that die go on to the same model: killed processes, requests to stop, parties that are stuck, other data."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from federation.vertical.boosting.messages import Keep
from federation.vertical.host import TrainingHost
from lab import runs
from lab.checkpoints import PacedKeeping
from lab.cli import app
from lab.config import load_config
from lab.party_processes import STUCK
from lab.run_states import RunState, under_way
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError
from tests.lab.conftest import Write

TREES = 12
#: Slow enough to be hit, whatever the machine: a tree with real encryption takes some tenths of a second.
BUSY = 'objective = "regression"'


class Died(BaseException):
    """A power cut, from inside."""


def write(write_config: Write, transport: str = "memory", trees: int = TREES, **changes: Any) -> Path:
    path = write_config(transport, boosting=changes.pop("boosting", BUSY), **changes)
    text = path.read_text(encoding="utf-8").replace("n_estimators = 3", f"n_estimators = {trees}")
    path.write_text(text.replace("party_seconds", "checkpoint_share = 1\nparty_seconds"), encoding="utf-8")
    return path


def model_of(run: Path) -> object:
    """All that must be the same; ids and salts are drawn anew for every model."""
    nodes = run / "nodes"
    model = JointModel.from_json(load(nodes / "bank" / "model.json"))
    halves = {f"host:{h}": Half.from_json(load(nodes / f"host-{h}" / "half.json")) for h in ("tax", "court")}
    assert {host: half.digest() for host, half in halves.items()} == model.host_digests
    cuts = [(h.bins, h.splits) for h in (model.own, *halves.values())]
    return model.trees, model.base_margin, cuts, (nodes / "bank" / "scores.csv").read_bytes()


def call(files: Path, *arguments: str) -> Any:
    """``lianmo runs`` with ``--json``."""
    done = CliRunner().invoke(app, ["runs", *arguments, "--directory", str(files / "runs"), "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def left_over(files: Path) -> list[str]:
    return sorted(p.name for p in (files / "runs").iterdir() if p.name not in ("small", "expected"))


def checkpoints(files: Path) -> list[Path]:
    return list((files / "runs").rglob("checkpoints"))


@pytest.fixture
def expected(write_config: Write, files: Path) -> object:
    """The model of a run that nobody disturbs."""
    train_run(load_config(write(write_config)), Console(quiet=True))
    (files / "runs" / "small").rename(files / "runs" / "expected")
    return model_of(files / "runs" / "expected")


def died_at(monkeypatch: pytest.MonkeyPatch, path: Path, tree: int, error: BaseException | None = None) -> None:
    """A run in this process that ends right after its bank has kept the given tree."""
    real, count = PacedKeeping.keep, [0]

    def keep(self: PacedKeeping, checkpoint: Any) -> None:
        real(self, checkpoint)
        count[0] += 1
        if count[0] == tree:
            raise error or Died

    with monkeypatch.context() as patch:
        patch.setattr(PacedKeeping, "keep", keep)
        config = load_config(path)
        with pytest.raises((Died, LianmoError)):
            train_run(config, Console(quiet=True), state=RunState.new(config, record=False))


# -- from inside ---------------------------------------------------------------------------------------------------


def test_a_run_that_died_is_listed_and_goes_on(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, expected: object
) -> None:
    path = write(write_config)
    died_at(monkeypatch, path, 5)
    assert not (files / "runs" / "small").exists()
    found = call(files, "ls")
    assert [r["phase"] for r in found] == ["finished", "died"]
    [died] = [r for r in found if r["phase"] == "died"]
    assert (died["name"], died["trees"], died["n_trees"], died["checkpoints"]) == ("small", 5, TREES, True)
    assert call(files, "show", died["run"][:5])["parties"] == ["bank", "host:tax", "host:court"]
    path.write_text("")  # a run has its own copy of its configuration
    result = call(files, "resume", died["run"])
    assert (result["resumed_after"], result["trees"]) == (5, TREES)
    assert model_of(files / "runs" / "small") == expected
    assert left_over(files) == []
    assert checkpoints(files) == []
    assert [r["phase"] for r in call(files, "ls")] == ["finished", "finished"]
    assert not (files / "runs" / "small" / "run.json").exists()


def test_it_may_die_again_and_again(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, expected: object
) -> None:
    path = write(write_config)
    died_at(monkeypatch, path, 2)
    [run] = [r["run"] for r in call(files, "ls") if r["phase"] == "died"]
    for _ in range(3):
        real = PacedKeeping.keep

        def keep(self: PacedKeeping, checkpoint: Any, real: Any = real) -> None:
            real(self, checkpoint)
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(PacedKeeping, "keep", keep)
            with pytest.raises(Died):
                call(files, "resume", run)
    assert call(files, "resume", run)["resumed_after"] == 5
    assert model_of(files / "runs" / "small") == expected


def test_early_stopping_and_a_continued_model_go_on_alike(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(directory: str, continues: str, trees: int) -> Path:
        boosting = BUSY + "\nearly_stopping_rounds = 5\nlearning_rate = 0.3\n[split]\nvalid = 0.2"
        path = write(write_config, trees=trees, boosting=boosting)
        more = f'\ncontinues = "runs/{continues}"' if continues else ""
        text = path.read_text(encoding="utf-8").replace('"runs/small"', f'"runs/{directory}"{more}')
        path.write_text(text, encoding="utf-8")
        return path

    train_run(load_config(config("first", "", 4)), Console(quiet=True))
    train_run(load_config(config("straight", "first", 30)), Console(quiet=True))
    died_at(monkeypatch, config("small", "first", 30), 2)
    [run] = [r["run"] for r in call(files, "ls") if r["phase"] == "died"]
    result = call(files, "resume", run)
    straight = load(files / "runs" / "straight" / "result.json")
    assert result["resumed_after"] == 6
    assert result["continues"] == straight["continues"]
    assert result["valid_loss"] == straight["valid_loss"]
    assert model_of(files / "runs" / "small") == model_of(files / "runs" / "straight")


def test_a_run_that_failed_says_how_to_go_on(write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(write_config)
    config = load_config(path)
    console = Console(record=True, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    real = TrainingHost.answer

    def answer(self: TrainingHost, request: Any) -> Any:
        reply = real(self, request)
        if isinstance(request, Keep) and self.boosting.state.tree == 3:
            raise RuntimeError("broken")
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(TrainingHost, "answer", answer)
        with pytest.raises(LianmoError) as caught:
            train_run(config, console, state=RunState.new(config, record=False))
    assert caught.value.code == "internal"
    [failed] = call(files, "ls")
    said = console.export_text()
    assert f"lianmo runs resume {failed['run']}" in said
    assert "可从最近的检查点恢复" in said
    assert (failed["phase"], failed["ended"]["code"]) == ("failed", "internal")
    assert call(files, "resume", failed["run"])["resumed_after"] == 3
    assert left_over(files) == []


def test_before_the_first_checkpoint_nothing_is_left(write_config: Write, files: Path) -> None:
    config = load_config(write(write_config, tax="none.csv"))
    with pytest.raises(LianmoError):
        train_run(config, Console(quiet=True), state=RunState.new(config, record=False))
    assert list((files / "runs").iterdir()) == []


def test_a_scorecard_begins_anew(write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(write(write_config, boosting="", extra="[scorecard]\nmax_bins = 4", trees=3))
    state = RunState.new(config, record=False)
    shutil.rmtree(files / "runs", ignore_errors=True)
    state.directory.mkdir(parents=True)
    real = runs.hold_session
    monkeypatch.setattr(runs, "hold_session", lambda *a: (_ for _ in ()).throw(Died))
    with pytest.raises(Died), under_way(state, state.directory):
        raise Died
    monkeypatch.setattr(runs, "hold_session", real)
    assert call(files, "ls")[0]["checkpoints"] is False
    assert call(files, "resume", state.run)["kind"] == "scorecard"
    assert left_over(files) == []


def test_a_run_that_died_while_it_was_put_in_place_is_only_put_there(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, expected: object
) -> None:
    path = write(write_config)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target.name == "small":
            raise Died
        return real(self, target)

    config = load_config(path)
    state = RunState.new(config, record=False)
    (files / "runs" / "small").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr(shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(Died):
            train_run(config, Console(quiet=True), state=state)
    monkeypatch.setattr(runs, "hold_session", lambda *a: pytest.fail("it was done"))
    assert call(files, "resume", state.run)["trees"] == TREES
    assert model_of(files / "runs" / "small") == expected
    assert left_over(files) == []


# -- what changed in between ---------------------------------------------------------------------------------------


def withdrawn(files: Path) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    court = pd.read_csv(files / "court.csv", dtype={"id": str})
    tax = pd.read_csv(files / "tax.csv", dtype={"id": str})
    gone = next(i for i in court["id"] if i in set(bank["id"]) & set(tax["id"]))
    court[court["id"] != gone].to_csv(files / "court.csv", index=False)


def repaired(files: Path) -> None:
    tax = pd.read_csv(files / "tax.csv", dtype={"id": str})
    tax.assign(late=tax["late"] + (tax.index == 7)).to_csv(files / "tax.csv", index=False)


@pytest.mark.parametrize(("change", "who"), [(withdrawn, ""), (repaired, "host:tax declined")])
def test_other_rows_end_it_with_what_to_do(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], who: str
) -> None:
    died_at(monkeypatch, write(write_config), 3)
    change(files)
    [died] = call(files, "ls")
    with pytest.raises(LianmoError) as caught:
        call(files, "resume", died["run"])
    assert caught.value.code == "rows_changed"
    assert who in caught.value.english
    assert "train anew" in caught.value.english
    assert "重新训练" in caught.value.chinese
    assert call(files, "show", died["run"])["ended"]["code"] == "rows_changed"
    call(files, "drop", died["run"])
    assert call(files, "ls") == []
    assert left_over(files) == []


def test_a_damaged_checkpoint_costs_a_tree(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, expected: object
) -> None:
    died_at(monkeypatch, write(write_config), 5)
    [died] = [r for r in call(files, "ls") if r["phase"] == "died"]
    newest = sorted((Path(died["directory"]) / "nodes" / "host-tax" / "checkpoints").glob("0*.json"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    assert call(files, "resume", died["run"])["resumed_after"] == 4
    assert model_of(files / "runs" / "small") == expected


# -- commands ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_done_is_said(write_config: Write, files: Path, expected: object) -> None:
    [done] = call(files, "ls")
    for command, run, code in (
        ("show", "none", "unknown_run"),
        ("resume", done["run"], "run_finished"),
        ("drop", done["run"], "run_finished"),
        ("stop", done["run"], "run_not_running"),
    ):
        with pytest.raises(LianmoError) as caught:
            call(files, command, run)
        assert caught.value.code == code
        assert caught.value.chinese


def test_only_one_process_leads_a_run(write_config: Write, files: Path) -> None:
    config = load_config(write(write_config))
    state = RunState.new(config, record=False)
    state.directory.mkdir(parents=True)
    with under_way(state, state.directory):
        assert call(files, "ls")[0]["phase"] == "running"
        for command in ("resume", "drop"):
            with pytest.raises(LianmoError) as caught:
                call(files, command, state.run)
            assert caught.value.code == "run_running"
        with pytest.raises(LianmoError) as caught, under_way(state, state.directory):
            pytest.fail("two lead")
        assert caught.value.code == "run_running"


def test_a_process_id_that_is_used_again_is_not_the_run(write_config: Write, files: Path) -> None:
    """Or ``stop`` would end a stranger."""
    config = load_config(write(write_config))
    state = RunState.new(config, record=False)
    state.directory.mkdir(parents=True)
    with under_way(state, state.directory):
        saved = load(state.directory / "run.json")
    stranger = {**saved, "pid": os.getpid(), "pid_started": psutil.Process().create_time() - 100}
    (state.directory / "run.json").write_text(json.dumps(stranger))
    assert call(files, "ls")[0]["phase"] == "died"
    with pytest.raises(LianmoError) as caught:
        call(files, "stop", state.run)
    assert caught.value.code == "run_not_running"


def test_tables_are_in_two_languages(
    write_config: Write, files: Path, monkeypatch: pytest.MonkeyPatch, expected: object
) -> None:
    died_at(monkeypatch, write(write_config), 2)
    for command in (["ls"], ["show", "small"]):
        done = CliRunner().invoke(app, ["runs", *command, "--directory", str(files / "runs")])
        assert done.exit_code == 0
        assert "died 异常终止" in done.output
        assert f"2 / {TREES}" in done.output


def test_a_party_that_does_not_end_after_the_others_is_named(
    write_config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "run_parties", lambda jobs: {"bank": 0, "host:tax": 0, "host:court": STUCK})
    with pytest.raises(LianmoError, match="host:court did not end") as caught:
        train_run(load_config(write(write_config, "relay")), Console(quiet=True))
    assert caught.value.code == "party_stuck"


def test_who_was_killed_is_named_not_who_had_to_be_ended_then(
    write_config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "run_parties", lambda jobs: {"bank": STUCK, "host:tax": -9, "host:court": STUCK})
    with pytest.raises(LianmoError, match=r"^host:tax ended without") as caught:
        train_run(load_config(write(write_config, "relay")), Console(quiet=True))
    assert caught.value.code == "node_died"


# -- from outside: processes of their own --------------------------------------------------------------------------


@contextmanager
def started(path: Path) -> Iterator[psutil.Popen]:
    """``lianmo train`` in a process; whatever is left of it afterwards is a failure, and is ended."""
    command = [sys.executable, "-m", "lab.cli", "train", str(path), "--no-record", "--json"]
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                for one in [*process.children(recursive=True), process]:
                    one.kill()


def grown(files: Path) -> int:
    for path in (files / "runs").glob(".small.*.unfinished/nodes/bank/progress.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        return max((json.loads(line)["done"] for line in lines if line.endswith("}")), default=0)
    return 0


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def parties(process: psutil.Process) -> dict[str, psutil.Process]:
    """Party's folder → its process."""
    found = {}
    for child in process.children():
        line = child.cmdline()
        if "lab.node" in line:
            found[Path(line[3]).parent.name] = child
    return found


def all_gone(processes: list[psutil.Process], seconds: float = 15.0) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["bank", "host-tax", "the relay"])
def test_whoever_is_killed_the_model_is_the_same(
    write_config: Write, files: Path, expected: object, victim: str
) -> None:
    tree = random.Random(victim).randint(2, TREES - 3)
    with started(write(write_config, "relay")) as process:
        until(lambda: grown(files) >= tree)
        everybody = parties(process)
        assert set(everybody) == {"bank", "host-tax", "host-court"}
        (process if victim == "the relay" else everybody[victim]).kill()
        assert all_gone([process, *everybody.values()], 30)
        said = process.stderr.read()
    [found] = [r for r in call(files, "ls") if r["phase"] != "finished"]
    assert found["phase"] == ("died" if victim == "the relay" else "failed")
    assert victim == "the relay" or f"lianmo runs resume {found['run']}" in said
    result = call(files, "resume", found["run"])
    assert result["resumed_after"] >= tree - 1
    assert model_of(files / "runs" / "small") == expected
    assert left_over(files) == []


@pytest.mark.slow
def test_stop_ends_a_run_with_all_its_parties_and_it_goes_on(
    write_config: Write, files: Path, expected: object
) -> None:
    with started(write(write_config, "relay")) as process:
        until(lambda: grown(files) >= 3)
        everybody = list(parties(process).values())
        [running] = [r for r in call(files, "ls") if r["phase"] == "running"]
        assert call(files, "stop", running["run"])["kept"]
        assert all_gone([process, *everybody], 1)
    assert call(files, "show", running["run"])["phase"] == "stopped"
    assert call(files, "resume", running["run"])["resumed_after"] >= 2
    assert model_of(files / "runs" / "small") == expected


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "name"), [("host-court", "host:court"), ("bank", "bank")])
def test_a_party_that_is_stuck_is_named_and_holds_nobody_up(
    write_config: Write, files: Path, victim: str, name: str
) -> None:
    """Not dead: it keeps its connection and answers nothing."""
    path = write(write_config, "relay")
    path.write_text(path.read_text().replace("answer_seconds = 60", "answer_seconds = 2"))
    with started(path) as process:
        until(lambda: grown(files) >= 2)
        everybody = list(parties(process).values())
        parties(process)[victim].send_signal(signal.SIGSTOP)
        assert all_gone([process, *everybody], 40)
        assert process.returncode == 8
    [found] = call(files, "ls")
    assert found["ended"]["code"] == "party_timeout"
    assert found["ended"]["english"].startswith(f"{name}: ")
    assert call(files, "resume", found["run"])["trees"] == TREES
