"""A report is what the bank signed, to the last byte, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.audit.heads import canonical
from federation.errors import CipherError
from lab.decision import report
from lab.decision.page import render
from lab.decision.report import Report, sign, verify
from lab.errors import ConfigError, KeysError
from models.errors import LianmoError
from tests.lab.decision.cases import DAY
from tests.lab.decision.reports import PASSPHRASE, Signer, body, signed

REFUSED = (ConfigError, CipherError, KeysError)


@pytest.fixture(scope="module", params=["international", "sm"])
def signer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.new(tmp_path_factory.mktemp("keys"), request.param)


def refused(act: Callable[[], object]) -> LianmoError:
    with pytest.raises(REFUSED) as caught:
        act()
    return caught.value


def test_a_report_is_verified_with_the_banks_public_keys_alone(signer: Signer) -> None:
    made = signed(signer)
    found = verify(made.data, signer.public(), made.page)
    assert found.owner == "bank"
    assert found.body == body()
    assert len(found.fingerprint.replace(" ", "")) == 64


def test_no_byte_of_the_report_can_change_unseen(signer: Signer) -> None:
    made, keys = signed(signer).data, signer.public()
    for i in range(0, len(made), 1 if signer.key.suite.name == "international" else 5):  # SM2 takes its time
        for changed in (
            made[:i] + bytes([made[i] ^ 1]) + made[i + 1 :],
            made[:i] + bytes([made[i] ^ 0x20]) + made[i + 1 :],  # the other case of a letter
            made[:i] + made[i + 1 :],
        ):
            with pytest.raises(REFUSED):
                verify(changed, keys)
    for i in range(0, len(made) + 1, 7):
        for more in (b" ", b"\n", b"0"):
            with pytest.raises(REFUSED):
                verify(made[:i] + more + made[i:], keys)


def test_no_byte_of_the_page_can_change_unseen(signer: Signer) -> None:
    made, keys = signed(signer), signer.public()
    for i in range(0, len(made.page), 17):
        changed = made.page[:i] + bytes([made.page[i] ^ 1]) + made.page[i + 1 :]
        assert refused(lambda page=changed: verify(made.data, keys, page)).code == "page_changed"  # type: ignore[misc]
    assert refused(lambda: verify(made.data, keys, made.page + b"\n")).code == "page_changed"
    other = signed(signer, probability="0.3")
    assert refused(lambda: verify(made.data, keys, other.page)).code == "page_changed"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, name))
    else:
        yield path


def test_no_statement_can_change_even_if_the_file_is_written_anew_in_its_form(signer: Signer) -> None:
    made, keys = signed(signer, guarantee="policy_guarantee").data, signer.public()
    paths = list(leaves(json.loads(made)))
    assert len(paths) > 100
    for path in paths:
        told = json.loads(made)
        inside = told
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = "bank2" if inside[path[-1]] != "bank2" else "bank"
        with pytest.raises(REFUSED):
            verify(canonical(told) + b"\n", keys)
    told = json.loads(made)
    told["body"]["more"] = "said"
    assert refused(lambda: verify(canonical(told) + b"\n", keys)).code == "report_changed"


def test_what_one_key_signed_no_other_key_vouches_for(tmp_path: Path, signer: Signer) -> None:
    other = Signer.new(tmp_path)
    assert refused(lambda: verify(signed(other).data, signer.public())).code == "unknown_key"
    told = json.loads(signed(other).data)
    told["signature"]["key_id"] = signer.key.key_id
    told["signature"]["suite"] = signer.key.suite.name
    assert refused(lambda: verify(canonical(told) + b"\n", signer.public())).code == "report_changed"


def test_a_party_cannot_report_in_a_banks_name(tmp_path: Path) -> None:
    host = Signer.new(tmp_path, owner="host:tax")
    assert refused(lambda: verify(signed(host).data, host.public())).code == "report_changed"


def test_a_signature_of_a_false_digest_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Signer.new(tmp_path)
    monkeypatch.setattr(report, "_BODY", b"another tag\0")
    made = signed(bank)
    monkeypatch.undo()
    assert refused(lambda: verify(made.data, bank.public())).code == "report_changed"
    strange = sign({**body(), "kind": "another"}, bank.key, render)
    assert refused(lambda: verify(strange.data, bank.public())).code == "report_changed"


def test_a_retired_key_still_vouches_and_a_revoked_one_does_not(tmp_path: Path) -> None:
    bank = Signer.new(tmp_path)
    made, old = signed(bank), bank.key.key_id
    bank.store.rotate(old, PASSPHRASE)
    assert verify(made.data, bank.public()).owner == "bank"
    bank.store.revoke(old, "lost")
    assert refused(lambda: verify(made.data, bank.public())).code == "key_revoked"
    with pytest.raises(KeysError):
        sign(body(), bank.store.open(old, PASSPHRASE), render)


NO_REPORTS = [b"", b"{}", b"[]", b"7", b"\xff", b"[" * 100_000, b" " * (1 << 21)]
TOO_LONG = b'{"body":{"bank":{},"x":"' + b"x" * (1 << 20) + b'"},"digest":"","page":"","signature":{}}\n'


@pytest.mark.parametrize("data", [*NO_REPORTS, TOO_LONG, b'{"body":{},"digest":"","page":"","signature":{}}\n'])
def test_what_is_no_report_is_refused(signer: Signer, data: bytes) -> None:
    assert refused(lambda: verify(data, signer.public())).code == "report_unreadable"


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"party": 7}])
@pytest.mark.parametrize("name", ["body", "digest", "page", "signature"])
def test_parts_of_another_shape_are_refused(signer: Signer, name: str, value: Any) -> None:
    told = json.loads(signed(signer).data)
    told[name] = value
    with pytest.raises(REFUSED):
        verify(canonical(told) + b"\n", signer.public())
    told = json.loads(signed(signer).data)
    if name in ("digest", "signature"):
        told["signature"]["signature" if name == "signature" else "key_id"] = value
        with pytest.raises(REFUSED):
            verify(canonical(told) + b"\n", signer.public())


def test_the_report_says_all_that_was_asked_and_nothing_of_the_banks_costs() -> None:
    told = body(guarantee="policy_guarantee")
    text = canonical(told).decode()
    for wanted in (
        "0d5c9d3e",
        "A-2026-77",
        "9f" * 32,
        "host:tax",
        "C-2026-981",
        "loan_score",
        "2026.1",
        "存在逾期申报",
    ):
        assert wanted in text
    assert told["policy"]["digest"] in text
    assert told["objection"]["days"] == 20
    assert told["decision"]["offer"]["limit"] == 800_000
    assert [step["rule"] for step in told["decision"]["steps"]][:2] == ["policy_in_force", "lists_checked"]
    risky = body(probability="0.09", guarantee="policy_guarantee")["decision"]["offer"]
    assert (risky["limit"], risky["price"]["total"], risky["others"]) == (
        640_000,
        "5.41%",
        [],
    )  # unsecured: over the ceiling
    for secret in ("0.012", "expected_loss", "split", "funding", "9000000", "300000", "turnover", "headroom"):
        assert secret not in text


def test_without_an_offer_no_amount_or_rate_is_told_that_reads_like_one() -> None:
    for changes in ({"probability": "0.15"}, {"probability": "0.0999"}, {"listings": None}):
        told = body(**changes)["decision"]
        assert told["offer"] is None
        assert not [s for s in told["steps"] if s["rule"] in ("limit", "price") and s["verdict"] == "approve"]


def test_every_verdict_makes_a_page_that_says_it_in_both_languages(signer: Signer) -> None:
    for changes, chinese, english in (
        ({}, "通过", "Approved"),
        ({"probability": "0.15"}, "转人工审核", "Referred"),
        ({"probability": "0.5"}, "不予通过", "Declined"),
        ({"probability": None}, "未评分", "no model"),
        ({"mode": "bank_only", "guarantee": "policy_guarantee"}, "仅使用银行自身数据评分", "under stricter rules"),
        ({"guarantee": "never_heard_of"}, "该产品接受的担保方式", "does not fit"),
    ):
        page = signed(signer, **changes).page.decode()
        assert chinese in page
        assert english in page
        assert "示例策略" in page
        assert "怎样提出异议" in page
        assert "late &lt;returns&gt;" in page
        assert "<script" not in page
        assert "http" not in page
        assert str(DAY) in page


def test_a_page_shows_the_digest_that_the_report_has(signer: Signer) -> None:
    made: Report = signed(signer)
    digest = json.loads(made.data)["digest"]
    assert digest in made.page.decode().replace(" ", "")
