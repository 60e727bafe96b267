"""The catalogue a data node is bound to: which item of it a column is, on what legal basis, and who may share it.

公共信用信息基础目录 as data: one TOML file per city and version, replaceable. Every column that a node brings into a
run cites an item; what cites none, is shared with nobody, or is of a kind that credit assessment may not look at, is
refused before anything is computed (General Office of the State Council [2020] 49, §3).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lab.errors import GovernanceError
from lab.governance.detectors import Kind, detect
from models.table import Table

#: A sample for trials, with the sources of the reference topology.
SAMPLE: Final = Path(__file__).parent / "catalogue_sample.toml"
#: Kinds that no consent makes usable; the others of ``detectors`` need written consent for the item itself.
NEVER: Final[frozenset[Kind]] = frozenset({"religion", "genes", "fingerprints", "blood_type", "disease", "identifier"})


class Item(BaseModel):
    """One item.

    Attributes:
        item: its number, cited by columns.
        name, name_zh: what it is.
        group: what a consent names to allow it, such as ``tax``.
        source: who holds it.
        basis: the regulation it is collected on.
        sharing: with nobody, with whom the subject allows it (``consent``), or with all.
        polarity: whether more of it speaks for or against a subject.
        kind: of ``detectors``, if it is of one; then it needs written consent for the item itself, or is never used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    item: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    name: str = Field(min_length=1, max_length=100)
    name_zh: str = Field(min_length=1, max_length=100)
    group: str = Field(pattern=r"^[a-z][a-z0-9_:-]{0,63}$")
    source: str = Field(min_length=1, max_length=100)
    basis: str = Field(min_length=1, max_length=300)
    sharing: Literal["none", "consent", "open"]
    polarity: Literal["for", "against", "neither"] = "neither"
    kind: Kind | None = None

    @property
    def scope(self) -> str:
        """What a consent must name: the group, or the item itself where written consent is needed."""
        return f"written:{self.item.lower()}" if self.kind else self.group


class Catalogue(BaseModel):
    """All items of a version."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    city: str = Field(min_length=1, max_length=100)
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    items: Annotated[list[Item], Field(min_length=1)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({i.item for i in self.items}) < len(self.items):
            raise ValueError("an item occurs twice / 目录项重复")
        return self

    def __getitem__(self, number: str) -> Item | None:
        return next((i for i in self.items if i.item == number), None)


@dataclass(frozen=True, slots=True)
class Cited:
    """What the columns of a table are.

    Attributes:
        version: of the catalogue.
        items: column → its item.
        scopes: what a consent must name so that all of them may be used; without those open to all.
    """

    version: str
    items: Mapping[str, Item]

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(sorted({i.scope for i in self.items.values() if i.sharing != "open" or i.kind}))


def load_catalogue(path: Path) -> Catalogue:
    """Raises ``GovernanceError``: ``catalogue_missing``; ``catalogue_unreadable`` naming the field."""
    try:
        return Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError:
        raise GovernanceError(
            "catalogue_missing", f"Cannot read the catalogue {path.name}.", f"无法读取目录文件 {path.name}。"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "catalogue"
        raise _unreadable(path, f"{where}: {first['msg']}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(path, type(error).__name__) from None


def cite(table: Table, citations: Mapping[str, str], catalogue: Catalogue) -> Cited:
    """What every column of ``table`` is.

    Args:
        citations: column → number of its item.

    Raises:
        GovernanceError: ``uncatalogued``, ``not_shared``, ``forbidden_kind`` naming all columns concerned: of a kind
            that may never be used, by the catalogue, by name or by content.
    """
    found = {name: catalogue[citations.get(name, "")] for name in table.columns}
    absent = [name for name, item in found.items() if item is None]
    if absent:
        raise GovernanceError(
            "uncatalogued",
            f"These columns cite no item of catalogue {catalogue.version}: {', '.join(absent)}. Cite one or drop them.",
            f"以下列未对应目录 {catalogue.version} 的任何目录项：{'、'.join(absent)}。请补充对应关系或剔除。",
        )
    items = {name: item for name, item in found.items() if item is not None}
    closed = [name for name, item in items.items() if item.sharing == "none"]
    if closed:
        raise GovernanceError(
            "not_shared",
            f"The catalogue shares these columns with nobody: {', '.join(closed)}. Drop them.",
            f"按目录规定，以下列不予共享：{'、'.join(closed)}。请剔除。",
        )
    kinds = {name: _kind(name, table, item) for name, item in items.items()}
    never = [f"{name} ({kind})" for name, kind in kinds.items() if kind in NEVER]
    if never:
        raise GovernanceError(
            "forbidden_kind",
            f"Credit assessment may never use these columns: {', '.join(never)}. Drop them.",
            f"以下列属于禁止纳入信用评价的信息：{'、'.join(never)}。请剔除。",
        )
    hidden = [f"{name} ({kind})" for name, kind in kinds.items() if kind and items[name].kind is None]
    if hidden:
        raise GovernanceError(
            "undeclared_kind",
            f"These columns look like information that needs written consent, and their items do not say so: "
            f"{', '.join(hidden)}. Correct the catalogue or the citation.",
            f"以下列疑似须书面同意的信息，但目录项未作声明：{'、'.join(hidden)}。请更正目录或对应关系。",
        )
    return Cited(catalogue.version, items)


def _kind(name: str, table: Table, item: Item) -> Kind | None:
    """As declared, if it is; else as it looks."""
    seen = detect(name, table.columns[name])
    return seen if seen in NEVER else item.kind or seen


def _unreadable(path: Path, what: str) -> GovernanceError:
    return GovernanceError(
        "catalogue_unreadable",
        f"{path.name} is no catalogue: {what}.",
        f"{path.name} 不是有效的目录文件：{what}。",
    )
