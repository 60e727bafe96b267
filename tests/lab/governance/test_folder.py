"""Files of a key folder: private, whole, one writer at a time, gone when they are shredded."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from lab.errors import KeysError
from lab.governance import folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return folder.private_folder(tmp_path / "node" / "keys")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = folder.private_folder(tmp_path / "keys")
        folder.write(made / "a.json", {"a": 1})
        with folder.locked(made):
            pass
    finally:
        os.umask(before)
    assert mode(made) == 0o700
    assert {mode(file) for file in made.iterdir()} == {0o600}


@pytest.mark.parametrize("wide", [0o750, 0o705, 0o770])
def test_a_wider_folder_is_refused(path: Path, wide: int) -> None:
    folder.write(path / "a.json", {})
    path.chmod(wide)
    for use in (lambda: folder.private_folder(path), lambda: folder.read(path / "a.json")):
        with pytest.raises(KeysError, match="chmod 700") as refused:
            use()
        assert refused.value.code == "keys_too_open"


@pytest.mark.parametrize("wide", [0o640, 0o604])
def test_a_wider_file_is_refused(path: Path, wide: int) -> None:
    folder.write(path / "a.json", {})
    (path / "a.json").chmod(wide)
    with pytest.raises(KeysError, match="chmod 600"):
        folder.read(path / "a.json")


def test_a_folder_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(KeysError, match="another user"):
        folder.private_folder(path)


def test_an_interrupted_write_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(path / "a.json", {"a": 1})

    def interrupted(*_: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeysError) as failed:
            folder.write(path / "a.json", {"a": 2})
    assert failed.value.code == "keys_unwritable"
    assert folder.read(path / "a.json") == {"a": 1}


def test_what_is_written_is_on_the_disk_with_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder.write(path / "a.json", {})
    assert synced == [False, True]


def test_a_missing_or_damaged_file_is_named(path: Path) -> None:
    for content in (None, "{", "[]"):
        if content is not None:
            (path / "a.json").write_text(content)
            (path / "a.json").chmod(0o600)
        with pytest.raises(KeysError, match=r"a\.json") as failed:
            folder.read(path / "a.json")
        assert failed.value.code == "keys_unreadable"


def test_what_is_shredded_was_overwritten_before_it_went(path: Path) -> None:
    secret = path / "a.secret"
    secret.write_bytes(b"secret" * 100)
    still = path / "another name of the same blocks"
    os.link(secret, still)
    folder.shred(secret)
    assert not secret.exists()
    assert len(still.read_bytes()) == 600
    assert b"secret" not in still.read_bytes()
    folder.shred(secret)  # once more does no harm


def test_one_at_a_time(path: Path) -> None:
    with folder.locked(path), (path / "lock").open("r+") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (path / "lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_secret_is_the_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old and longer")
    path.chmod(0o644)
    folder.write_secret(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
