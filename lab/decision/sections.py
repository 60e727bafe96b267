"""The sections of a decision policy, each checked on its own; what they say together is checked by ``policy``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lab.decision.loan import MOST_MONTHS, MOST_YUAN
from lab.decision.verdicts import Adverse, Verdict, severity
from lab.governance.record_states import Severity

NO_GUARANTEE: Final = "none"


def _exact(value: Any) -> Any:
    if isinstance(value, Decimal) or type(value) is int:
        return Decimal(value)
    raise ValueError("a decimal number is wanted / 应为十进制数")


def _printable(text: str) -> str:
    """Without anything that a page or a terminal would obey instead of showing."""
    if not text.isprintable():
        raise ValueError("a character is not printable / 含有不可显示的字符")
    return text


Exact = Annotated[Decimal, BeforeValidator(_exact)]
#: A share, or a rate per year: 0.0435 is 4.35 %.
Share = Annotated[Exact, Field(ge=0, le=1, decimal_places=6)]
Probability = Annotated[Exact, Field(gt=0, le=1, decimal_places=8)]
Multiple = Annotated[Exact, Field(ge=0, le=1000, decimal_places=4)]
Points = Annotated[Exact, Field(ge=-10_000, le=10_000, decimal_places=4)]
Yuan = Annotated[int, Field(ge=0, le=MOST_YUAN)]
Months = Annotated[int, Field(ge=0, le=MOST_MONTHS)]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Worded(Section):
    """Something with a name for people."""

    english: Text
    chinese: Text


class Stop(Worded):
    """A list that stops a loan from the day of listing to the day before removal; a removed listing never counts.

    Attributes:
        code: as listings name it.
        disputed: of a listing that is disputed; never stricter than ``verdict``.
    """

    code: Code
    verdict: Adverse
    disputed: Verdict = "refer"

    @model_validator(mode="after")
    def _fair(self) -> Self:
        if severity(self.disputed) > severity(self.verdict):
            raise ValueError("who disputes a listing would fare worse / 提出异议者反而更严")
        return self


class Checks(Section):
    """Attributes:
    fresh_days: how many days before the decision the lists may have been looked at.
    unchecked: if they were not looked at, or too long ago.
    """

    fresh_days: Annotated[int, Field(ge=0, le=366)]
    unchecked: Adverse = "refer"


class Dormant(Section):
    """An enterprise without sign of business for ``months`` or more; ``unknown``: if nobody says."""

    months: Annotated[int, Field(ge=1, le=120)]
    verdict: Adverse = "decline"
    unknown: Verdict = "refer"


class Terms(Section):
    """What a band gets in one mode. Of a band that is declined, nothing but the verdict.

    Attributes:
        share: most of the amount requested.
        cap: most yuan.
        margin: added to the rate.
    """

    verdict: Verdict
    share: Share = Decimal(0)
    cap: Yuan = 0
    margin: Share = Decimal(0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        told = (self.share, self.cap, self.margin)
        if any(told) if self.verdict == "decline" else not all(told[:2]):
            raise ValueError("share and cap go with approve and refer only / 仅通过或转人工须给出 share 与 cap")
        return self

    def is_no_milder_than(self, other: Terms) -> bool:
        """Whether nobody would rather have these."""
        if severity(self.verdict) < severity(other.verdict):
            return False
        if self.verdict == "decline":
            return True
        return self.share <= other.share and self.cap <= other.cap and self.margin >= other.margin


class Band(Section):
    """``below``: the default probability it ends before; that of the last is 1, which it includes."""

    name: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9+-]+$")]
    below: Probability
    joint: Terms
    bank_only: Terms


class Pricing(Section):
    """Rates per year, of the limit.

    Attributes:
        funding, operating, profit: what the bank's money and work cost, and what it wants to earn.
        loss_given_default: share of the exposure.
        horizon_months: over which the model's default probability is meant.
        floor: lowest rate of this product.
        ceiling: highest of rate and guarantee fee together.
        over_ceiling: if the rate that is needed lies above.
    """

    funding: Share
    operating: Share
    profit: Share
    loss_given_default: Share
    horizon_months: Annotated[int, Field(ge=1, le=60)] = 12
    floor: Share = Decimal(0)
    ceiling: Share
    over_ceiling: Adverse = "refer"

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.floor > self.ceiling:
            raise ValueError("floor lies above ceiling / 利率下限高于上限")
        return self


class Product(Worded):
    """A loan product: who may have it, how much of it, at what price.

    Attributes:
        min_amount, max_amount: yuan.
        unit: limits are whole multiples of it, rounded down.
        guarantees: allowed; "none" is one of them where it may be unsecured.
        turnover_share, tax_multiple: of the last twelve months' turnover and tax paid, the limit stays below; None: no
            such rule.
        portfolio: whether it stays below what is left under the cap of a park or village.
        outside: if the request does not fit the product.
        unknown: if something is asked for and the case does not say it.
        too_small: if the limit would be under ``min_amount``.
        bands: instead of the policy's.
    """

    code: Code
    min_amount: Annotated[int, Field(ge=1, le=MOST_YUAN)]
    max_amount: Annotated[int, Field(ge=1, le=MOST_YUAN)]
    unit: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    min_months: Annotated[int, Field(ge=1, le=MOST_MONTHS)]
    max_months: Annotated[int, Field(ge=1, le=MOST_MONTHS)]
    guarantees: Annotated[list[Code], Field(min_length=1, max_length=20)]
    min_points: Points | None = None
    min_months_trading: Months = 0
    excluded_sectors: Annotated[list[Name], Field(max_length=1000, default_factory=list)]
    turnover_share: Share | None = None
    tax_multiple: Multiple | None = None
    portfolio: bool = False
    outside: Adverse = "decline"
    unknown: Adverse = "refer"
    too_small: Adverse = "decline"
    price: Pricing
    bands: Annotated[list[Band], Field(min_length=1, max_length=50)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_amount > self.max_amount or self.min_months > self.max_months:
            raise ValueError("a minimum lies above its maximum / 下限高于上限")
        if len(set(self.guarantees)) < len(self.guarantees):
            raise ValueError("a guarantee occurs twice / 担保方式重复")
        return self


class Shares(Section):
    """Who bears which share of a loss; together 1."""

    bank: Share
    guarantor: Share = Decimal(0)
    reguarantor: Share = Decimal(0)
    government: Share = Decimal(0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.bank + self.guarantor + self.reguarantor + self.government != 1:
            raise ValueError("the shares do not add up to 1 / 分担比例之和不为 1")
        return self


class Guarantee(Worded):
    """``fee``: what the applicant pays for it, per year, of the limit; ``max_amount``: most yuan it covers."""

    code: Code
    fee: Share = Decimal(0)
    max_amount: Annotated[int, Field(ge=1, le=MOST_YUAN)] = MOST_YUAN
    shares: Shares


class Compression(Section):
    """``years``: what a usable record of this severity leaves of a granted limit in its first, second … year, and the
    last from then on."""

    severity: Severity
    years: Annotated[list[Share], Field(min_length=1, max_length=10)]

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.years != sorted(self.years, reverse=True):
            raise ValueError("years must not rise / 各年比例不得上升")
        return self


class Route(Worded):
    """Who decides what is referred: the first route that fits.

    Attributes:
        role: of the bank.
        days: calendar days until when.
        rules: of which one referred the case; none: any.
        min_amount: requested, yuan.
    """

    role: Code
    days: Annotated[int, Field(ge=0, le=90)]
    rules: Annotated[list[Code], Field(max_length=100, default_factory=list)]
    min_amount: Yuan = 0

    def hides(self, later: Route) -> bool:
        """Whether a later route can never be reached."""
        rules = not self.rules or bool(later.rules and set(later.rules) <= set(self.rules))
        return rules and self.min_amount <= later.min_amount


class Objection(Worded):
    """Where and how an applicant may object; ``days``: within which the bank answers."""

    days: Annotated[int, Field(ge=1, le=90)]
