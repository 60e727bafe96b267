"""Scorecards are scored as they were fitted, explained as their hosts allow, and nothing more of a host is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest

from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import LianmoError, Refused, RemoteProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import FaultyWire, MemoryWire
from federation.vertical.scorecard.guest import Developed
from federation.vertical.scoring.guest import Scored, score
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import BlindedApplicants, EvaluatedApplicants, Parts, Wanted
from models.errors import ModelError
from models.joint import joint_from_json
from models.reasons import Player, Words
from models.scorecard.card import JointScorecard, ScorecardRules, woe_of
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import SelectionRules
from models.table import Table
from tests.builders import BANK, HOSTS, vertical_problem
from tests.federation.test_leakage import Recording
from tests.federation.vertical.scorecard.test_session import Session, rows_of

TAX, TELECOM = HOSTS
WORDS: dict[str, Words] = {"tax_arrears_days": ("Arrears of tax", "欠税")}
EVERYTHING = SelectionRules(min_information_value=0.0)


@dataclass
class World:
    """A finished session, and hosts that score."""

    session: Session
    developed: Developed

    @property
    def model(self) -> JointScorecard:
        return self.developed.fitted.model

    @property
    def rows(self) -> Table:
        return self.session.problem.guest.take(self.developed.arrangement.rows)

    def wire(self, reasons: dict[str, Words] | None = None, **policy: float) -> MemoryWire:
        answers = {}
        for party, half in self.session.halves.items():
            allowed = HostPolicy(reasons=reasons if party == TAX else None, **policy)
            host = ScoringHost(self.session.problem.hosts[party], {"m-1": half}, allowed)
            answers[party] = Endpoint(host, BANK, ALLOWED).answer
        return MemoryWire(answers)

    def scored(self, table: Table, n_reasons: int = 0, reasons: dict[str, Words] | None = None) -> Scored:
        return run(score(self.model, table, n_reasons), self.wire(reasons))


@pytest.fixture(scope="module")
def world() -> World:
    options = {"selection": EVERYTHING, "fitting": LogisticRules(l2=1.0), "points": ScorecardRules()}
    session = Session(vertical_problem(800, seed=4), options=options)
    return World(session, session.develop())


def test_scores_are_the_margins_of_the_session_bit_for_bit(world: World) -> None:
    a = world.developed.arrangement
    assert 0 < a.n_fit < len(a.rows)
    scored = world.scored(world.rows)
    assert scored.margin.tobytes() == world.developed.fitted.margin.tobytes()
    again = run(score(joint_from_json(world.model.to_json()), world.rows), world.wire())
    assert again.margin.tobytes() == scored.margin.tobytes()


def test_one_by_one_equals_together_bit_for_bit(world: World) -> None:
    table = world.rows.take(np.arange(0, len(world.rows), 37))
    together = world.scored(table, 3, WORDS)
    alone = [world.scored(table.take(np.array([k])), 3, WORDS) for k in range(len(table))]
    assert together.margin.tobytes() == b"".join(s.margin.tobytes() for s in alone)
    assert together.points is not None
    assert together.points.tolist() == [float(s.points[0]) for s in alone if s.points is not None]
    assert together.reasons == tuple(s.reasons[0] for s in alone)


def test_points_are_the_entries_of_all_tables_added_up_within_their_bounds(world: World) -> None:
    tables = [world.model.half.points(world.rows)]
    tables += [h.points(rows_of(world.session.problem, world.developed, p)) for p, h in world.session.halves.items()]
    total = np.sum(tables, axis=0)
    scored = world.scored(world.rows)
    assert scored.points is not None
    assert scored.points.tolist() == total.tolist() == np.rint(total).tolist()
    low, high = float(np.quantile(total, 0.2)), float(np.quantile(total, 0.8))
    bounded = replace(world.model.half, rules=replace(world.model.half.rules, minimum=low, maximum=high))
    cut = run(score(replace(world.model, half=bounded), world.rows), world.wire()).points
    assert cut is not None
    assert cut.tolist() == np.clip(total, low, high).tolist()
    assert total.min() < low < high < total.max()


def test_an_unknown_applicant_has_no_score_no_points_and_no_reason(world: World) -> None:
    problem = world.session.problem
    scored = world.scored(problem.guest, 2)
    unknown = np.zeros(len(problem.guest), dtype=bool)
    for host in HOSTS:
        assert scored.known[host].tolist() == np.isin(problem.guest.ids, problem.hosts[host].ids).tolist()
        unknown |= ~scored.known[host]
    assert unknown.any()
    assert scored.points is not None
    assert np.isnan(scored.margin).tolist() == np.isnan(scored.points).tolist() == unknown.tolist()
    assert {reasons for reasons, gone in zip(scored.reasons, unknown, strict=True) if gone} == {()}


# -- reasons -----------------------------------------------------------------------------------------------------------


def brute_force(world: World, row: int, grouped: bool) -> dict[Player, float]:
    """Shapley values over every order of joining; a player outside has the mean WOE of the fitted rows.

    The telecom host is one player; the tax host too, if ``grouped``.
    """
    n_fit = world.developed.arrangement.n_fit
    tables = {p: rows_of(world.session.problem, world.developed, p) for p in HOSTS} | {BANK: world.rows}
    terms: list[tuple[Player, float, float]] = []  # player, term with it, term without
    for party, half in {BANK: world.model.half, **world.session.halves}.items():
        woe = woe_of(half.features, tables[party])
        for k, coefficient in enumerate(half.coefficients):
            player = Player(party, half.features[k].name if party == BANK else "")
            if party == TAX and not grouped:
                player = Player(TAX, number=world.model.host_features[TAX][k])
            terms.append((player, coefficient * woe[row, k], coefficient * woe[:n_fit, k].mean()))
    players = {player for player, _, _ in terms}
    values = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for k, player in enumerate(order):
            before, after = (
                sum(w if p in inside else o for p, w, o in terms) for inside in (order[:k], order[: k + 1])
            )
            values[player] += (after - before) / len(orders)
    return values


@pytest.mark.parametrize("grouped", [True, False], ids=["host as one", "host by feature"])
def test_reasons_are_shapley_values_over_the_features_of_all_parties(world: World, grouped: bool) -> None:
    rows = np.arange(0, len(world.rows), 60)
    scored = world.scored(world.rows.take(rows), 99, None if grouped else WORDS)
    for row, reasons in zip(rows.tolist(), scored.reasons, strict=True):
        expected = brute_force(world, row, grouped)
        risky = sorted((p for p, v in expected.items() if v > 0), key=lambda p: -expected[p])
        assert [r.player for r in reasons] == risky
        assert [r.contribution for r in reasons] == pytest.approx([expected[p] for p in risky], abs=1e-9)


def test_a_host_is_one_player_unless_its_operator_gives_reasons(world: World) -> None:
    closed, open_ = (world.scored(world.rows, 9, reasons) for reasons in (None, {}))
    of_tax = [{r.player for rs in s.reasons for r in rs if r.player.party == TAX} for s in (closed, open_)]
    assert of_tax[0] == {Player(TAX)}
    assert of_tax[1] == {Player(TAX, number=k) for k in world.model.host_features[TAX]}
    assert closed.words == {TAX: {}, TELECOM: {}}
    assert open_.words[TAX] == dict.fromkeys(world.model.host_features[TAX], ("", ""))
    assert closed.margin.tobytes() == open_.margin.tobytes()


def test_words_belong_to_the_features_they_are_said_of(world: World) -> None:
    words = world.scored(world.rows, 1, WORDS).words[TAX]
    number = next(k for k, w in words.items() if w == ("Arrears of tax", "欠税"))
    place = world.model.host_features[TAX].index(number)
    assert world.session.halves[TAX].features[place].name == "tax_arrears_days"
    kept = world.session.hosts[TAX].scorecard.kept  # type: ignore[union-attr]
    assert kept
    assert next(f.bins.name for f in kept.features if f.number == number + 1) == "tax_arrears_days"
    assert list(words.values()).count(("", "")) == 1


@pytest.mark.parametrize("reasons", [None, WORDS], ids=["refused", "given"])
def test_no_part_by_feature_and_no_word_leaves_a_host_that_gives_no_reasons(
    world: World, reasons: dict[str, Words] | None
) -> None:
    recording = Recording(world.wire(reasons))
    table = world.rows.take(np.arange(50))
    run(score(world.model, table, 5), recording)
    tables = {p: rows_of(world.session.problem, world.developed, p).take(np.arange(50)) for p in HOSTS}
    for party, half in world.session.halves.items():
        numbers = np.rint(np.ldexp(half.contributions(tables[party]), 40)).astype("<i8").T
        assert len(numbers) == 2
        seen = [n.tobytes() in recording.all for n in numbers]
        assert seen == [party == TAX and reasons is not None] * 2
    for said in ("Arrears of tax", "欠税"):
        assert (said.encode() in recording.all) is (reasons is not None)
    for name in (n for t in world.session.problem.hosts.values() for n in t.columns):
        assert name.encode() not in recording.all


def test_without_reasons_only_a_margin_and_points_are_told(world: World) -> None:
    recording = Recording(world.wire(WORDS))
    run(score(world.model, world.rows.take(np.arange(3))), recording)
    for frame in recording.told[2:]:
        reply = decode(frame, "any")
        assert isinstance(reply, Parts)
        assert (reply.contributions, reply.words) == (b"", ())
        assert (len(reply.margins), len(reply.points)) == (24, 24)


def test_no_value_bound_or_woe_of_a_host_passes(world: World) -> None:
    recording = Recording(world.wire(WORDS))
    table = world.rows.take(np.arange(40))
    run(score(world.model, table, 5), recording)
    needles = [i.encode() for i in table.ids]
    for party, half in world.session.halves.items():
        own = rows_of(world.session.problem, world.developed, party).take(np.arange(40))
        for feature in half.features:
            column = own.columns[feature.name]
            secret = [*feature.prebins.bins.edges, *(w for w in feature.bins.woe if w)]
            secret += [] if column.dtype == object else column[~np.isnan(column)].tolist()
            needles += [np.float64(v).astype(d).tobytes() for v in secret for d in ("<f8", ">f8")]
    assert len(needles) > 100
    assert [n for n in needles if n in recording.all] == []


@pytest.mark.parametrize("reasons", [None, WORDS])
def test_a_host_that_rounds_tells_multiples_only_and_no_finer_by_another_field(
    world: World, reasons: dict[str, Words] | None
) -> None:
    step = 7.0
    recording = Recording(world.wire(reasons, round_parts=step))
    rows = world.rows.take(np.arange(60))
    rounded = run(score(world.model, rows, 3), recording)
    exact = run(score(world.model, rows, 3), world.wire(reasons))
    factor = world.model.half.rules.factor
    parts = [m for m in (decode(frame, TAX) for frame in recording.told) if isinstance(m, Parts)]
    assert len(parts) == 2
    for told in parts:
        points = np.frombuffer(told.points, "<f8")
        assert len({*(points / step).tolist()}) > 1
        assert np.array_equal(points / step, np.rint(points / step))
        for fixed in (told.margins, told.contributions):
            multiples = np.frombuffer(fixed, "<i8") / 2.0**40 * factor / step
            assert np.abs(multiples - np.rint(multiples)).max() < 1e-9
    assert rounded.points is not None
    assert exact.points is not None
    assert 0 < np.abs(rounded.points - exact.points).max() <= len(parts) * step / 2
    assert 0 < np.abs(rounded.margin - exact.margin).max() <= len(parts) * step / factor / 2 + 1e-9


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"digest": "00" * 32}, {"model_id": "another"}, {"model": "trees"}], ids=str)
def test_a_half_that_is_not_the_one_meant_is_refused(world: World, changes: dict[str, str]) -> None:
    host = ScoringHost(world.session.problem.hosts[TAX], {"m-1": world.session.halves[TAX]}, HostPolicy())
    digest = world.model.host_digests[TAX]
    named = host.answer(BlindedApplicants(points=b""))
    assert isinstance(named, EvaluatedApplicants)
    asked = {"tokens": bytes(16), "key_id": named.key_id, "reasons": False, "request": "", "shadow": False}
    good = Wanted(model="scorecard", model_id="m-1", digest=digest, **asked)
    assert isinstance(host.answer(good), Parts)
    with pytest.raises(LianmoError) as caught:
        host.answer(replace(good, **changes))
    assert caught.value.code == "unknown_model"


def test_more_applicants_at_once_than_allowed_are_refused(world: World) -> None:
    with pytest.raises(Refused) as caught:
        run(score(world.model, world.rows.take(np.arange(9))), world.wire(max_blinded_ids=8))
    assert caught.value.code == "policy"


def test_a_missing_column_is_found_when_the_service_starts(world: World) -> None:
    table = world.session.problem.hosts[TAX]
    with pytest.raises(ModelError) as caught:
        ScoringHost(table.select(("tax_paid_2023",)), {"m-1": world.session.halves[TAX]}, HostPolicy())
    assert caught.value.code == "missing_columns"


FAR = np.array([2**57], dtype="<i8").tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, known=b""),
        lambda m: replace(m, margins=m.margins[8:]),
        lambda m: replace(m, margins=m.margins[8:] + FAR),
        lambda m: replace(m, margins=m.margins[8:] + (2**63).to_bytes(8, "little")),
        lambda m: replace(m, points=m.points + b"\0"),
        lambda m: replace(m, points=m.points[8:] + np.array([np.nan]).tobytes()),
        lambda m: replace(m, contributions=b""),
        lambda m: replace(m, contributions=m.contributions[:-8] + FAR),
        lambda m: replace(m, words=m.words[:1]),
        lambda m: replace(m, words=(("a\nb", ""), ("", ""))),
        lambda m: replace(m, words=(("=cmd()", ""), ("", ""))),
        lambda m: replace(m, words=()),
    ],
)
def test_hostile_replies_name_the_culprit(world: World, change: object) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message: Message = decode(frame, party)
        return encode(change(message)) if party == TAX and isinstance(message, Parts) else frame  # type: ignore[operator]

    with pytest.raises(RemoteProtocolError) as caught:
        run(score(world.model, world.rows.take(np.arange(20)), 2), FaultyWire(world.wire(WORDS), damage))
    assert (caught.value.party, caught.value.code) == (TAX, "bad_value")
