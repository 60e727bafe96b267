"""The bank's models as an MLflow pyfunc, written as code (no pickle): batch users stay in their habit.

``predict(frame, params={"hosts": '{"host:tax": "https://…"}'})`` asks the hosts' scoring endpoints; where they want
certificates, ``hosts`` is the path of a file as for ``--hosts``. Without hosts the bank's own model answers, and the
column ``mode`` says so.
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
from lab.serving.hosts import Hosts, hosts_of
from lab.serving.publishing.stored import models_from


class JointScorer(PythonModel):
    """Columns ``id`` and the bank's features in; those of ``batch.score_frame`` out, and of a model of defaults
    ``mode``: ``joint``, ``bank_only``, or ``refer`` where a party does not hold the applicant and nobody scored."""

    def load_context(self, context: Any) -> None:
        self.joint, self.bank_only = models_from(Path(context.artifacts["bundle"]).parent)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        at = _hosts((params or {}).get("hosts", "{}"))
        needed = self.joint.model.needed_hosts
        alone = self.bank_only if needed and not at.urls else None
        absent = [host for host in needed if host not in at.urls]
        if absent and not alone:
            raise ConfigError(
                "hosts_missing",
                f"Give the scoring endpoints of {', '.join(absent)} in params['hosts'], as JSON or the path of TOML.",
                f"请在 params['hosts'] 中以 JSON 或 TOML 文件路径给出 {'、'.join(absent)} 的评分端点。",
            )
        asked = alone or self.joint
        table = applicants_table(model_input, "id", asked.model.inputs)
        with HttpWire(at.urls, tls=at.tls) as wire:
            frame = score_frame(asked, table, wire)
        if "band" not in frame:  # amounts
            return frame
        scored = "bank_only" if alone else "joint"
        return frame.assign(mode=["refer" if absent else scored for absent in frame["unknown_at"]])


def _hosts(told: str) -> Hosts:
    """As JSON, or from the file of that path. Raises ``ConfigError`` as ``hosts_of``."""
    return hosts_of(json.loads(told)) if told.lstrip().startswith("{") else hosts_of({}, Path(told))


set_model(JointScorer())
