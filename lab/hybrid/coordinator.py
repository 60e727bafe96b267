"""The coordinator's part in a run in both directions: who has which data nodes, and what each gets at the end."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from federation.horizontal.closing.coordinator import Closed, close_each
from federation.hybrid.coordinator import HybridLearning, Learnt
from federation.script import Script
from lab.horizontal.leading import Fitted, Leading, TreeClock, trees_said
from lab.hybrid.section import HybridSection
from lab.progress import Event
from models.bundle import JointModel


def hybrid_trees(leading: Leading) -> Fitted:
    """Trees over banks and the data nodes of their cities. Raises as ``HybridLearning``."""
    plan, hybrid = leading.job.plan, leading.job.plan.hybrid
    assert hybrid
    clock = TreeClock(leading)

    def watch(stage: str) -> None:
        leading.report(Event(stage=stage))
        clock.ends[:] = TreeClock(leading).ends  # the first tree begins where training does

    learning = HybridLearning(
        leading.job.model_id,
        leading.aggregation,
        hybrid.hosts_of_banks,
        plan.standard.features,
        {kind: hybrid.standards[kind].features for kind in hybrid.kinds},
        plan.parameters,
        plan.horizontal.most_rows,
        plan.rules,
        plan.horizontal.min_rows_per_bin,
        clock.tree_done,
        watch,
    )
    learnt = leading.run(learning.learn())
    details = {"parameters": asdict(plan.parameters), "cipher": hybrid.cipher, "key_bits": hybrid.key_bits}
    whole = replace(_named(learnt.whole, hybrid, len(plan.standard.names)), details=details)
    said = trees_said(whole, learnt.contributors, learnt.complete, clock)
    said |= {"cipher": hybrid.cipher, "key_bits": hybrid.key_bits}
    return Fitted(whole, learnt.contributors[-1], said, _ending(leading, learning, learnt, details))


def _ending(leading: Leading, learning: HybridLearning, learnt: Learnt, details: dict[str, Any]) -> Script[Closed]:
    models = {bank: replace(model, details=details).to_json() for bank, model in learnt.models.items()}
    closed = yield from close_each(leading.aggregation, "trees", models)
    yield from learning.part(learnt.models)
    return closed


def _named(whole: JointModel, hybrid: HybridSection, n_own: int) -> JointModel:
    """Features of data nodes by kind and name: two kinds may have columns of one name."""
    kinds = [kind for kind in hybrid.kinds for _ in hybrid.standards[kind].names]
    own = whole.own.bins[:n_own]
    hosted = (replace(b, name=f"{kind}.{b.name}") for kind, b in zip(kinds, whole.own.bins[n_own:], strict=True))
    return replace(whole, own=replace(whole.own, bins=(*own, *hosted)))
