"""Scores are the margins of training, one applicant or many, and nothing is answered for a model that is not held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from federation.ciphers import oprf
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import LianmoError, Refused, RemoteProtocolError
from federation.messages import Failure, Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import FaultyWire, MemoryWire
from federation.vertical.boosting.messages import Seal
from federation.vertical.guest import Trained
from federation.vertical.scoring.guest import score
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import BlindedApplicants, EvaluatedApplicants, Routes, Wanted
from models.boosting.splits import Split
from models.boosting.trees import Node
from models.bundle import Half, JointModel
from models.errors import ModelError
from models.losses import default_probability
from models.table import Table
from tests.builders import BANK, HOSTS, Problem, Session


@pytest.fixture(scope="module")
def session(problem: Problem) -> Session:
    return Session(problem)


@pytest.fixture(scope="module")
def trained(session: Session) -> Trained:
    return session.train()


@pytest.fixture(scope="module")
def wire(session: Session, trained: Trained) -> MemoryWire:
    return session.scoring_wire()


def test_scores_are_the_margins_of_training_bit_for_bit(problem: Problem, trained: Trained, wire: MemoryWire) -> None:
    rows = trained.arrangement.rows
    scored = run(score(trained.fitted.model, problem.guest.take(rows)), wire)
    assert len(rows) > trained.arrangement.n_fit
    assert scored.margin.tobytes() == trained.fitted.margin.tobytes()


def test_one_by_one_equals_together_bit_for_bit(problem: Problem, trained: Trained, wire: MemoryWire) -> None:
    rows = trained.arrangement.rows[::15]
    together = run(score(trained.fitted.model, problem.guest.take(rows)), wire).margin
    alone = [run(score(trained.fitted.model, problem.guest.take(rows[[k]])), wire).margin[0] for k in range(len(rows))]
    assert together.tobytes() == np.array(alone).tobytes()
    assert (
        default_probability(together).tobytes()
        == np.array([default_probability(np.array([m]))[0] for m in alone]).tobytes()
    )


def test_a_stored_model_scores_the_same_bits(
    problem: Problem, session: Session, trained: Trained, wire: MemoryWire
) -> None:
    again = JointModel.from_json(trained.fitted.model.to_json())
    table = problem.guest.take(trained.arrangement.rows[:20])
    assert run(score(again, table), wire).margin.tobytes() == trained.fitted.margin[:20].tobytes()


def test_an_unknown_applicant_has_no_score_and_says_where(problem: Problem, trained: Trained, wire: MemoryWire) -> None:
    everyone = problem.guest
    scored = run(score(trained.fitted.model, everyone), wire)
    everywhere = np.ones(len(everyone), dtype=bool)
    for host in HOSTS:
        expected = np.isin(everyone.ids, problem.hosts[host].ids)
        assert scored.known[host].tolist() == expected.tolist()
        assert not expected.all()
        everywhere &= expected
    assert np.isnan(scored.margin).tolist() == (~everywhere).tolist()


def test_nobody_is_scored_as_nobody(problem: Problem, trained: Trained, wire: MemoryWire) -> None:
    scored = run(score(trained.fitted.model, problem.guest.take(np.array([], dtype=int))), wire)
    assert scored.margin.shape == (0,)


def test_values_never_seen_in_training_are_scored(session: Session, problem: Problem, trained: Trained) -> None:
    """A new level, missing values and enormous numbers at both sides, for applicants that all know."""
    ids = tuple(problem.guest.ids[row] for row in trained.arrangement.rows[:3])
    own = Table(ids, {m: np.array([np.nan, 1e300, -1e300]) for m in problem.guest.columns})
    odd = {
        "tax_paid_2023": np.array([np.nan, 1e300, -1e300]),
        "tax_arrears_days": np.array([np.nan] * 3),
        "phone_bill_mean": np.array([np.nan, 0.0, 1e300]),
        "occupation_class": np.array(["astronaut", None, ""], dtype=object),
    }
    answers = {}
    for party, host in session.hosts.items():
        table = Table(ids, {m: odd[m] for m in host.table.columns})
        answers[party] = Endpoint(ScoringHost(table, {"m-1": host.half}, session.policy), BANK, ALLOWED).answer
    margin = run(score(trained.fitted.model, own), MemoryWire(answers)).margin
    assert np.isfinite(margin).all()
    walked = []
    routes = {BANK: trained.fitted.model.own.routes(own)} | {
        p: h.half.routes(Table(ids, {m: odd[m] for m in h.table.columns})) for p, h in session.hosts.items()
    }
    for row in range(3):  # the walk, written out
        total = trained.fitted.model.base_margin
        for tree in trained.fitted.model.trees:
            node = tree[0]
            while node.owner:
                node = tree[node.left if routes[node.owner][node.handle][row] else node.right]
            total += node.value
        walked.append(total)
    assert margin.tolist() == walked


def test_a_host_without_cuts_in_the_model_is_not_asked(problem: Problem) -> None:
    own = Half("m-1", BANK, (), ())
    model = JointModel(own, ([Node(value=0.5)],), 0.25, {"host:idle": "ab" * 32})
    scored = run(score(model, problem.guest), MemoryWire({}))
    assert set(scored.margin.tolist()) == {0.75}
    assert scored.known == {}


@pytest.mark.parametrize("changes", [{"digest": "00" * 32}, {"model_id": "another"}])
def test_a_half_that_is_not_the_one_meant_is_refused(
    problem: Problem, trained: Trained, wire: MemoryWire, changes: dict[str, str]
) -> None:
    model = trained.fitted.model
    digests = dict.fromkeys(model.host_digests, changes["digest"]) if "digest" in changes else model.host_digests
    own = replace(model.own, model_id=changes.get("model_id", model.model_id))
    with pytest.raises(Refused) as caught:
        run(score(replace(model, own=own, host_digests=digests), problem.guest), wire)
    assert caught.value.code == "unknown_model"


def test_a_missing_column_is_found_when_the_service_starts(session: Session, trained: Trained) -> None:
    host = session.hosts[HOSTS[0]]
    needed = {host.half.bins[s.feature].name for s in host.half.splits}
    rest = Table(host.table.ids, {m: c for m, c in host.table.columns.items() if m not in needed})
    with pytest.raises(ModelError) as caught:
        ScoringHost(rest, {"m-1": host.half}, session.policy)
    assert caught.value.code == "missing_columns"


def test_a_host_that_starts_anew_in_the_middle_of_a_question_does_not_say_that_it_knows_nobody(
    problem: Problem, session: Session, trained: Trained
) -> None:
    class Restarting(MemoryWire):
        def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
            return session.scoring_wire().exchange(frames)

    with pytest.raises(Refused) as caught:
        run(score(trained.fitted.model, problem.guest.take(trained.arrangement.rows[:5])), Restarting({}))
    assert caught.value.code == "stale_tokens"


POINT = oprf.hash_to_group(b"x")
HOST = ScoringHost(
    Table(("x",), {"v": np.array([1.0])}),
    {"m": Half("m", "host:a", (), (), salt="0")},
    HostPolicy(max_blinded_ids=2),
)
DIGEST = Half("m", "host:a", (), (), salt="0").digest()
ROUTES = Routes(known=b"", left=b"", words=())
KEY_ID = HOST._key_id


def wanted(**changes: str | bytes | bool) -> Wanted:
    asked = Wanted(
        model="trees",
        model_id="m",
        digest=DIGEST,
        tokens=bytes(16),
        key_id=KEY_ID,
        reasons=False,
        request="",
        shadow=False,
    )
    return replace(asked, **changes)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (BlindedApplicants(points=POINT[:-1]), "bad_value"),
        (BlindedApplicants(points=bytes(32)), "bad_point"),
        (BlindedApplicants(points=POINT + b"\xff" * 32), "bad_point"),
        (BlindedApplicants(points=POINT * 3), "policy"),
        (wanted(tokens=b"123"), "bad_value"),
        (wanted(tokens=bytes(48)), "policy"),
        (wanted(key_id=b""), "stale_tokens"),
        (wanted(key_id=bytes(8)), "stale_tokens"),
        (wanted(digest=""), "unknown_model"),
        (wanted(model_id=""), "unknown_model"),
        (wanted(model="scorecard"), "unknown_model"),
        (wanted(model=""), "unknown_model"),
        (ROUTES, "out_of_turn"),
        (Seal(n_handles=0), "out_of_turn"),
        (Failure(code="policy"), "out_of_turn"),
    ],
)
def test_hostile_requests_are_refused_by_code(request_: Message, code: str) -> None:
    with pytest.raises(LianmoError) as caught:
        HOST.answer(request_)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (EvaluatedApplicants, lambda m: replace(m, points=m.points[32:]), "bad_value"),
        (EvaluatedApplicants, lambda m: replace(m, points=m.points + b"1"), "bad_value"),
        (EvaluatedApplicants, lambda m: replace(m, points=b"\xff" * len(m.points)), "bad_point"),
        (EvaluatedApplicants, lambda m: replace(m, key_id=m.key_id[1:]), "bad_value"),
        (EvaluatedApplicants, lambda m: ROUTES, "out_of_turn"),
        (Routes, lambda m: replace(m, known=m.known[1:]), "bad_value"),
        (Routes, lambda m: replace(m, left=m.left + b"\0"), "bad_value"),
        (Routes, lambda m: replace(m, left=b""), "bad_value"),
    ],
)
def test_hostile_replies_name_the_culprit(
    problem: Problem, trained: Trained, wire: MemoryWire, kind: type[Message], change: object, code: str
) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        return encode(change(message)) if party == HOSTS[1] and isinstance(message, kind) else frame

    with pytest.raises(RemoteProtocolError) as caught:
        run(score(trained.fitted.model, problem.guest), FaultyWire(wire, damage))
    assert (caught.value.party, caught.value.code) == (HOSTS[1], code)


def test_routes_tell_all_cuts_whatever_the_path(session: Session, trained: Trained, problem: Problem) -> None:
    """The host cannot learn the path: the request names no cut, the reply holds every one."""
    seen: list[Message] = []
    run(
        score(trained.fitted.model, problem.guest.take(trained.arrangement.rows[:1])),
        session.scoring_wire(),
        lambda sender, receiver, message, size: seen.append(message),
    )
    for party, reply in zip(HOSTS, [m for m in seen if isinstance(m, Routes)], strict=True):
        assert len(reply.left) == -(-len(session.hosts[party].half.splits) // 8)
    assert isinstance(session.hosts[HOSTS[0]].half.splits[0], Split)
