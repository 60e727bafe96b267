"""Runs of trees over sites that die go on to the same model, whoever was killed; or not, if rows have changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from federation.horizontal.boosting.messages import Grow, Keep
from federation.horizontal.checkpoint import CoordinatorCheckpoint
from federation.horizontal.closing.messages import Count
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from lab.checkpoints import Checkpoints, PacedKeeping
from lab.cli import app
from lab.horizontal import site
from lab.horizontal.config import HorizontalConfig, parse_horizontal
from lab.horizontal.runs import train_over_sites
from lab.run_states import RunState
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel, load
from models.errors import LianmoError
from tests.lab.horizontal.cities import SITES, run_file, write_sites
from tests.lab.horizontal.test_commands import FILE
from tests.lab.test_resume import Died, all_gone, parties, started, until

TREES = 5
BRIEF = BoostingParameters(n_estimators=1, max_depth=1)
QUIET = Console(quiet=True)


def told(transport: str = "memory", trees: int = TREES, **run: Any) -> dict[str, Any]:
    """Content of a run's file, with a checkpoint after every tree."""
    sections = run_file(transport, boosting={"n_estimators": trees, "max_depth": 3})
    sections["run"] |= {"directory": "runs/small", "checkpoint_share": 1.0, **run}
    return sections


@pytest.fixture
def config(tmp_path: Path) -> HorizontalConfig:
    write_sites(tmp_path)
    return parse_horizontal(told(), tmp_path)


def model_of(run: Path) -> object:
    """All that must be the same at the coordinator and at every site; ids and salts are drawn anew for every model."""
    models = [JointModel.from_json(load(path)) for path in sorted(run.glob("nodes/*/model.json"))]
    assert len(models) == 1 + len(SITES)
    assert len({model.digest() for model in models}) == 1
    own = models[0].own
    scores = [pd.read_csv(run / "nodes" / s.replace(":", "-") / "scores.csv")["joint"].tolist() for s in SITES]
    return models[0].trees, models[0].base_margin, own.bins, own.splits, scores


