"""What a run or a score gets of a host's table: everything if it has no data node, else what the node's gate admits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from federation.errors import LocalProtocolError
from federation.policy import CountNoise, HostPolicy
from federation.vertical.scoring.host import as_it_is
from lab.config_party import Party
from lab.errors import GovernanceError
from models.table import Table

if TYPE_CHECKING:  # a gate with its store is half a CPU second: only where there is a node
    from lab.governance.catalogue import Cited
    from lab.governance.gate import Admitted, Asked, Gate
    from lab.governance.policy import Algorithm, Terms
    from lab.governance.privacy import Spent

#: As consents and projects name it.
PURPOSES: Final[dict[Algorithm, str]] = {
    "boosting": "loan_model",
    "scorecard": "loan_model",
    "averaging": "loan_model",
    "scoring": "loan_score",
    "shadow": "loan_model",  # it is told nobody and decides nothing: a model is being made
}


@dataclass(frozen=True, slots=True)
class Basis:
    """What a use rests on, for the audit log.

    Attributes:
        catalogue: version of the catalogue the columns cite.
        items: cited, as ``ITEM@VERSION``.
        sources: who holds them, as the catalogue says.
        terms: of the project, as ``policy.terms_text``.
        consents: subjects → numbers of the consents by which they are let through at this moment.
    """

    catalogue: str
    items: tuple[str, ...]
    sources: tuple[str, ...]
    terms: bytes
    consents: Callable[[Sequence[str]], Sequence[str]]

    @classmethod
    def of(cls, gate: Gate, asked: Asked, cited: Cited, terms: Terms) -> Self:
        from lab.governance.policy import terms_text

        def consents(subjects: Sequence[str]) -> Sequence[str]:
            return gate.consents(subjects, asked, cited)

        items = tuple(sorted({f"{item.item}@{cited.version}" for item in cited.items.values()}))
        sources = tuple(sorted({item.source for item in cited.items.values()}))
        return cls(cited.version, items, sources, terms_text(asked.project, terms), consents)


class Admission(NamedTuple):
    """Attributes:
    table, policy: what may be used, and on what terms.
    basis: what it rests on; None without a node. ``shadow_basis``: the same of scores of a model on trial.
    n_refused: rows that stayed behind for want of consent.
    fresh: brings rows of the table up to date at the moment of a score.
    still: raises ``LocalProtocolError`` (``policy``) once the project may ask no longer; for every message of a run.
    """

    table: Table
    policy: HostPolicy
    basis: Basis | None = None
    n_refused: int = 0
    fresh: Callable[[Table], Table] = as_it_is
    still: Callable[[], None] = lambda: None
    shadow_basis: Basis | None = None


def admitted(
    party: Party,
    table: Table,
    asker: str,
    algorithm: Algorithm,
    noted: Callable[[Spent], None] = lambda _: None,
) -> Admission:
    """The rows and columns that may be used, and the policy that holds for them.

    Args:
        table: all that the party's file holds.
        asker: the bank.
        noted: told what counts with noise spent, before they are shown.

    Raises:
        GovernanceError: as ``gate.Gate.admit``.
    """
    if party.node is None:
        return Admission(table, party.policy)
    from lab.governance.gate import Asked, Gate

    gate = Gate.at(party.node)
    asked = Asked(project=party.project, party=asker, purpose=PURPOSES[algorithm], algorithm=algorithm)
    if algorithm == "scoring":
        return _for_scoring(gate, table, party, asked)
    found = gate.admit(table, asked)
    still = _still(gate, asked)

    def permit(subjects: Sequence[str]) -> NDArray[np.bool_]:
        return gate.permitted(subjects, asked, found.cited)

    def spend(n_features: int) -> None:
        with _told_to_the_bank():
            noted(gate.spend(asked, found.terms, n_features))

    noise = CountNoise(epsilon=found.terms.epsilon, spend=spend) if found.terms.epsilon else None
    policy = replace(_stricter(party.policy, found), algorithms=(algorithm,), permit=permit, noise=noise)
    basis = Basis.of(gate, asked, found.cited, found.terms)
    return Admission(found.table, policy, basis, found.n_without_consent, still=still)


def may_go_on(party: Party, asker: str, algorithm: Algorithm) -> Callable[[], None]:
    """For one that is shown no row, only sums: asks at once, and whenever it is called, whether the project lets it.

    Raises:
        GovernanceError: as ``policy.PolicyBook.check``; later as ``LocalProtocolError``.
    """
    if party.node is None:
        return lambda: None
    from lab.governance.gate import Asked, Gate

    gate = Gate.at(party.node)
    asked = Asked(project=party.project, party=asker, purpose=PURPOSES[algorithm], algorithm=algorithm)
    gate.check(asked)
    return _still(gate, asked)


def _still(gate: Gate, asked: Asked) -> Callable[[], None]:
    """What asks, while a session lasts, whether the project lets it go on."""

    def still() -> None:
        with _told_to_the_bank():
            gate.check(asked)

    return still


def _for_scoring(gate: Gate, table: Table, party: Party, asked: Asked) -> Admission:
    """All rows, each of which is asked for anew at every call, and its records read anew: consents come and go, and
    records are repaired, while the service runs. A model on trial asks under the same project for a purpose of its
    own, which its terms and the consents must know."""
    from lab.governance.policy import PolicyBook

    cited = gate.cite(table)
    terms = PolicyBook(gate.engine).terms(asked.project)

    def fresh(rows: Table) -> Table:
        return gate.with_records(rows, today=True)

    def permit(now_asked: Asked, subjects: Sequence[str]) -> NDArray[np.bool_]:
        with _told_to_the_bank():
            gate.use(now_asked, len(subjects))
        return gate.permitted(subjects, now_asked, cited)

    on_trial = replace(asked, purpose=PURPOSES["shadow"], algorithm="shadow")

    def still_shadow() -> None:
        with _told_to_the_bank():
            gate.check(on_trial)

    policy = replace(
        party.policy,
        permit=partial(permit, asked),
        permit_shadow=None if party.shadow is False else partial(permit, on_trial),
        still_shadow=still_shadow,
    )
    return Admission(
        table,
        policy,
        Basis.of(gate, asked, cited, terms),
        fresh=fresh,
        shadow_basis=Basis.of(gate, on_trial, cited, terms),
    )


#: What a bank is told of a refusal beside that it was one; of all else it learns ``policy``.
_SAID: Final = frozenset({"budget_spent", "epsilon_spent"})


@contextmanager
def _told_to_the_bank() -> Iterator[None]:
    """A refusal of the gate leaves the node as a code and nothing else."""
    try:
        yield
    except GovernanceError as error:
        code = error.code if error.code in _SAID else "policy"
        raise LocalProtocolError(code, error.english, error.chinese) from None


def _stricter(policy: HostPolicy, found: Admitted) -> HostPolicy:
    """The stricter of the party's own floors and the project's."""
    return replace(
        policy,
        min_rows_per_bin=max(policy.min_rows_per_bin, found.terms.min_rows_per_bin),
        min_rows=max(policy.min_rows, found.terms.min_rows),
        share_levels=policy.share_levels and found.terms.share_levels,
    )
