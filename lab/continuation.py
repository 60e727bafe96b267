"""A run that adds trees to the model of an earlier run: whether the two fit, and which rows may test the new one.

``[run] continues`` names the earlier run's directory. Every party takes its own half from its own folder there; what
it then tells the others stands in docs/protocols/boosting.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab.config import Config
from lab.errors import ConfigError
from lab.jobs import GuestJob, node_directory
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel, load
from models.errors import DataError

Rows = NDArray[np.intp]


def check_continuation(config: Config) -> None:
    """Whether trees can be added as ``config`` says; nothing to check if it continues nothing.

    Raises:
        ConfigError: ``continues_missing``, ``continues_itself``, ``continues_scorecard``, ``continues_parties``,
            ``continues_objective``, ``continues_bins``, ``continues_trees``.
        ModelError: the bank's half of the earlier run cannot be read.
    """
    earlier = config.run.continues
    if earlier is None:
        return
    if earlier == config.run.directory:
        raise _misfit("itself", "run.directory would replace it: give another directory", "会覆盖该运行，请更换目录")
    if not (earlier / "result.json").exists():
        raise _misfit("missing", f"there is no finished run in {earlier}", f"{earlier} 中没有已完成的运行")
    result = load(earlier / "result.json")
    if config.scorecard or result.get("kind") == "scorecard":
        raise _misfit("scorecard", "a scorecard has no trees to add to", "评分卡没有可续训的树")
    names = set(config.host_names)
    if (result["guest"], set(result["hosts"])) != (config.guest.party, names):
        had = ", ".join([result["guest"], *result["hosts"]])
        raise _misfit("parties", f"its parties were {had}; they must be the same", f"其参与方为 {had}，须保持一致")
    # Behind a hub each host looks for its half itself.
    absent = [p.party for p in config.hosts if not (node_directory(earlier, p.party) / "half.json").exists()]
    if absent:
        told = ", ".join(sorted(absent))
        raise _misfit("missing", f"{told} no longer has its half of it", f"{told} 已没有该模型的相应部分")
    _check_parameters(config.parameters, result)


def _check_parameters(new: BoostingParameters, result: dict[str, Any]) -> None:
    old = BoostingParameters(**result["parameters"])
    if (new.objective, new.loss.variance_power) != (old.objective, old.loss.variance_power):
        raise _misfit(
            "objective",
            f"its objective was {old.objective} (tweedie_variance_power {old.tweedie_variance_power:g})",
            f"其目标为 {old.objective}（tweedie_variance_power 为 {old.tweedie_variance_power:g}）",
        )
    if new.max_bin != old.max_bin:
        raise _misfit(
            "bins",
            f"its bins are kept, and its max_bin was {old.max_bin}",
            f"续训沿用原分箱，其 max_bin 为 {old.max_bin}",
        )
    if new.n_estimators <= result["trees"]:
        raise _misfit(
            "trees",
            f"it has {result['trees']} trees and n_estimators counts all: give more than {result['trees']}",
            f"其已有 {result['trees']} 棵树，n_estimators 为总数，须大于 {result['trees']}",
        )


def earlier_model(job: GuestJob) -> JointModel | None:
    """The bank's half of the model that the job adds trees to. Raises ``ModelError`` if it cannot be read."""
    return JointModel.from_json(load(job.earlier / "model.json")) if job.earlier else None


def earlier_parts(job: GuestJob) -> dict[str, str]:
    """Applicant → ``"fit"``, ``"valid"`` or ``"holdout"`` in the earlier run; empty if the job adds to none."""
    if job.earlier is None:
        return {}
    scores = pd.read_csv(job.earlier / "scores.csv", dtype=str, usecols=["id", "part"])
    return dict(zip(scores["id"], scores["part"], strict=True))


def unmixed(parts: Sequence[Rows], ids: Sequence[str], earlier: Mapping[str, str]) -> tuple[Rows, Rows, Rows]:
    """Rows to fit, to watch and to test, those that the earlier run saw moved to the first.

    Its trees were fitted on some and stopped by others, so neither can test the new model, nor the first say when to
    stop. With the same applicants, split and seed nothing moves, since each part is what it was.

    Args:
        parts: rows to fit, to watch and to test, as they were drawn.
        earlier: as ``earlier_parts``.

    Raises:
        DataError: ``nothing_unseen`` if all rows to watch or to test would move.
    """
    fit, valid, held_out = parts
    known = np.array([earlier.get(i, "") for i in ids], dtype=np.str_)
    watched, tested = known[valid] == "fit", np.isin(known[held_out], ("fit", "valid"))
    if (len(valid) and watched.all()) or tested.all():
        raise DataError(
            "nothing_unseen",
            "The earlier run has seen all rows that were to watch or to test. Add applicants, or use its split and "
            "random_state.",
            "拟用于监测或检验的行均已被原运行使用。请增加新的申请人，或沿用原运行的划分与随机种子。",
        )
    return np.concatenate([fit, valid[watched], held_out[tested]]), valid[~watched], held_out[~tested]


def _misfit(code: str, english: str, chinese: str) -> ConfigError:
    return ConfigError(
        f"continues_{code}",
        f"[run] continues: trees cannot be added to that run: {english}.",
        f"[run] continues：无法在该运行上续训：{chinese}。",
    )
