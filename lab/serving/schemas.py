"""What the bank's scoring service takes and gives, as pydantic models; the model being served names the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, create_model

from lab.decision.loan import Loan
from lab.given import Given, whole
from lab.serving.decisions import DecisionAnswer
from lab.serving.loaded import Calibration
from lab.serving.problems import RequestError
from models.binning import FeatureBins
from models.table import Column, Table

Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1024)]
MOST_REASONS: Final = 50


#: How many reasons; the bounds stand first, so that the JSON schema has them.
NumberOfReasons = Annotated[int, Field(ge=0, le=MOST_REASONS), BeforeValidator(whole)]


class Features(Given):
    """What ``request_schema`` makes of the columns.

    Attributes:
        places: name of a column, and whether it is text → its place among the fields.
    """

    places: ClassVar[Mapping[tuple[str, bool], int]] = {}


class ScoreRequest(Given):
    """One application to score. Null means that a feature is missing; ``request_schema`` names the features.
    ``reasons``: how many features that raise the risk are to be named. ``purpose`` and ``consent_id``: what for, and by
    which consent of the applicant; both stand in the answer and, the latter as a keyed digest, in the audit log.
    ``loan``: what is asked for; the bank's policy, if the service has one, decides of it."""

    application_id: Annotated[str, Field(min_length=1, max_length=128, examples=["loan-2026-000417"])]
    applicant_id: Annotated[str, Field(min_length=1, max_length=256, examples=["91310000MA1FL0000X"])]
    features: Features
    reasons: NumberOfReasons = 0
    purpose: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$", examples=["loan_score"])] | None = None
    consent_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    loan: Loan | None = None


class ServedModel(BaseModel):
    """A model as the registry knows it; ``digest``: SHA-256 of the bank's part, which names those of the others."""

    name: str
    version: str
    alias: str | None
    digest: str


class ScoreReason(BaseModel):
    """What raises the risk of this applicant; ``contribution``: log-odds of default against the average applicant."""

    code: str
    party: str
    text: str
    text_zh: str
    contribution: float


class DegradedReason(BaseModel):
    """Why the answer is not a joint one, and whose doing that is."""

    code: str
    parties: list[str]
    text: str
    text_zh: str


class ScoreAnswer(BaseModel):
    """``mode``: ``joint``: all parties of the model; ``bank_only``: the bank's own model, trained and calibrated apart;
    ``refer``: nobody scored, a person decides, and probability, points and band are null. ``default_probability``: in
    [0, 1]. ``calibration``: rows on which it was calibrated; ``none``: it is the model's own, good for ranking and
    perhaps off in level; null if nobody scored. ``points``: higher is safer. ``decision``, ``policy_version``,
    ``limit`` (yuan), ``price`` (of a year): of the policy, if the service has one and a loan was asked for;
    ``decided``: all that it says. ``model``: the one that answered; with ``refer`` the one that could not."""

    score_id: str
    request_id: str
    application_id: str
    mode: Literal["joint", "bank_only", "refer"]
    degraded_reason: DegradedReason | None
    default_probability: float | None
    calibration: Calibration | None
    points: int | float | None
    band: str | None
    decision: str | None
    policy_version: str | None
    limit: float | None
    price: float | None
    decided: DecisionAnswer | None
    reasons: list[ScoreReason]
    model: ServedModel
    parties_used: list[str]
    purpose: str
    consent_id: str | None
    scored_at: datetime
    latency_ms: float


class ItemProblem(BaseModel):
    """What is wrong with one application of a batch; the others are answered."""

    code: str
    detail: str
    detail_zh: str
    fields: list[str]


class BatchItem(BaseModel):
    """Exactly one of ``score`` and ``problem`` is not null. ``index``: place in the request, from 0."""

    index: int
    score: ScoreAnswer | None
    problem: ItemProblem | None


class BatchAnswer(BaseModel):
    """One item per application, in the order of the request."""

    request_id: str
    items: list[BatchItem]
    n_scored: int
    n_problems: int
    latency_ms: float


class Feature(BaseModel):
    """``required``: false: only a model on trial reads it. Left out, that model does not try the application; null is a
    value that is not known."""

    name: str
    type: Literal["number", "text"]
    required: bool


