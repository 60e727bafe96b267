"""The record of a run over sites in MLflow: what the coordinator knows, and per site what it was willing to tell.

No row, no id. Trees and scorecards are registered, so that batch users may load them; an averaged model is a file. The
model of a run in both directions is not in the record: nobody but the coordinator may have all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.jobs import node_directory
from lab.tracking import log_metrics, recording, register


def record_over_sites(run: Path, result: dict[str, Any], uri: str, artifacts: tuple[Path, ...]) -> dict[str, str]:
    """Log a finished run; returns where it is, with the registered model if there is one.

    Args:
        run: directory of the run, with ``nodes/COORDINATOR/model.json``.
        artifacts: figures and reports to attach; none may hold rows.
    """
    model = node_directory(run, result["coordinator"]) / "model.json"
    with recording(uri, result["name"]) as (mlflow, registry, experiment_id, run_id):
        flat = {name: value for name, value in result["parameters"].items() if not isinstance(value, dict)}
        told = {key: result[key] for key in ("model_kind", "aggregation", "transport")}
        mlflow.log_params({**flat, **told, "sites": len(result["sites"])})
        mlflow.set_tags({"model_id": result["model_id"], "model_digest": result["digest"]})
        log_metrics(registry, run_id, _metrics(result))
        for path in artifacts:
            mlflow.log_artifact(str(path))
        parties: dict[str, dict[str, Any]] = {result["coordinator"]: {}, **result["sites"], **result.get("hosts", {})}
        for party, own in parties.items():
            with mlflow.start_run(experiment_id=experiment_id, run_name=party, nested=True) as nested:
                mlflow.set_tags({"party": party} | {key: own[key] for key in ("data_digest",) if key in own})
                log_metrics(registry, nested.info.run_id, _of_party(own, result["bytes"][party]))
        if result["model_kind"] == "averaged":
            mlflow.log_artifact(str(model))
        if result["model_kind"] == "averaged" or "cities" in result:
            return {"run_id": str(run_id), "tracking_uri": uri}
        return register(mlflow, registry, run_id, uri, f"lianmo-{result['name']}", {"bundle": model})


def _metrics(result: dict[str, Any]) -> Iterator[tuple[str, float, int]]:
    yield "seconds_total", float(result["seconds_total"]), 0
    yield "sites_in_the_model", float(len(result["contributors"])), 0
    yield "sites_left", float(len(result["left"])), 0
    for step, seconds in enumerate(result.get("tree_seconds", ())):
        yield "tree_seconds", float(seconds), step
    yield from _intervals({name: result["pooled"][name] for name in ("auc", "ks") if name in (result["pooled"] or {})})


def _of_party(own: dict[str, Any], n_bytes: dict[str, int]) -> Iterator[tuple[str, float, int]]:
    for name, value in n_bytes.items():
        yield f"bytes_{name}", float(value), 0
    for part, n in own.get("n_rows", {}).items():
        yield f"rows_{part.replace(':', '_')}", float(n), 0
    for name in ("auc", "ks", "gain"):
        yield from ((f"{name}_{key}", value, step) for key, value, step in _intervals(own.get(name, {})))


def _intervals(found: dict[str, dict[str, float]]) -> Iterator[tuple[str, float, int]]:
    for name, interval in found.items():
        yield name, interval["value"], 0
        yield f"{name}_low", interval["low"], 0
        yield f"{name}_high", interval["high"], 0
