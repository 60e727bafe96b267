"""A data node's own settings: one TOML file in its folder, paths relative to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE, load_catalogue
from lab.governance.quality import QualityRules
from lab.governance.store import open_store
from lab.section_file import read_section
from models.errors import ModelError

FILE: Final = "node.toml"


class _Quality(BaseModel):
    """As ``quality.QualityRules``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    block_under: float = 0.9
    flag_under: float = 1.0
    max_age_days: int = 366


class RecordFeatures(BaseModel):
    """Features that the node makes of its credit records (``records.RecordBook.features``).

    Attributes:
        items: of the catalogue, whose records are counted.
        as_of: column of the node's file with the day as of which they count, YYYY-MM-DD or YYYYMMDD; it is no feature.
            None, and for every score: today.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: tuple[str, ...] = ()
    as_of: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    party: str = Field(pattern=r"^(host|site):[a-z0-9][a-z0-9_-]*$", max_length=64)
    store: str = "sqlite:///node.db"
    catalogue: Path = Path("catalogue.toml")
    reports: Path | None = None
    citations: dict[str, str] = Field(default_factory=dict)
    quality: _Quality = _Quality()
    records: RecordFeatures = RecordFeatures()


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
    records: RecordFeatures


def create_node(node: Path, party: str, catalogue: Path | None, store: str) -> NodeSettings:
    """A new folder, for its owner only, with settings, a catalogue and an empty store.

    Raises:
        GovernanceError: ``node_exists`` if there is one; ``node_unreadable``, ``catalogue_unreadable``,
            ``store_address`` and ``store_unreachable`` for what cannot be used; then nothing is left behind.
    """
    if (node / FILE).exists():
        raise GovernanceError(
            "node_exists",
            f"{node.name} is a data node already. Nothing was changed.",
            f"{node.name} 已是数据节点目录，未作任何改动。",
        )
    existed = node.exists()
    node.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = [node / FILE, node / "catalogue.toml"]
    try:
        written[0].write_text(f"party = {json.dumps(party)}\nstore = {json.dumps(store)}\n\n[citations]\n", "utf-8")
        written[1].write_text((catalogue or SAMPLE).read_text(encoding="utf-8"), "utf-8")
        settings = load_settings(node)
        load_catalogue(settings.catalogue)
        open_store(settings.store).dispose()
    except GovernanceError:
        for path in written:
            path.unlink(missing_ok=True)
        if not existed:
            shutil.rmtree(node)
        raise
    return settings


def load_settings(node: Path) -> NodeSettings:
    """Raises ``GovernanceError``: ``node_missing``; ``node_unreadable`` naming the field."""
    absent = GovernanceError(
        "node_missing",
        f"{node.name} is no data node: it has no {FILE}. Run `lianmo node init`.",
        f"{node.name} 不是数据节点目录：缺少 {FILE}。请运行 lianmo node init。",
    )
    told = read_section(node / FILE, _File, absent, _unreadable)
    try:
        rules = QualityRules(**told.quality.model_dump())
    except ModelError as error:
        raise _unreadable(error.english) from None
    return NodeSettings(
        party=told.party,
        store=_in(node, told.store),
        catalogue=node / told.catalogue,
        reports=told.reports and node / told.reports,
        citations=told.citations,
        quality=rules,
        records=told.records,
    )


def store_of(node: Path) -> Engine:
    """The store of a node's folder. Raises as ``load_settings`` and ``store.open_store``."""
    return open_store(load_settings(node).store)


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
