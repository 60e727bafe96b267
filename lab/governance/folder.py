"""A folder that only its owner reads, whose files are written whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lab.errors import KeysError
from models import bundle
from models.errors import ModelError

_LOCK: Final = "lock"


def private_folder(path: Path) -> Path:
    """The folder, made if it is not there. Raises ``KeysError`` (``keys_too_open``, ``keys_unwritable``)."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error
    _need_private(path)
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While it lasts no other process is here. Leave nothing half done: a process may end at any line."""
    private_folder(folder)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[str, Any]:
    """What ``write`` wrote. Raises ``KeysError`` (``keys_too_open``, ``keys_unreadable``)."""
    _need_private(path.parent)
    if path.exists():
        _need_private(path)
    try:
        return bundle.load(path)
    except ModelError as error:
        raise unreadable(path) from error


def write(path: Path, data: Mapping[str, Any]) -> None:
    """JSON, mode 0600, there for good once this returns. Raises ``KeysError`` (``keys_unwritable``)."""
    try:
        bundle.save(path, data)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_secret(path: Path, content: bytes) -> None:
    """Bytes, mode 0600, in place of whatever was there under whatever mode."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)


def shred(path: Path) -> None:
    """Overwrite, then unlink. On flash and journaling file systems older copies of the blocks may live on."""
    try:
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from error


def unreadable(path: Path) -> KeysError:
    """Of a file that is missing or is not what this release writes."""
    return KeysError(
        "keys_unreadable",
        f"The key file {path.name} is missing or damaged. Restore it from a copy.",
        f"密钥文件 {path.name} 缺失或损坏，请从备份恢复。",
    )


def _need_private(path: Path) -> None:
    found = path.stat()
    if found.st_mode & 0o077 or found.st_uid != os.geteuid():
        wanted = "700" if path.is_dir() else "600"
        raise KeysError(
            "keys_too_open",
            f"'{path.name}' can be read by others or belongs to another user. Its keys may be known: look into it, "
            f"then set mode {wanted} (chmod {wanted}).",
            f"“{path.name}”可被他人读取或属于其他用户，其中的密钥可能已泄露：请先核查，再执行 chmod {wanted}。",
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> KeysError:
    return KeysError(
        "keys_unwritable",
        f"'{path.name}' cannot be written: {os.strerror(error.errno or 0)}. Free space or set the rights, then repeat.",
        f"无法写入“{path.name}”：{os.strerror(error.errno or 0)}。请检查磁盘空间与权限后重试。",
    )
