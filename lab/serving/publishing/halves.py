"""A data node's halves: found among its runs, published one by one, kept over a restart, retired.

``published/`` lies beside the runs, not in one of them, so that a service that is started with a newer run goes on
answering for the models before it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from federation.errors import LocalProtocolError
from federation.vertical.scoring.host import ScoringHost
from lab.governance.publishing_record import PublishingRecord
from lab.jobs import HostJob, load_job
from models.bundle import load, save
from models.errors import ModelError
from models.examples import check_examples, examples_of
from models.joint import JointHalf, half_from_json

log = logging.getLogger("lianmo.serving")

#: Most halves that answer at the same time.
MOST_HALVES: Final = 16
_HALF: Final = "half.json"
_TEST: Final = "selftest.json"


@dataclass(frozen=True, slots=True)
class HalfStore:
    """Halves of one host for one bank.

    Attributes:
        directory: the host's folder of one run: beside it are the others.
        job: its job: only halves of the same party for the same bank are found.
    """

    directory: Path
    job: HostJob

    @property
    def place(self) -> Path:
        """Where published halves are kept."""
        return self._runs / "published" / self.directory.name if self._beside else self._runs.parent / "published"

    @property
    def _beside(self) -> bool:
        """Whether all parties' folders lie together: ``RUNS/RUN/nodes/PARTY``; else it is ``NODE/runs/SESSION``."""
        return self.directory.parent.name == "nodes"

    @property
    def _runs(self) -> Path:
        return self.directory.resolve().parents[2 if self._beside else 0]

    def find(self, model_id: str, digest: str) -> JointHalf | None:
        """This party's half of the model, tested; None: there is none of this digest.

        Raises:
            ModelError: it is damaged, or ``selftest_failed``.
        """
        pattern = f"*/nodes/{self.directory.name}/job.json" if self._beside else "*/job.json"
        for path in self._runs.glob(pattern):
            if self._fits(path, model_id) and (path.parent / _HALF).exists():
                half = tested_half(path.parent)
                if half.digest() == digest:
                    return half
        return None

    def published(self) -> Iterator[JointHalf]:
        """Those that were answered for when the service last ran; one that is damaged is passed over, and logged."""
        for path in sorted(self.place.glob(f"*/{_HALF}")):
            try:
                half = tested_half(path.parent)
                if half.party == self.job.party.party and load(path.parent / "for.json") == self._bank:
                    yield half
            except ModelError as error:
                log.error("%s: %s", error.code, error)

    def keep(self, half: JointHalf) -> None:
        """Write a half that answers from now on, whole or not at all."""
        folder = self.place / half.digest()
        for path in (self.place, folder):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        save(folder / "for.json", self._bank)
        save(folder / _TEST, examples_of(half))
        save(folder / _HALF, half.to_json())  # last: without it the folder does not count

    def discard(self, digest: str) -> None:
        """It is answered for no longer; the run it came from keeps it."""
        shutil.rmtree(self.place / digest, ignore_errors=True)

    @property
    def _bank(self) -> dict[str, Any]:
        return {"guest": self.job.guest}

    def _fits(self, path: Path, model_id: str) -> bool:
        try:
            job = load_job(path)
        except (ModelError, ValueError, KeyError):  # another release's, or somebody else's
            return False
        same = isinstance(job, HostJob) and (job.party.party, job.guest) == (self.job.party.party, self.job.guest)
        return same and job.model_id == model_id


def tested_half(directory: Path) -> JointHalf:
    """The half that lies in a folder, if it answers its examples. Raises ``ModelError``."""
    half = half_from_json(load(directory / _HALF))
    if (directory / _TEST).exists():  # halves of earlier releases have none
        check_examples(half, load(directory / _TEST))
    return half


@dataclass(frozen=True, slots=True)
class ServedHalves:
    """``publishing.host.Halves`` of a running service: what is prepared is kept on disk, is on record, and answers.

    Changes come one after the other: a service answers several questions at once, and folder and record are one.
    """

    store: HalfStore
    host: ScoringHost
    record: PublishingRecord
    _one: Lock = field(default_factory=Lock, init=False, repr=False)

    def stored(self, model_id: str, digest: str) -> JointHalf | None:
        return self.store.find(model_id, digest)

    def check_shadow(self) -> None:
        self.host.policy.check_shadow()

    def hold(self, half: JointHalf) -> None:
        with self._one:
            held = self.host.halves
            if half.model_id not in held and len(held) >= MOST_HALVES:
                raise LocalProtocolError(
                    "policy",
                    f"{MOST_HALVES} halves answer already. Retire one first.",
                    f"已有 {MOST_HALVES} 个半模型在应答，请先停用其一。",
                )
            self.host.check(half)
            self.store.keep(half)
            self.record.published(half.model_id, half=half.digest())
            self.host.hold(half)

    def drop(self, model_id: str, digest: str) -> None:
        with self._one:
            # Only what is held: the digest came over the wire, and names a folder.
            if model_id in self.host.halves and self.host.digest_of(model_id) == digest:
                self.host.drop(model_id)
                self.store.discard(digest)
                self.record.retired(model_id, half=digest)
