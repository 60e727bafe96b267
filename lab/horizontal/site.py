"""A site's part in a run: its own rows through its own gate, the responder over them, what it keeps of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.suite import secret_cipher
from federation.disclosure import Transcript
from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.signing import Signing
from federation.horizontal.aggregation.threshold.site import ThresholdSite
from federation.horizontal.checkpoint import SiteCheckpoint
from federation.horizontal.closing.site import margin_of
from federation.horizontal.site import HorizontalSite
from federation.hybrid.bank import HybridBank
from federation.hybrid.features import Hosts
from federation.messages import Message
from federation.script import Wire
from lab.checkpoints import Checkpoints
from lab.data.sources import Division, data_digest, read_division, read_labelled, source_reference
from lab.evaluation import arrange, gain, quality
from lab.forecast import peak_rss_mb
from lab.governance.admission import PURPOSES, admitted
from lab.governance.session_record import OnRecord, SessionRecord, answered
from lab.horizontal.jobs import SiteJob, SiteTerms
from lab.horizontal.own_use import use
from models.baselines import Baseline, fit_baseline
from models.boosting.parameters import BoostingParameters
from models.bundle import save
from models.errors import DataError, LianmoError
from models.losses import Floats
from models.table import Table

#: Trees of a site's rows alone, beside which it judges the common model.
ALONE: Final = BoostingParameters(n_estimators=60, max_depth=4)


def _none() -> NDArray[np.intp]:
    return np.empty(0, dtype=np.intp)


@dataclass(slots=True)
class OwnRows:
    """What a site brings, and how it is divided.

    Attributes:
        when, division: of every row, where ``terms.split`` names columns for that.
        fit, choose, held_out: rows of ``table``, once divided: to fit the model, for the site to choose by, to test it.
    """

    table: Table
    label: Floats
    terms: SiteTerms
    when: Floats | None
    division: Division
    fit: NDArray[np.intp] = field(default_factory=_none)
    choose: NDArray[np.intp] = field(default_factory=_none)
    held_out: NDArray[np.intp] = field(default_factory=_none)

    def divide(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Those of ``rows`` to fit, and those held out. Raises ``DataError`` as ``arrange``."""
        split, seed, division = self.terms.split, self.terms.seed, self.division
        a = arrange(rows, self.table.ids, self.label, split, seed, self.when, division=division, of_many=True)
        n_known = a.n_fit + a.n_valid
        self.fit, self.choose, self.held_out = a.rows[: a.n_fit], a.rows[a.n_fit : n_known], a.rows[n_known:]
        return self.fit, self.held_out

    def part(self, rows: NDArray[np.intp]) -> tuple[Table, Floats]:
        return self.table.take(rows), self.label[rows]


@dataclass(slots=True)
class SitePart(OnRecord):
    """A site's part in one session: its responder, whose refusals go on record before they are told. As a context it
    records an error that ends the session.

    Attributes:
        still: asked before every answer: may the project go on?
        with_hosts: what passed between this site and its data nodes.
    """

    job: SiteJob
    rows: OwnRows
    site: HorizontalSite | HybridBank
    record: SessionRecord
    still: Callable[[], None]
    with_hosts: Transcript

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        return self.site.allowed

    def answer(self, request: Message) -> Message:
        return answered(request, self.site.answer, self.still, self.record)


def open_site(job: SiteJob, signing: Signing, to_hosts: Wire | None = None) -> SitePart:
    """The responder over what of this party's file may be used, its audit log open; if the run died, where it stood.

    Args:
        to_hosts: the way to this site's data nodes, if it has such.

    Raises:
        DataError: of its file; ``one_class`` is none: other sites have the other.
        GovernanceError: of its own node.
        LocalProtocolError: ``too_few_rows``, ``no_consent``; ``rows_changed`` since the run died.
    """
    terms, party = job.terms, job.party
    parties = (terms.coordinator, *terms.sites)
    record = SessionRecord.of(party.node, party.party, job.model_id, parties, terms.coordinator, countersigned=False)
    purpose = PURPOSES[terms.algorithm]
    try:
        table, label, when, division = _read(job)
        found = admitted(party, table, terms.coordinator, terms.algorithm)
        kept = _places(found.table.ids, table.ids)
        found.policy.check_rows(len(found.table))
        found.policy.check_subjects(found.table.ids)
        label, when = label[kept], None if when is None else when[kept]
        rows = OwnRows(found.table, label, terms, when, _taken(division, kept))
        transcript = Transcript(party.party)
        site = _responder(job, rows, _contributor(job, signing), to_hosts, transcript)
    except LianmoError as error:
        record.refused(error, purpose=purpose)
        raise
    record.opened(found.basis, model=job.model_id, purpose=purpose)
    record.admitted(
        found.table.ids,
        found.basis,
        data=data_digest(party),
        source=source_reference(party),
        n_refused=found.n_refused,
    )
    return SitePart(job, rows, site, record, found.still, transcript)


