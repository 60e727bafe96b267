"""Stored examples by which the bank knows that what it loads answers as it did when it was stored, bit for bit.

Examples are made up (``models.examples``): they may travel to a registry. Of the joint model they hold what the bank's
own half says and how margins become probabilities; hosts test their halves themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.scoring.guest import score
from lab.serving.answers import Answer, answer_of
from models.bundle import JointModel
from models.examples import check_examples, columns_from_json, differs, examples_of, unreadable
from models.joint import Joint, JointHalf
from models.table import Table
from models.validation.calibrators import Calibrator

FORMAT: Final = 1
#: Margins whose calibrated probabilities are stored.
_MARGINS: Final = tuple(np.linspace(-8.0, 8.0, 33).tolist())


def own_half(model: Joint) -> JointHalf:
    """The bank's part of a model."""
    return model.own if isinstance(model, JointModel) else model.half


def answers_alone(model: Joint, calibrator: Calibrator | None, rows: Table) -> list[Answer]:
    """Answers of a model that needs no host, in the order of ``rows``. Raises ``ModelError`` as its half does."""
    scored = run(score(model, rows), MemoryWire({}))
    points = [None] * len(rows) if scored.points is None else scored.points.tolist()
    return [answer_of(m, p, calibrator=calibrator) for m, p in zip(scored.margin.tolist(), points, strict=True)]


def selftest_of(
    joint: Joint, calibrator: Calibrator | None, bank_only: Joint | None, bank_only_calibrator: Calibrator | None
) -> dict[str, Any]:
    """What ``selftest.json`` holds."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "digest": joint.digest(),
        "joint": examples_of(own_half(joint)),
        "joint_probability": _curve(calibrator),
        "bank_only": None,
    }
    if bank_only:
        examples = examples_of(own_half(bank_only))
        rows = columns_from_json(examples["columns"], bank_only.inputs)
        answers = _plain(answers_alone(bank_only, bank_only_calibrator, rows))
        data["bank_only"] = {**examples, "model_digest": bank_only.digest(), "answers": answers}
    return data


def check_selftest(
    data: Mapping[str, Any],
    joint: Joint,
    calibrator: Calibrator | None,
    bank_only: Joint | None,
    bank_only_calibrator: Calibrator | None,
) -> None:
    """Whether all is as it was stored.

    Raises:
        ModelError: ``selftest_failed`` if an answer, a calibrated probability or a digest differs;
            ``examples_unreadable``.
    """
    try:
        expected = data["bank_only"]
        same = data["digest"] == joint.digest() and data["joint_probability"] == _curve(calibrator)
        same = same and (expected is None) == (bank_only is None)
        check_examples(own_half(joint), data["joint"])
        if expected and bank_only:
            check_examples(own_half(bank_only), expected)
            rows = columns_from_json(expected["columns"], bank_only.inputs)
            same = same and expected["model_digest"] == bank_only.digest()
            same = same and expected["answers"] == _plain(answers_alone(bank_only, bank_only_calibrator, rows))
    except (KeyError, TypeError) as error:
        raise unreadable() from error
    if not same:
        raise differs()


def _curve(calibrator: Calibrator | None) -> list[float]:
    """Calibrated probabilities, by which a calibrator is known."""
    return [answer_of(margin, calibrator=calibrator).default_probability for margin in _MARGINS]


def _plain(answers: list[Answer]) -> list[list[Any]]:
    return [[a.default_probability, a.points, a.band] for a in answers]
