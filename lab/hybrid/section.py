"""``[hybrid]``: which banks and data nodes each city has, and which features each kind of data node brings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from federation.ciphers.paillier import MINIMUM_KEY_BITS
from federation.errors import KeyTooShort
from lab.config_party import PARTY_NAME, Party
from lab.config_sections import Section
from lab.errors import ConfigError
from lab.horizontal.standard import StandardSection

Name = Annotated[str, StringConstraints(pattern=PARTY_NAME, max_length=64)]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]


class City(Section):
    """Attributes:
    banks: whose applicants the data nodes know.
    hosts: kind → data node; the same kinds in every city.
    """

    banks: tuple[Name, ...] = Field(min_length=1)
    hosts: dict[Kind, Name] = Field(min_length=1)


class Cities(Section):
    """Who meets whom, as every party of a run is told it.

    Attributes:
        cipher, key_bits: of banks towards their data nodes.
    """

    cities: dict[str, City] = Field(min_length=1, max_length=1024)
    cipher: Literal["paillier", "plain"] = "paillier"
    key_bits: int = 2048

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({kind for city in self.cities.values() for kind in city.hosts}))

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(sorted(bank for city in self.cities.values() for bank in city.banks))

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted(host for city in self.cities.values() for host in city.hosts.values()))

    @property
    def hosts_of_banks(self) -> dict[str, Mapping[str, str]]:
        """Bank → kind → data node, kinds sorted."""
        sorted_hosts = {name: dict(sorted(city.hosts.items())) for name, city in self.cities.items()}
        return {bank: sorted_hosts[name] for name, city in self.cities.items() for bank in city.banks}

    def banks_of(self, host: str) -> tuple[str, ...]:
        """Whom a data node serves."""
        return tuple(bank for bank, hosts in sorted(self.hosts_of_banks.items()) if host in hosts.values())

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({*self.banks, *self.hosts}) < len(self.banks) + len(self.hosts):
            raise ValueError(
                "a bank or data node stands in one city, once / 每家银行、每个数据方只能在一个城市出现一次"
            )
        lacking = [
            f"{name}: {kind}" for name, city in self.cities.items() for kind in self.kinds if kind not in city.hosts
        ]
        if lacking:
            raise ValueError(
                f"every city needs a data node of each kind, or a model would learn the city from what is missing there"
                f"; without one / 每个城市须具备全部类型的数据方，缺少者: {', '.join(lacking)}"
            )
        return self


class HybridSection(Cities):
    """``standards``: kind → columns that data nodes of this kind have."""

    standards: dict[Kind, StandardSection] = Field(min_length=1)

    @property
    def terms(self) -> Cities:
        """Without what only the coordinator and data nodes of a kind are to know."""
        return Cities(cities=self.cities, cipher=self.cipher, key_bits=self.key_bits)

    @model_validator(mode="after")
    def _standards(self) -> Self:
        if strange := {*self.standards} ^ {*self.kinds}:
            raise ValueError(
                f"each kind of data node has its columns in standards / 每类数据方须在 standards 中列出特征列: "
                f"{', '.join(sorted(strange))}"
            )
        return self

    def check_model(self, *, scorecard: bool, averaging: bool) -> None:
        """Raises ``ConfigError`` (``hybrid_trees``) where something else than trees is asked for; ``KeyTooShort``."""
        if scorecard or averaging:
            raise ConfigError(
                "hybrid_trees",
                "[hybrid] is for trees: leave out [scorecard] and [averaging].",
                "[hybrid] 仅支持树模型：请去掉 [scorecard] 与 [averaging]。",
            )
        if self.cipher == "paillier" and self.key_bits < MINIMUM_KEY_BITS:
            raise KeyTooShort(self.key_bits, MINIMUM_KEY_BITS)


def check_hybrid(
    section: HybridSection | None, hosts: Sequence[Party], here: tuple[Collection[str], Collection[str]] | None
) -> None:
    """That the sections of parties are those that ``[hybrid]`` names, and fit data nodes.

    Args:
        here: sites and hosts that have a section; None: they are met at a hub.

    Raises:
        ValueError: what does not fit.
    """
    if hosts and section is None:
        raise ValueError("[[hosts]] are for [hybrid] / [[hosts]] 仅用于 [hybrid]")
    if section is None or here is None:
        return
    for named, found, what in zip((section.banks, section.hosts), here, ("[[sites]]", "[[hosts]]"), strict=True):
        if strange := {*named} ^ {*found}:
            raise ValueError(
                f"{what} and the cities of [hybrid] name different parties / 与 [hybrid] 的城市不一致: "
                f"{', '.join(sorted(strange))}"
            )
    for host in hosts:
        if host.label is not None or host.weight is not None:
            raise ValueError(f"{host.party}: a host has no label and no weight / 数据方不应设置 label 与 weight")
        if bool(host.node) != bool(host.project):
            raise ValueError(f"{host.party}: node and project go together / node 与 project 须同时给出")
