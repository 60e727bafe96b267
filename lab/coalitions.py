"""Trains every coalition of a run's parties on the same applicants, to tell what each data node's columns are worth."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from lab import views
from lab.config import Config
from lab.data.extract import extract
from lab.data.sources import data_digest
from lab.errors import ConfigError, ServiceError
from lab.jobs import node_directory
from lab.party_value import Coalition, MoneyTerms, PartyValues, coalitions_of, party_values
from lab.reports import write_report
from lab.runs import train_run
from models.bundle import load, save
from models.losses import Floats


def value_of_run(config: Config, console: Console, money: MoneyTerms, n_resamples: int = 200) -> PartyValues:
    """Worth of every host of ``config``: ``2^hosts - 1`` runs with all that their parties learn, none of them kept.

    All parties' common applicants are found by the first run; the others then see only these at the bank, so every
    coalition has the same rows, divided in the same way.

    Raises:
        LianmoError: ``too_many_hosts``, ``value_continues``, and whatever stops a run.
    """
    if config.run.continues:
        raise ConfigError(
            "value_continues",
            "An earlier model has trees of all its parties, so no coalition can go on from it: leave out "
            "[run] continues.",
            "原模型含所有参与方的树，任何子组合均无法在其上续训，请去掉 [run] continues。",
        )
    hosts = [host.party for host in config.hosts]
    n_runs = len(coalitions_of(hosts)) - 1
    guest = config.guest.party
    config.run.directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the run: the bank's rows must not leave the disk they lie on.
    with tempfile.TemporaryDirectory(prefix=".value-", dir=config.run.directory.parent) as folder:
        base = Path(folder)
        done: dict[Coalition, pd.DataFrame] = {}

        def train(coalition: Coalition) -> pd.DataFrame:
            names = [h for h in hosts if h in coalition]
            views.title(console, f"{len(done) + 1} / {n_runs}", " + ".join([guest, *names]))
            party = config.guest if not done else extract(config.guest, done[frozenset(hosts)]["id"], base / "common")
            directory = base / f"run-{len(done)}"
            part = config.model_copy(
                update={
                    "run": config.run.model_copy(update={"directory": directory}),
                    "guest": party,
                    "hosts": tuple(h for h in config.hosts if h.party in coalition),
                }
            )
            train_run(part, console)
            return pd.read_csv(node_directory(directory, guest) / "scores.csv", dtype={"id": str})

        def margin_of(coalition: Coalition) -> Floats:
            if not coalition:
                return _held_out(done[frozenset(hosts)], "bank_only")
            if coalition not in done:
                done[coalition] = train(coalition)
            first = done[frozenset(hosts)]
            if not done[coalition][["id", "part"]].equals(first[["id", "part"]]):
                raise ServiceError(
                    "rows_differ",
                    "The coalitions did not get the same rows: a party's file changed meanwhile. Start again.",
                    "各组合的数据行不一致：某一方的文件在此期间发生了变化，请重新运行。",
                )
            return _held_out(done[coalition], "joint")

        done[frozenset(hosts)] = train(frozenset(hosts))
        label = _held_out(done[frozenset(hosts)], "label")
        return party_values(label, hosts, margin_of, money=money, seed=config.seed, n_resamples=n_resamples)


def keep_value(config: Config, value: dict[str, Any]) -> bool:
    """Put the parties' worth beside the run it belongs to and into its document.

    Returns:
        Whether there is such a run: of the same parties, parameters and bank's file.
    """
    run = config.run.directory
    if not (run / "result.json").exists():
        return False
    result = load(run / "result.json")
    same = (list(result["hosts"]), result["parameters"], result["data_digest"]) == (
        value["hosts"],
        config.settings,
        data_digest(config.guest),
    )
    if same:
        save(run / "value.json", value)
        write_report(run, result)
    return same


def _held_out(scores: pd.DataFrame, column: str) -> Floats:
    return scores.loc[scores["part"] == "holdout", column].to_numpy(dtype=np.float64)
