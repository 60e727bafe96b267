"""What a bank and two hosts write from consent to score: the story that traces are tested and shown on."""

from __future__ import annotations

from pathlib import Path

from lab.governance.audit_entry import Event, keyed_digest
from tests.lab.governance.logs import MODEL, PARTIES, Parties
from tests.signing import SUITE, TestSigner

BANK, TAX, TELECOM = PARTIES
RUN = "run-2026-03"
SCORE = "score-000042"
APPLICANT = keyed_digest(SUITE, b"k" * 32, "91330100MA27XYEW3K")


def digest(text: str) -> str:
    return SUITE.digest(text.encode()).hex()


def lend(root: Path) -> Parties:
    """A catalogue, consents, a run, a publication, two scores, and what happened after."""
    parties = Parties(root)
    for party, log in parties.logs.items():
        log.append(
            Event(
                "catalogue_changed", {"catalogue": "2026.1", "items": [f"JS-{party[-1:].encode().hex()}@3"]}, "", "赵敏"
            ),
            Event("policy_changed", {"policy": digest(f"policy {party}")}, "", "赵敏"),
            Event("consent_imported", {"consent_set": digest("consents"), "n_rows": 320}, "", "孙立"),
            Event("key_generated", {"key": f"oprf-{party}", "use": "oprf", "session": RUN}),
            Event(
                "session_opened",
                {
                    "session": RUN,
                    "parties": list(PARTIES),
                    "model": MODEL,
                    "catalogue": "2026.1",
                    "items": [f"JS-{k}@3" for k in range(2)],
                    "policy": digest(f"policy {party}"),
                    "purpose": "loan_admission",
                },
                BANK,
            ),
            Event(
                "rows_admitted",
                {
                    "session": RUN,
                    "source": "warehouse/tax" if party == TAX else "ledger",
                    "data": digest(f"file {party}"),
                    "n_rows": 300,
                    "n_refused": 20,
                    "consent_set": digest("consents"),
                },
            ),
            Event("model_sealed", {"session": RUN, "model": MODEL, "half": digest(f"half {party}")}),
            Event("session_ended", {"session": RUN, "model": MODEL}),
        )
    parties.countersign(RUN)
    bank = parties.logs[BANK]
    bank.append(
        Event("model_approved", {"model": MODEL, "model_digest": digest("half bank"), "version": "3"}, "", "周行长"),
        Event("model_published", {"model": MODEL, "model_digest": digest("half bank"), "version": "3"}, "", "王芳"),
    )
    for score, applicant in ((SCORE, APPLICANT), ("score-000043", digest("another"))):
        bank.append(
            Event(
                "score_answered",
                {
                    "score": score,
                    "model": MODEL,
                    "version": "3",
                    "applicant": applicant,
                    "purpose": "loan_admission",
                    "consent": digest(f"consent {applicant}"),
                    "parties": [BANK, TAX],
                },
                "",
                "李雷",
            )
        )
    parties.logs[TAX].append(Event("score_answered", {"model": MODEL, "n_rows": 1}, BANK))
    bank.rotate(TestSigner("bank-2027"), "赵敏")
    bank.append(
        Event("key_revoked", {"key": TestSigner(BANK).key_id, "use": "signing", "code": "officer_left"}, "", "赵敏"),
        Event("record_changed", {"record": digest("record"), "applicant": APPLICANT, "state": "repaired"}),
        Event("record_changed", {"record": digest("record 2"), "applicant": digest("another"), "state": "repaired"}),
        Event("consent_revoked", {"consent": digest(f"consent {APPLICANT}"), "applicant": APPLICANT}),
        Event("model_frozen", {"model": MODEL, "code": "drift"}, "", "周行长"),
    )
    return parties