@dataclass(frozen=True)
class Undisturbed:
    model: object
    pooled: object


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("expected")
    write_sites(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "ALONE", BRIEF)
        result = train_over_sites(parse_horizontal(told(), folder), QUIET)
    return Undisturbed(model_of(folder / "runs" / "small"), result["pooled"])


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what a site measures the common model is of no matter here."""
    monkeypatch.setattr(site, "ALONE", BRIEF)


def call(folder: Path, *arguments: str) -> Any:
    """``lianmo runs`` with ``--json``."""
    done = CliRunner().invoke(app, ["runs", *arguments, "--directory", str(folder / "runs"), "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def unfinished(folder: Path) -> dict[str, Any]:
    [found] = [run for run in call(folder, "ls") if run["phase"] != "finished"]
    return found


def died_after(monkeypatch: pytest.MonkeyPatch, config: HorizontalConfig, request: Callable[[Message], bool]) -> None:
    """A run in this process that ends when the third site has answered such a request."""
    real = HorizontalSite.answer
    seen = [0]

    def answer(self: HorizontalSite, message: Message) -> Message:
        reply = real(self, message)
        if request(message):
            seen[0] += 1
            if seen[0] == 3:
                raise Died
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(HorizontalSite, "answer", answer)
        with pytest.raises(Died):
            train_over_sites(config, QUIET, state=RunState.new(config, record=False))


def growing(tree: int) -> Callable[[Message], bool]:
    return lambda message: isinstance(message, Grow) and message.tree == tree and bool(message.cuts)


def test_a_run_that_died_in_a_tree_goes_on_to_the_same_model(
    tmp_path: Path, config: HorizontalConfig, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_after(monkeypatch, config, growing(3))
    died = unfinished(tmp_path)
    assert (died["phase"], died["trees"], died["n_trees"], died["checkpoints"]) == ("died", 3, TREES, True)
    assert call(tmp_path, "show", died["run"])["parties"] == ["coordinator", *SITES]
    kept = list(Path(died["directory"]).glob("nodes/*/checkpoints/*"))
    assert {path.parent.parent.name for path in kept} == {"coordinator", "site-a", "site-b", "site-c", "site-d"}
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    result = call(tmp_path, "resume", died["run"])
    assert (result["resumed_after"], result["trees"], result["complete"]) == (3, TREES, True)
    assert model_of(tmp_path / "runs" / "small") == expected.model
    assert not list((tmp_path / "runs").rglob("checkpoints"))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


@pytest.mark.parametrize("tree", [1, 3])
def test_where_sites_have_kept_more_than_the_coordinator_it_goes_on_from_its_own(
    tmp_path: Path, config: HorizontalConfig, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch, tree: int
) -> None:
    """Twice at the same place: what sites have kept once more still takes them there."""
    keeping = lambda message: isinstance(message, Keep) and message.trees == tree  # noqa: E731
    died_after(monkeypatch, config, keeping)
    run = unfinished(tmp_path)["run"]
    real = HorizontalSite.answer

    def answer(self: HorizontalSite, message: Message) -> Message:
        reply = real(self, message)
        if keeping(message) and self.contributor.party == "site:c":
            raise Died
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(HorizontalSite, "answer", answer)
        with pytest.raises(Died):
            call(tmp_path, "resume", run)
    result = call(tmp_path, "resume", run)
    assert result.get("resumed_after", 0) == tree - 1
    assert model_of(tmp_path / "runs" / "small") == expected.model


def test_held_out_rows_are_not_counted_again_by_a_run_that_died_while_they_were(
    tmp_path: Path, config: HorizontalConfig, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_after(monkeypatch, config, lambda message: isinstance(message, Count))
    asked: list[Message] = []
    real = HorizontalSite.answer

    def answer(self: HorizontalSite, message: Message) -> Message:
        asked.append(message)
        return real(self, message)

    monkeypatch.setattr(HorizontalSite, "answer", answer)
    result = call(tmp_path, "resume", unfinished(tmp_path)["run"])
    assert result["pooled"] is None
    assert not [message for message in asked if isinstance(message, Count)]
    assert model_of(tmp_path / "runs" / "small") == expected.model


def test_what_was_counted_before_it_died_is_told_after(
    tmp_path: Path, config: HorizontalConfig, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Checkpoints.keep

    def keep(self: Checkpoints, data: bytes) -> None:
        real(self, data)
        if self.party == "coordinator" and CoordinatorCheckpoint.load(data).testers:
            raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "keep", keep)
        with pytest.raises(Died):
            train_over_sites(config, QUIET, state=RunState.new(config, record=False))
    result = call(tmp_path, "resume", unfinished(tmp_path)["run"])
    assert result["pooled"] == expected.pooled


def withdrawn(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[1:]


def repaired(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(a=frame["a"] + (frame.index == 7))


def relabelled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(bad=frame["bad"] ^ (frame.index == 7))


@pytest.mark.parametrize("change", [withdrawn, repaired, relabelled])
def test_other_rows_at_a_site_end_it(
    tmp_path: Path,
    config: HorizontalConfig,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    died_after(monkeypatch, config, growing(2))
    change(pd.read_csv(tmp_path / "b.csv")).to_csv(tmp_path / "b.csv", index=False)
    run = unfinished(tmp_path)["run"]
    with pytest.raises(LianmoError) as caught:
        call(tmp_path, "resume", run)
    assert caught.value.code == "rows_changed"
    assert unfinished(tmp_path)["ended"]["code"] == "rows_changed"
    call(tmp_path, "drop", run)
    assert call(tmp_path, "ls") == []


def test_a_damaged_checkpoint_of_the_coordinator_ends_it(
    tmp_path: Path, config: HorizontalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one does not know over whom sums were opened since."""
    died_after(monkeypatch, config, growing(2))
    died = unfinished(tmp_path)
    newest = sorted(Path(died["directory"]).glob("nodes/coordinator/checkpoints/0*.json"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(LianmoError) as caught:
        call(tmp_path, "resume", died["run"])
    assert caught.value.code == "checkpoint_damaged"


def test_a_damaged_checkpoint_of_a_site_costs_nothing(
    tmp_path: Path, config: HorizontalConfig, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_after(monkeypatch, config, growing(3))
    died = unfinished(tmp_path)
    newest = sorted(Path(died["directory"]).glob("nodes/site-b/checkpoints/0*.json"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    assert call(tmp_path, "resume", died["run"])["resumed_after"] == 3
    assert model_of(tmp_path / "runs" / "small") == expected.model


def test_without_checkpoints_nothing_is_kept(
    tmp_path: Path, config: HorizontalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = parse_horizontal(told(checkpoint_share=0.0), tmp_path)
    monkeypatch.setattr(PacedKeeping, "due", lambda _: pytest.fail("it was asked"))
    died_after(monkeypatch, rare, growing(2))
    assert not list((tmp_path / "runs").rglob("checkpoints"))


# -- processes of their own ----------------------------------------------------------------------------------------


def written(folder: Path) -> Path:
    text = FILE.replace(
        '[averaging]\nmodel = "SGDClassifier"\nrounds = 2', "[boosting]\nn_estimators = 8\nmax_depth = 3"
    )
    text = text.replace("runs/cities", "runs/small").replace('"memory"', '"relay"\ncheckpoint_share = 1.0')
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return folder / "run.toml"


def grown(folder: Path) -> int:
    for path in (folder / "runs").glob(".small.*.unfinished/nodes/coordinator/progress.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        return max((json.loads(line)["done"] for line in lines if line.endswith("}")), default=0)
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["coordinator", "site-b", "the relay"])
def test_whoever_is_killed_the_model_is_the_same(tmp_path: Path, victim: str) -> None:
    write_sites(tmp_path)
    path = written(tmp_path)
    undisturbed = parse_horizontal(told("memory", 8, directory="runs/expected"), tmp_path)
    train_over_sites(undisturbed, QUIET)
    with started(path) as process:
        until(lambda: grown(tmp_path) >= 3, 240)
        everybody = parties(process)
        assert set(everybody) == {"coordinator", "site-a", "site-b", "site-c", "site-d"}
        (process if victim == "the relay" else everybody[victim]).kill()
        assert all_gone([process, *everybody.values()], 120)
        said = process.stderr.read()
    found = unfinished(tmp_path)
    assert found["phase"] == ("died" if victim == "the relay" else "failed")
    assert victim == "the relay" or f"lianmo runs resume {found['run']}" in said
    result = call(tmp_path, "resume", found["run"])
    assert result["resumed_after"] >= 2
    assert model_of(tmp_path / "runs" / "small") == model_of(tmp_path / "runs" / "expected")


@pytest.mark.slow
def test_stop_ends_it_and_it_goes_on(tmp_path: Path) -> None:
    write_sites(tmp_path)
    with started(written(tmp_path)) as process:
        until(lambda: grown(tmp_path) >= 2, 240)
        everybody = list(parties(process).values())
        assert call(tmp_path, "stop", unfinished(tmp_path)["run"])["kept"]
        assert all_gone([process, *everybody], 10)
    found = unfinished(tmp_path)
    assert found["phase"] == "stopped"
    assert call(tmp_path, "resume", found["run"])["trees"] == 8
