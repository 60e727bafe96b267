"""What callers send: exact types, no field more than named, and no value in what it prints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Given(BaseModel):
    """Base of every request, and of every part of one."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return []


def whole(value: Any) -> Any:
    """22.0 is a whole number in JSON Schema, and some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
