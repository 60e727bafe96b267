"""A run's configuration as the text of a TOML file, the inverse of ``lab.config``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.config import Config


def config_text(config: Config, base: Path) -> str:
    """What ``load_config`` reads back as ``config`` from a file in ``base``; defaults are left out."""
    plain = json.loads(config.model_dump_json(exclude_defaults=True, exclude={"run": {"directory"}}))
    plain.setdefault("run", {})["directory"] = _relative(config.run.directory, base)
    for party, own in zip((plain["guest"], *plain.get("hosts", ())), config.parties, strict=True):
        if isinstance(own.data, Path):
            party["data"] = _relative(own.data, base)
        else:
            party["data"] = json.loads(own.data.relative_to(base).model_dump_json(exclude_defaults=True))
    if config.scorecard:
        plain["scorecard"] = config.scorecard.model_dump()
    if config.hub:
        plain["hub"]["node"] = _relative(config.hub.node, base)
    hosts = plain.pop("hosts", ())
    sections = [_table(f"[{name}]", content) for name, content in plain.items() if content or name == "scorecard"]
    return "\n".join([*sections, *(_table("[[hosts]]", host) for host in hosts)])


def _table(heading: str, content: Mapping[str, Any]) -> str:
    return "".join([heading, "\n", *(f"{_key(k)} = {_value(v)}\n" for k, v in content.items() if v is not None)])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case dict():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return json.dumps(value)  # numbers and truth values are written alike


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()
