"""Trees that hosts hear nothing of, and trees added to a model: 5 and 5 more are 10 at once, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.errors import LianmoError, Refused, RemoteProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import AmnesiacWire, FaultyWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Open, Ready
from federation.vertical.guest import Trained, TrainingJob, train
from federation.vertical.host import ALLOWED
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.errors import DataError, ModelError
from models.table import Table
from tests.builders import BANK, HOSTS, PLAIN, SMALL, Problem, Session, fit_aligned, numbers, outline, three_quarters
from tests.conftest import Key
from tests.federation.vertical.boosting.test_host import driven, table
from tests.federation.vertical.test_oracle import cut_in

FIVE = replace(SMALL, n_estimators=5)
TEN = replace(SMALL, n_estimators=10)


def trained(session: Session, start: JointModel | None = None, wire: object = None) -> Trained:
    job = TrainingJob(
        model_id="m-1" if start is None else "m-2",
        party=BANK,
        table=session.problem.guest,
        label=session.problem.label,
        hosts=tuple(session.problem.hosts),
        parameters=session.parameters,
        new_cipher=session.cipher,
        arrange=session.arrange,
        start=start,
    )
    return run(train(job), wire or session.wire())


def continued(session: Session, earlier: Session) -> Session:
    for party, host in session.hosts.items():
        host.earlier = earlier.hosts[party].half
    return session


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"feature_fraction": 0.5},
        {"data_sample_strategy": "goss", "learning_rate": 0.5, "top_rate": 0.4},
        {"bagging_fraction": 0.6, "use_quantized_grad": True, "num_leaves": 5},
        {"objective": "regression", "first_trees_guest_only": 2},
        {"monotone_constraints": {"loan_amount": 1}},
    ],
    ids=str,
)
def test_five_trees_and_five_more_are_ten_at_once(problem: Problem, changes: dict[str, object]) -> None:
    ten = Session(problem, parameters=replace(TEN, **changes))
    expected = trained(ten)
    five = Session(problem, parameters=replace(FIVE, **changes))
    start = JointModel.from_json(trained(five).fitted.model.to_json())
    more = continued(Session(problem, parameters=ten.parameters), five)
    found = trained(more, start)
    assert outline(found) == outline(expected)
    assert found.fitted.margin.tobytes() == expected.fitted.margin.tobytes()
    for party in HOSTS:
        assert more.hosts[party].half.splits == ten.hosts[party].half.splits
        assert more.hosts[party].half.digest() == found.fitted.model.host_digests[party]
    assert found.fitted.model.own.splits == expected.fitted.model.own.splits


def test_early_stopping_goes_on_as_if_it_had_never_paused(problem: Problem) -> None:
    p = replace(SMALL, n_estimators=40, learning_rate=0.8, early_stopping_rounds=3)

    def watched(parameters: BoostingParameters) -> Session:
        session = Session(problem, parameters=parameters)
        session.arrange = lambda rows: replace(three_quarters(rows), n_fit=200, n_valid=80)
        return session

    expected = trained(watched(p))
    assert len(expected.fitted.valid_loss) < 40
    one = watched(replace(p, n_estimators=1))
    start = trained(one).fitted.model
    found = trained(continued(watched(p), one), start)
    assert found.fitted.valid_loss == expected.fitted.valid_loss
    assert outline(found) == outline(expected)


def test_forgetful_and_encrypted_hosts_go_on_alike(problem: Problem, real_key: Key) -> None:
    two, three = (replace(SMALL, n_estimators=n) for n in (2, 3))
    first = Session(problem, parameters=two)
    start = trained(first).fitted.model
    expected = outline(trained(continued(Session(problem, parameters=three), first), start))
    forgetful = Session(problem, parameters=three)
    builds = forgetful.builds

    def build(party: str) -> Callable[[], object]:
        def made() -> object:
            host = builds[party]()
            host.earlier = first.hosts[party].half
            return host

        return made

    wire = AmnesiacWire(BANK, {party: build(party) for party in builds}, ALLOWED)
    assert outline(trained(forgetful, start, wire)) == expected
    encrypted = continued(Session(problem, parameters=three, cipher=lambda _: real_key.secret()), first)
    assert outline(trained(encrypted, start)) == expected


def test_the_first_trees_are_the_banks_and_hosts_hear_nothing_of_them(problem: Problem) -> None:
    parts, p = cut_in(problem.whole, 2, 2, 2), replace(SMALL, n_estimators=5, first_trees_guest_only=2)
    session, seen = Session(problem, parameters=p), []

    def witness(sender: str, _receiver: str, message: Message, _size: int) -> None:
        if not sender and hasattr(message, "tree"):
            seen.append(message.tree)

    model = run(session.script(), session.wire(), witness).fitted.model
    owners = [{n.owner for n in tree} - {""} for tree in model.trees]
    assert owners[0] == owners[1] == {BANK}
    assert all(o & set(HOSTS) for o in owners[2:])
    assert set(seen) == {2, 3, 4}
    joint = fit_aligned(parts, problem.label, 300, p)
    alone = fit_aligned(parts[:1], problem.label, 300, replace(p, n_estimators=2, first_trees_guest_only=0))
    assert outline(joint)[:2] == outline(alone)


def test_a_bank_without_a_useful_feature_makes_leaves_of_its_first_trees(problem: Problem) -> None:
    parts = cut_in(problem.whole, 0, 6)
    model = fit_aligned(parts, problem.label, 300, replace(SMALL, first_trees_guest_only=1)).model
    assert [len(tree) == 1 for tree in model.trees] == [True, False]


@pytest.mark.parametrize("wrong", [-1, 2, 50])
def test_hosts_take_part_in_at_least_one_tree(wrong: int) -> None:
    with pytest.raises(ModelError, match="first_trees_guest_only"):
        replace(SMALL, first_trees_guest_only=wrong)
    c = driven("closed")
    host = BoostingHost("host:a", table(), HostPolicy(3, min_rows=1, cipher=PLAIN))
    with pytest.raises(LianmoError) as caught:
        host.answer(c.opening(first_tree=wrong if wrong != 2 else 3))
    assert caught.value.code == "bad_value"


# -- what does not belong together ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(problem: Problem) -> Session:
    session = Session(problem)
    session.model = trained(session).fitted.model
    return session


def test_a_host_without_its_earlier_half_refuses(problem: Problem, two: Session) -> None:
    with pytest.raises(Refused) as caught:
        trained(Session(problem, parameters=FIVE), two.model)
    assert (caught.value.party, caught.value.code) == (HOSTS[0], "unknown_model")
    other = continued(Session(problem, parameters=FIVE), two)
    other.hosts[HOSTS[1]].earlier = replace(two.hosts[HOSTS[1]].half, salt="another")
    with pytest.raises(Refused) as caught:
        trained(other, two.model)
    assert (caught.value.party, caught.value.code) == (HOSTS[1], "unknown_model")


def start_over(model: JointModel, problem: Problem, hosts: tuple[str, ...], p: BoostingParameters) -> JointBoosting:
    rows = TrainingRows(problem.guest, problem.label, 300)
    return JointBoosting("m-2", BANK, rows, hosts, PlainSecret(), p, start=model)


def test_other_parties_objectives_or_too_few_trees_are_refused(problem: Problem, two: Session) -> None:
    for hosts, p in (
        (HOSTS[:1], FIVE),
        (HOSTS, replace(FIVE, objective="regression")),
        (HOSTS, SMALL),
    ):
        with pytest.raises(ModelError) as caught:
            start_over(two.model, problem, hosts, p)
        assert caught.value.code == "warm_start"
    assert start_over(two.model, problem, HOSTS, FIVE).own.splits == list(two.model.own.splits)


def test_rows_outside_the_earlier_bins_are_refused_by_name(problem: Problem) -> None:
    whole = Table(("a", "b", "c", "d"), {"x": numbers(1, 2, 3, 4), "y": numbers(1, 1, 2, 2)})
    label = np.array([0.0, 1.0, 1.0, 0.0])
    p = replace(SMALL, min_child_samples=0, n_estimators=1)
    model = fit_aligned([whole], label, 4, p).model
    later = Table(whole.ids, {"x": numbers(1, 2, 3, 4), "y": numbers(1, 1, np.nan, 2)})
    rows = TrainingRows(later, label, 4)
    with pytest.raises(DataError, match="y") as caught:
        JointBoosting("m-2", BANK, rows, (), PlainSecret(), replace(p, n_estimators=2), start=model)
    assert caught.value.code == "bins_do_not_fit"
    watching = TrainingRows(later, label, 2, 2)  # rows that only watch may hold anything
    JointBoosting("m-2", BANK, watching, (), PlainSecret(), replace(p, n_estimators=2), start=model)
    with pytest.raises(ModelError, match="y"):
        model.own.codes(later.select(("x",)), 2)


@pytest.mark.parametrize("change", [lambda m: m.left[:-1], lambda m: m.left + b"\0", lambda m: b""])
def test_sides_that_do_not_fit_name_the_culprit(problem: Problem, two: Session, change: Callable) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        spoil = party == HOSTS[1] and isinstance(message, Ready)
        return encode(replace(message, left=change(message))) if spoil else frame

    session = continued(Session(problem, parameters=FIVE), two)
    with pytest.raises(RemoteProtocolError) as caught:
        trained(session, two.model, FaultyWire(session.wire(), damage))
    assert (caught.value.party, caught.value.code) == (HOSTS[1], "bad_value")


def test_sides_that_were_not_asked_for_name_the_culprit(problem: Problem) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        return encode(replace(message, left=b"\0")) if isinstance(message, Ready) else frame

    session = Session(problem)
    with pytest.raises(RemoteProtocolError) as caught:
        session.train(FaultyWire(session.wire(), damage))
    assert caught.value.code == "bad_value"


def test_a_new_model_tells_hosts_that_it_is_new(problem: Problem) -> None:
    session, seen = Session(problem), []

    def witness(sender: str, _receiver: str, message: Message, _size: int) -> None:
        if isinstance(message, Open | Ready):
            seen.append(getattr(message, "continues", "") or getattr(message, "left", b""))

    run(session.script(), session.wire(), witness)
    assert [bool(s) for s in seen] == [False] * 4
