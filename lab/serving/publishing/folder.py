"""The shelf on disk: versions of the bank's model, each whole, and one small file that says which of them answer.

That file is the only thing that a switch changes: it is written beside and moved into place, so that whoever reads it,
also after a crash, finds the old models in force or the new ones, and nothing between.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from lab.errors import ServiceError
from lab.serving.loaded import Loaded, Mode
from lab.serving.publishing.stored import loaded_from
from models.bundle import digest, load, save
from models.errors import ModelError

FORMAT: Final = 1
STATE: Final = "in_force.json"
_VERSIONS: Final = "versions"
#: What a version is made of; without the last two a bank answers with the joint model alone.
FILES: Final = ("model.json", "calibration.json", "selftest.json", "bank_only.json", "published.json")
_NEEDED: Final = ("model.json", "calibration.json", "selftest.json")


@dataclass(frozen=True, slots=True)
class Challenger:
    """A version beside the champion. ``canary``: it answers ``share`` of the applications; ``shadow``: it scores
    that share, and what it says is recorded and never told."""

    version: str
    mode: Mode
    share: float


@dataclass(frozen=True, slots=True)
class InForce:
    """Attributes:
    champion: answers.
    previous: answered before; what a rollback brings back.
    number: rises by one with every change.
    """

    champion: str
    previous: str | None = None
    challenger: Challenger | None = None
    number: int = 1

    @property
    def versions(self) -> tuple[str, ...]:
        """All that hosts must answer for."""
        named = (self.champion, self.previous, self.challenger and self.challenger.version)
        return tuple(dict.fromkeys(v for v in named if v))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises ``ModelError`` (``shelf_unreadable``)."""
        try:
            challenger = data["challenger"] and Challenger(**data["challenger"])
            if data["format"] != FORMAT:
                raise _unreadable()
            return cls(data["champion"], data["previous"], challenger, data["number"])
        except (KeyError, TypeError) as error:
            raise _unreadable() from error


@dataclass(frozen=True, slots=True)
class ShelfFolder:
    """A folder with ``in_force.json``, ``job.json`` (who serves) and ``versions/``, readable by its owner only."""

    directory: Path

    @property
    def exists(self) -> bool:
        return (self.directory / STATE).exists()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One publisher at a time."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def in_force(self) -> InForce | None:
        """None: nothing is published yet. Raises ``ModelError``."""
        return InForce.from_json(load(self.directory / STATE)) if self.exists else None

    def stamp(self) -> tuple[int, int]:
        """Changes with every switch; cheap enough to look at all the time."""
        try:
            found = (self.directory / STATE).stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.directory / _VERSIONS).glob("*") if (path / "selftest.json").exists())

    def folder(self, version: str) -> Path:
        return self.directory / _VERSIONS / version

    def load(self, version: str) -> Loaded:
        """Raises as ``loaded_from``, and ``ModelError`` (``unknown_version``)."""
        if version not in self.versions():
            raise unknown_version(version)
        return loaded_from(self.folder(version))

    def add(self, source: Path) -> str:
        """Copy the bank's folder of a run, without what belongs to the run alone; the version's name follows from its
        content. The same again changes nothing.

        Raises:
            ModelError: ``not_publishable`` if the run left nothing to test it by; as ``loaded_from``.
        """
        if any(not (source / name).exists() for name in _NEEDED):
            raise ModelError(
                "not_publishable",
                f"{source} holds no model with its calibration and examples: it is no bank's folder of a finished run "
                "of defaults, or of an earlier release. Train again.",
                f"{source} 中没有带校准与自检样例的模型：并非违约模型运行的银行目录，或来自早期版本。请重新训练。",
            )
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        version = digest(load(source / "selftest.json"))[:16]
        place = self.folder(version)
        job = source / "job.json" if (source / "job.json").exists() else self.directory / "job.json"
        if not place.exists():
            beside = place.with_name(f".{version}.{uuid4().hex[:8]}")
            place.parent.mkdir(exist_ok=True, mode=0o700)
            beside.mkdir(mode=0o700)
            try:
                for path in (*(source / name for name in FILES), job):
                    if path.exists():
                        save(beside / path.name, load(path))
                loaded_from(beside)
                beside.rename(place)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        return version

    def switch(self, state: InForce) -> None:
        """The one moment at which other models come into force."""
        before = self.in_force()
        save(self.directory / "job.json", load(self.folder(state.champion) / "job.json"))
        numbered = replace(state, number=before.number + 1 if before else 1)
        save(self.directory / STATE, {"format": FORMAT, **asdict(numbered)})
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self, version: str) -> None:
        """Delete a version; the run or the registry it came from keeps it. Raises ``ServiceError`` (``in_force``)."""
        state = self.in_force()
        if state and version in state.versions:
            raise ServiceError(
                "in_force",
                f"Version {version} is in force, or the one to go back to. Publish another or end the trial first.",
                f"版本 {version} 正在使用，或为可回退版本。请先发布其他版本或结束试用。",
            )
        shutil.rmtree(self.folder(version), ignore_errors=True)


def unknown_version(version: str) -> ModelError:
    return ModelError(
        "unknown_version",
        f"There is no version {version} on the shelf; lianmo models ls names them.",
        f"没有版本 {version}，可用 lianmo models ls 查看。",
    )


def _unreadable() -> ModelError:
    return ModelError(
        "shelf_unreadable",
        f"{STATE} of the shelf is damaged, or of another release. Publish a model anew.",
        f"模型架的 {STATE} 已损坏或版本不符，请重新发布模型。",
    )