def _read(job: SiteJob) -> tuple[Table, Floats, Floats | None, Division]:
    standard, split = job.terms.standard, job.terms.split
    party = job.party.model_copy(update={"columns": standard.names})
    table, label, when, _ = read_labelled(party, split.time_column, of_many=True)
    return table, label, when, read_division(party, split)


def _responder(
    job: SiteJob, rows: OwnRows, contributor: Contributor, to_hosts: Wire | None, transcript: Transcript
) -> HorizontalSite | HybridBank:
    hybrid = job.terms.hybrid
    if hybrid is None:
        rows.divide(np.arange(len(rows.table), dtype=np.intp))
        checkpoints = Checkpoints.of(job)
        site = HorizontalSite(
            *rows.part(rows.fit),
            contributor,
            job.terms.seed,
            rows.part(rows.held_out),
            lambda checkpoint: checkpoints.keep(checkpoint.dump()),
        )
        for kept in checkpoints.read(SiteCheckpoint.load)[:1]:
            site.take_up(kept)
        return site
    assert to_hosts
    rules = job.party.policy.cipher

    def new_cipher(expected: int) -> SecretCipher:
        return secret_cipher(hybrid.cipher, hybrid.key_bits, rules, expected)

    hosts = Hosts(job.hosts, to_hosts, transcript)
    return HybridBank(job.party.party, rows.table, rows.label, hosts, contributor, new_cipher, rows.divide)


def _contributor(job: SiteJob, signing: Signing) -> Contributor:
    kind = ThresholdSite if job.terms.horizontal.aggregation == "shared_key" else MaskingSite
    return kind(job.party.party, job.model_id, signing, SiteRules(job.terms.horizontal.min_sites))


def _places(wanted: tuple[str, ...], among: tuple[str, ...]) -> NDArray[np.intp]:
    place = {applicant: k for k, applicant in enumerate(among)}
    return np.array([place[applicant] for applicant in wanted], dtype=np.intp)


def _taken(division: Division, kept: NDArray[np.intp]) -> Division:
    held_out, group = division.held_out, division.group
    return Division(None if held_out is None else held_out[kept], None if group is None else group[kept])


def keep_site(part: SitePart) -> dict[str, Any]:
    """Store the common model, the site's own scores, what they are worth and how the site would use it, all in its own
    folder; returns it."""
    job, rows, closing = part.job, part.rows, part.site.closing
    model = closing.model if closing else None
    outcome: dict[str, Any] = {
        "data_digest": data_digest(job.party),
        "n_rows": {"fit": len(rows.fit), "choose": len(rows.choose), "holdout": len(rows.held_out)},
        "peak_rss_mb": peak_rss_mb(),
    }
    if job.terms.hybrid:
        outcome |= {"bytes": part.with_hosts.traffic(), "disclosures": part.with_hosts.disclosures()}
    if closing and model:
        assert closing.margin is not None
        alone = _fitted_alone(rows)
        save(job.directory / "model.json", model.to_json())
        outcome |= {"digest": model.digest(), **_tested(part, closing.margin, alone)}
        if len(rows.choose) and not job.terms.hybrid:  # a bank with data nodes does not score by itself
            known, y = rows.part(rows.choose)
            own = alone.margin(known) if alone else None
            outcome |= use(job.directory, y, own, margin_of(model, known), job.terms.seed)
    part.record.end({"half": model.digest(), "model_digest": model.digest()} if model else None)
    outcome["audit"] = part.record.said
    save(job.directory / "outcome.json", outcome)
    return outcome


def _tested(part: SitePart, joint: Floats, own: Baseline | None) -> dict[str, Any]:
    """How well the common model does on the site's held-out rows, beside trees of its own rows; empty if those have
    one class. ``joint``: margins of the common model."""
    seed, rows = part.job.terms.seed, part.rows
    held_out, y = rows.part(rows.held_out)
    alone = own.margin(held_out) if own else None
    scores = pd.DataFrame({"id": held_out.ids, "label": y.astype(int), "joint": joint})
    (scores if alone is None else scores.assign(alone=alone)).to_csv(part.job.directory / "scores.csv", index=False)
    try:
        found = {"joint": quality(y, joint, seed)}
        if alone is not None:
            found["alone"] = quality(y, alone, seed)
    except DataError:  # one class only
        return {}
    told: dict[str, Any] = {
        "auc": {name: q.auc.as_dict() for name, q in found.items()},
        "ks": {name: q.ks.as_dict() for name, q in found.items()},
    }
    if alone is not None:
        better = gain(y, joint, alone, seed)
        told["gain"] = {"auc": better.auc.as_dict(), "ks": better.ks.as_dict()}
    return told


def _fitted_alone(rows: OwnRows) -> Baseline | None:
    """Trees of the site's rows alone; None if these have one class."""
    table, label = rows.part(rows.fit)
    return fit_baseline(table, label, ALONE) if len(np.unique(label)) > 1 else None
