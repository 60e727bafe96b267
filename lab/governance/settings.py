"""A data node's own settings: one TOML file in its folder, paths relative to it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.errors import GovernanceError
from lab.governance.quality import QualityRules
from models.errors import ModelError

FILE: Final = "node.toml"


class _Quality(BaseModel):
    """As ``quality.QualityRules``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    block_under: float = 0.9
    flag_under: float = 1.0
    max_age_days: int = 366


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    party: str = Field(pattern=r"^host:[a-z0-9][a-z0-9_-]*$", max_length=64)
    store: str = "sqlite:///node.db"
    catalogue: Path = Path("catalogue.toml")
    reports: Path | None = None
    citations: dict[str, str] = Field(default_factory=dict)
    quality: _Quality = _Quality()


class NodeSettings(BaseModel):
    """Attributes:
    party: whose node it is.
    store: SQLAlchemy address; a file of sqlite lies in the node's folder unless its path is absolute.
    catalogue: the city's catalogue.
    reports: what sources delivered (``quality.SourceReport``), JSON lines; None: not judged.
    citations: column → item of the catalogue.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    party: str
    store: str
    catalogue: Path
    reports: Path | None
    citations: dict[str, str]
    quality: QualityRules


def load_settings(node: Path) -> NodeSettings:
    """Raises ``GovernanceError``: ``node_missing``; ``node_unreadable`` naming the field."""
    try:
        data = tomllib.loads((node / FILE).read_text(encoding="utf-8"))
        told = _File.model_validate(data)
        rules = QualityRules(**told.quality.model_dump())
    except OSError:
        raise GovernanceError(
            "node_missing",
            f"{node.name} is no data node: it has no {FILE}. Run `lianmo node init`.",
            f"{node.name} 不是数据节点目录：缺少 {FILE}。请运行 lianmo node init。",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unreadable(type(error).__name__) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _unreadable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ModelError as error:
        raise _unreadable(error.english) from None
    return NodeSettings(
        party=told.party,
        store=_in(node, told.store),
        catalogue=node / told.catalogue,
        reports=told.reports and node / told.reports,
        citations=told.citations,
        quality=rules,
    )


def _in(node: Path, store: str) -> str:
    """The address, a relative file taken from the node's folder."""
    prefix = "sqlite:///"
    if not store.startswith(prefix) or Path(store.removeprefix(prefix)).is_absolute():
        return store
    return f"{prefix}{node.resolve() / store.removeprefix(prefix)}"


def _unreadable(what: str) -> GovernanceError:
    return GovernanceError(
        "node_unreadable",
        f"{FILE} cannot be used: {what}.",
        f"{FILE} 无法使用：{what}。",
    )
