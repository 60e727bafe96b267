"""The record of a run in MLflow (the only import of it): one parent run, one nested run per party, the bank's half
registered.

What is logged is the bank's: settings, digests, counts, metrics, its own half of the model. No row, no id, nothing of
a host's half.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lab.errors import ServiceError
from lab.jobs import node_directory
from lab.validation.amounts import amount_metrics, is_amounts
from models.bundle import JointModel, load, save
from models.joint import Joint, joint_from_json

_QUIET: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
_MODEL_CODE: Final = Path(__file__).parent / "serving" / "mlflow_model.py"
CHAMPION: Final = "champion"
#: What a run leaves for the service beside the joint model, where there is such.
BESIDE: Final = ("bank_only", "calibration", "selftest")
#: Whoever follows a registry asks again anyway.
_IMPATIENT: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def tracking_uri(runs: Path) -> str:
    """The default store: a sqlite file beside the runs."""
    return f"sqlite:///{runs.resolve() / 'mlflow.db'}"


def record(run: Path, result: dict[str, Any], uri: str, artifacts: tuple[Path, ...]) -> dict[str, str]:
    """Log a finished run and register the bank's half as ``lianmo-NAME@champion``.

    Args:
        run: directory of the run, with ``nodes/GUEST/model.json``.
        result: content of ``result.json``.
        artifacts: figures and reports to attach; none may hold rows.

    Returns:
        ``{"run_id", "model_uri", "model_name", "model_version"}``.
    """
    with recording(uri, result["name"]) as (mlflow, registry, experiment_id, run_id):
        guest = result["guest"]
        mlflow.log_params(
            {
                **result["parameters"],
                "cipher": result["cipher"],
                "key_bits": result["key_bits"],
                "transport": result["transport"],
            }
        )
        mlflow.set_tags(
            {"model_id": result["model_id"], "model_digest": result["digest"], "data_digest": result["data_digest"]}
            | {key: result[key] for key in ("continues",) if key in result}
        )
        log_metrics(registry, run_id, _metrics(result))
        for path in artifacts:
            mlflow.log_artifact(str(path))
        for party in (guest, *result["hosts"]):
            with mlflow.start_run(experiment_id=experiment_id, run_name=party, nested=True):
                own = result["hosts"].get(
                    party, {"data_digest": result["data_digest"], "n_rows": result["rows"]["bank"]}
                )
                mlflow.set_tags({"party": party} | {key: own[key] for key in ("data_digest",) if key in own})
                numbers = {k: float(v) for k, v in own.items() if isinstance(v, int)}
                mlflow.log_metrics({**numbers, **{f"bytes_{k}": float(v) for k, v in result["bytes"][party].items()}})
        bank = node_directory(run, guest)
        bundle = {"bundle": bank / "model.json"}
        bundle |= {name: bank / f"{name}.json" for name in BESIDE if (bank / f"{name}.json").exists()}
        return register(mlflow, registry, run_id, uri, f"lianmo-{result['name']}", bundle)


@contextmanager
def recording(uri: str, name: str) -> Iterator[tuple[Any, Any, str, str]]:
    """A run of that name in the record, open while the block lasts: mlflow itself, its registry, the experiment's and
    the run's ids."""
    os.environ.update(_QUIET)
    import mlflow  # 1.6 CPU seconds: only where it is used
    from mlflow.tracking import MlflowClient

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*input example.*")
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name("lianmo")
    if experiment is None:
        artifacts_at = (
            Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" if uri.startswith("sqlite:") else None
        )
        experiment_id = mlflow.create_experiment("lianmo", artifacts_at.as_uri() if artifacts_at else None)
    else:
        experiment_id = experiment.experiment_id
    with mlflow.start_run(experiment_id=experiment_id, run_name=name) as run:
        yield mlflow, MlflowClient(uri), str(experiment_id), str(run.info.run_id)


def log_metrics(registry: Any, run_id: str, series: Iterable[tuple[str, float, int]]) -> None:
    """Name, value and step of each, all at once: one by one is a hundred times slower."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    registry.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value, step in series])


def register(
    mlflow: Any, registry: Any, run_id: str, uri: str, name: str, bundle: Mapping[str, Path]
) -> dict[str, str]:
    """Register the model in these files as ``NAME@champion``, to be loaded as a pyfunc.

    Args:
        bundle: ``bundle``: the joint model; what there is of ``BESIDE``.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # it congratulates itself there
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_MODEL_CODE),
            artifacts={part: str(path) for part, path in bundle.items()},
            pip_requirements=["lianmo"],
            signature=_signature(*_stored(bundle)),
            registered_model_name=name,
        )
    version = str(logged.registered_model_version)
    registry.set_registered_model_alias(name, CHAMPION, version)
    return {
        "run_id": run_id,
        "model_uri": f"models:/{name}@{CHAMPION}",
        "model_name": name,
        "model_version": version,
        "tracking_uri": uri,
    }


def version_behind(uri: str, name: str, alias: str) -> str | None:
    """The version of a registered model that an alias points to; None: there is no such model or alias.

    Raises:
        ServiceError: ``registry_unreachable``.
    """
    with _registry(uri) as registry:
        return next((str(v) for a, v in registry.get_registered_model(name).aliases.items() if a == alias), None)


def fetch(uri: str, name: str, version: str, into: Path) -> Path:
    """Download what was registered; returns the folder with ``model.json`` and what was stored beside it.

    Raises:
        ServiceError: ``registry_unreachable``.
    """
    with _registry(uri):
        import mlflow

        found = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=str(into))
    folder = Path(found) / "artifacts"
    save(folder / "published.json", {"name": name, "version": version, "alias": None})
    return folder


