"""What a run or a score gets of a host's table: everything if it has no data node, else what the node's gate admits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation.errors import LocalProtocolError
from federation.policy import HostPolicy
from lab.config import Party
from lab.errors import GovernanceError
from lab.governance.gate import Admitted, Asked, Clock, Gate, now
from lab.governance.policy import Algorithm
from models.table import Table

#: As consents and projects name it.
PURPOSES: Final[dict[Algorithm, str]] = {
    "boosting": "loan_model",
    "scorecard": "loan_model",
    "scoring": "loan_score",
}


class Admission(NamedTuple):
    """Attributes:
    table, policy: what may be used, and on what terms.
    catalogue: version of the catalogue the columns cite; "" without a node.
    items: cited, as ``ITEM@VERSION``.
    n_refused: rows that stayed behind for want of consent.
    """

    table: Table
    policy: HostPolicy
    catalogue: str = ""
    items: tuple[str, ...] = ()
    n_refused: int = 0


def admitted(party: Party, table: Table, asker: str, algorithm: Algorithm, clock: Clock = now) -> Admission:
    """The rows and columns that may be used, and the policy that holds for them.

    Args:
        table: all that the party's file holds.
        asker: the bank.

    Raises:
        GovernanceError: as ``gate.Gate.admit``.
    """
    if party.node is None:
        return Admission(table, party.policy)
    gate = Gate.at(party.node, clock)
    asked = Asked(project=party.project, party=asker, purpose=PURPOSES[algorithm], algorithm=algorithm)
    if algorithm == "scoring":
        return _for_scoring(gate, table, party.policy, asked)
    found = gate.admit(table, asked)

    def permit(subjects: Sequence[str]) -> NDArray[np.bool_]:
        return gate.permitted(subjects, asked, found.cited)

    policy = replace(_stricter(party.policy, found), algorithms=(algorithm,), permit=permit)
    version = found.cited.version
    items = tuple(sorted({f"{item.item}@{version}" for item in found.cited.items.values()}))
    return Admission(found.table, policy, version, items, found.n_without_consent)


def _for_scoring(gate: Gate, table: Table, policy: HostPolicy, asked: Asked) -> Admission:
    """All rows, each of which is asked for anew at every call: consents come and go while the service runs."""
    cited = gate.cite(table)

    def permit(subjects: Sequence[str]) -> NDArray[np.bool_]:
        try:
            gate.use(asked, len(subjects))
        except GovernanceError as error:
            raise LocalProtocolError("policy", error.english, error.chinese) from None
        return gate.permitted(subjects, asked, cited)

    return Admission(gate.with_records(table, today=True), replace(policy, permit=permit))


def _stricter(policy: HostPolicy, found: Admitted) -> HostPolicy:
    """The stricter of the party's own floors and the project's."""
    return replace(
        policy,
        min_rows_per_bin=max(policy.min_rows_per_bin, found.terms.min_rows_per_bin),
        min_rows=max(policy.min_rows, found.terms.min_rows),
    )
