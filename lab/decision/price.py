"""The price of a loan from its expected loss, and who bears that loss.

Expected loss is PD times LGD, and its amount that times EAD (Basel Framework, CRE35.2 and CRE35.3); the exposure is
the whole limit, drawn. The rate is a simple yearly one: funding, operating cost, profit, margin of the band, and the
part of the expected loss per year that the bank bears. Interest lost with a loan that defaults is not in it: who wants
that earned back, too, divides the part above by 1 - PD, or asks for a higher margin of the riskier bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from lab.decision.sections import Guarantee, Pricing

#: Rates are rounded up to 0.01 % a year, expected losses up to a fen, shares of others than the bank down to a fen.
RATE_STEP: Final = Decimal("0.0001")
FEN: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Price:
    """Of one limit under one guarantee.

    Attributes:
        guarantee: its code.
        rate: what the bank needs, per year, not below the product's floor.
        fee: of the guarantee, per year.
        total: both; what the ceiling is held against.
        is_within: whether it is not above the ceiling.
        expected_loss: yuan, over the model's horizon, before anyone bears it.
        split: party → its part of the expected loss, yuan; together exactly that.
    """

    guarantee: str
    rate: Decimal
    fee: Decimal
    total: Decimal
    is_within: bool
    expected_loss: Decimal
    split: tuple[tuple[str, Decimal], ...]


def price(pricing: Pricing, margin: Decimal, guarantee: Guarantee, probability: Decimal, limit: Decimal) -> Price:
    """The price of ``limit`` yuan for a default probability over the model's horizon.

    Args:
        margin: of the applicant's band.
    """
    loss_rate = probability * pricing.loss_given_default
    yearly = loss_rate * guarantee.shares.bank * 12 / pricing.horizon_months
    needed = pricing.funding + pricing.operating + pricing.profit + margin + yearly
    rate = max(needed, pricing.floor).quantize(RATE_STEP, ROUND_CEILING)
    total = rate + guarantee.fee
    expected_loss = (loss_rate * limit).quantize(FEN, ROUND_CEILING)
    return Price(
        guarantee.code,
        rate,
        guarantee.fee,
        total,
        total <= pricing.ceiling,
        expected_loss,
        split(expected_loss, guarantee),
    )


def split(expected_loss: Decimal, guarantee: Guarantee) -> tuple[tuple[str, Decimal], ...]:
    """Who bears how much of it, in yuan and fen; what rounding leaves over stays with the bank."""
    shares = guarantee.shares
    others = [
        (party, (expected_loss * share).quantize(FEN, ROUND_FLOOR))
        for party, share in (
            ("guarantor", shares.guarantor),
            ("reguarantor", shares.reguarantor),
            ("government", shares.government),
        )
        if share
    ]
    return (("bank", expected_loss - sum((amount for _, amount in others), Decimal(0))), *others)


def percent(share: Decimal) -> str:
    """0.0435 → ``4.35%``."""
    return f"{(share * 100).quantize(Decimal('0.01')):f}%"
