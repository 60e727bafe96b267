"""An averaged model as stored: bins, kind, settings and the vector of parameters, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np

from models.averaging import estimators
from models.averaging.design import design, width
from models.binning import FeatureBins
from models.bundle import digest
from models.errors import ModelError
from models.losses import Floats
from models.table import Table

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class AveragedModel:
    """Attributes:
    kind, settings: of scikit-learn's estimator.
    parameters: as ``estimators`` lays them out.
    """

    model_id: str
    bins: tuple[FeatureBins, ...]
    kind: str
    settings: Mapping[str, Any]
    parameters: tuple[float, ...]

    @property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """Columns it needs."""
        return self.bins

    def margin(self, rows: Table) -> Floats:
        """Log-odds of default, shape ``(n_rows,)``."""
        return estimators.margin(self.kind, self.settings, np.array(self.parameters), design(rows, self.bins))

    def to_json(self) -> dict[str, Any]:
        bins = [asdict(b) for b in self.bins]
        return {
            "format": FORMAT,
            "model_id": self.model_id,
            "averaged": self.kind,
            "settings": dict(self.settings),
            "bins": bins,
            "parameters": list(self.parameters),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises ``ModelError``: ``bundle_format``, ``bundle_unreadable``, ``bad_parameter``."""
        if data.get("format") != FORMAT:
            raise ModelError(
                "bundle_format",
                f"The model file has another format; this release reads format {FORMAT}.",
                f"模型文件格式不符，本版本读取格式 {FORMAT}。",
            )
        try:
            bins = tuple(
                FeatureBins(**{**b, "edges": tuple(map(float, b["edges"])), "levels": tuple(map(str, b["levels"]))})
                for b in data["bins"]
            )
            kind, settings = str(data["averaged"]), dict(data["settings"])
            parameters = tuple(map(float, data["parameters"]))
            estimators.check_settings(kind, settings)
            if len(parameters) != estimators.n_parameters(kind, settings, width(bins)):
                raise ValueError("parameters of another shape")
            return cls(str(data["model_id"]), bins, kind, settings, parameters)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "bundle_unreadable",
                "The model file lacks fields or has wrong ones.",
                "模型文件字段缺失或有误。",
            ) from error

    def digest(self) -> str:
        """SHA-256 of its JSON, hexadecimal."""
        return digest(self.to_json())
