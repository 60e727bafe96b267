"""``lianmo demo``: real data, three parties, one joint model, one score; what a visitor should see in three minutes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pandas as pd
from rich.console import Console

from federation.transports.async_http import AsyncHttpWire
from lab.config import Config, load_config
from lab.data.demo import write_demo_data
from lab.data.sources import read_frame
from lab.evaluation import quality
from lab.finish import record_run, report_run
from lab.jobs import node_directory
from lab.pooled import pooled_margin
from lab.runs import train_run
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.nodes import joint_model, scoring_endpoint
from lab.serving.publishing.shelf import open_shelf
from lab.serving.server import running
from models.bundle import save

_CONFIG: Final = """\
# The demonstration as a configuration: run it again with `lianmo train {path}`.
[run]
name = "demo"
directory = "{directory}"
transport = "{transport}"

[boosting]
n_estimators = {trees}
learning_rate = {learning_rate}
max_depth = 4
max_bin = 32
random_state = 2026

[cipher]
name = "paillier"
key_bits = 2048

[split]
holdout = 0.3

[guest]
party = "bank"
data = "bank.csv"
label = "default"

[[hosts]]
party = "host:social"
data = "host-social.csv"

[[hosts]]
party = "host:registry"
data = "host-registry.csv"
"""


def run_demo(runs: Path, transport: str, console: Console, trees: int = 60) -> dict[str, Any]:
    """Make the data, train, compare, record, serve and score. Returns the content of ``result.json``."""
    runs = runs.resolve()
    data = runs / "demo-data"
    write_demo_data(data)
    path = data / "lianmo.toml"
    rate = 0.1 if trees >= 30 else 0.3
    path.write_text(
        _CONFIG.format(path=path.name, directory=runs / "demo", transport=transport, trees=trees, learning_rate=rate),
        encoding="utf-8",
    )
    config = load_config(path)

    def compare(staging: Path, result: dict[str, Any]) -> None:
        _add_pooled(config, staging, result)

    train_run(config, console, finish=(compare, report_run, record_run))
    return _score_one(config, runs / "demo", console)


def _add_pooled(config: Config, staging: Path, result: dict[str, Any]) -> None:
    scores = pd.read_csv(node_directory(staging, config.guest.party) / "scores.csv", dtype={"id": str})
    margin = pooled_margin(config.guest, config.hosts, scores, config.parameters, config.split.time_column)
    pd.DataFrame({"pooled": margin}).to_csv(staging / "pooled.csv", index=False)
    held_out = (scores["part"] == "holdout").to_numpy()
    label = scores["label"].to_numpy(dtype=np.float64)
    pooled = quality(label[held_out], margin[held_out], config.parameters.random_state)
    result["auc"]["pooled"], result["ks"]["pooled"] = pooled.auc.as_dict(), pooled.ks.as_dict()


def _score_one(config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Start every party's endpoint, ask the bank's for one held-out applicant, stop them all."""
    bank = node_directory(run, config.guest.party)
    model, _ = joint_model(bank)
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    applicant = scores.loc[scores["part"] == "holdout", "id"].iloc[0]
    row = read_frame(config.guest.data, "id").set_index("id").loc[applicant]
    features = {b.name: None if pd.isna(row[b.name]) else row[b.name] for b in model.inputs}
    body = {"application_id": "demo-0001", "applicant_id": applicant, "features": features}
    with contextlib.ExitStack() as stack:
        urls = {
            host.party: stack.enter_context(running(create_host_app(scoring_endpoint(node_directory(run, host.party)))))
            for host in config.hosts
        }
        url = stack.enter_context(running(create_guest_app(open_shelf(bank), AsyncHttpWire(urls))))
        console.print(f"  POST {url}/v1/scores", style="dim", highlight=False)
        content = json.dumps(body, default=float)
        answer = httpx.post(
            f"{url}/v1/scores", content=content, headers={"Content-Type": "application/json"}, timeout=30
        )
        answer.raise_for_status()
    result: dict[str, Any] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["score"] = answer.json()
    save(run / "result.json", result)
    return result
