"""What a data node allows, whoever asks: checked at the node, before any ciphertext is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.suite import CipherRules
from federation.errors import LocalProtocolError
from models.noise import Draw, draw
from models.reasons import Words

#: Identifiers → which of them may be used now, in order.
Permit = Callable[[Sequence[str]], NDArray[np.bool_]]


def everybody(subjects: Sequence[str]) -> NDArray[np.bool_]:
    """Whoever is in the table."""
    return np.ones(len(subjects), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountNoise:
    """Noise on what a host tells of goods and bads per bin (``models.noise``).

    Attributes:
        epsilon: of each feature.
        spend: number of features that are about to be shown → None, once it is booked. Raises ``LocalProtocolError``
            (``epsilon_spent``) if that is more than may still be spent.
        draw: where noise comes from; tests have their own.
    """

    epsilon: float
    spend: Callable[[int], None]
    draw: Draw = draw


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Attributes:
    min_rows_per_bin: fewest rows behind any sum or difference of sums shown (``models.boosting.cells``), and of each
        bin.
    min_rows: fewest applicants of a run.
    max_blinded_ids: most identifiers evaluated in one training session or one scoring message, against guessing.
    cipher: which keys are accepted.
    monotone_constraints: own feature → 1: predictions must rise with it, -1: fall. The guest learns of each cut shown
        which way it must lie, and no name.
    share_stability: whether the guest is told how far this party's features of the model have moved, unnamed.
    share_levels: whether the guest is told which unnamed cuts are levels of one category, so that trees may unite them.
        Without it levels are cut one by one.
    reasons: own feature → words anyone may read. None: no part of a score is shown by feature, and nothing is named;
        features without words go by number.
    round_parts: points to whose nearest multiple this party's part of a scorecard's score is rounded before it is told,
        and its margins alike; 0: parts are told as they are. Trees have no parts.
    algorithms: which models this party helps to train: ``boosting``, ``scorecard``.
    noise: on counts of rows and bads per bin, in scorecards; None: exact. With it nothing is told of how features
        moved. Trees have none.
    permit: asked anew when rows are chosen, when training begins, and for every score; None: whoever is in the table.
    permit_shadow: asked for every score of a model on trial, of which nobody is told; None: there are none here.
    still_shadow: raises ``LocalProtocolError`` (``policy``) while such models may not ask; nothing is counted.
    """

    min_rows_per_bin: int = 10
    min_rows: int = 100
    max_blinded_ids: int = 2_000_000
    cipher: CipherRules = field(default_factory=CipherRules)
    monotone_constraints: Mapping[str, int] = field(default_factory=dict)
    share_stability: bool = True
    share_levels: bool = True
    reasons: Mapping[str, Words] | None = None
    round_parts: float = 0.0
    algorithms: tuple[str, ...] = ("boosting", "scorecard")
    noise: CountNoise | None = None
    permit: Permit | None = None
    permit_shadow: Permit | None = None
    still_shadow: Callable[[], None] = lambda: None

    def permitted(self, subjects: Sequence[str]) -> NDArray[np.bool_]:
        """Which of them may be used at this moment."""
        return everybody(subjects) if self.permit is None else self.permit(subjects)

    def permitted_in_shadow(self, subjects: Sequence[str]) -> NDArray[np.bool_]:
        """The same for a model on trial. Raises ``LocalProtocolError`` (``policy``) where such may not ask."""
        if self.permit_shadow is None:
            raise _no_shadow()
        return self.permit_shadow(subjects)

    def check_shadow(self) -> None:
        """Raises ``LocalProtocolError`` (``policy``) unless models on trial may ask at this moment, about whomever."""
        if self.permit_shadow is None:
            raise _no_shadow()
        self.still_shadow()

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Raises ``LocalProtocolError`` (``no_consent``) unless all of them may be used at this moment."""
        n_withdrawn = int((~self.permitted(subjects)).sum())
        if n_withdrawn:
            raise LocalProtocolError(
                "no_consent",
                f"{n_withdrawn} of the {len(subjects)} subjects no longer consent to this use. Start the run again.",
                f"{len(subjects)} 个主体中有 {n_withdrawn} 个已不再授权该用途，请重新发起运行。",
            )

    def check_algorithm(self, name: str) -> None:
        """Raises ``LocalProtocolError`` (``policy``) for a model that this party does not help to train."""
        if name not in self.algorithms:
            raise LocalProtocolError(
                "policy", f"This party does not help to train: {name}.", f"本方不参与此类模型的训练：{name}。"
            )

    def check_rows(self, n_rows: int) -> None:
        """Raises ``LocalProtocolError`` (``too_few_rows``) for fewer applicants than ``min_rows``, or none."""
        if n_rows < max(1, self.min_rows):
            raise LocalProtocolError(
                "too_few_rows",
                f"The run would use {n_rows} rows; this party's minimum is {self.min_rows}.",
                f"本次运行仅使用 {n_rows} 行，低于本方下限 {self.min_rows}。",
            )


def _no_shadow() -> LocalProtocolError:
    return LocalProtocolError(
        "policy",
        "This party answers no questions of models on trial whose scores nobody is told.",
        "本方不应答影子模型（评分不对外告知）的查询。",
    )
