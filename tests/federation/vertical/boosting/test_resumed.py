"""A run that dies and goes on is the run that never died: whatever has state, at every tree, with every party new."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from federation.checkpoint import rows_digest
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import LocalProtocolError, PartyId, Refused, RemoteProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import FaultyWire, MemoryWire
from federation.vertical.boosting.checkpoint import GuestCheckpoint, HostCheckpoint
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Keep, Kept, Open, Ready, Recall, Recalled
from federation.vertical.guest import Trained, train
from federation.vertical.host import ALLOWED, TrainingHost
from models.bundle import JointModel
from models.table import Table
from tests.builders import BANK, HOSTS, PLAIN, SMALL, Problem, Session, outline, three_quarters
from tests.conftest import Key
from tests.federation.vertical.boosting.test_host import driven

EIGHT = replace(SMALL, n_estimators=8)


class Died(Exception):
    """What a power cut looks like from inside."""


@dataclass
class Disks:
    """What survives: bytes, the last two of each party, newest first."""

    bank: list[bytes] = field(default_factory=list)
    hosts: dict[PartyId, list[bytes]] = field(default_factory=dict)
    tables: Mapping[PartyId, Table] | None = None
    lives: int = 0
    seen: list[Message] = field(default_factory=list)


@dataclass
class Every:
    """Keeps after every tree, and dies once it has kept ``life`` times."""

    disks: Disks
    life: int

    def due(self) -> bool:
        return True

    def keep(self, checkpoint: GuestCheckpoint) -> None:
        self.disks.bank = [checkpoint.dump(), *self.disks.bank[:1]]
        self.life -= 1
        if not self.life:
            raise Died


@dataclass
class Storing:
    """A host as a node runs it: what it is told to keep is on the disk before it answers."""

    host: TrainingHost
    disks: Disks

    def answer(self, request: Message) -> Message:
        reply = self.host.answer(request)
        if isinstance(request, Keep):
            mine = self.disks.hosts.setdefault(self.host.party, [])
            self.disks.hosts[self.host.party] = [self.host.checkpoint.dump(), *mine[:1]]
        return reply


def live(
    session: Session,
    disks: Disks,
    life: int = 0,
    faulty: Callable[[Wire], Wire] = lambda wire: wire,
    start: JointModel | None = None,
    earlier: Mapping[PartyId, object] | None = None,
) -> tuple[Trained, dict[PartyId, TrainingHost]]:
    """One session of parties that know only what is on their disks."""
    disks.lives += 1
    if disks.tables:
        session = replace(session, problem=replace(session.problem, hosts=disks.tables))
    hosts = {party: build() for party, build in session.builds.items()}
    for party, host in hosts.items():
        host.kept = [HostCheckpoint.load(data) for data in disks.hosts.get(party, [])]
        host.earlier = (earlier or {}).get(party)
    job = replace(
        session.job,
        kept=[GuestCheckpoint.load(data) for data in disks.bank],
        keeping=Every(disks, life),
        start=start,
    )
    wire = MemoryWire({p: Endpoint(Storing(h, disks), BANK, ALLOWED).answer for p, h in hosts.items()})
    found = run(train(job), faulty(wire), lambda *said: disks.seen.append(said[2]))
    return found, hosts


def live_until_done(session: Session, life: int = 1, **start: object) -> tuple[Trained, dict, Disks]:
    disks = Disks()
    while True:
        try:
            return *live(session, disks, life, **start), disks
        except Died:
            assert disks.lives < 30


def model_of(found: Trained, hosts: Mapping[PartyId, TrainingHost]) -> object:
    """All that must be the same; model ids and salts are drawn anew for every model."""
    model = found.fitted.model
    for party, host in hosts.items():
        assert host.half.digest() == model.host_digests[party]
    halves = [(half.bins, half.splits) for half in (model.own, *(hosts[p].half for p in sorted(hosts)))]
    return outline(found), model.base_margin, halves, found.fitted.valid_loss, found.fitted.margin.tobytes()


def watched(session: Session) -> Session:
    session.arrange = lambda rows: replace(three_quarters(rows), n_fit=200, n_valid=80)
    return session


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"early_stopping_rounds": 3, "learning_rate": 0.8, "n_estimators": 25},
        {"data_sample_strategy": "goss", "learning_rate": 0.5, "top_rate": 0.4},
        {"bagging_fraction": 0.6, "feature_fraction": 0.5},
        {"use_quantized_grad": True, "num_leaves": 5},
        {"objective": "regression", "first_trees_guest_only": 3},
        {"own_cuts_only": True},
    ],
    ids=str,
)
def test_dying_after_every_tree_changes_nothing(problem: Problem, changes: dict[str, object]) -> None:
    session = watched(Session(problem, parameters=replace(EIGHT, **changes)))
    expected = model_of(*live(session, Disks()))
    found, hosts, disks = live_until_done(session)
    assert model_of(found, hosts) == expected
    assert disks.lives == len(found.fitted.valid_loss)  # one tree each


@pytest.mark.parametrize("seed", range(12))
def test_dying_at_any_message_changes_nothing(problem: Problem, seed: int) -> None:
    """Hosts may be one checkpoint ahead of the guest, or not have heard of it."""
    session = watched(Session(problem, parameters=replace(EIGHT, early_stopping_rounds=3)))
    expected = model_of(*live(session, Disks()))
    rng, disks = random.Random(seed), Disks()

    def cut_off(wire: Wire) -> Wire:
        last, at = rng.randrange(8, 30) if disks.lives < 9 else 10_000, rng.choice(HOSTS)

        def damage(count: int, party: PartyId, reply: bytes) -> bytes:
            if count >= last and party == at:
                raise Died
            return reply

        return FaultyWire(wire, damage)

    while True:
        try:
            found, hosts = live(session, disks, faulty=cut_off)
            break
        except Died:
            continue
    assert model_of(found, hosts) == expected
    assert disks.lives > 2


def test_a_continuation_of_a_continuation_goes_on_alike(problem: Problem) -> None:
    start, halves = None, {}
    for n in (2, 4, 7):
        session = Session(problem, parameters=replace(SMALL, n_estimators=n))
        more = {"start": start, "earlier": dict(halves)}
        expected = model_of(*live(session, Disks(), **more))
        found, hosts, disks = live_until_done(session, **more)
        assert model_of(found, hosts) == expected
        assert disks.lives > 1 or n == 2
        start, halves = found.fitted.model, {party: host.half for party, host in hosts.items()}
    ten = Session(problem, parameters=replace(SMALL, n_estimators=7))
    assert outline(live(ten, Disks())[0]) == outline(found)


def test_encrypted_runs_go_on_under_another_key(problem: Problem, short_keys: Key, real_key: Key) -> None:
    session = Session(problem, parameters=replace(SMALL, n_estimators=3))
    expected = model_of(*live(session, Disks()))
    disks = Disks()
    with pytest.raises(Died):
        live(session, disks, life=1)
    session.cipher = lambda _: real_key.secret()
    assert model_of(*live(session, disks)) == expected


def test_resuming_tells_the_bank_nothing_that_training_does_not(problem: Problem) -> None:
    """No side of any row at earlier cuts is told again, unlike when trees are added to a finished model."""
    disks = Disks()
    session = Session(problem, parameters=EIGHT)
    with pytest.raises(Died):
        live(session, disks, life=5)
    disks.seen.clear()
    live(session, disks)
    assert [m.left for m in disks.seen if isinstance(m, Ready)] == [b"", b""]
    assert all(m.continues for m in disks.seen if isinstance(m, Open))
    kept = [m for m in disks.seen if isinstance(m, Kept)]
    assert kept
    digests = [k.digest for k in kept]
    assert len(set(digests)) == len(digests)


def test_a_run_that_is_not_resumed_asks_for_no_checkpoint(problem: Problem) -> None:
    disks = Disks()
    live(Session(problem), disks)
    assert not [m for m in disks.seen if isinstance(m, Recall | Recalled)]


# -- what is lost or damaged ---------------------------------------------------------------------------------------


def died_at(problem: Problem, life: int) -> tuple[Session, Disks, object]:
    session = Session(problem, parameters=EIGHT)
    expected = model_of(*live(session, Disks()))
    disks = Disks()
    with pytest.raises(Died):
        live(session, disks, life=life)
    disks.seen.clear()
    return session, disks, expected


def first_tree(disks: Disks) -> int:
    return next(m.first_tree for m in disks.seen if isinstance(m, Open))


def test_the_newest_that_all_have_is_used(problem: Problem) -> None:
    session, disks, expected = died_at(problem, 5)
    del disks.hosts[HOSTS[1]][0]
    assert model_of(*live(session, disks)) == expected
    assert first_tree(disks) == 4


def test_without_one_that_all_have_the_run_begins_anew(problem: Problem) -> None:
    session, disks, expected = died_at(problem, 5)
    disks.hosts[HOSTS[1]] = []
    assert model_of(*live(session, disks)) == expected
    assert first_tree(disks) == 0


def test_a_host_that_answers_for_other_checkpoints_is_named(problem: Problem) -> None:
    session, disks, _ = died_at(problem, 5)

    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        spoil = party == HOSTS[1] and isinstance(message, Recalled)
        return encode(Recalled(held=message.held[:1])) if spoil else frame

    with pytest.raises(RemoteProtocolError) as caught:
        live(session, disks, faulty=lambda wire: FaultyWire(wire, damage))
    assert (caught.value.party, caught.value.code) == (HOSTS[1], "bad_value")


# -- what changed in between ---------------------------------------------------------------------------------------


def without_one(table: Table, ids: set[str]) -> Table:
    gone = next(i for i in table.ids if i in ids)
    return table.take(np.flatnonzero([i != gone for i in table.ids]))


def test_a_withdrawn_applicant_ends_it(problem: Problem) -> None:
    session, disks, _ = died_at(problem, 3)
    common = set.intersection(*(set(t.ids) for t in (problem.guest, *problem.hosts.values())))
    disks.tables = {**problem.hosts, HOSTS[0]: without_one(problem.hosts[HOSTS[0]], common)}
    with pytest.raises(LocalProtocolError) as caught:
        live(session, disks)
    assert caught.value.code == "rows_changed"


def test_a_value_that_changed_at_a_host_ends_it(problem: Problem) -> None:
    session, disks, _ = died_at(problem, 3)
    table = problem.hosts[HOSTS[0]]
    column = table.columns["tax_arrears_days"] + 1.0
    disks.tables = {**problem.hosts, HOSTS[0]: Table(table.ids, {**table.columns, "tax_arrears_days": column})}
    with pytest.raises(Refused) as caught:
        live(session, disks)
    assert (caught.value.party, caught.value.code) == (HOSTS[0], "rows_changed")


def test_a_host_refuses_other_rows_even_if_nobody_asks_what_it_holds(problem: Problem) -> None:
    """The guard stands where trees are added, not only where checkpoints are looked for."""
    c = driven("growing")
    c.host.answer(Keep(n_handles=0))
    kept = c.host.checkpoint
    rows = np.arange(len(c.table))[::-1]
    other = BoostingHost("host:a", c.table.take(rows), c.host.policy, kept=[kept])
    with pytest.raises(LocalProtocolError) as caught:
        other.answer(c.opening(continues=kept.sealed.digest()))
    assert caught.value.code == "rows_changed"
    same = BoostingHost("host:a", c.table, c.host.policy, kept=[kept])
    assert isinstance(same.answer(c.opening(continues=kept.sealed.digest())), Ready)


@pytest.mark.parametrize("change", [{"min_rows_per_bin": 4}, {"share_levels": False}])
def test_a_rule_of_the_host_that_changed_ends_it(change: dict[str, object]) -> None:
    c = driven("growing")
    c.host.answer(Keep(n_handles=0))
    kept = c.host.checkpoint
    other = BoostingHost("host:a", c.table, replace(c.host.policy, **change), kept=[kept])
    with pytest.raises(LocalProtocolError) as caught:
        other.answer(Recall(digests=(kept.sealed.digest(),)))
    assert caught.value.code == "rows_changed"


@pytest.mark.parametrize("change", [{"learning_rate": 0.3}, {"random_state": 7}])
def test_parameters_of_the_bank_that_changed_end_it(problem: Problem, change: dict[str, object]) -> None:
    _, disks, _ = died_at(problem, 3)
    with pytest.raises(LocalProtocolError) as caught:
        live(Session(problem, parameters=replace(EIGHT, **change)), disks)
    assert caught.value.code == "rows_changed"


def test_a_label_that_changed_ends_it(problem: Problem) -> None:
    _, disks, _ = died_at(problem, 3)
    label = problem.label.copy()
    label[::7] = 1 - label[::7]
    with pytest.raises(LocalProtocolError) as caught:
        live(Session(replace(problem, label=label), parameters=EIGHT), disks)
    assert caught.value.code == "rows_changed"


def test_the_digest_of_rows_depends_on_all_of_them() -> None:
    table = Table(("a", "b"), {"x": np.array([1.0, 2.0]), "c": np.array(["u", None], dtype=object)})
    label = np.array([0.0, 1.0])
    others = [
        (Table(("b", "a"), table.columns), {}, label),
        (Table(("a", "b"), {**table.columns, "x": np.array([1.0, 3.0])}), {}, label),
        (Table(("a", "b"), {**table.columns, "c": np.array(["u", "v"], dtype=object)}), {}, label),
        (Table(("a", "b"), {"y": table.columns["x"], "c": table.columns["c"]}), {}, label),
        (table, {"rule": 1}, label),
        (table, {}, label[::-1]),
        (table, {}, None),
    ]
    digests = [rows_digest(table, {}, label), *(rows_digest(t, terms, more) for t, terms, more in others)]
    assert len(set(digests)) == len(digests)
    assert rows_digest(table, {}, label) == digests[0]


def test_a_host_keeps_only_all_of_its_cuts() -> None:
    c = driven("growing")
    with pytest.raises(LocalProtocolError) as caught:
        c.host.answer(Keep(n_handles=1))
    assert caught.value.code == "bad_value"
    assert c.host.checkpoint is None
    for phase in ("closed", "sealed"):
        host = driven(phase).host if phase == "sealed" else BoostingHost("host:a", c.table, HostPolicy(3, cipher=PLAIN))
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(Keep(n_handles=0))
        assert caught.value.code == "out_of_turn"


def test_checkpoints_do_not_show_what_they_hold(problem: Problem) -> None:
    _, disks, _ = died_at(problem, 2)
    assert "redacted" in repr(GuestCheckpoint.load(disks.bank[0]))
    assert "redacted" in repr(HostCheckpoint.load(disks.hosts[HOSTS[0]][0]))
