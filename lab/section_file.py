"""A TOML file that is one checked section: what is wrong with it is named by field, never by value."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import LianmoError

M = TypeVar("M", bound=BaseModel)


def read_section(path: Path, model: type[M], absent: LianmoError, unusable: Callable[[str], LianmoError]) -> M:
    """The content of ``path``, checked.

    Args:
        absent: raised if there is no such file.
        unusable: what is wrong → the error to raise.
    """
    try:
        return checked_section(tomllib.loads(path.read_text("utf-8")), model, unusable)
    except OSError:
        raise absent from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise unusable(type(error).__name__) from None


def checked_section(told: Mapping[str, Any], model: type[M], unusable: Callable[[str], LianmoError]) -> M:
    """The same of what is no file."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise unusable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
