"""From one score back to what it came of: score → model → run → features → sources → consents → keys → people.

Read from audit logs: one's own, and those other parties handed over. Where the trail enters a party whose log is not
at hand it says so, with the head of that party's log that proves what was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from federation.errors import PartyId
from lab.errors import ConfigError
from lab.governance.audit_entry import KEYED, Entry, parse, says
from lab.governance.audit_file import lines_of

#: What a branch answers, in English and Chinese.
QUESTIONS: Final[dict[str, tuple[str, str]]] = {
    "score": ("score", "评分"),
    "model": ("model", "模型"),
    "run": ("run", "训练运行"),
    "party": ("party", "参与方"),
    "features": ("features", "特征"),
    "sources": ("sources", "数据来源"),
    "consents": ("consents", "授权"),
    "heads": ("proof of the run's end", "运行结束的证明"),
    "keys": ("keys", "密钥"),
    "people": ("people", "经办人"),
    "later": ("what happened since", "此后变化"),
}
_MANY: Final = ("score_answered", "refused", "record_changed")  # read only where they name what is wanted
_TOLD: Final = ("score_answered", "refused")  # nobody scored: the bank told its caller so, under a number all the same
_STARTS: Final = (("score", _TOLD), ("model", ()), ("session", ()))
_OF_A_SCORE: Final = (
    *("model", "version", "model_digest", "purpose", "applicant", "parties", "code", "policy", "sources", "items"),
    *("decision", "decided_by", "decision_policy", "policy_version"),
)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The trail goes on in a log that is not at hand.

    Attributes:
        party: whose log.
        session: what to ask it for.
        number, digest: of the head that party signed when the session ended; 0 and "" if nobody here keeps one.
        keeper, entry: whose log keeps that head, and in which entry.
    """

    party: PartyId
    session: str
    number: int = 0
    digest: str = ""
    keeper: PartyId = ""
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """Attributes:
    question: of ``QUESTIONS``.
    name: what it is about: an id, a party, a version.
    entries: what the logs say to it.
    facts: the same said shortly: name → value.
    """

    question: str
    name: str = ""
    entries: tuple[Entry, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    branches: tuple[Branch, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()

    def all_entries(self) -> Iterator[Entry]:
        yield from self.entries
        for branch in self.branches:
            yield from branch.all_entries()

    def as_dict(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "name": self.name,
            "facts": dict(self.facts),
            "entries": [entry.as_dict() for entry in self.entries],
            "elsewhere": [{name: getattr(e, name) for name in e.__slots__} for e in self.elsewhere],
            "branches": [branch.as_dict() for branch in self.branches],
        }


def trace(wanted: str, logs: Sequence[Path]) -> Branch:
    """The tree of what the logs say of a score, a model or a session.

    Raises:
        ConfigError: ``unknown_trace``: no log names it.
        ServiceError: ``audit_missing``.
    """
    said = _Said([entry for path in logs for entry in _read(path, wanted)])
    start = next((kind for kind, kinds in _STARTS if said.that(kind, wanted, *kinds)), None)
    if start is None:
        parties = ", ".join(sorted({entry.party for entry in said.entries}))
        raise ConfigError(
            "unknown_trace",
            f"The logs of {parties} name no score, model or session of that id. Ask the party that answered the score.",
            f"{parties} 的日志中没有该编号的评分、模型或会话。请向应答评分的一方查询。",
        )
    tree = {"score": said.score, "model": said.model, "session": said.run}[start](wanted)
    found = list(tree.all_entries())
    ends = (said.keys(found), said.people(found), said.later(wanted, found))
    return Branch(
        tree.question,
        tree.name,
        tree.entries,
        tree.facts,
        (*tree.branches, *(end for end in ends if end.entries or end.facts)),
        tree.elsewhere,
    )


def _read(path: Path, wanted: str) -> Iterator[Entry]:
    """Entries of a log that a trace may need. Lines that are no entries are for verification to name."""
    mark = _asked_with(wanted).encode("utf-8")
    applicants = {a.encode() for line in lines_of(path) if mark in line and (a := _applicant(line))}
    for line in lines_of(path):
        if says(line, _MANY) and mark not in line and not any(a in line for a in applicants):
            continue
        try:
            yield parse(line)
        except ValueError:
            continue


def _asked_with(score: str) -> str:
    """Name of the question that hosts were asked: a batch has one, each score in it a number behind a dot."""
    return score.partition(".")[0]


def _applicant(line: bytes) -> str:
    try:
        return str(parse(line).references.get("applicant", ""))
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class _Said:
    """All that the logs at hand say."""

    entries: list[Entry]

    @property
    def at_hand(self) -> set[PartyId]:
        return {entry.party for entry in self.entries}

    def that(self, reference: str, value: Any, *kinds: str) -> tuple[Entry, ...]:
        """Entries whose reference is ``value``; of these kinds, if any are named."""
        return tuple(e for e in self.entries if e.references.get(reference) == value and (not kinds or e.kind in kinds))

    # -- branches --------------------------------------------------------------------------------------------------

    def score(self, score: str) -> Branch:
        names = dict.fromkeys((score, _asked_with(score)))
        answered = tuple(e for name in names for e in self.that("score", name, *_TOLD))
        facts = _facts(answered, *_OF_A_SCORE)
        consents = self._consents(answered)
        models = tuple(self.model(model) for model in _values(answered, "model"))
        return Branch("score", score, answered, facts, (*consents, *models))

    def model(self, model: str) -> Branch:
        about = self.that("model", model, "model_approved", "model_published")
        sealed = self.that("model", model, "model_sealed", "session_opened", "session_ended")
        runs = tuple(self.run(session) for session in _values(sealed, "session"))
        return Branch("model", model, about, _facts(about, "version", "model_digest"), runs)

    def run(self, session: str) -> Branch:
        opened = self.that("session", session, "session_opened", "session_ended")
        heads = self.that("session", session, "heads_countersigned")
        named = {p for e in opened for p in e.references.get("parties", ())}
        named |= {h["party"] for e in heads for h in e.references["heads"]}
        named |= {e.party for e in self.that("session", session)}
        here = tuple(self._party(session, party) for party in sorted(named & self.at_hand))
        proof = Branch("heads", session, heads, {h["party"]: h["number"] for e in heads for h in e.references["heads"]})
        elsewhere = tuple(_elsewhere(session, party, heads) for party in sorted(named - self.at_hand))
        facts = _facts(opened, "purpose", "code")
        return Branch("run", session, opened, facts, (*here, *((proof,) if heads else ())), elsewhere)

    def _party(self, session: str, party: PartyId) -> Branch:
        own = tuple(e for e in self.that("session", session) if e.party == party)
        sealed = tuple(e for e in own if e.kind == "model_sealed")
        admitted = tuple(e for e in own if e.kind == "rows_admitted")
        known = tuple(e for e in own if "items" in e.references or "catalogue" in e.references)
        catalogues = tuple(
            e
            for e in self.entries
            if e.party == party
            and e.kind == "catalogue_changed"
            and e.references["catalogue"] in _values(known, "catalogue")
        )
        policies = tuple(
            e
            for e in self.entries
            if e.party == party and e.kind == "policy_changed" and e.references["policy"] in _values(own, "policy")
        )
        branches = (
            Branch(
                "features", party, (*catalogues, *sealed), _facts((*own, *catalogues), "items", "catalogue", "half")
            ),
            Branch(
                "sources",
                party,
                (*policies, *admitted),
                _facts(own, "source", "sources", "data", "n_rows", "n_refused", "policy"),
            ),
            *self._consents(admitted, party),
        )
        return Branch("party", party, (), {}, tuple(b for b in branches if b.entries or b.facts))

    def _consents(self, entries: Sequence[Entry], party: PartyId = "") -> tuple[Branch, ...]:
        sets, single = _values(entries, "consent_set"), _values(entries, "consent")
        if not sets and not single:
            return ()
        about = tuple(
            e
            for e in self.entries
            if e.kind in ("consent_imported", "consent_revoked")
            and (e.references.get("consent_set") in sets or e.references.get("consent") in single)
            and party in ("", e.party)
        )
        return (Branch("consents", party, about, _facts((*entries, *about), "consent", "consent_set")),)

    def keys(self, found: Sequence[Entry]) -> Branch:
        """Under which keys all that was found is signed, and what became of them."""
        used = {(e.party, e.key) for e in found}
        introduced = tuple(e for e in self.entries if e.kind in KEYED and (e.party, e.references["key"]) in used)
        made = tuple(
            e
            for e in self.entries
            if e.kind in ("key_generated", "key_rotated") and e.references.get("session") in _values(found, "session")
            if "session" in e.references
        )
        revoked = tuple(
            e
            for e in self.entries
            if e.kind == "key_revoked" and e.references["key"] in {key for _, key in used} | set(_values(made, "key"))
        )
        facts = {party: sorted(key for p, key in used if p == party) for party in sorted({p for p, _ in used})}
        return Branch("keys", "", (*introduced, *made, *revoked), facts)

    def people(self, found: Sequence[Entry]) -> Branch:
        """Who acted, by name, in which party."""
        names: dict[str, list[str]] = {}
        for entry in found:
            if entry.operator:
                seen = names.setdefault(f"{entry.operator} ({entry.actor})", [])
                seen += [kind for kind in [entry.kind] if kind not in seen]
        return Branch("people", "", (), names)

    def later(self, wanted: str, found: Sequence[Entry]) -> Branch:
        """What was withdrawn, frozen or changed of it after the score was answered."""
        answered = [e for e in found if e.kind in _TOLD and "applicant" in e.references]
        models = {*_values(found, "model"), wanted}
        return Branch(
            "later",
            "",
            tuple(
                e
                for e in self.entries
                if (e.kind == "model_frozen" and e.references["model"] in models)
                or any(_touches(e, score) for score in answered)
            ),
        )


def _touches(entry: Entry, score: Entry) -> bool:
    """A later change of what is known of the same applicant; keyed digests are alike within one log only."""
    return (
        entry.kind in ("record_changed", "consent_revoked")
        and (entry.party, entry.references.get("applicant")) == (score.party, score.references["applicant"])
        and entry.number > score.number
    )


def _values(entries: Iterable[Entry], reference: str) -> list[Any]:
    """Each value once, in the order of the logs; lists are taken apart."""
    values: list[Any] = []
    for entry in entries:
        given = entry.references.get(reference, [])
        for value in given if isinstance(given, list) else [given]:
            if value not in values:
                values.append(value)
    return values


def _facts(entries: Sequence[Entry], *references: str) -> dict[str, list[Any]]:
    return {name: values for name in references if (values := _values(entries, name))}


def _elsewhere(session: str, party: PartyId, heads: Sequence[Entry]) -> Elsewhere:
    for entry in heads:
        for head in entry.references["heads"]:
            if head["party"] == party:
                return Elsewhere(party, session, head["number"], head["digest"], entry.party, entry.number)
    return Elsewhere(party, session)
