"""The bank's own model as MLflow serves it: code, no pickle, and no more work than the answer needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from federation.transports.memory import MemoryWire
from lab.data.sources import applicants_table
from lab.serving.batch import score_frame
from lab.serving.loaded import Calibrated
from models.bundle import load
from models.joint import joint_from_json


class BankModel(PythonModel):
    """Columns ``id`` and the bank's features in, probability, points and band out."""

    def load_context(self, context: Any) -> None:
        self.model = joint_from_json(load(Path(context.artifacts["bundle"])))
        self.wire = MemoryWire({})

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        table = applicants_table(model_input, "id", self.model.inputs)
        return score_frame(Calibrated(model=self.model), table, self.wire)


set_model(BankModel())
