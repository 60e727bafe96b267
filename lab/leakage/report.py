"""The leakage report of a finished run whose parties' folders and files are all at hand: each party attacks the others
with what it saw, and the truth measures it. For labs and rehearsals: in a federation nobody holds all of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from lab.data.sources import read_labelled, read_table
from lab.errors import ConfigError
from lab.governance.gate import Gate
from lab.governance.probe import probe_repaired
from lab.governance.records import RecordBook
from lab.jobs import GuestJob, HostJob, load_job, node_directory
from lab.leakage.feature_inference import feature_inference, order_recovery, targets_of
from lab.leakage.guesses import own_points
from lab.leakage.label_inference import label_inference
from lab.leakage.transcript import parameters_of, seen_again
from models.bundle import Half, JointModel, load
from models.errors import DataError
from models.joint import JointHalf, half_from_json, joint_from_json
from models.losses import Floats
from models.scorecard.card import JointScorecard, ScorecardHalf
from models.table import Table

#: Applicants whose features are guessed: enough for the intervals.
MOST_ROWS: Final = 2000


@dataclass(frozen=True, slots=True)
class _Host:
    party: str
    half: JointHalf
    table: Table
    job: HostJob


def leakage_of_run(
    run: Path, result: dict[str, Any], report: Callable[[str], None] = lambda _: None, n_resamples: int = 200
) -> dict[str, Any]:
    """What each party could infer of the others, as JSON: lists ``labels``, ``features``, ``orders``, ``repairs`` and a
    verdict per party.

    Args:
        report: told what is being looked at.

    Raises:
        ConfigError: ``not_here``: a host's folder is not beside the bank's; ``no_labels`` for models of amounts.
        DataError: a file is gone or has changed.
    """
    bank = node_directory(run, result["guest"])
    model = joint_from_json(load(bank / "model.json"))
    if isinstance(model, JointModel) and model.objective != "binary":
        raise ConfigError("no_labels", "Leakage is measured for models of default.", "泄露评估仅适用于违约模型。")
    job = load_job(bank / "job.json")
    assert isinstance(job, GuestJob)
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    guest, *_ = read_labelled(job.party, job.split.time_column)
    hosts = [_host(run, party) for party in model.needed_hosts]
    seed = result["parameters"].get("random_state", 0)
    found: dict[str, Any] = {"labels": [], "features": [], "orders": [], "repairs": []}
    fit, other = (scores[scores["part"] == part] for part in ("fit", "holdout"))
    if isinstance(model, JointModel):
        p = parameters_of(job.boosting)
        own = _rows(guest, fit["id"])
        routes = {model.own.party: model.own.routes(own)}
        tables = {h.party: _rows(h.table, fit["id"]) for h in hosts}
        routes |= {h.party: h.half.routes(tables[h.party]) for h in hosts if isinstance(h.half, Half)}
        for host in hosts:
            report(f"{host.party}: labels 标签")
            seen = seen_again(model.trees, routes, host.party, p)
            label = fit["label"].to_numpy(dtype=np.float64)
            try:
                measured = label_inference(
                    host.party, seen, tables[host.party], label, seed=seed, n_resamples=n_resamples
                )
            except DataError as error:
                found.setdefault("omitted", []).append({"party": host.party, "why": error.english, "zh": error.chinese})
                continue
            found["labels"].append(asdict(measured))
    some = other.head(MOST_ROWS)
    points = own_points(_rows(guest, some["id"]))
    margin = _scaled(some["joint"].to_numpy(dtype=np.float64)[:, None])
    for host in hosts:
        report(f"{host.party}: features 特征")
        table = _rows(host.table, some["id"])
        targets = targets_of(table, _used(host.half))
        for view, seen_by in (("scores", margin), ("parts", _parts(host.half, table))):
            guessed = feature_inference(host.party, view, targets, seen_by, points, seed, n_resamples)
            found["features"] += [asdict(guessed)] if guessed else []
        order = order_recovery(host.party, _orders(host.half, table), seed)
        found["orders"] += [asdict(order)] if order else []
        found["repairs"] += _repairs(host, fit["id"], seed)
    found["verdicts"] = _verdicts(model, hosts, found, result["guest"])
    return found


def _host(run: Path, party: str) -> _Host:
    folder = node_directory(run, party)
    if not (folder / "half.json").exists():
        raise ConfigError(
            "not_here",
            f"The folder of {party} is not beside the bank's: the report needs those of all parties.",
            f"{party} 的目录不在银行目录旁：该报告需要所有参与方的目录。",
        )
    job = load_job(folder / "job.json")
    assert isinstance(job, HostJob)
    table = read_table(job.party, varied=False)
    if job.party.node:
        table = Gate.at(job.party.node).with_records(table)
    return _Host(party, half_from_json(load(folder / "half.json")), table, job)


def _rows(table: Table, ids: pd.Series) -> Table:
    row_of = {identifier: row for row, identifier in enumerate(table.ids)}
    if not set(ids) <= set(row_of):
        raise DataError(
            "applicants_missing",
            "Applicants of the run are no longer in a party's file. Restore the files of the run.",
            "运行中的部分申请人已不在数据文件中，请恢复当时的数据文件。",
        )
    return table.take(np.array([row_of[i] for i in ids], dtype=np.intp))


def _used(half: JointHalf) -> list[str]:
    """Features of a host that the model uses."""
    if isinstance(half, Half):
        return sorted({half.bins[s.feature].name for s in half.splits})
    return [f.name for f in half.features]


def _parts(half: JointHalf, table: Table) -> Floats:
    """What the bank sees of a host's answers: sides of all cuts, or its part of the margin."""
    if isinstance(half, Half):
        return _scaled(half.routes(table).T.astype(np.float64))
    return _scaled(half.margin(table)[:, None])


