"""A whole search: rows to choose on, trials, choice, and the chosen model as an ordinary run with its own account."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab import views
from lab.auto.account import account_of
from lab.auto.candidates import Candidate, candidates_of
from lab.auto.development import Development, find_development
from lab.auto.page import write_page
from lab.auto.search import AutoRules, Record, Search, simplest_within_one_error
from lab.auto.spending import Spending
from lab.auto.trials import Sessions
from lab.config import Config
from lab.config_text import config_text
from lab.jobs import node_directory
from lab.runs import Finish, train_run
from lab.validation.amounts import need_default
from lab.validation.stored import pack_of_run
from models.bundle import save
from models.errors import DataError


def auto_run(
    config: Config, console: Console, rules: AutoRules | None = None, finish: Sequence[Finish] = ()
) -> dict[str, Any]:
    """Choose a model by folds of the development rows, then train it on all of them as an ordinary run.

    The rows held out are in no session but the last. Into the run go ``auto.json``, ``auto.html`` and ``chosen.toml``,
    which ``lianmo train`` turns into the same model.

    Args:
        finish: as of ``train_run``; what they see knows all sessions' disclosures.

    Returns:
        The content of ``result.json``; the search is told under ``"auto"``.

    Raises:
        LianmoError: whatever stops a session; ``too_few_defaults``, ``no_candidate``, ``objective_not_binary``.
    """
    need_default(config.parameters.objective, "lianmo auto")
    rules = rules or AutoRules()
    seed = config.scorecard.random_state if config.scorecard else config.parameters.random_state
    limit = config.scorecard.max_single_auc if config.scorecard else 0.9
    spending = Spending()
    config.run.directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the run: the bank's rows must not leave the disk they lie on.
    with tempfile.TemporaryDirectory(prefix=".auto-", dir=config.run.directory.parent) as folder:
        development, outcome = find_development(config, console, Path(folder), rules.n_folds, seed, limit)
        spending.add("alignment", outcome, outcome["seconds"])
        lean = _without(config, development)
        sessions = Sessions(lean, development, Path(folder), seed, spending)
        records = _searched(sessions, candidates_of(lean), rules, limit, console)
    alive = [r for r in records if not r.dropped]
    if not alive:
        raise DataError(
            "no_candidate",
            "No candidate could be built on these rows: "
            + "; ".join(f"{r.candidate.name}: {r.dropped.english}" for r in records if r.dropped)
            + ".",
            "所有候选模型均无法在这些行上建立："
            + "；".join(f"{r.candidate.name}：{r.dropped.chinese}" for r in records if r.dropped)
            + "。",
        )
    best, chosen = simplest_within_one_error(alive)
    last = chosen.candidate.applied(lean, seed, n_trees=max(1, round(float(np.median(_trees(chosen))))))

    def keep(staging: Path, result: dict[str, Any]) -> None:
        _calibrate(staging, result, sessions.out_of_fold[chosen.candidate.name])
        spending.add("chosen model", result, result["seconds_total"])
        account = account_of(records, best, chosen, development, rules, spending, result)
        result["auto"] = {"candidate": chosen.candidate.name, "sessions": spending.n_sessions}
        result["disclosures"] = spending.disclosures()
        again = last.model_copy(update={"run": last.run.model_copy(update={"directory": _beside(config)})})
        (staging / "chosen.toml").write_text(config_text(again, config.run.directory), encoding="utf-8")
        save(staging / "auto.json", account)
        write_page(staging, result["name"], account)

    return train_run(last, console, finish=(keep, *finish))


def _searched(
    sessions: Sessions, candidates: Sequence[Candidate], rules: AutoRules, max_single_auc: float, console: Console
) -> tuple[Record, ...]:
    """Trials under one bar, what they will cost told beforehand."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("searching 搜索", total=None)

        def before(candidate: Candidate, fold: int) -> None:
            progress.update(
                task, description=f"{candidate.name}, fold 折 {fold + 1}", completed=search.n_sessions, total=total()
            )

        def told(seconds: float, n_sessions: int) -> None:
            console.print(
                f"  forecast: at most {n_sessions} more sessions, about {_duration(seconds)} in all{_within(rules)}\n"
                f"  预计：至多还需 {n_sessions} 次会话，合计约 {_duration(seconds)}",
                style="dim",
                highlight=False,
            )

        def total() -> int:
            return search.n_sessions + search.most_sessions()

        sessions.before = before
        spent = sum(stage["seconds"] for stage in sessions.spending.told())
        search = Search(candidates, rules.n_folds, rules.budget, sessions.run, told, spent, max_single_auc)
        views.title(console, "Trials 试验", f"{len(candidates)} candidates 个候选, {rules.n_folds} folds 折")
        console.print(
            "  Every trial is a session of all parties, and more sessions reveal more: see the account at the end.\n"
            "  每次试验都是各方之间的一次完整会话；会话越多，透露越多，详见最后的汇总。",
            style="dim",
            highlight=False,
        )
        return search.run()


def _without(config: Config, development: Development) -> Config:
    """The run without the bank's features that are constant or leak, nor wishes for them."""
    gone = {*development.constant, *(leak.feature for leak in development.leaks)}
    guest = config.guest
    own = {
        "drop": (*guest.drop, *sorted(gone)),
        "columns": guest.columns and tuple(c for c in guest.columns if c not in gone),
        **{
            name: {k: v for k, v in getattr(guest, name).items() if k not in gone}
            for name in ("cut_points", "special_codes", "trends")
        },
    }
    constraints = config.boosting.get("monotone_constraints", {})
    boosting = {**config.boosting, "monotone_constraints": {k: v for k, v in constraints.items() if k not in gone}}
    lean = boosting if constraints else config.boosting
    return config.model_copy(update={"guest": guest.model_copy(update=own), "boosting": lean})


def _calibrate(staging: Path, result: dict[str, Any], out_of_fold: dict[str, float]) -> None:
    """Give the validation pack the margins that trials gave rows they were not fitted on, to calibrate on."""
    path = node_directory(staging, result["guest"]) / "scores.csv"
    scores = pd.read_csv(path, dtype={"id": str})
    scores["out_of_fold"] = [out_of_fold.get(i, math.nan) for i in scores["id"]]
    scores.to_csv(path, index=False)
    result["validation"] = pack_of_run(staging, result).to_json()


def _trees(record: Record) -> list[int]:
    return [t.n_trees for t in record.trials]


def _beside(config: Config) -> Path:
    """Where the chosen file's run goes: it must not delete the file."""
    return config.run.directory.with_name(config.run.directory.name + "-chosen")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s 秒" if seconds < 120 else f"{seconds / 60:.0f} min 分钟"


def _within(rules: AutoRules) -> str:
    return (
        ""
        if math.isinf(rules.budget.seconds)
        else f"; what does not fit into {_duration(rules.budget.seconds)} is left out"
    )
