"""How much may be lent: the smallest of several bounds, each named."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from lab.decision.loan import Loan
from lab.decision.sections import Guarantee, Product, Terms

#: Bound → English and Chinese.
BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "requested": ("the share of the amount requested that this band gets", "该等级可获的申请金额比例"),
    "band": ("the most that this band gets", "该等级的最高额度"),
    "product": ("the product's highest amount", "产品最高额度"),
    "guarantee": ("the most that the guarantee covers", "担保的最高额度"),
    "turnover": ("a share of turnover", "营业收入的一定比例"),
    "tax_paid": ("a multiple of tax paid", "纳税额的一定倍数"),
    "headroom": ("what is left under the cap of the portfolio", "所属园区（村、组合）授信总额的余额"),
}


def limit(product: Product, terms: Terms, guarantee: Guarantee, loan: Loan) -> tuple[Decimal, str]:
    """Yuan, a whole multiple of the product's unit, and which of ``BOUNDS`` set it; of equal ones the first.

    What the product asks for must be known: ``unknown_facts`` is empty.
    """
    bounds = {
        "requested": terms.share * loan.amount,
        "band": Decimal(terms.cap),
        "product": Decimal(product.max_amount),
        "guarantee": Decimal(guarantee.max_amount),
    }
    if product.turnover_share is not None:
        bounds["turnover"] = product.turnover_share * _known(loan.turnover)
    if product.tax_multiple is not None:
        bounds["tax_paid"] = product.tax_multiple * _known(loan.tax_paid)
    if product.portfolio:
        bounds["headroom"] = Decimal(_known(loan.headroom))
    bound = min(bounds, key=bounds.__getitem__)
    return bounds[bound] // product.unit * product.unit, bound


def unknown_facts(product: Product, loan: Loan) -> tuple[str, ...]:
    """Which of ``BOUNDS`` the product asks for and the case does not say."""
    asked = {
        "turnover": product.turnover_share is not None and loan.turnover is None,
        "tax_paid": product.tax_multiple is not None and loan.tax_paid is None,
        "headroom": product.portfolio and loan.headroom is None,
    }
    return tuple(name for name, is_unknown in asked.items() if is_unknown)


def _known(amount: int | None) -> int:
    assert amount is not None
    return amount
