"""A decision policy: TOML that is read strictly, has a version and a digest, and whose parts fit together."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from lab.decision.faults import first_fault
from lab.decision.sections import (
    NO_GUARANTEE,
    Band,
    Checks,
    Compression,
    Dormant,
    Guarantee,
    Name,
    Objection,
    Product,
    Route,
    Shares,
    Stop,
    Worded,
)
from lab.decision.situation import Example
from lab.decision.verdicts import RULES
from lab.errors import ConfigError
from models.bundle import digest

SAMPLE: Final = Path(__file__).parent / "sample_policy.toml"
_MOST_BYTES: Final = 1 << 20
_UNSECURED: Final = Guarantee(
    code=NO_GUARANTEE, english="unsecured", chinese="信用（无担保）", shares=Shares(bank=Decimal(1))
)


class Policy(Worded):
    """What a bank decides by. Made from TOML by ``load_policy``; a change is a new version.

    Attributes:
        sample: not a bank's own: shown as such wherever it decides.
        in_force_from, in_force_until: first and last day; None: no last one.
        stops: hard stops, in the order in which they are asked.
        bands: safest first; each ends where the next begins, so none is left out and none overlaps.
        in_loan: what records do to limits that are granted.
        routes: of what is referred; the last takes whatever is left.
        objection: what an applicant who disagrees can do.
        examples: cases with the decision wanted, run by ``lianmo decision check``.
    """

    name: Name
    version: Name
    sample: bool = False
    in_force_from: date
    in_force_until: date | None = None
    checks: Checks
    stops: Annotated[list[Stop], Field(max_length=100)]
    dormant: Dormant
    bands: Annotated[list[Band], Field(min_length=1, max_length=50)]
    products: Annotated[list[Product], Field(min_length=1, max_length=200)]
    guarantees: Annotated[list[Guarantee], Field(max_length=50, default_factory=list)]
    in_loan: Annotated[list[Compression], Field(max_length=3, default_factory=list)]
    routes: Annotated[list[Route], Field(min_length=1, max_length=100)]
    objection: Objection
    examples: Annotated[list[Example], Field(min_length=1, max_length=1000)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what it says, hexadecimal; spaces and remarks do not count, nor how a number is written, nor
        whether a default is spelled out."""
        return digest(_plain(self.model_dump(exclude_defaults=True)))

    def product(self, code: str) -> Product:
        """Raises ``ConfigError`` (``unknown_product``)."""
        for product in self.products:
            if product.code == code:
                return product
        raise ConfigError(
            "unknown_product",
            f"The decision policy {self.name} does not know this product. It knows: {_names(self.products)}.",
            f"决策策略 {self.name} 中没有该产品，现有产品：{_names(self.products)}。",
        )

    def guarantee(self, code: str) -> Guarantee | None:
        """The guarantee of that code, ``NO_GUARANTEE`` among them."""
        return next((g for g in [_UNSECURED, *self.guarantees] if g.code == code), None)

    def bands_of(self, product: Product) -> list[Band]:
        return product.bands or self.bands

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for fault in self._faults():
            raise ValueError(fault)
        return self

    def _faults(self) -> Iterator[str]:
        """What does not fit together, in words."""
        if self.in_force_until and self.in_force_until < self.in_force_from:
            yield "in_force_until lies before in_force_from / 失效日期早于生效日期"
        for what, codes in (
            ("stops", [s.code for s in self.stops]),
            ("products", [p.code for p in self.products]),
            ("guarantees", [NO_GUARANTEE, *(g.code for g in self.guarantees)]),
            ("in_loan", [c.severity for c in self.in_loan]),
        ):
            if len(set(codes)) < len(codes):
                yield f"{what}: a name occurs twice / {what} 中有名称重复"
        if any(s.code in RULES for s in self.stops):
            yield "stops: the name of a rule cannot be that of a list / 名单不得与规则同名"
        if any(self.guarantee(code) is None for p in self.products for code in p.guarantees):
            yield "products: a guarantee that is not among guarantees / 产品引用了未定义的担保方式"
        if {e.loan.product for e in self.examples} - {p.code for p in self.products}:
            yield "examples: a product that there is not / 示例引用了不存在的产品"
        own = ((f"bands of {p.code}", p.bands) for p in self.products if p.bands)
        for where, bands in (("bands", self.bands), *own):
            for fault in _band_faults(bands):
                yield f"{where}: {fault}"
        yield from self._route_faults()

    def _route_faults(self) -> Iterator[str]:
        known = {*RULES, *(s.code for s in self.stops)}
        if any(not set(route.rules) <= known for route in self.routes):
            yield "routes: a rule that there is not / 审核路径引用了不存在的规则"
        if self.routes[-1].rules or self.routes[-1].min_amount:
            yield "routes: the last must take every rule and amount / 最后一条审核路径须适用于所有情形"
        if any(earlier.hides(later) for earlier, later in combinations(self.routes, 2)):
            yield "routes: one is never reached, behind one that takes all of it / 有审核路径永远不会被用到"