@contextmanager
def _registry(uri: str) -> Iterator[Any]:
    """The registry, while whatever is wrong with it is one error. It is asked again by whoever wants to."""
    os.environ.update(_QUIET | _IMPATIENT)
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        mlflow.set_tracking_uri(uri)
        yield MlflowClient(uri)
    except (MlflowException, OSError) as error:
        raise ServiceError(
            "registry_unreachable",
            "The MLflow registry cannot be reached, or lacks the model that was asked for. The models in force stay.",
            "无法访问 MLflow 模型登记库，或其中没有所请求的模型。在用模型保持不变。",
        ) from error


def _stored(bundle: Mapping[str, Path]) -> tuple[Joint, Joint | None]:
    alone = bundle.get("bank_only")
    return joint_from_json(load(bundle["bundle"])), joint_from_json(load(alone)) if alone else None


def _metrics(result: dict[str, Any]) -> list[tuple[str, float, int]]:
    series = _card_metrics(result) if result.get("kind") == "scorecard" else _tree_metrics(result)
    told = amount_metrics(result) if is_amounts(result) else _default_metrics(result)
    series += [(name, value, 0) for name, value in told]
    series += [(f"rows_{part}", float(n), 0) for part, n in result["rows"].items()]
    return [*series, ("seconds_total", float(result["seconds_total"]), 0)]


def _default_metrics(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Of a run whose label is a default."""
    series: list[tuple[str, float]] = []
    for metric in ("auc", "ks"):
        for who, interval in result[metric].items():
            series += [(f"{metric}_{who}", interval["value"]), (f"{metric}_{who}_low", interval["low"])]
            series += [(f"{metric}_{who}_high", interval["high"])]
        series.append((f"gain_{metric}", result["gain"][metric]["value"]))
    return [*series, *_validation_metrics(result["validation"])]


def _tree_metrics(result: dict[str, Any]) -> list[tuple[str, float, int]]:
    series = [("tree_seconds", float(s), step) for step, s in enumerate(result["tree_seconds"])]
    series += [("valid_loss", float(s), step) for step, s in enumerate(result["valid_loss"])]
    return [*series, ("trees", float(result["trees"]), 0)]


def _card_metrics(result: dict[str, Any]) -> list[tuple[str, float, int]]:
    """Counts, times, and what the features of each party tell."""
    used = [f for f in result["features"] if not f["reason"]]
    numbers = {"features_used": len(used), "features_binned": len(result["features"]), "rounds": result["rounds"]}
    numbers |= {f"{stage}_seconds": seconds for stage, seconds in result["stage_seconds"].items()}
    for party in (result["guest"], *result["hosts"]):
        total = sum(f["information_value"] for f in used if f["party"] == party)
        numbers[f"information_value_{party.replace(':', '-')}"] = total
    return [(name, float(value), 0) for name, value in numbers.items()]


def _validation_metrics(pack: dict[str, Any]) -> list[tuple[str, float]]:
    """The figures of a pack that two models are compared by; what could not be measured is left out."""
    grades, stability, compared = pack["grades"], pack["stability"], pack["comparison"]
    calibration = pack["calibration"]
    chosen = next(m for m in calibration["methods"] if m["method"] == calibration["method"])
    numbers = {
        "gini": 2.0 * pack["holdout"]["auc_bootstrap"]["value"] - 1.0,
        "lift_at_tenth": pack["holdout"]["lift"],
        "brier": chosen["brier"],
        "log_loss": chosen["log_loss"],
        "calibration_slope": chosen["cox"] and chosen["cox"]["slope"]["value"],
        "calibration_in_the_large": chosen["cox"] and chosen["cox"]["in_the_large"]["value"],
        "hosmer_lemeshow_p": calibration["hosmer_lemeshow"] and calibration["hosmer_lemeshow"]["p_value"],
        "grades_red": grades and float(sum(row["light"] == "red" for row in grades["rows"])),
        "stability_index": stability and stability["index"],
        "approval_gain": compared and compared["approval"]["gain"]["value"],
        "bad_rate": pack["bad_rate"],
    }
    return [(name, float(value)) for name, value in numbers.items() if value is not None]


def _signature(model: Joint, bank_only: Joint | None) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    columns = [ColSpec(DataType.string, "id")]
    columns += [
        ColSpec(DataType.string if bins.category else DataType.double, bins.name, required=False)
        for bins in {b.name: b for m in (bank_only, model) if m for b in m.inputs}.values()
    ]
    outputs = [ColSpec(DataType.string, "id")]
    if isinstance(model, JointModel) and model.objective != "binary":
        outputs += [ColSpec(DataType.double, "expected")]
    else:
        whole = all(isinstance(m, JointModel) or m.half.rules.rounding for m in (model, bank_only) if m)
        points = DataType.long if whole else DataType.double
        outputs += [ColSpec(DataType.double, "default_probability"), ColSpec(DataType.string, "calibration")]
        outputs += [ColSpec(points, "points", required=False), ColSpec(DataType.string, "band")]
    outputs += [ColSpec(DataType.string, "unknown_at")]
    if outputs[1].name == "default_probability":
        outputs += [ColSpec(DataType.string, "mode")]
    hosts = ParamSchema([ParamSpec("hosts", DataType.string, "{}")])
    return ModelSignature(inputs=Schema([*columns]), outputs=Schema([*outputs]), params=hosts)