def _scaled(columns: Floats) -> Floats:
    spread = columns.std(axis=0)
    kept = columns[:, spread > 0] if (spread > 0).any() else np.zeros((len(columns), 1))
    scaled: Floats = (kept - kept.mean(axis=0)) / np.maximum(kept.std(axis=0), 1e-12)
    scaled /= scaled.shape[1] ** 0.5
    return scaled


def _orders(half: JointHalf, table: Table) -> list[tuple[Floats, Floats]]:
    """Per numeric feature: true values, and what the bank orders applicants by: sides of cuts, or WOE of bins."""
    if isinstance(half, ScorecardHalf):
        return []
    routes, pairs = half.routes(table), []
    for feature in sorted({s.feature for s in half.splits}):
        own = [k for k, s in enumerate(half.splits) if s.feature == feature]
        bins = half.bins[feature]
        if bins.category or len({half.splits[k].code for k in own}) < 2:
            continue
        values = np.asarray(table.columns[bins.name], dtype=np.float64)
        there = ~np.isnan(values)
        pairs.append((values[there], -routes[own].sum(axis=0).astype(np.float64)[there]))
    return pairs


def _repairs(host: _Host, ids: pd.Series, seed: int) -> list[dict[str, Any]]:
    """The probe for repaired records (A77), where the host keeps records and has enough subjects of both sorts."""
    if host.job.party.node is None:
        return []
    gate = Gate.at(host.job.party.node)
    if not gate.records.items:
        return []
    table = _rows(host.table, ids)
    ever = set(RecordBook(gate.engine).recorded(table.ids))
    today = RecordBook(gate.engine)
    now = gate.clock().date()
    counts = sum(
        (
            values
            for name, values in today.features(table.ids, [now] * len(table), now, gate.records.items).items()
            if name.endswith("_count")
        ),
        np.zeros(len(table)),
    )
    repaired = np.array([i in ever for i in table.ids]) & (counts == 0)
    chosen = np.flatnonzero(repaired | ~np.array([i in ever for i in table.ids]))
    try:
        probed = probe_repaired(table.take(chosen), repaired[chosen].astype(np.float64), seed)
    except DataError:
        return []
    return [{"party": host.party, **asdict(probed)}]


def _verdicts(
    model: JointModel | JointScorecard, hosts: list[_Host], found: dict[str, Any], guest: str
) -> dict[str, str]:
    told = {f["party"]: f["verdict"] for f in found["labels"]}
    quiet = "nothing_shown" if isinstance(model, JointScorecard) else "not_measured"
    verdicts = {host.party: told.get(host.party, quiet) for host in hosts}
    beyond = any(f["beyond"] for f in found["features"] if f["view"] == "parts")
    return {**verdicts, guest: "beyond_own_features" if beyond else "not_found"}
