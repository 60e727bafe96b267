"""Checkpoints on disk: private, whole or passed over, bound to their party and run, gone when a run is complete."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from federation.vertical.boosting.checkpoint import GuestCheckpoint, HostCheckpoint
from lab.checkpoints import Checkpoints, PacedKeeping
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS
from lab.governance.protection import PASSPHRASE
from models.errors import LianmoError

WORDS = "several words in a row"


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Three were taken: two are left."""
    store = Checkpoints(tmp_path / "checkpoints", "run-1", "host:tax")
    for data in (b"one", b"two", b"three"):
        store.keep(data)
    return store


def again(store: Checkpoints, **changes: object) -> Checkpoints:
    """As another process opens it."""
    return replace(store, _keys={}, **changes)


def files(store: Checkpoints) -> list[Path]:
    return sorted(store.path.glob("0*.json"))


def test_the_last_two_stay_newest_first_for_the_owner_alone(kept: Checkpoints) -> None:
    assert again(kept).read(bytes) == [b"three", b"two"]
    assert [f.name for f in files(kept)] == ["000002.json", "000003.json"]
    assert kept.path.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in kept.path.iterdir()} == {0o600}


def test_what_stands_on_disk_does_not_show_what_was_kept(kept: Checkpoints) -> None:
    text = "".join(f.read_text() for f in kept.path.iterdir())
    assert b"three".hex() not in text
    assert "three" not in text


def test_it_is_written_whole_and_waits_for_the_disk(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), real_sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("rename"), real_replace(a, b))[1])
    kept.keep(b"four")
    assert order == ["sync", "rename", "sync"]  # the file, then its name


def torn(path: Path) -> None:
    path.write_text(path.read_text()[:40])


def emptied(path: Path) -> None:
    path.write_text("")


def shortened(path: Path) -> None:
    made = json.loads(path.read_text())
    path.write_text(json.dumps({**made, "encrypted": made["encrypted"][:-2]}))


def edited(path: Path) -> None:
    made = json.loads(path.read_text())
    flipped = f"{int(made['encrypted'][-1], 16) ^ 1:x}"
    path.write_text(json.dumps({**made, "encrypted": made["encrypted"][:-1] + flipped}))


def older_renamed(path: Path) -> None:
    path.write_bytes(path.with_name("000002.json").read_bytes())


def other_json(path: Path) -> None:
    path.write_text("[1, 2]")


@pytest.mark.parametrize("damage", [torn, emptied, shortened, edited, older_renamed, other_json])
def test_a_damaged_one_is_refused_with_a_reason_and_the_one_before_serves(
    kept: Checkpoints, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(files(kept)[-1])
    with caplog.at_level(logging.WARNING):
        assert again(kept).read(bytes) == [b"two"]
    assert "host:tax: the checkpoint 000003.json" in caplog.text
    assert "检查点 000003.json" in caplog.text


def test_what_this_release_cannot_read_is_passed_over(kept: Checkpoints) -> None:
    half = HostCheckpoint(b"{}", "rows")
    kept.keep(half.dump())
    kept.keep(b"\x01")
    assert again(kept).read(HostCheckpoint.load) == [half]


@pytest.mark.parametrize("whose", [{"run": "run-2"}, {"party": "host:court"}])
def test_those_of_another_run_or_party_are_refused(kept: Checkpoints, whose: dict[str, str]) -> None:
    """Even under one key."""
    assert again(kept, **whose).read(bytes) == []


def test_without_their_key_they_say_nothing(kept: Checkpoints) -> None:
    (kept.path / "key.json").unlink()
    opened = again(kept)
    assert opened.read(bytes) == []
    opened.keep(b"anew")
    assert again(kept).read(bytes) == [b"anew"]


def test_numbers_go_on_where_they_were(kept: Checkpoints) -> None:
    """Or a damaged newest would outlive the ones that come after it."""
    torn(files(kept)[-1])
    again(kept).keep(b"four")
    assert again(kept).read(bytes) == [b"four"]


def test_a_folder_that_others_can_read_is_refused(kept: Checkpoints) -> None:
    kept.path.chmod(0o755)
    with pytest.raises(LianmoError) as caught:
        kept.keep(b"four")
    assert caught.value.code == "keys_too_open"


def test_nothing_stays_of_a_complete_run(kept: Checkpoints) -> None:
    kept.clear()
    assert not kept.path.exists()
    assert again(kept).read(bytes) == []
    kept.clear()


def test_a_party_with_keys_uses_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(tmp_path / "node" / KEYS, cost=1024)
    keys.generate("host:tax", "sm", WORDS)
    monkeypatch.setenv(PASSPHRASE, WORDS)
    store = Checkpoints(tmp_path / "checkpoints", "run-1", "host:tax", tmp_path / "node")
    store.keep(b"one")
    active = keys.active("storage")
    assert json.loads(files(store)[0].read_text()).keys() == {"suite", "key_id", "encrypted"}
    assert json.loads(files(store)[0].read_text())["key_id"] == active.key_id
    assert not (store.path / "key.json").exists()
    keys.rotate(active.key_id, WORDS)
    store = again(store)
    store.keep(b"two")
    assert again(store).read(bytes) == [b"two", b"one"]
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(LianmoError) as caught:
        again(store).read(bytes)
    assert caught.value.code == "no_passphrase"


def checkpoint() -> GuestCheckpoint:
    return GuestCheckpoint(b"{}", "rows", (0.5, 0.25), 1, np.arange(3.0), np.ones(3))


def test_a_checkpoint_comes_back_as_it_was(kept: Checkpoints) -> None:
    kept.keep(checkpoint().dump())
    found = again(kept).read(GuestCheckpoint.load)[0]
    assert (found.losses, found.best, found.rows) == ((0.5, 0.25), 1, "rows")
    assert found.margin.tobytes() == np.arange(3.0).tobytes()


@pytest.mark.parametrize(("share", "expected"), [(1.0, 20), (0.5, 20), (0.25, 7), (0.1, 3)])
def test_checkpoints_take_no_more_than_their_share(kept: Checkpoints, share: float, expected: int) -> None:
    """Trees and checkpoints of one second each."""
    now, taken = [0.0], 0
    keeping = PacedKeeping(kept, share, clock=lambda: now[0])
    for _ in range(20):
        now[0] += 1.0
        if keeping.due():
            now[0] += 1.0
            keeping.keep(checkpoint())
            taken += 1
    assert taken == expected
    assert taken - 1 <= share * now[0]  # the first comes whatever it takes
