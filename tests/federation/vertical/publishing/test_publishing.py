"""Hosts make halves ready beside those they answer for, in any order of messages, and refuse what they do not hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.codec import encode
from federation.endpoint import Endpoint
from federation.errors import LianmoError, LocalProtocolError, Refused, RemoteProtocolError
from federation.messages import Failure, Goodbye, Message
from federation.policy import everybody
from federation.script import run
from federation.transports.memory import FaultyWire, MemoryWire
from federation.vertical.boosting.messages import Seal
from federation.vertical.guest import Trained
from federation.vertical.publishing.guest import prepare, retire
from federation.vertical.publishing.host import ALLOWED, PublishingHost
from federation.vertical.publishing.messages import Prepare, Prepared, Retire, Retired
from federation.vertical.scoring.guest import score
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import ScoringHost
from models.bundle import Half
from models.joint import JointHalf
from tests.builders import BANK, HOSTS, Problem, Session


@dataclass
class Kept:
    """Halves in memory, as a data node keeps them on its disk."""

    host: ScoringHost
    known: dict[str, JointHalf] = field(default_factory=dict)

    def stored(self, model_id: str, digest: str) -> JointHalf | None:
        return self.known.get(model_id)

    def check_shadow(self) -> None:
        self.host.policy.check_shadow()

    def hold(self, half: JointHalf) -> None:
        self.host.hold(half)

    def drop(self, model_id: str, digest: str) -> None:
        self.host.drop(model_id)


@dataclass
class Node:
    """A data node that answers both protocols."""

    kept: Kept

    def answer(self, request: Message) -> Message:
        publishing = PublishingHost(self.kept)
        return (publishing if isinstance(request, ALLOWED) else self.kept.host).answer(request)


@pytest.fixture(scope="module")
def session(problem: Problem) -> Session:
    return Session(problem)


@pytest.fixture(scope="module")
def trained(session: Session) -> Trained:
    return session.train()


@pytest.fixture
def nodes(session: Session, trained: Trained) -> dict[str, Node]:
    """They know their halves of ``m-1`` and answer for none."""
    found = {}
    for party, trainer in session.hosts.items():
        assert trainer.half
        found[party] = Node(Kept(ScoringHost(trainer.table, {}, trainer.policy), {"m-1": trainer.half}))
    return found


def wire(nodes: dict[str, Node]) -> MemoryWire:
    return MemoryWire({party: Endpoint(node, BANK, (*SCORING, *ALLOWED)).answer for party, node in nodes.items()})


def test_a_model_answers_once_prepared_and_until_retired(
    problem: Problem, trained: Trained, nodes: dict[str, Node]
) -> None:
    model, asked = trained.fitted.model, problem.guest.take(trained.arrangement.rows[:5])
    with pytest.raises(Refused, match="unknown_model"):
        run(score(model, asked), wire(nodes))
    run(prepare(model), wire(nodes))
    assert run(score(model, asked), wire(nodes)).margin.tobytes() == trained.fitted.margin[:5].tobytes()
    run(retire(model, HOSTS), wire(nodes))
    with pytest.raises(Refused, match="unknown_model"):
        run(score(model, asked), wire(nodes))


@pytest.mark.parametrize("party", HOSTS)
@pytest.mark.parametrize("fault", ["absent", "another digest", "another kind"])
def test_a_half_that_is_not_the_one_meant_is_refused(
    trained: Trained, nodes: dict[str, Node], party: str, fault: str
) -> None:
    model = trained.fitted.model
    kept = nodes[party].kept
    half = kept.known["m-1"]
    assert isinstance(half, Half)
    if fault == "absent":
        kept.known.clear()
    elif fault == "another digest":
        kept.known["m-1"] = replace(half, salt="00" * 16)
    if fault == "another kind":
        request = Prepare(model="scorecard", model_id="m-1", digest=half.digest(), shadow=False)
        with pytest.raises(LianmoError) as caught:
            nodes[party].answer(request)
        assert caught.value.code == "unknown_model"
    else:
        with pytest.raises(Refused) as refused:
            run(prepare(model), wire(nodes))
        assert (refused.value.party, refused.value.code) == (party, "unknown_model")
    assert kept.host.halves == {}


def test_data_without_a_column_of_the_half_are_refused_and_nothing_changes(
    session: Session, trained: Trained, nodes: dict[str, Node]
) -> None:
    party = HOSTS[0]
    host = nodes[party].kept.host
    host.table = host.table.select(())
    with pytest.raises(Refused) as refused:
        run(prepare(trained.fitted.model), wire(nodes))
    assert (refused.value.party, refused.value.code) == (party, "bad_data")
    assert host.halves == {}
    assert session.hosts[party].half


@pytest.mark.parametrize("party", HOSTS)
def test_a_shadow_is_refused_by_a_host_that_answers_none_and_nothing_changes(
    trained: Trained, nodes: dict[str, Node], party: str
) -> None:
    model = trained.fitted.model
    for name, node in nodes.items():
        node.kept.host.policy = replace(node.kept.host.policy, permit_shadow=None if name == party else everybody)
    with pytest.raises(Refused) as refused:
        run(prepare(model, shadow=True), wire(nodes))
    assert (refused.value.party, refused.value.code) == (party, "policy")
    assert nodes[party].kept.host.halves == {}
    run(prepare(model), wire(nodes))  # as one that answers it is welcome


def test_a_host_whose_terms_allow_no_shadow_at_this_moment_refuses_it(trained: Trained, nodes: dict[str, Node]) -> None:
    def still() -> None:
        raise LocalProtocolError("policy", "The terms do not list it.", "条款未列入。")

    for node in nodes.values():
        node.kept.host.policy = replace(node.kept.host.policy, permit_shadow=everybody, still_shadow=still)
    with pytest.raises(Refused, match="policy"):
        run(prepare(trained.fitted.model, shadow=True), wire(nodes))


def test_a_host_that_answers_with_something_else_is_named(trained: Trained, nodes: dict[str, Node]) -> None:
    wrong = FaultyWire(wire(nodes), lambda _, party, reply: encode(Retired()) if party == HOSTS[1] else reply)
    with pytest.raises(RemoteProtocolError, match=HOSTS[1]):
        run(prepare(trained.fitted.model), wrong)


PREPARE, RETIRE = "prepare", "retire"


@given(st.lists(st.sampled_from([PREPARE, RETIRE, "wrong digest", "wrong model"]), max_size=12))
def test_after_any_messages_the_last_that_fits_decides(trained: Trained, session: Session, sent: list[str]) -> None:
    trainer, party = session.hosts[HOSTS[0]], HOSTS[0]
    assert trainer.half
    node = Node(Kept(ScoringHost(trainer.table, {}, trainer.policy), {"m-1": trainer.half}))
    digest = trained.fitted.model.host_digests[party]
    held = False
    for what in sent:
        match what:
            case "prepare":
                assert node.answer(Prepare(model="trees", model_id="m-1", digest=digest, shadow=False)) == Prepared()
                held = True
            case "retire":
                assert node.answer(Retire(model_id="m-1", digest=digest)) == Retired()
                held = False
            case _:
                false = Prepare(
                    model="trees",
                    model_id="m-1" if what == "wrong digest" else "m-2",
                    digest="00" * 32 if what == "wrong digest" else digest,
                    shadow=False,
                )
                with pytest.raises(LianmoError):
                    node.answer(false)
        assert ("m-1" in node.kept.host.halves) == held


@pytest.mark.parametrize("request_", [Prepared(), Retired(), Seal(n_handles=0), Goodbye(code=""), Failure(code="x")])
def test_only_publishing_is_answered_here(nodes: dict[str, Node], request_: Message) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        PublishingHost(nodes[HOSTS[0]].kept).answer(request_)
    assert caught.value.code == "out_of_turn"


def test_a_question_that_began_before_a_half_was_dropped_is_refused_not_answered_with_another(
    problem: Problem, trained: Trained, nodes: dict[str, Node]
) -> None:
    model = trained.fitted.model
    run(prepare(model), wire(nodes))
    host = nodes[HOSTS[0]].kept.host
    half = host.halves["m-1"]
    assert isinstance(half, Half)
    host.hold(replace(half, salt="11" * 16))  # another half of the same model id takes its place
    with pytest.raises(Refused, match="unknown_model"):
        run(score(model, problem.guest.take(trained.arrangement.rows[:2])), wire(nodes))
