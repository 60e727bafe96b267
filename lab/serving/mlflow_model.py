"""The joint model as an MLflow pyfunc, written as code (no pickle): batch users stay in their habit.

``predict(frame, params={"hosts": '{"host:tax": "https://…"}'})`` asks the hosts' scoring endpoints; the bank's half
alone cannot score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]

from federation.transports.http import HttpWire
from lab.data.sources import applicants_table
from lab.errors import ConfigError
from lab.serving.batch import score_frame
from models.bundle import load
from models.joint import joint_from_json


class JointScorer(PythonModel):
    """Columns ``id`` and the bank's features in; those of ``batch.score_frame`` out."""

    def load_context(self, context: Any) -> None:
        self.model = joint_from_json(load(Path(context.artifacts["bundle"])))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        urls = json.loads((params or {}).get("hosts", "{}"))
        absent = [host for host in self.model.needed_hosts if host not in urls]
        if absent:
            raise ConfigError(
                "hosts_missing",
                f"Give the scoring endpoints of {', '.join(absent)} in params['hosts'] as JSON.",
                f"请在 params['hosts'] 中以 JSON 给出 {'、'.join(absent)} 的评分端点。",
            )
        table = applicants_table(model_input, "id", self.model.inputs)
        with HttpWire(urls) as wire:
            return score_frame(self.model, table, wire)


set_model(JointScorer())
