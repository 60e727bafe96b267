"""A score leads back to everything it came of, as far as the logs at hand reach, and says where they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import ConfigError
from lab.governance.trace import QUESTIONS, Branch, trace
from tests.lab.governance.lending import APPLICANT, BANK, RUN, SCORE, TAX, TELECOM, digest, lend
from tests.lab.governance.logs import MODEL, PARTIES, Parties
from tests.signing import TestSigner


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return lend(tmp_path_factory.mktemp("lending"))


def walk(branch: Branch) -> Iterator[Branch]:
    yield branch
    for inner in branch.branches:
        yield from walk(inner)


def asked(tree: Branch, question: str, name: str | None = None) -> Branch:
    [found] = [b for b in walk(tree) if b.question == question and name in (None, b.name)]
    return found


def traced(parties: Parties, wanted: str, *at: str) -> Branch:
    return trace(wanted, [parties.path(p) for p in at or PARTIES])


def test_a_score_leads_to_model_run_features_sources_consents_keys_and_people(parties: Parties) -> None:
    tree = traced(parties, SCORE)
    assert (tree.question, tree.name) == ("score", SCORE)
    assert [e.kind for e in tree.entries] == ["score_answered"]
    assert tree.facts["applicant"] == [APPLICANT]
    assert tree.facts["purpose"] == ["loan_admission"]
    model = asked(tree, "model")
    assert model.name == MODEL
    assert [(e.kind, e.operator) for e in model.entries] == [("model_approved", "周行长"), ("model_published", "王芳")]
    run = asked(tree, "run")
    assert run.name == RUN
    assert {e.party for e in run.entries} == set(PARTIES)
    assert [b.name for b in run.branches if b.question == "party"] == sorted(PARTIES)
    for party in PARTIES:
        features = asked(tree, "features", party)
        assert features.facts["half"] == [digest(f"half {party}")]
        assert features.facts["catalogue"] == ["2026.1"]
        assert {"JS-0@3", "JS-1@3"} <= set(features.facts["items"])
        assert features.entries[0].kind == "catalogue_changed"
        sources = asked(tree, "sources", party)
        assert sources.facts["data"] == [digest(f"file {party}")]
        assert (sources.facts["n_rows"], sources.facts["n_refused"]) == ([300], [20])
        assert sources.facts["policy"] == [digest(f"policy {party}")]
        consents = asked(tree, "consents", party)
        assert [(e.kind, e.party, e.operator) for e in consents.entries] == [("consent_imported", party, "孙立")]
    assert asked(tree, "heads").facts == dict.fromkeys(PARTIES, 9)
    keys = asked(tree, "keys")
    assert keys.facts[TAX] == [TestSigner(TAX).key_id]
    assert {f"oprf-{p}" for p in PARTIES} <= {e.references["key"] for e in keys.entries}
    assert [e.references["code"] for e in keys.entries if e.kind == "key_revoked"] == ["officer_left"]
    people = asked(tree, "people").facts
    assert people["李雷 (bank)"] == ["score_answered"]
    assert people["赵敏 (host:tax)"] == ["catalogue_changed", "policy_changed"]
    assert {"周行长 (bank)", "王芳 (bank)", "孙立 (bank)"} <= set(people)


def test_what_happened_since_is_told_of_this_score_only(parties: Parties) -> None:
    later = asked(traced(parties, SCORE), "later")
    assert [e.kind for e in later.entries] == ["record_changed", "consent_revoked", "model_frozen"]
    assert later.entries[0].references["record"] == digest("record")


def test_a_party_traces_what_it_holds_and_names_who_holds_the_rest(parties: Parties) -> None:
    tree = traced(parties, SCORE, BANK)
    run = asked(tree, "run")
    assert [b.name for b in run.branches if b.question == "party"] == [BANK]
    assert [e.party for e in run.elsewhere] == [TAX, TELECOM]
    heads = {h["party"]: h for e in parties.logs[BANK].entries("heads_countersigned") for h in e.references["heads"]}
    for gap in run.elsewhere:
        assert (gap.session, gap.number, gap.digest) == (RUN, 9, heads[gap.party]["digest"])
        assert (gap.keeper, gap.entry) == (BANK, 10)
        entry = list(parties.logs[gap.party].entries())[gap.number - 1]
        assert entry.digest == gap.digest


def test_a_data_node_traces_its_part_by_model_or_session(parties: Parties) -> None:
    by_model = traced(parties, MODEL, TAX)
    assert by_model.question == "model"
    assert asked(by_model, "sources", TAX).facts["source"] == ["warehouse/tax"]
    by_run = traced(parties, RUN, TAX)
    assert by_run.question == "run"
    assert asked(by_run, "consents", TAX).entries
    assert {e.party for e in by_run.all_entries()} == {TAX}
    assert [e.party for e in by_run.elsewhere] == [BANK, TELECOM]


def test_a_run_that_was_not_countersigned_says_that_nobody_keeps_a_head(tmp_path: Path) -> None:
    from lab.governance.audit_entry import Event

    parties = Parties(tmp_path)
    parties.logs[BANK].append(Event("session_opened", {"session": "s-9", "parties": list(PARTIES)}))
    run = traced(parties, "s-9", BANK)
    assert [(e.party, e.number, e.keeper) for e in run.elsewhere] == [(TAX, 0, ""), (TELECOM, 0, "")]


def test_an_id_that_no_log_names_is_said_so(parties: Parties) -> None:
    for at in ((BANK,), (TAX,)):
        with pytest.raises(ConfigError) as caught:
            traced(parties, "score-999999", *at)
        assert caught.value.code == "unknown_trace"
        assert at[0] in caught.value.english
    with pytest.raises(ConfigError):
        traced(parties, SCORE, TAX)  # the bank's own number for it


def test_a_trace_is_plain_json(parties: Parties) -> None:
    tree = traced(parties, SCORE).as_dict()
    assert json.loads(json.dumps(tree, ensure_ascii=False)) == tree
    assert {b.question for b in walk(traced(parties, SCORE))} == set(QUESTIONS)
