"""A model is in force everywhere or nowhere: real nodes over HTTP, of which one may refuse, be away, or start anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.errors import Refused, TransportError
from federation.script import run
from federation.vertical.publishing.guest import prepare, retire
from lab.errors import ServiceError
from lab.serving.answers import Answer
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.publisher import GRACE_SECONDS
from lab.serving.publishing.shelf import LOOK_SECONDS, FollowingShelf
from models.bundle import load, save
from models.errors import ModelError
from tests.lab.serving.publishing.conftest import COURT, TAX, Lab


def test_a_published_model_answers_and_the_one_before_does_too(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        first = publisher.publish(lab.bank("first"))
        shelf = FollowingShelf(lab.shelf)
        old = shelf.held().champion
        second = publisher.publish(lab.bank("second"))
        assert (second.previous, second.number) == (first.champion, first.number + 1)
        assert shelf.held().champion is old  # nobody has looked yet
        assert shelf.look()
        new = shelf.held().champion
        assert new.joint.model.digest() != old.joint.model.digest()
        for loaded in (old, new):  # a request that began before the switch ends as it began
            assert all(isinstance(a, Answer) for a in lab.scores(urls, loaded))


@pytest.mark.parametrize("refusing", [TAX, COURT])
def test_publishing_to_two_hosts_of_which_one_refuses_leaves_the_old_model_in_force_everywhere(
    lab: Lab, refusing: str
) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        before = publisher.publish(lab.bank("first"))
        shelf = FollowingShelf(lab.shelf)
        answers = lab.scores(urls, shelf.held().champion)
        (lab.host("second", refusing) / "half.json").unlink()
        with pytest.raises(Refused) as caught:
            publisher.publish(lab.bank("second"))
        assert (caught.value.party, caught.value.code) == (refusing, "unknown_model")
        assert lab.shelf.in_force() == before
        assert lab.shelf.versions() == [before.champion]
        assert not shelf.look()
        assert lab.scores(urls, shelf.held().champion) == answers
        # The other node was told: it does not go on holding what is not used.
        refused = lab.shelf.add(lab.bank("second"))
        with pytest.raises(Refused, match="unknown_model"):
            lab.scores(urls, lab.shelf.load(refused))


def test_no_shadow_begins_where_a_host_answers_none_and_the_host_is_named(lab: Lab) -> None:
    path = lab.host("first", COURT) / "job.json"
    job = load(path)
    save(path, {**job, "party": {**job["party"], "shadow": None}})
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        before = publisher.publish(lab.bank("first"))
        with pytest.raises(Refused, match=COURT) as caught:
            publisher.trial(lab.bank("second"), "shadow", 1.0)
        assert (caught.value.party, caught.value.code) == (COURT, "policy")
        assert lab.shelf.in_force() == before
        assert lab.shelf.versions() == [before.champion]
        assert publisher.trial(lab.bank("second"), "canary", 1.0).challenger  # it is asked for answers all the same


def test_a_half_that_does_not_answer_its_examples_is_refused(lab: Lab) -> None:
    folder = lab.host("second", TAX)
    test = load(folder / "selftest.json")
    save(folder / "selftest.json", {**test, "told": {"left": "00" + test["told"]["left"][2:]}})
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        before = publisher.publish(lab.bank("first"))
        with pytest.raises(Refused) as caught:
            publisher.publish(lab.bank("second"))
        assert (caught.value.party, caught.value.code) == (TAX, "selftest_failed")
        assert lab.shelf.in_force() == before


def test_a_node_that_is_away_leaves_the_old_model_in_force(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        before = publisher.publish(lab.bank("first"))
        away = {TAX: urls[TAX], COURT: "http://127.0.0.1:9"}
        with lab.publisher(away) as cut_off, pytest.raises(TransportError):
            cut_off.publish(lab.bank("second"))
        assert lab.shelf.in_force() == before


class Crash(BaseException):
    """As when the process is killed: nothing that handles errors runs."""


@pytest.mark.parametrize("at", ["switch", "load"])
def test_a_crash_between_preparing_and_switching_leaves_the_old_model_in_force(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        before = publisher.publish(lab.bank("first"))
        shelf = FollowingShelf(lab.shelf)
        answers = lab.scores(urls, shelf.held().champion)

        def die(*_: Any) -> None:
            raise Crash

        with monkeypatch.context() as patched:
            if at == "switch":
                patched.setattr(ShelfFolder, "switch", die)
            else:  # the very last moment: the new pointer is written, not yet in its place
                patched.setattr(Path, "replace", _dying_at("in_force.json"))
            with pytest.raises(Crash):
                publisher.publish(lab.bank("second"))
        assert lab.shelf.in_force() == before
        assert not shelf.look()
        assert lab.scores(urls, FollowingShelf(lab.shelf).held().champion) == answers
        # Both nodes are ready all the same; publishing again goes through.
        assert publisher.publish(lab.bank("second")).previous == before.champion


def _dying_at(name: str) -> Callable[[Path, Path], Path]:
    moved = Path.replace

    def dying(path: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise Crash
        return moved(path, target)

    return dying


def test_a_node_that_starts_anew_still_answers_for_what_was_published(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
        publisher.publish(lab.bank("second"))
        answers = lab.scores(urls, FollowingShelf(lab.shelf).held().champion)
    for run_of_start in ("first", "second", "third"):
        with lab.hosts(run_of_start) as urls:
            assert lab.scores(urls, FollowingShelf(lab.shelf).held().champion) == answers


def test_a_third_model_retires_the_first_everywhere(lab: Lab) -> None:
    with lab.hosts("third") as urls, lab.publisher(urls) as publisher:
        first = publisher.publish(lab.bank("first"))
        loaded = lab.shelf.load(first.champion)
        publisher.publish(lab.bank("second"))
        assert lab.scores(urls, loaded)
        publisher.publish(lab.bank("third"))
        assert first.champion not in lab.shelf.versions()
        with pytest.raises(Refused, match="unknown_model"):
            lab.scores(urls, loaded)
        assert not list((lab.folder / "runs" / "published").rglob(loaded.joint.model.host_digests[TAX]))


def test_hosts_answer_for_what_is_replaced_until_whoever_began_with_it_has_ended(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as at_once:
        first = lab.shelf.load(at_once.publish(lab.bank("first")).champion)
        expected, during = lab.scores(urls, first), []
        publisher = replace(at_once, pause=lambda seconds: during.append((seconds, lab.scores(urls, first))))
        publisher.publish(lab.bank("second"))
        assert during == []  # the first is what a rollback brings back: nothing is retired
        publisher.publish(lab.bank("third"))
        assert during == [(GRACE_SECONDS, expected)]
        assert GRACE_SECONDS > 2 * LOOK_SECONDS
        with pytest.raises(Refused, match="unknown_model"):
            lab.scores(urls, first)


def test_rolling_back_brings_the_model_before_and_again_the_one_after(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        first = publisher.publish(lab.bank("first"))
        second = publisher.publish(lab.bank("second"))
        back = publisher.rollback()
        assert (back.champion, back.previous) == (first.champion, second.champion)
        assert publisher.rollback().champion == second.champion


def test_rolling_back_past_a_dead_node_needs_force(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        first = publisher.publish(lab.bank("first"))
        second = publisher.publish(lab.bank("second"))
    with lab.publisher(urls) as publisher:
        with pytest.raises(TransportError):
            publisher.rollback()
        in_force = lab.shelf.in_force()
        assert in_force
        assert in_force.champion == second.champion
        assert publisher.rollback(force=True).champion == first.champion


def test_what_is_in_force_is_not_retired_by_hand(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        state = publisher.publish(lab.bank("first"))
        with pytest.raises(ServiceError) as caught:
            publisher.retire(state.champion)
        assert caught.value.code == "in_force"
        assert lab.scores(urls, lab.shelf.load(state.champion))


def test_publishing_the_same_again_changes_nothing(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        state = publisher.publish(lab.bank("first"))
        assert publisher.publish(lab.bank("first")) == state


def test_a_trial_is_promoted_or_ended(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        with pytest.raises(ServiceError, match="another model"):
            publisher.trial(lab.bank("second"), "canary", 0.1)
        first = publisher.publish(lab.bank("first"))
        tried = publisher.trial(lab.bank("second"), "canary", 0.1)
        assert tried.champion == first.champion
        assert tried.challenger
        assert publisher.end_trial().challenger is None
        assert tried.challenger.version not in lab.shelf.versions()
        with pytest.raises(ServiceError, match="on trial"):
            publisher.promote()
        publisher.trial(lab.bank("second"), "shadow", 1.0)
        promoted = publisher.promote()
        assert (promoted.champion, promoted.previous) == (tried.challenger.version, first.champion)
        assert promoted.challenger is None


def test_a_bank_cannot_make_a_node_answer_for_a_model_of_another_bank(lab: Lab) -> None:
    for party in (TAX, COURT):
        job = lab.host("second", party) / "job.json"
        save(job, {**load(job), "guest": "bank:other"})
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
        with pytest.raises(Refused, match="unknown_model"):
            publisher.publish(lab.bank("second"))


def test_a_digest_that_is_none_names_no_folder(lab: Lab) -> None:
    model = lab.shelf.load(lab.shelf.add(lab.bank("first"))).joint.model
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
        published = lab.folder / "runs" / "published"
        victim = published / "host-tax" / "victim"
        victim.mkdir()
        for digest in ("victim", "../../first", str(lab.folder / "runs" / "first"), ""):
            false = replace(model, host_digests={TAX: digest, COURT: digest})
            run(retire(false, [TAX, COURT]), publisher.wire)
            with pytest.raises(Refused, match="unknown_model"):
                run(prepare(false), publisher.wire)
        assert victim.exists()
        assert len(list(published.rglob("half.json"))) == 2
    assert lab.bank("first").exists()


@pytest.mark.parametrize("absent", ["selftest.json", "calibration.json"])
def test_a_folder_without_examples_is_not_published(lab: Lab, absent: str) -> None:
    (lab.bank("first") / absent).unlink()
    with lab.publisher({}) as publisher, pytest.raises(ModelError) as caught:
        publisher.publish(lab.bank("first"))
    assert caught.value.code == "not_publishable"


def test_a_damaged_model_never_reaches_the_hosts(lab: Lab) -> None:
    model = lab.bank("first") / "model.json"
    save(model, {**load(model), "base_margin": 0.5})
    with lab.publisher({}) as publisher, pytest.raises(ModelError) as caught:
        publisher.publish(lab.bank("first"))
    assert caught.value.code == "selftest_failed"
    assert lab.shelf.versions() == []


def test_the_shelf_is_its_owners_alone_and_says_who_serves(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
    for path in lab.shelf.directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert json.loads((lab.shelf.directory / "job.json").read_text())["party"]["party"] == "bank"
    assert not list(lab.shelf.directory.rglob("scores.csv"))