class CurrentModel(ServedModel):
    """``features``: what to send. ``bank_only``: what answers when not all parties can."""

    model_id: str
    kind: Literal["trees", "scorecard"]
    n_trees: int | None
    parties: list[str]
    features: list[Feature]
    bank_only: ServedModel | None


class PartyHealth(BaseModel):
    """``asked``: ``closed``: as usual; ``open``: not asked for the moment; ``half_open``: on trial. ``reachable``: null
    if the way to the party cannot tell."""

    party: str
    asked: Literal["closed", "open", "half_open"]
    reachable: bool | None


class Readiness(BaseModel):
    """``ready``: joint scores; ``degraded``: answers, but not by all parties; ``unready``: no answers."""

    status: Literal["ready", "degraded", "unready"]
    model: ServedModel | None
    parties: list[PartyHealth]
    store: bool


def request_schema(bins: Sequence[FeatureBins], optional: Sequence[FeatureBins] = ()) -> type[ScoreRequest]:
    """``ScoreRequest`` with these features by name, number or text as in training.

    Args:
        bins: what answers reads them: each is required.
        optional: only a model on trial reads them: they may be left out, which is not the same as null.
    """
    # Field names must be Python identifiers, column names need not be: the column is the alias.
    fields: dict[str, Any] = {}
    for place, b in enumerate((*bins, *optional)):
        told: dict[str, Any] = {"default_factory": _unsent, "description": _ON_TRIAL} if place >= len(bins) else {}
        fields[_field(place)] = (Text | None if b.category else Number | None, Field(alias=b.name, **told))
    features = create_model("Features", __base__=Features, **fields)
    features.places = {(b.name, b.category): place for place, b in enumerate((*bins, *optional))}
    return create_model("ScoreRequest", __base__=ScoreRequest, features=(features, ...))


def sent(request: ScoreRequest, bins: Sequence[FeatureBins]) -> bool:
    """Whether all these columns were sent, null or not; one that was sent as another type was not."""
    given = request.features
    places = [given.places.get((b.name, b.category)) for b in bins]
    return all(place is not None and _field(place) in given.model_fields_set for place in places)


def table_of(requests: Sequence[ScoreRequest], bins: Sequence[FeatureBins]) -> Table:
    """A table of the applicants, a row for each; at least one, all of one schema, and each ``sent`` these columns."""
    places = requests[0].features.places
    values = [list(request.features.__dict__.values()) for request in requests]  # in the order of the schema
    return Table(
        tuple(request.applicant_id for request in requests),
        {b.name: _column(b, [given[places[b.name, b.category]] for given in values]) for b in bins},
    )


def features_of(bins: Sequence[FeatureBins], optional: Sequence[FeatureBins] = ()) -> list[Feature]:
    """As of ``request_schema``."""
    return [
        Feature(name=b.name, type="text" if b.category else "number", required=place < len(bins))
        for place, b in enumerate((*bins, *optional))
    ]


_ON_TRIAL: Final = (
    "Only a model on trial reads it; without it that model does not try this application. 仅试用模型使用。"
)


def _unsent() -> None:
    """A factory, so that the JSON schema has no default: what is left out is not null."""


def _field(place: int) -> str:
    return f"feature_{place}"


def _column(bins: FeatureBins, values: Sequence[Any]) -> Column:
    if bins.category:
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.float64)  # None becomes NaN


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
    "string_pattern_mismatch": ("has a wrong form", "格式有误"),
    "json_invalid": ("is not valid JSON", "不是有效的 JSON"),
}
_MOST_NAMED: Final = 20
_LONGEST_NAME: Final = 64


def invalid_request(faults: Sequence[Mapping[str, Any]]) -> RequestError:
    """The error for what pydantic found: fields are named, values never."""
    named = []
    for fault in faults[:_MOST_NAMED]:
        field = _shown(fault["loc"])
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
    """``("features", "Income")`` → ``features.Income``; a caller's own name is cut and cleaned."""
    path = ".".join(str(part)[:_LONGEST_NAME] for part in location) or "body"
    return "".join(c if c.isprintable() else "?" for c in path)
