"""A joint model of either kind, trees or a scorecard, as stored: the guest's part, and each host's half."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.bundle import Half, JointModel
from models.scorecard.card import JointScorecard, ScorecardHalf

Joint = JointModel | JointScorecard
JointHalf = Half | ScorecardHalf


def joint_from_json(data: Mapping[str, Any]) -> Joint:
    """What the guest stored. Raises ``ModelError`` as the ``from_json`` of its kind."""
    return JointScorecard.from_json(data) if "half" in data else JointModel.from_json(data)


def half_from_json(data: Mapping[str, Any]) -> JointHalf:
    """What a host stored. Raises ``ModelError`` as the ``from_json`` of its kind."""
    return ScorecardHalf.from_json(data) if "coefficients" in data else Half.from_json(data)
