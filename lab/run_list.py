"""The runs in a folder: which are finished, under way, or died and can go on; to look at, stop, or drop one."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from lab.checkpoints import any_kept
from lab.errors import ConfigError
from lab.flower_programs import end_left
from lab.jobs import node_directory
from lab.run_states import RUN_LENGTH, SUFFIX, Phase, RunState, load_state, run_running
from models.bundle import load
from models.errors import ModelError

#: How long a run may take to end its parties before it is killed.
STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """One run as ``lianmo runs`` shows it.

    Attributes:
        run: its short id.
        trees: grown so far.
        checkpoints: whether some party has one: resuming goes on from there.
        state: None once it is finished.
    """

    run: str
    name: str
    phase: Phase
    directory: Path
    began: str
    trees: int
    n_trees: int
    checkpoints: bool
    transport: str
    parties: tuple[str, ...]
    state: RunState | None

    def as_dict(self) -> dict[str, Any]:
        told = {k: v for k, v in asdict(self).items() if k != "state"}
        ended = self.state.ended if self.state else None
        return {**told, "directory": str(self.directory), "parties": list(self.parties), "ended": ended}


def find_runs(folder: Path) -> list[Found]:
    """All runs in a folder, unfinished ones last; what is no run is passed over."""
    finished, unfinished = [], []
    for path in sorted(folder.iterdir() if folder.is_dir() else []):
        with suppress(ModelError, KeyError, TypeError, ValueError):
            if path.name.endswith(SUFFIX):
                unfinished.append(_unfinished(path))
            elif (path / "result.json").exists() and not path.name.startswith("."):
                finished.append(_finished(path))
    return finished + unfinished


def find_run(folder: Path, wanted: str) -> Found:
    """The one run of that id, or name of its directory. Raises ``ConfigError`` (``unknown_run``, ``which_run``)."""
    runs = find_runs(folder)
    alike = [r for r in runs if r.run == wanted] or [r for r in runs if wanted == r.name or r.run.startswith(wanted)]
    if not alike:
        raise ConfigError(
            "unknown_run",
            f"There is no run '{wanted}' in {folder}. 'lianmo runs ls' shows all; --directory says where to look.",
            f"{folder} 中没有运行“{wanted}”。可用 lianmo runs ls 查看，用 --directory 指定目录。",
        )
    if len(alike) > 1:
        told = ", ".join(r.run for r in alike)
        raise ConfigError(
            "which_run", f"'{wanted}' may be any of these runs: {told}.", f"“{wanted}”可指多个运行：{told}。"
        )
    return alike[0]


def _finished(path: Path) -> Found:
    result = load(path / "result.json")
    began = datetime.fromtimestamp((path / "result.json").stat().st_mtime - result["seconds_total"], UTC)
    of_sites = "coordinator" in result
    lead = result["coordinator" if of_sites else "guest"]
    parties = (lead, *result.get("sites", ()), *result.get("hosts", ()))
    trees = result.get("trees", result.get("rounds", 0) if of_sites else 0)
    return Found(
        run=result["model_id"][:RUN_LENGTH],
        name=path.name,
        phase="finished",
        directory=path,
        began=began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        trees=trees,
        n_trees=trees,
        checkpoints=False,
        transport=result["transport"],
        parties=parties,
        state=None,
    )


def _unfinished(path: Path) -> Found:
    state = load_state(path)
    config = state.parsed
    return Found(
        run=state.run,
        name=config.run.directory.name,
        phase=state.phase,
        directory=path,
        began=state.began,
        trees=_trees(node_directory(path, config.lead) / "progress.jsonl"),
        n_trees=config.n_steps,
        checkpoints=any_kept(path),
        transport=config.transport,
        parties=config.party_names,
        state=state,
    )


def _trees(progress: Path) -> int:
    """Grown so far, as the guest said; its last line may be torn."""
    done = 0
    for line in progress.read_text(encoding="utf-8").splitlines() if progress.exists() else []:
        with suppress(ValueError):
            done = max(done, int(json.loads(line)["done"]))
    return done


def stop_run(found: Found, seconds: float = STOP_SECONDS) -> None:
    """End a run that is under way, with all its parties; returns once they are gone.

    Raises:
        ConfigError: ``run_not_running``.
    """
    process = found.state.process if found.state else None
    if process is None:
        raise ConfigError(
            "run_not_running",
            f"The run {found.run} is not under way: there is nothing to stop.",
            f"运行 {found.run} 并未在进行，无需停止。",
        )
    with suppress(psutil.NoSuchProcess):
        everybody = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(everybody, timeout=seconds)
        for left in alive:
            left.kill()
        psutil.wait_procs(alive, timeout=seconds)
    end_left(found.directory / "flower")


def drop_run(found: Found) -> None:
    """Delete an unfinished run, with all that its parties kept of it. Raises ``ConfigError`` (``run_running``,
    ``run_finished``)."""
    need_unfinished(found)
    end_left(found.directory / "flower")
    shutil.rmtree(found.directory)


def need_unfinished(found: Found) -> RunState:
    """The state of a run that may be resumed or dropped. Raises ``ConfigError``."""
    if found.state is None:
        raise ConfigError(
            "run_finished",
            f"The run {found.run} is finished: {found.directory}.",
            f"运行 {found.run} 已完成：{found.directory}。",
        )
    if found.phase == "running":
        raise run_running(found.run)
    return found.state
