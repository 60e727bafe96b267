"""How the bank's scoring service behaves when a party does not: deadlines, breakers and what stands in, as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from federation.errors import PartyId
from lab.decision.sections import Text
from lab.errors import ConfigError
from lab.governance.admission import PURPOSES

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ServiceRules(BaseModel):
    """Table ``[service]``.

    Attributes:
        fallback: what answers where there is no joint score: ``bank_only``, the bank's own model, or ``refer``, a
            person. Without a bank-only model it is always ``refer``.
        deadline_seconds: longest wait for one party in one call, all its messages together.
        deadlines: party → its own instead.
        batch_deadline_seconds: the same, of a batch.
        failures_to_open, open_seconds: of each party's circuit breaker.
        purposes: what a score may be asked for; the first if a call names none.
        idempotency_seconds: for so long a repeated ``Idempotency-Key`` gets the answer of the first call.
        keep_days: for so long answers can be read again.
        names: party → what reports of decisions call its data (of the bank: itself) in English and in Chinese; who is
            not there goes by its id.
        shadow_waiting: most applications that wait for a model on trial in each worker; what comes beyond is left out
            of the comparison, and counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fallback: Literal["bank_only", "refer"] = "bank_only"
    deadline_seconds: Seconds = 0.25
    deadlines: dict[PartyId, Seconds] = {}
    batch_deadline_seconds: Seconds = 10.0
    failures_to_open: Annotated[int, Field(ge=1)] = 3
    open_seconds: Seconds = 5.0
    purposes: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = (PURPOSES["scoring"],)
    idempotency_seconds: Seconds = 3600.0
    keep_days: Annotated[int, Field(ge=1)] = 400
    names: dict[PartyId, Annotated[tuple[Text, Text], Field(strict=False)]] = {}
    shadow_waiting: Annotated[int, Field(ge=0, le=1_000_000)] = 2000

    def deadline(self, party: PartyId, n_rows: int) -> float:
        """Seconds for one party in a call about so many applicants."""
        return self.deadlines.get(party, self.deadline_seconds) if n_rows == 1 else self.batch_deadline_seconds


def load_rules(path: Path) -> ServiceRules:
    """Raises ``ConfigError`` (``service_rules``) naming the field that does not fit."""
    try:
        return ServiceRules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")).get("service", {}))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
    except (OSError, ValueError):
        field = "the whole file"
    raise ConfigError(
        "service_rules",
        f"{path.name}: [service] cannot be read; what does not fit: {field}.",
        f"{path.name}：[service] 无法读取，不符之处：{field}。",
    )
