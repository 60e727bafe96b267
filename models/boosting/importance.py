"""How much each party's features serve a joint model: total gain and number of cuts, no name but the guest's own.

A host can put names to its own part at home, if the guest chooses to tell it the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.boosting.trees import Owner
from models.bundle import Half, JointModel
from models.errors import ModelError
from models.reasons import Player


@dataclass(frozen=True, slots=True)
class Importance:
    """Attributes:
    gain: summed over cuts, as LightGBM's ``importance_type="gain"``.
    n_splits: number of cuts, as LightGBM's ``"split"``.
    """

    gain: float = 0.0
    n_splits: int = 0

    def __add__(self, other: Importance) -> Importance:
        return Importance(self.gain + other.gain, self.n_splits + other.n_splits)


def by_feature(model: JointModel) -> dict[Player, Importance]:
    """Every feature with a cut in the model, greatest gain first; a host's by number."""
    found: dict[Player, Importance] = {}
    for tree in model.trees:
        for node in tree:
            if node.owner:
                player = model.player_of(node)
                found[player] = found.get(player, Importance()) + Importance(node.gain, 1)
    return dict(sorted(found.items(), key=lambda item: (-item[1].gain, item[0])))


def by_party(model: JointModel) -> dict[Owner, Importance]:
    """Every party, guest first; a host without a cut has none."""
    found = {party: Importance() for party in (model.own.party, *model.host_digests)}
    for player, importance in by_feature(model).items():
        found[player.party] += importance
    return found


def for_host(model: JointModel, host: Owner) -> dict[int, Importance]:
    """What the guest may choose to tell a host: its features by number. It shows how much each serves the guest."""
    return {player.number: i for player, i in by_feature(model).items() if player.party == host}


def named(half: Half, told: Mapping[int, Importance]) -> dict[str, Importance]:
    """At the host: the same with its own names.

    Raises:
        ModelError: ``unknown_feature`` for a number this half never gave.
    """
    names = half.names_of_numbers()
    strange = [number for number in told if number not in names]
    if strange:
        raise ModelError(
            "unknown_feature",
            f"{len(strange)} of the feature numbers were not given by this half of the model.",
            f"有 {len(strange)} 个特征编号并非由本方模型部分给出。",
        )
    return {names[number]: importance for number, importance in told.items()}
