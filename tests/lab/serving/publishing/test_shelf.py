"""What answers is replaced as a whole, by what is good alone; a trial takes its share, always the same applications."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.serving.loaded import OneModel, share_of
from lab.serving.publishing.folder import Challenger, InForce, ShelfFolder
from lab.serving.publishing.shelf import FollowingShelf, open_shelf
from models.bundle import load, save
from models.errors import ModelError
from tests.lab.serving.publishing.conftest import RUNS, Lab

N = 4000


@pytest.fixture
def shelf(lab: Lab) -> ShelfFolder:
    """``first`` in force, the others on the shelf."""
    lab.shelf.directory.mkdir(mode=0o700)
    for run in RUNS:
        lab.shelf.add(lab.bank(run))
    lab.shelf.switch(InForce(lab.shelf.add(lab.bank("first"))))
    return lab.shelf


def version(lab: Lab, run: str) -> str:
    return lab.shelf.add(lab.bank(run))


def damage(folder: Path) -> None:
    model = load(folder / "model.json")
    save(folder / "model.json", {**model, "base_margin": model["base_margin"] + 1e-9})


def canaries(shelf: FollowingShelf) -> set[int]:
    """Which of N applications the model on trial answers."""
    return {k for k in range(N) if shelf.held().tried("canary", f"a-{k}")}


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_share_is_a_number_from_0_to_1_and_always_the_same(name: str, application: str) -> None:
    share = share_of(name, application)
    assert 0.0 <= share < 1.0
    assert share == share_of(name, application)


def test_a_canary_takes_its_share_of_applications_always_the_same_ones(lab: Lab, shelf: ShelfFolder) -> None:
    first, second = version(lab, "first"), version(lab, "second")
    shelf.switch(InForce(first, None, Challenger(second, "canary", 0.2)))
    following, again = FollowingShelf(shelf), FollowingShelf(shelf)
    taken = canaries(following)
    assert taken == canaries(again)
    assert len(taken) / N == pytest.approx(0.2, abs=0.03)
    assert not any(following.held().tried("shadow", f"a-{k}") for k in range(N))
    # A larger share keeps whom the smaller one had: nobody is sent back and forth.
    shelf.switch(InForce(first, None, Challenger(second, "canary", 0.5)))
    assert following.look()
    assert taken < canaries(following)


def test_a_shadow_answers_nobody(lab: Lab, shelf: ShelfFolder) -> None:
    first, second = version(lab, "first"), version(lab, "second")
    shelf.switch(InForce(first, None, Challenger(second, "shadow", 1.0)))
    following = FollowingShelf(shelf)
    assert following.held().champion.joint.model.digest() == shelf.load(first).joint.model.digest()
    assert not any(following.held().tried("canary", f"a-{k}") for k in range(50))
    shadow = following.held().tried("shadow", "a-1")
    assert shadow
    assert shadow.version == second
    assert shadow.loaded.joint.model.digest() == shelf.load(second).joint.model.digest()


def test_what_does_not_answer_its_examples_is_never_put_in_place(
    lab: Lab, shelf: ShelfFolder, caplog: pytest.LogCaptureFixture
) -> None:
    following = FollowingShelf(shelf)
    before = following.held().champion
    damage(shelf.folder(version(lab, "second")))
    shelf.switch(InForce(version(lab, "second"), version(lab, "first")))
    with caplog.at_level(logging.ERROR, "lianmo.serving"):
        assert not following.look()
    assert following.held().champion is before
    assert "selftest_failed" in caplog.text
    # and a service that starts now answers with the last good one
    assert FollowingShelf(shelf).held().champion.joint.model.digest() == before.joint.model.digest()


@pytest.mark.parametrize("name", ["model.json", "selftest.json", "calibration.json", "bank_only.json", "job.json"])
@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 1, "role": "guest"}', '{"format": 1, "own": {}}'])
def test_no_file_on_the_shelf_can_end_the_answering(lab: Lab, shelf: ShelfFolder, name: str, content: str) -> None:
    following = FollowingShelf(shelf)
    before = following.held().champion
    (shelf.folder(version(lab, "second")) / name).write_text(content)
    shelf.switch(InForce(version(lab, "first"), None, Challenger(version(lab, "second"), "canary", 1.0)))
    assert not following.look()
    assert following.held().champion is before


def test_without_a_good_model_nothing_starts(lab: Lab, shelf: ShelfFolder) -> None:
    damage(shelf.folder(version(lab, "first")))
    with pytest.raises(ModelError) as caught:
        FollowingShelf(shelf)
    assert caught.value.code == "selftest_failed"
    with pytest.raises(ModelError) as caught:
        FollowingShelf(ShelfFolder(lab.folder / "nowhere"))
    assert caught.value.code == "nothing_published"


def test_a_damaged_pointer_leaves_what_answers(lab: Lab, shelf: ShelfFolder) -> None:
    following = FollowingShelf(shelf)
    before = following.held().champion
    (shelf.directory / "in_force.json").write_text("{")
    assert not following.look()
    assert following.held().champion is before


def test_a_version_is_made_ready_before_it_answers(lab: Lab, shelf: ShelfFolder) -> None:
    following = FollowingShelf(shelf)
    seen = []
    following.ready = lambda held: seen.append((held, following.held()))
    before = following.held()
    shelf.switch(InForce(version(lab, "second")))
    assert following.look()
    assert seen == [(following.held(), before)]


def test_a_model_that_stays_is_not_loaded_again(lab: Lab, shelf: ShelfFolder) -> None:
    following = FollowingShelf(shelf)
    before = following.held().champion
    shelf.switch(InForce(version(lab, "first"), None, Challenger(version(lab, "second"), "shadow", 1.0)))
    assert following.look()
    assert following.held().champion is before


def test_swaps_under_load_mix_nothing(lab: Lab, shelf: ShelfFolder) -> None:
    """Whoever takes a model while it is swapped has one whole version: both halves of it are of the same run."""
    names = [version(lab, run) for run in RUNS]
    pairs = {shelf.load(v).joint.model.digest(): shelf.load(v).bank_only for v in names}
    digests = list(pairs)
    following, stop, wrong, seen = FollowingShelf(shelf), threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            loaded = following.held().champion
            digest = loaded.joint.model.digest()
            seen.add(digest)
            expected = pairs[digest]
            if not expected or not loaded.bank_only or loaded.bank_only.model.digest() != expected.model.digest():
                wrong.append(digest)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    with following.following(0.001):
        for k in range(12):
            shelf.switch(InForce(names[k % 3]))
            until = time.monotonic() + 5.0
            wanted = digests[k % 3]
            while following.held().champion.joint.model.digest() != wanted and time.monotonic() < until:
                pass
    stop.set()
    for asker in askers:
        asker.join()
    assert not wrong
    assert seen == set(pairs)


def test_a_run_is_served_as_it_is_and_a_shelf_is_followed(lab: Lab, shelf: ShelfFolder) -> None:
    assert isinstance(open_shelf(lab.bank("first")), OneModel)
    assert isinstance(open_shelf(shelf.directory), FollowingShelf)
