"""Nobody's data are used without his consent, to the moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from federation.ciphers.suites.choice import SUITE_NAMES
from federation.errors import BadSignature
from lab.errors import GovernanceError, KeysError
from lab.governance.consents import Consent, ConsentLedger, checked_by
from lab.governance.lines import read_lines
from models.errors import LianmoError
from tests.lab.governance.test_ring import Party, introduce

DAY = datetime(2026, 5, 1, tzinfo=UTC)
WANTED: dict[str, Any] = {"party": "bank", "purpose": "loan_model", "scopes": ["tax"], "at": DAY}


def consent(number: str = "C-1", **changes: Any) -> Consent:
    told = {
        "consent": number,
        "subject": "91310000MA1K00001X",
        "purpose": "loan_model",
        "parties": ["bank", "host:guarantee"],
        "scopes": ["tax", "social"],
        "starts": DAY - timedelta(days=10),
        "ends": DAY + timedelta(days=10),
        "evidence": "ab" * 32,
    }
    return Consent(**{**told, **changes})


def allows(ledger: ConsentLedger, subject: str = "91310000MA1K00001X", **changes: Any) -> bool:
    [answer] = ledger.allowed([subject], **{**WANTED, **changes}).tolist()
    return bool(answer)


def test_a_consent_allows_what_it_names_and_nothing_else(store: Engine) -> None:
    ledger = ConsentLedger(store)
    assert not allows(ledger)
    assert ledger.add([consent()]) == 1
    assert allows(ledger)
    assert allows(ledger, scopes=["tax", "social"])
    assert not allows(ledger, scopes=["tax", "utilities"])
    assert allows(ledger, scopes=[])  # what is open to all: any consent for that party and purpose
    assert not allows(ledger, scopes=[], purpose="marketing")
    assert not allows(ledger, party="bank2")
    assert not allows(ledger, purpose="marketing")
    assert not allows(ledger, subject="91310000MA1K00002X")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (DAY - timedelta(days=10, microseconds=1), False),
        (DAY - timedelta(days=10), True),
        (DAY + timedelta(days=10) - timedelta(microseconds=1), True),
        (DAY + timedelta(days=10), False),
    ],
)
def test_it_counts_from_its_start_until_its_end(store: Engine, at: datetime, expected: bool) -> None:
    ledger = ConsentLedger(store)
    ledger.add([consent()])
    assert allows(ledger, at=at) is expected


def test_a_revocation_counts_from_the_next_question_on(store: Engine) -> None:
    ledger = ConsentLedger(store)
    ledger.add([consent()])
    assert allows(ledger)
    assert ledger.revoke("C-1", DAY) == "91310000MA1K00001X"
    assert not allows(ledger)
    assert allows(ledger, at=DAY - timedelta(seconds=1))  # as it was then
    with pytest.raises(GovernanceError) as caught:
        ledger.revoke("C-1", DAY + timedelta(days=1))
    assert caught.value.code == "consent_revoked"
    with pytest.raises(GovernanceError) as caught:
        ledger.revoke("C-2", DAY)
    assert caught.value.code == "consent_unknown"


def test_scopes_may_come_from_several_consents(store: Engine) -> None:
    ledger = ConsentLedger(store)
    ledger.add([consent("C-1", scopes=["tax"]), consent("C-2", scopes=["social"])])
    assert allows(ledger, scopes=["tax", "social"])
    ledger.revoke("C-2", DAY)
    assert not allows(ledger, scopes=["tax", "social"])
    assert allows(ledger, scopes=["tax"])


def test_time_zones_do_not_matter(store: Engine) -> None:
    ledger = ConsentLedger(store)
    ledger.add(read_lines(Consent, [consent().model_dump_json().replace('+00:00"', 'Z"')]))
    shanghai = datetime.fromisoformat("2026-05-11T07:59:59+08:00")
    assert allows(ledger, at=shanghai)
    assert not allows(ledger, at=shanghai + timedelta(seconds=1))


def test_the_same_consent_may_be_imported_again_another_may_not(store: Engine) -> None:
    ledger = ConsentLedger(store)
    assert ledger.add([consent(), consent("C-2")]) == 2
    assert ledger.add([consent(), consent("C-3")]) == 1
    with pytest.raises(GovernanceError) as caught:
        ledger.add([consent("C-4"), consent("C-1", purpose="marketing")])
    assert caught.value.code == "consent_exists"
    assert [c.consent for c in ledger.all()] == ["C-1", "C-2", "C-3"]
    with pytest.raises(GovernanceError) as caught:
        ledger.add([consent("C-5"), consent("C-5")])
    assert caught.value.code == "consent_repeated"


def test_what_is_exported_is_what_was_imported(store: Engine) -> None:
    ledger = ConsentLedger(store)
    given = [consent(), consent("C-2", scopes=["tax"], revoked=DAY, ends=DAY + timedelta(days=99))]
    ledger.add(given)
    lines = [c.model_dump_json() for c in ledger.all()]
    assert [c.signed for c in read_lines(Consent, lines)] == [
        c.model_copy(update={"parties": sorted(c.parties), "scopes": sorted(c.scopes)}).signed for c in given
    ]
    assert [c.revoked for c in read_lines(Consent, lines)] == [None, DAY]


def test_signatures_are_checked_or_refused(store: Engine) -> None:
    signed = consent(signature="c2ln", key_id="k1")
    with pytest.raises(GovernanceError) as caught:
        ConsentLedger(store).add([signed])
    assert caught.value.code == "consent_unchecked"
    seen = []

    def wrong(message: bytes, signature: str, key_id: str) -> None:
        seen.append((message, signature, key_id))
        raise LianmoError("bad_signature", "", "")

    with pytest.raises(LianmoError):
        ConsentLedger(store, wrong).add([consent("C-0"), signed])
    assert seen == [(signed.signed, "c2ln", "k1")]
    assert list(ConsentLedger(store).all()) == []
    ConsentLedger(store, lambda *_: None).add([signed])


@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_a_consent_signed_by_a_party_that_is_known_is_added_and_a_changed_one_is_not(
    store: Engine, tmp_path: Path, suite: str
) -> None:
    node, recorder = Party(tmp_path / "node", "host:tax"), Party(tmp_path / "recorder", "host:credit", suite)
    held = recorder.signing()
    unsigned = consent(key_id=held.key_id)
    signed = unsigned.model_copy(update={"signature": held.sign(unsigned.signed).hex()})
    ledger = ConsentLedger(store, checked_by(node.ring))
    with pytest.raises(KeysError) as caught:
        ledger.add([signed])
    assert caught.value.code == "unknown_key"
    introduce(node, recorder)
    with pytest.raises(BadSignature):
        ledger.add([signed.model_copy(update={"purpose": "marketing"})])
    assert ledger.add([signed]) == 1


# -- files that are none -----------------------------------------------------------------------------------------


def refused(line: str) -> GovernanceError:
    with pytest.raises(GovernanceError) as caught:
        read_lines(Consent, ["", line])
    assert caught.value.code == "line_unreadable"
    assert caught.value.english.startswith("Line 2: ")
    return caught.value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"consent": ""}, "consent"),
        ({"consent": None}, "consent"),
        ({"subject": "two words"}, "subject"),
        ({"subject": "x" * 65}, "subject"),
        ({"purpose": "Loan Model"}, "purpose"),
        ({"parties": []}, "parties"),
        ({"parties": "bank"}, "parties"),
        ({"parties": ["bank", "bank"]}, "JSON"),
        ({"scopes": [""]}, "scopes"),
        ({"starts": "2026-05-01T00:00:00"}, "starts"),
        ({"starts": "yesterday"}, "starts"),
        ({"ends": "2020-01-01T00:00:00Z"}, "JSON"),
        ({"revoked": "2020-01-01T00:00:00Z"}, "JSON"),
        ({"evidence": "none"}, "evidence"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_a_line_that_is_no_consent_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    error = refused(json.dumps(json.loads(consent().model_dump_json()) | change))
    assert field in error.english
    assert "91310000MA1K00001X" not in str(error)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(), st.binary().map(repr), st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps)
    )
)
def test_rubbish_is_refused(line: str) -> None:
    if line.strip():
        for piece in line.splitlines() or [line]:
            if piece.strip():
                refused(piece)


def test_more_subjects_than_one_statement_can_name(store: Engine) -> None:
    ledger = ConsentLedger(store)
    n = 12_000
    ledger.add([consent(f"C-{k}", subject=f"S{k}", parties=["bank"], scopes=["tax"]) for k in range(n)])
    found = ledger.allowed([f"S{k}" for k in range(0, 2 * n, 2)], **WANTED)
    np.testing.assert_array_equal(found, np.arange(n) < n / 2)
