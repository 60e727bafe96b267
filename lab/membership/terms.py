"""What a guest proposes to a host through the hub, and what the host's own file says of its side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, model_validator

from lab.config_party import PARTY_NAME, Party
from lab.config_sections import Section, Workers
from lab.data.connectors.location import below
from lab.errors import ConfigError
from lab.hub.sessions import SESSION
from lab.section_file import read_section

#: A host's own section, in its node's folder.
FILE: Final = "party.toml"

P = TypeVar("P", bound=Party)
Name = Annotated[str, StringConstraints(pattern=PARTY_NAME, max_length=64)]
Session = Annotated[str, StringConstraints(pattern=f"^{SESSION}$")]


class Terms(Section):
    """Attributes:
    algorithm: what the host is asked to help with.
    parties: who takes part, as far as hosts learn it.
    countersigned: whether all parties sign the heads of each other's audit logs at the end.
    continues: the earlier session whose model trees are added to; "": none.
    """

    guest: Name
    algorithm: Literal["boosting", "scorecard"] = "boosting"
    parties: tuple[Name, ...] = Field(default=(), max_length=64)
    countersigned: bool = False
    continues: Session | Literal[""] = ""
    party_seconds: float = Field(gt=0, le=3600)
    answer_seconds: float = Field(gt=0, le=86400)


class OwnSide(Party):
    """A host's ``party.toml``: the keys of a ``[[hosts]]`` section, and how it works. Paths are relative to it."""

    n_jobs: int = Field(default=1, ge=-1)
    workers: Workers = "loky"

    @model_validator(mode="after")
    def _a_host(self) -> Self:
        if self.label is not None or self.weight is not None or not self.party.startswith("host:"):
            raise ValueError("this is the side of a host: no label, no weight / 此为数据方配置：不设 label 与 weight")
        if bool(self.node) != bool(self.project):
            raise ValueError("node and project go together / node 与 project 须同时给出")
        return self


def load_own_side(node: Path, party: str) -> OwnSide:
    """Raises ``ConfigError``: ``party_missing``; ``party_unreadable`` naming the field; ``party_other``."""
    path = node / FILE
    absent = ConfigError(
        "party_missing",
        f"{path} is missing: say there which data this party brings (party, data, id, …: the keys of [[hosts]]).",
        f"缺少 {path}：请在其中写明本方提供的数据（party、data、id 等，与 [[hosts]] 的键相同）。",
    )
    return placed(read_section(path, OwnSide, absent, _unreadable), path, party)


def placed(own: P, path: Path, party: str) -> P:
    """A party's own section from ``path``, its paths relative to that. Raises ``ConfigError``: ``party_other``."""
    if own.party != party:
        raise ConfigError(
            "party_other",
            f"{path.name} is of {own.party}, but this node joined the hub as {party}.",
            f"{path.name} 属于 {own.party}，而本节点以 {party} 的身份加入枢纽。",
        )
    base = path.parent.resolve()
    return own.model_copy(update={"data": below(own.data, base), "node": own.node and (base / own.node).resolve()})


def _unreadable(what: str) -> ConfigError:
    return ConfigError("party_unreadable", f"{FILE} cannot be used: {what}.", f"{FILE} 无法使用：{what}。")
