"""The rules before limit and price, in the order in which they are asked: is this a case for a loan at all?

Each looks at one thing and says what it found. All are asked, so that an applicant learns every reason at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from lab.decision.case import Case
from lab.decision.loan import Listing
from lab.decision.policy import Policy
from lab.decision.sections import Band, Product, Stop
from lab.decision.verdicts import RULES, VERDICTS_ZH, Step, Verdict, severity

_FINE: Final = "approve"


def asked(policy: Policy, product: Product, case: Case) -> Iterator[Step]:
    """What each rule says, from ``policy_in_force`` to ``band``."""
    yield _in_force(policy, case)
    yield from _lists(policy, case)
    yield _dormant(policy, case)
    yield from _request(policy, product, case)
    yield from _applicant(product, case)
    yield from _score(policy, product, case)


def band_of(policy: Policy, product: Product, probability: Decimal) -> Band:
    """The band that a default probability in [0, 1] lies in: there is always one."""
    bands = policy.bands_of(product)
    return next((band for band in bands if probability < band.below), bands[-1])


def _in_force(policy: Policy, case: Case) -> Step:
    first, last = policy.in_force_from, policy.in_force_until
    if first <= case.as_of and (last is None or case.as_of <= last):
        return Step("policy_in_force", _FINE, "The decision policy is in force.", "决策策略处于有效期内。")
    return Step(
        "policy_in_force",
        "refer",
        "The decision policy is not in force on this day, so a person decides.",
        "决策策略当日不在有效期内，须由人工决定。",
    )


def _lists(policy: Policy, case: Case) -> Iterator[Step]:
    loan, days = case.loan, policy.checks.fresh_days
    looked = loan.listings_checked
    if loan.listings is None or looked is None:
        said = "It is not known whether the applicant is on a list.", "未提供名单核查结果。"
        yield Step("lists_checked", policy.checks.unchecked, *said)
    elif (case.as_of - looked).days > days:
        said = (
            f"The lists were looked at on {looked}, more than {days} days before.",
            f"名单核查日期为 {looked}，距今超过 {days} 天。",
        )
        yield Step("lists_checked", policy.checks.unchecked, *said)
    else:
        yield Step("lists_checked", _FINE, f"The lists were looked at on {looked}.", f"名单已于 {looked} 核查。")

    found = [listing for listing in loan.listings or () if listing.counts(case.as_of)]
    for stop in policy.stops:
        yield _stop(stop, [listing for listing in found if listing.code == stop.code])
    if any(listing.is_contradictory for listing in loan.listings or ()):
        said = "The dates of a listing contradict each other, so a person decides.", "名单日期自相矛盾，须由人工决定。"
        yield Step("list_unknown", "refer", *said)
    elif {listing.code for listing in found} - {stop.code for stop in policy.stops}:
        yield Step(
            "list_unknown",
            "refer",
            "The applicant is on a list that the policy does not name, so a person decides.",
            "申请人在策略未列明的名单上，须由人工决定。",
        )


def _stop(stop: Stop, found: list[Listing]) -> Step:
    """A disputed listing counts as the policy says; one that nobody disputes counts more, if both are there."""
    said: list[tuple[Verdict, Listing]] = [(stop.disputed if f.disputed else stop.verdict, f) for f in found]
    if not said:
        return Step(stop.code, _FINE, f"Not on the list: {stop.english}.", f"不在名单上：{stop.chinese}。")
    verdict, listing = max(said, key=lambda s: severity(s[0]))
    dispute, dispute_zh = (", and disputes it", "，并已提出异议") if listing.disputed else ("", "")
    return Step(
        stop.code,
        verdict,
        f"On the list since {listing.listed}: {stop.english}{dispute}.",
        f"自 {listing.listed} 起被列入：{stop.chinese}{dispute_zh}。",
    )


def _dormant(policy: Policy, case: Case) -> Step:
    months, rule = case.loan.months_inactive, policy.dormant
    if months is None:
        said = "It is not known when the enterprise last did business.", "未提供企业最近的经营迹象。"
        return Step("dormant", rule.unknown, *said)
    if months >= rule.months:
        return Step(
            "dormant",
            rule.verdict,
            f"No sign of business for {rule.months} months or more.",
            f"已有 {rule.months} 个月以上无经营迹象。",
        )
    return Step("dormant", _FINE, "The enterprise does business.", "企业处于正常经营状态。")


def _request(policy: Policy, product: Product, case: Case) -> Iterator[Step]:
    loan = case.loan
    yield _within(
        "loan_amount",
        loan.amount >= product.min_amount,
        product,
        f"The product begins at {product.min_amount:,} yuan.",
        f"该产品最低金额为 {product.min_amount:,} 元。",
    )
    yield _within(
        "loan_term",
        product.min_months <= loan.term_months <= product.max_months,
        product,
        f"The product runs for {product.min_months} to {product.max_months} months.",
        f"该产品期限为 {product.min_months} 至 {product.max_months} 个月。",
    )
    allowed = [g for g in map(policy.guarantee, product.guarantees) if g]
    yield _within(
        "guarantee",
        loan.guarantee in product.guarantees,
        product,
        f"The product is lent against: {'; '.join(g.english for g in allowed)}.",
        f"该产品接受的担保方式：{'、'.join(g.chinese for g in allowed)}。",
    )


def _applicant(product: Product, case: Case) -> Iterator[Step]:
    trading, least = case.loan.months_trading, product.min_months_trading
    if trading is None and least:
        said = "It is not known how long the enterprise has been in business.", "未提供企业经营时间。"
        yield Step("months_trading", product.unknown, *said)
    else:
        yield _within(
            "months_trading",
            (trading or 0) >= least,
            product,
            f"The product asks for {least} months in business.",
            f"该产品要求经营满 {least} 个月。",
        )
    if case.loan.sector is None and product.excluded_sectors:
        yield Step("sector", product.unknown, "The sector is not known.", "未提供企业所属行业。")
    else:
        said = "The product excludes some sectors.", "该产品不适用于部分行业。"
        yield _within("sector", case.loan.sector not in product.excluded_sectors, product, *said)


def _within(rule: str, fits: bool, product: Product, english: str, chinese: str) -> Step:
    name, name_zh = RULES[rule]
    if fits:
        return Step(rule, _FINE, f"{name}: fits the product.", f"{name_zh}：符合产品要求。")
    return Step(rule, product.outside, f"{name}: does not fit. {english}", f"{name_zh}：不符合要求。{chinese}")


def _score(policy: Policy, product: Product, case: Case) -> Iterator[Step]:
    if case.default_probability is None or case.points is None or case.mode == "unscored":
        yield Step("scored", "refer", "No model could score, so a person decides.", "模型未能评分，须由人工决定。")
        return
    if case.mode == "joint":
        yield Step("scored", _FINE, "Scored with the data of all parties.", "已使用各方数据评分。")
    else:
        said = (
            "Scored with the bank's own data only, under stricter rules.",
            "仅使用银行自身数据评分，适用更严规则。",
        )
        yield Step("scored", _FINE, *said)
    if product.min_points is not None:
        yield _within(
            "least_points",
            case.points >= product.min_points,
            product,
            f"The product asks for {product.min_points:f} points.",
            f"该产品要求分数不低于 {product.min_points:f}。",
        )
    band = band_of(policy, product, case.default_probability)
    if band.name != case.band:
        yield Step(
            "scale",
            "refer",
            "The model and the policy put the applicant into different bands, so a person decides.",
            "模型与策略给出的等级不一致，须由人工决定。",
        )
    else:
        yield Step("scale", _FINE, "The model and the policy agree on the band.", "模型与策略给出的等级一致。")
    verdict = (band.joint if case.mode == "joint" else band.bank_only).verdict
    verb = {"approve": "is approved", "refer": "is decided by a person", "decline": "is declined"}[verdict]
    yield Step("band", verdict, f"Band {band.name} {verb}.", f"等级 {band.name}：{VERDICTS_ZH[verdict]}。")
