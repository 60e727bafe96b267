"""What the bank's scoring service takes and gives, as pydantic models; the model being served names the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from lab.serving.problems import RequestError
from models.binning import FeatureBins
from models.table import Column, Table

Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1024)]
MOST_REASONS: Final = 50


def _whole(value: Any) -> Any:
    """22.0 is a whole number in JSON Schema, and some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: How many reasons; the bounds stand first, so that the JSON schema has them.
NumberOfReasons = Annotated[int, Field(ge=0, le=MOST_REASONS), BeforeValidator(_whole)]


class Given(BaseModel):
    """Base of what a caller sends: exact types, no field more than named, and no value in what it prints."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return []


class ScoreRequest(Given):
    """One application to score. Null means that a feature is missing; ``request_schema`` names the features.
    ``reasons``: how many features that raise the risk are to be named."""

    application_id: Annotated[str, Field(min_length=1, max_length=128)]
    applicant_id: Annotated[str, Field(min_length=1, max_length=256)]
    features: BaseModel
    reasons: NumberOfReasons = 0


class ServedModel(BaseModel):
    name: str
    version: str
    model_id: str
    digest: str


class ScoreReason(BaseModel):
    """What raises the risk of this applicant; ``contribution``: log-odds of default against the average applicant."""

    code: str
    party: str
    text: str
    text_zh: str
    contribution: float


class ScoreAnswer(BaseModel):
    score_id: str
    request_id: str
    application_id: str
    default_probability: float
    points: int | float
    band: str
    reasons: list[ScoreReason]
    model: ServedModel
    parties_used: list[str]
    scored_at: datetime
    latency_ms: float


class Feature(BaseModel):
    name: str
    type: Literal["number", "text"]


class CurrentModel(ServedModel):
    alias: str | None
    kind: Literal["trees", "scorecard"]
    n_trees: int | None
    parties: list[str]
    features: list[Feature]


def request_schema(bins: Sequence[FeatureBins]) -> type[ScoreRequest]:
    """``ScoreRequest`` with the features of the bank's half, each required by name, number or text as in training."""
    # Field names must be Python identifiers, column names need not be: the column is the alias.
    fields: dict[str, Any] = {
        f"feature_{index}": (Text | None if b.category else Number | None, Field(alias=b.name))
        for index, b in enumerate(bins)
    }
    features = create_model("Features", __base__=Given, **fields)
    return create_model("ScoreRequest", __base__=ScoreRequest, features=(features, ...))


def table_of(request: ScoreRequest, bins: Sequence[FeatureBins]) -> Table:
    """A table of the one applicant."""
    given = request.features.model_dump(by_alias=True)
    return Table((request.applicant_id,), {b.name: _column(b, given[b.name]) for b in bins})


def features_of(bins: Sequence[FeatureBins]) -> list[Feature]:
    return [Feature(name=b.name, type="text" if b.category else "number") for b in bins]


def _column(bins: FeatureBins, value: Any) -> Column:
    if bins.category:
        return np.array([value], dtype=object)
    return np.array([np.nan if value is None else value], dtype=np.float64)


_WHOLE: Final = (f"must be a whole number from 0 to {MOST_REASONS}", f"应为 0 到 {MOST_REASONS} 的整数")
_FAULTS: Final = {
    "missing": ("is missing", "缺失"),
    "extra_forbidden": ("is not a known field", "不是已知字段"),
    "finite_number": ("must be a finite number or null", "应为有限数值或 null"),
    "float_type": ("must be a number or null", "应为数值或 null"),
    "int_type": _WHOLE,
    "greater_than_equal": _WHOLE,
    "less_than_equal": _WHOLE,
    "string_type": ("must be text", "应为文本"),
    "string_too_short": ("must not be empty", "不能为空"),
    "string_too_long": ("is too long", "过长"),
    "json_invalid": ("is not valid JSON", "不是有效的 JSON"),
}
_MOST_NAMED: Final = 20
_LONGEST_NAME: Final = 64


def invalid_request(faults: Sequence[Mapping[str, Any]]) -> RequestError:
    """The error for what pydantic found: fields are named, values never."""
    named = []
    for fault in faults[:_MOST_NAMED]:
        field = "body" if fault["type"] == "json_invalid" else _shown(fault["loc"])
        english, chinese = _FAULTS.get(fault["type"], ("has a wrong type or form", "类型或形式有误"))
        named.append((field, f"{field} {english}", f"{field} {chinese}"))
    more_en, more_zh = (", and more", "等") if len(faults) > _MOST_NAMED else ("", "")
    return RequestError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        f"The request does not fit: {'; '.join(english for _, english, _ in named)}{more_en}.",
        f"请求不符合要求：{'；'.join(chinese for _, _, chinese in named)}{more_zh}。",
        fields=[field for field, _, _ in named],
    )


def _shown(location: Sequence[int | str]) -> str:
    """``("body", "features", "Income")`` → ``features.Income``; a caller's own name is cut and cleaned."""
    path = ".".join(str(part)[:_LONGEST_NAME] for part in location[1:]) or "body"
    return "".join(c if c.isprintable() else "?" for c in path)