def policy_at(path: Path) -> Policy:
    """As ``load_policy``; ``sample`` is the one that is shipped."""
    return load_policy(SAMPLE if path == Path("sample") else path)


def load_policy(path: Path) -> Policy:
    """The policy in a TOML file.

    Raises:
        ConfigError: ``policy_missing``; ``policy_unusable`` with the one first reason.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError:
        raise ConfigError(
            "policy_missing", f"Cannot read the decision policy {path}.", f"无法读取决策策略文件 {path}。"
        ) from None
    return read_policy(text)


def read_policy(text: bytes) -> Policy:
    """The same from the file's bytes. Raises ``ConfigError`` (``policy_unusable``)."""
    if len(text) > _MOST_BYTES:
        raise _unusable("it is over 1 MiB", "超过 1 MiB")
    try:
        told = tomllib.loads(text.decode("utf-8"), parse_float=_decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        where = str(error).partition("(")[2].partition(")")[0] if isinstance(error, tomllib.TOMLDecodeError) else ""
        at, at_zh = (f" ({where})", f"（{where}）") if where else ("", "")
        raise _unusable(f"it is not TOML in UTF-8{at}", f"不是 UTF-8 编码的 TOML{at_zh}") from None
    try:
        return Policy.model_validate(told)
    except ValidationError as error:
        raise _unusable(*first_fault(error, "policy")) from None


def _band_faults(bands: Sequence[Band]) -> Iterator[str]:
    if len({b.name for b in bands}) < len(bands):
        yield "a name occurs twice / 等级名称重复"
    if any(riskier.below <= safer.below for safer, riskier in pairwise(bands)):
        yield "below must rise from band to band: they overlap / 各等级的 below 须递增，否则区间重叠"
    if bands[-1].below != 1:
        yield "below of the last must be 1: riskier applicants would have none / 最后一级的 below 须为 1，否则有缺口"
    for safer, riskier in pairwise(bands):
        if not (riskier.joint.is_no_milder_than(safer.joint) and riskier.bank_only.is_no_milder_than(safer.bank_only)):
            yield f"{riskier.name} is milder than {safer.name} / 等级 {riskier.name} 宽于 {safer.name}"
    for band in bands:
        if not band.bank_only.is_no_milder_than(band.joint):
            yield f"{band.name} is milder for bank_only than for joint / 等级 {band.name} 的 bank_only 宽于 joint"


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("no number") from None


def _plain(value: Any) -> Any:
    """As JSON, each number written in one way."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        written = f"{value:f}"
        return written.rstrip("0").rstrip(".") if "." in written else written
    return value.isoformat() if isinstance(value, date) else value


def _names(known: Iterable[Product]) -> str:
    return ", ".join(product.code for product in known)


def _unusable(english: str, chinese: str) -> ConfigError:
    return ConfigError(
        "policy_unusable",
        f"The decision policy cannot be used: {english}. Nothing is decided by it.",
        f"决策策略无法使用：{chinese}。不会据此作出任何决策。",
    )
