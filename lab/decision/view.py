"""What the command line shows of decisions and policies."""

from __future__ import annotations

from rich.console import Console

from lab import views
from lab.decision.decision import Decision
from lab.decision.policy import Policy
from lab.decision.price import percent
from lab.decision.verdicts import VERDICTS_ZH


def show_decision(console: Console, made: Decision) -> None:
    """Every rule with what it says; who reviews; what the loan would cost under each guarantee."""
    sample = ", sample 示例" if made.is_sample else ""
    views.title(console, f"{made.verdict} {VERDICTS_ZH[made.verdict]}", f"{made.policy} {made.policy_version}{sample}")
    grid = views.table(("rule 规则", False), ("says 结论", False), ("in words 说明", False))
    made_by = {step.rule for step in made.made_by}
    for step in made.steps:
        mark = " ◀" if step.rule in made_by else ""
        grid.add_row(step.rule, f"{step.verdict}{mark}", f"{step.english}\n{step.chinese}")
    console.print(grid)
    if made.review:
        console.print(
            f"  review 审核  {made.review.english} {made.review.chinese}, until 截止 {made.review.until}",
            highlight=False,
        )
    if made.quote:
        grid = views.table(
            ("guarantee 担保", False),
            ("rate 利率", True),
            ("with fee 合计", True),
            ("loss 预期损失", True),
            ("borne by 分担", True),
        )
        for price in (made.quote.price, *made.quote.others):
            split = "\n".join(f"{party} {amount:,f}" for party, amount in price.split)
            over = "" if price.is_within else " !"
            grid.add_row(
                price.guarantee,
                percent(price.rate),
                percent(price.total) + over,
                f"{price.expected_loss:,f}",
                split,
            )
        console.print(grid)
        if made.verdict == "refer":
            console.print("  no offer: where the review begins 仅供审核参考，非要约", style="dim", highlight=False)


def show_products(console: Console, policy: Policy) -> None:
    """The product registry."""
    views.title(console, f"{policy.name} {policy.version}", f"{len(policy.products)} products 个产品")
    grid = views.table(
        ("product 产品", False),
        ("amount 金额", True),
        ("months 期限", True),
        ("rate 利率", True),
        ("guarantees 担保", False),
    )
    for product in policy.products:
        grid.add_row(
            f"{product.code}\n{product.chinese}\n{product.english}",
            f"{product.min_amount:,} – {product.max_amount:,}",
            f"{product.min_months} – {product.max_months}",
            f"{percent(product.price.floor)} – {percent(product.price.ceiling)}",
            "\n".join(product.guarantees),
        )
    console.print(grid)
