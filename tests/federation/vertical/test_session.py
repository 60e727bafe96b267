"""Whole training sessions: the same model however it is computed, and the culprit named when a host misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from federation.alignment.host import TRANSITIONS as ALIGNMENT
from federation.alignment.messages import RowsAccepted
from federation.audit.host import TRANSITIONS as AUDIT
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.ciphers.suite import CipherRules, secret_cipher
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import (
    LianmoError,
    LocalProtocolError,
    NotEncrypting,
    Refused,
    RemoteProtocolError,
    TransportError,
)
from federation.messages import Goodbye, Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import AmnesiacWire, FaultyWire, MemoryWire
from federation.vertical.binning.host import TRANSITIONS as BINNING
from federation.vertical.boosting.host import TRANSITIONS as BOOSTING
from federation.vertical.boosting.messages import Chosen, Grow, Ready, Sealed, Stored, Sums
from federation.vertical.guest import Arrangement, Trained, TrainingJob, train
from federation.vertical.host import ALLOWED, TrainingHost
from federation.vertical.logistic.host import TRANSITIONS as LOGISTIC
from federation.vertical.scorecard.messages import Selected
from federation.vertical.stability.host import TRANSITIONS as STABILITY
from models.boosting.parameters import BoostingParameters
from models.errors import DataError
from models.table import Table
from models.validation.metrics import auc
from tests.builders import BANK, HOSTS, PLAIN, SMALL, Problem, Session, fit_aligned, outline, vertical_problem
from tests.conftest import Key
from tests.federation.vertical.boosting.test_host import driven, messages


@pytest.fixture(scope="module")
def plain(problem: Problem) -> Trained:
    return Session(problem).train()


def real(key: Key) -> Callable[[int], object]:
    return lambda expected: key.secret(expected)


def test_all_parties_take_part_and_the_model_separates(problem: Problem, plain: Trained) -> None:
    held_out = slice(plain.arrangement.n_fit, None)
    label = problem.label[plain.arrangement.rows]
    assert {n.owner for t in plain.fitted.model.trees for n in t} == {"", BANK, *HOSTS}
    assert auc(label[held_out], plain.fitted.margin[held_out]) > 0.7


def test_encrypted_equals_plain_exactly(problem: Problem, plain: Trained, real_key: Key) -> None:
    policy = HostPolicy(min_rows_per_bin=1)  # plaintext not allowed at any party
    encrypted = Session(problem, cipher=real(real_key), policy=policy).train()
    assert outline(encrypted) == outline(plain)
    assert encrypted.fitted.margin.tobytes() == plain.fitted.margin.tobytes()


def test_a_session_repeats_itself_although_every_order_is_shuffled(problem: Problem, plain: Trained) -> None:
    again = Session(problem).train()
    assert outline(again) == outline(plain)
    assert again.fitted.margin.tobytes() == plain.fitted.margin.tobytes()
    assert again.fitted.model.digest() != plain.fitted.model.digest()  # fresh salts


def test_hosts_without_memory_build_the_same_model(problem: Problem, plain: Trained) -> None:
    session = Session(problem)
    forgetful = session.train(AmnesiacWire(BANK, session.builds, ALLOWED))
    assert outline(forgetful) == outline(plain)
    assert forgetful.fitted.margin.tobytes() == plain.fitted.margin.tobytes()


def test_encrypted_hosts_without_memory_build_the_same_model(problem: Problem, plain: Trained, real_key: Key) -> None:
    session = Session(problem, cipher=real(real_key), parameters=replace(SMALL, n_estimators=1))
    forgetful = session.train(AmnesiacWire(BANK, session.builds, ALLOWED))
    assert outline(forgetful) == outline(plain)[:1]


def test_the_joint_model_equals_its_pooled_twin_exactly(problem: Problem, plain: Trained) -> None:
    pooled = run(
        train(
            TrainingJob(
                model_id="m-1",
                party=BANK,
                table=problem.whole,
                label=problem.label,
                hosts=(),
                parameters=SMALL,
                new_cipher=lambda _: secret_cipher("plain", 0, PLAIN),
                arrange=lambda _: plain.arrangement,
            )
        ),
        MemoryWire({}),
    )
    assert pooled.fitted.margin.tobytes() == plain.fitted.margin.tobytes()
    assert [[n.value for n in t] for t in pooled.fitted.model.trees] == [
        [n.value for n in t] for t in plain.fitted.model.trees
    ]


@pytest.mark.parametrize("seed", range(8))
def test_pooled_twins_agree_on_held_out_rows_of_many_problems(seed: int) -> None:
    whole = vertical_problem(n=160, seed=seed)
    parameters = BoostingParameters(n_estimators=3, max_depth=5, min_child_samples=0, max_bin=12)
    names = tuple(whole.whole.columns)
    parts = [whole.whole.select(names[:2]), whole.whole.select(names[2:4]), whole.whole.select(names[4:])]
    joint = fit_aligned(parts, whole.label, 90, parameters)
    pooled = fit_aligned([whole.whole], whole.label, 90, parameters)
    assert joint.margin[:90].tobytes() == pooled.margin[:90].tobytes()
    assert joint.margin.tobytes() == pooled.margin.tobytes()


@pytest.mark.parametrize("floor", [5, 20])
def test_a_floor_keeps_the_model_useful_and_repeatable(problem: Problem, floor: int) -> None:
    first, again = (Session(problem, policy=HostPolicy(min_rows_per_bin=floor, cipher=PLAIN)).train() for _ in range(2))
    assert outline(first) == outline(again)
    label = problem.label[first.arrangement.rows]
    assert auc(label, first.fitted.margin) > 0.7


def test_every_leaf_holds_min_child_samples(problem: Problem) -> None:
    parameters = replace(SMALL, min_child_samples=25, max_depth=5)
    model = Session(problem, parameters=parameters).train().fitted.model
    sizes = [n.n_rows for t in model.trees for n in t if not n.owner]
    assert len(sizes) > 4
    assert min(sizes) >= 25


def test_early_stopping_keeps_the_best_number_of_trees(problem: Problem) -> None:
    parameters = replace(SMALL, n_estimators=60, learning_rate=0.8, early_stopping_rounds=3)
    names = tuple(problem.whole.columns)
    parts = [problem.whole.select(names[:2]), problem.whole.select(names[2:])]
    stopped = fit_aligned(parts, problem.label, 250, parameters, n_valid=80)
    losses = stopped.valid_loss
    best = int(np.argmin(losses)) + 1
    assert len(stopped.model.trees) == best < len(losses) == best + 3 < 60
    shorter = fit_aligned(parts, problem.label, 250, replace(parameters, n_estimators=best, early_stopping_rounds=0))
    assert outline(shorter) == outline(stopped)
    assert shorter.margin.tobytes() == stopped.margin.tobytes()


def test_the_halves_of_a_stopped_run_hold_only_cuts_in_use(problem: Problem) -> None:
    session = Session(problem, parameters=replace(SMALL, n_estimators=40, learning_rate=0.9, early_stopping_rounds=2))
    session.arrange = lambda rows: Arrangement(rows, 200, 80)
    model = session.train().fitted.model
    for party, host in session.hosts.items():
        assert host.half is not None
        assert host.half.digest() == model.host_digests[party]
        assert len(host.half.splits) == model.n_splits(party)
    assert len(model.own.splits) == model.n_splits(BANK)


# -- refusals ----------------------------------------------------------------------------------------------------


def test_no_common_applicant_is_a_data_error(problem: Problem) -> None:
    strangers = {p: Table(tuple(f"{p}-{k}" for k in range(len(t))), t.columns) for p, t in problem.hosts.items()}
    with pytest.raises(DataError) as caught:
        Session(replace(problem, hosts=strangers)).train()
    assert caught.value.code == "no_common_applicants"


def test_too_few_rows_are_refused_by_the_host(problem: Problem) -> None:
    with pytest.raises(Refused) as caught:
        Session(problem, policy=HostPolicy(min_rows=10_000, cipher=PLAIN)).train()
    assert (caught.value.party, caught.value.code) == (HOSTS[0], "too_few_rows")


def test_a_plain_run_is_refused_by_the_hosts_alone(problem: Problem) -> None:
    with pytest.raises(Refused) as caught:
        Session(problem, policy=HostPolicy()).train()
    assert caught.value.code == "not_encrypting"


def test_a_plain_run_is_refused_by_the_guest_alone(problem: Problem) -> None:
    with pytest.raises(NotEncrypting):
        Session(problem, cipher=lambda k: secret_cipher("plain", 2048, CipherRules(), k)).train()


def test_a_short_key_is_refused_by_the_hosts_alone(problem: Problem, short_keys: Key) -> None:
    with pytest.raises(Refused) as caught:
        Session(problem, cipher=real(short_keys), policy=HostPolicy(min_rows_per_bin=1)).train()
    assert caught.value.code == "key_too_short"


def test_a_label_of_one_class_is_refused(problem: Problem) -> None:
    with pytest.raises(LianmoError):
        Session(replace(problem, label=np.zeros(len(problem.label)))).train().fitted.model.digest()


# -- every state, every message ----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize("stage", ["new", "chosen"])
def test_a_training_host_refuses_out_of_turn_and_changes_nothing(problem: Problem, stage: str, which: int) -> None:
    host = TrainingHost(HOSTS[0], problem.hosts[HOSTS[0]], HostPolicy(min_rows=1, cipher=PLAIN))
    if stage == "chosen":
        alignment = {kind.kind: kind for _, kind in ALIGNMENT}
        host.answer(alignment["alignment.tokens_wanted"]())
        host.answer(alignment["alignment.rows_chosen"](positions=np.arange(50, dtype=np.uint32).tobytes()))
        requests: list[Message] = [*messages(driven("open"))[1:], alignment["alignment.tokens_wanted"]()]
    else:
        requests = messages(driven("open"))
    before = host.dump()
    with pytest.raises(LocalProtocolError) as caught:
        host.answer(requests[which])
    assert caught.value.code == "out_of_turn"
    assert host.dump() == before


def test_the_door_opens_for_the_messages_of_the_tables_only() -> None:
    tables = (*ALIGNMENT, *BOOSTING, *BINNING, *LOGISTIC, *STABILITY, *AUDIT)
    assert set(ALLOWED) == {kind for _, kind in tables} | {Selected}


@dataclass
class Answering:
    answer: Callable[[Message], Message]


# -- hosts that misbehave ----------------------------------------------------------------------------------------

CULPRIT = HOSTS[1]


def spoilt(
    problem: Problem, kind: type[Message], change: Callable[[Message], bytes | None], nth: int = 0
) -> LianmoError:
    """What the guest raises when the ``nth`` reply of ``kind`` from the culprit is changed."""
    met = 0

    def damage(count: int, party: str, frame: bytes) -> bytes | None:
        nonlocal met
        message = decode(frame, party)
        if party != CULPRIT or not isinstance(message, kind):
            return frame
        met += 1
        return change(message) if met == nth + 1 else frame

    with pytest.raises(LianmoError) as caught:
        Session(problem).train(FaultyWire(Session(problem).wire(), damage))
    return caught.value


def edit(**changes: object) -> Callable[[Message], bytes]:
    return lambda message: encode(replace(message, **changes))


def scaled(factor: int) -> Callable[[Message], bytes]:
    """Sums multiplied: still well-formed, but no rows can have them."""
    cipher = PlainPublic()
    return lambda m: encode(
        replace(m, ciphertexts=cipher.dump(c * factor % 2**2048 for c in cipher.load(m.ciphertexts)))
    )


REPLIES = (RowsAccepted, Ready, Stored, Sums, Chosen, Sealed)


@pytest.mark.parametrize("kind", REPLIES, ids=lambda k: k.__name__)
@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (lambda m: b"rubbish", RemoteProtocolError, "unreadable"),
        (lambda m: encode(m)[:-1], RemoteProtocolError, "unreadable"),
        (lambda m: encode(Goodbye(code="")), RemoteProtocolError, "out_of_turn"),
        (lambda m: None, TransportError, "party_left"),
    ],
    ids=["rubbish", "truncated", "another kind", "dropped"],
)
def test_any_damaged_reply_names_the_culprit(
    problem: Problem, kind: type[Message], change: Callable, error: type[LianmoError], code: str
) -> None:
    found = spoilt(problem, kind, change)
    assert type(found) is error
    assert (found.party, found.code) == (CULPRIT, code)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Ready, edit(n_candidates=-1)),
        (Ready, edit(n_candidates=10**9)),
        (Ready, edit(n_candidates=3)),
        (Stored, edit(n_rows=1)),
        (Sums, edit(flags=b"")),
        (Sums, lambda m: encode(replace(m, flags=m.flags + b"\0"))),
        (Sums, edit(ciphertexts=b"")),
        (Sums, lambda m: encode(replace(m, ciphertexts=m.ciphertexts[256:]))),
        (Sums, lambda m: encode(replace(m, ciphertexts=m.ciphertexts + b"\1" * 256))),
        (Sums, scaled(10**6)),
        (Sums, scaled(-1)),
        (Sums, lambda m: encode(replace(m, ciphertexts=b"\x7f" * len(m.ciphertexts)))),
        (Chosen, edit(left=b"")),
        (Chosen, lambda m: encode(replace(m, left=m.left + b"\0"))),
        (Chosen, lambda m: encode(replace(m, left=b"\xff" * len(m.left)))),
        (Chosen, lambda m: encode(replace(m, left=b"\0" * len(m.left)))),
        (Chosen, edit(handles=())),
        (Chosen, lambda m: encode(replace(m, handles=tuple(h + 1 for h in m.handles)))),
        (Chosen, lambda m: encode(replace(m, handles=(*m.handles, 99)))),
    ],
)
def test_replies_that_do_not_fit_name_the_culprit(problem: Problem, kind: type[Message], change: Callable) -> None:
    found = spoilt(problem, kind, change)
    assert type(found) is RemoteProtocolError
    assert (found.party, found.code) == (CULPRIT, "bad_value")


def test_a_host_that_never_came_is_named(problem: Problem) -> None:
    session = Session(problem)
    there = {party: answer for party, answer in session.wire().hosts.items() if party != CULPRIT}
    with pytest.raises(TransportError) as caught:
        session.train(MemoryWire(there))
    assert (caught.value.party, caught.value.code) == (CULPRIT, "party_absent")


def test_a_host_that_fails_inside_is_named_and_tells_nothing(problem: Problem) -> None:
    session = Session(problem)

    def broken(request: Message) -> Message:
        raise RuntimeError(session.problem.guest.ids[0])

    answer = Endpoint(Answering(broken), BANK, ALLOWED).answer
    with pytest.raises(Refused) as caught:
        session.train(MemoryWire({**session.wire().hosts, CULPRIT: answer}))
    assert (caught.value.party, caught.value.code) == (CULPRIT, "internal")
    assert session.problem.guest.ids[0] not in str(caught.value)


def sums_outside_the_group(problem: Problem, key: Key) -> LianmoError:
    session = Session(problem, cipher=real(key))

    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        if party == CULPRIT and isinstance(message, Sums):
            return encode(replace(message, ciphertexts=bytes(len(message.ciphertexts))))
        return frame

    with pytest.raises(LianmoError) as caught:
        session.train(FaultyWire(session.wire(), damage))
    return caught.value


def test_sums_outside_the_group_stop_the_run(problem: Problem, real_key: Key) -> None:
    assert sums_outside_the_group(problem, real_key).code in {"bad_ciphertext", "bad_value"}


def test_sums_outside_the_group_name_the_culprit(problem: Problem, real_key: Key) -> None:
    found = sums_outside_the_group(problem, real_key)
    assert isinstance(found, RemoteProtocolError)
    assert found.party == CULPRIT


def test_a_host_that_parts_other_rows_than_it_summed_is_named(problem: Problem) -> None:
    def flipped(message: Message) -> bytes:
        bits = np.unpackbits(np.frombuffer(message.left, np.uint8))
        set_ = np.flatnonzero(bits)
        bits[set_[: len(set_) // 3]] = 0
        return encode(replace(message, left=np.packbits(bits).tobytes()))

    found = spoilt(problem, Chosen, flipped)
    assert found.party == CULPRIT


# -- what the guest keeps to itself --------------------------------------------------------------------------------


def test_hosts_are_not_told_how_the_last_level_parts_the_rows(problem: Problem) -> None:
    """Row sets of leaves correlate with labels (E4, E5): only cuts whose children need sums are told."""
    session = Session(problem, parameters=replace(SMALL, max_depth=3))
    told: list[Grow] = []

    def witness(sender: str, _receiver: str, message: Message, _size: int) -> None:
        if not sender and isinstance(message, Grow):
            told.append(message)

    trained = run(session.script(), session.wire(), witness)
    for tree_index, tree in enumerate(trained.fitted.model.trees):
        depth = {0: 0}
        for k, node in enumerate(tree):
            if node.owner:
                depth |= {node.left: depth[k] + 1, node.right: depth[k] + 1}
        cuts = [cut for m in told if m.tree == tree_index for cut in m.cuts]
        assert all(depth[left] < 3 and depth[right] < 3 for _, left, right in cuts)
        in_pairs = {k for m in told if m.tree == tree_index for pair in m.pairs for k in pair}
        assert {child for _, *children in cuts for child in children} <= in_pairs
    assert any(m.cuts for m in told)


@pytest.mark.parametrize("excess", [2**40, -(2**40)])
def test_sums_that_no_rows_can_have_name_the_culprit(problem: Problem, excess: int) -> None:
    """Shifts the lowest packed value: a slot still holds it, but no rows of the node can sum to it."""

    def damage(message: Sums) -> bytes:
        cipher = PlainSecret()
        numbers = cipher.decrypt(message.ciphertexts)
        return encode(replace(message, ciphertexts=cipher.encrypt([numbers[0] + excess, *numbers[1:]])))

    found = spoilt(problem, Sums, damage)
    assert isinstance(found, RemoteProtocolError)
    assert found.party == CULPRIT
