"""A party's checkpoints of one run, on its own disk: the last two, encrypted, gone when the run is complete.

Under which key: if the party's node has a storage key, under that one, which a passphrase guards; else under a random
key in a file (mode 0600) beside them. Such a file protects nothing from whoever can read the party's folder, as its
half of a finished model is not protected there either; what it gives is that checkpoints which were torn, edited, or
taken from another party or run are recognised, and that a checkpoint copied without the key says nothing.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

from federation.ciphers.suites.choice import suite
from federation.ciphers.suites.interface import key_id
from federation.errors import PartyId
from federation.vertical.boosting.checkpoint import GuestCheckpoint
from lab.governance import folder
from lab.governance.held import STORAGE, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS, passphrase_of
from lab.jobs import Job
from models.bundle import load
from models.errors import LianmoError

log = logging.getLogger("lianmo.checkpoints")

#: The newest may be torn by what ended the run, or not yet be kept by all parties: then the one before it serves.
LAST: Final = 2
#: Of a run's directory: where each party's checkpoints are.
FOLDER: Final = "checkpoints"
_KEY: Final = "key.json"
_SUITE: Final = "international"

T = TypeVar("T")


@dataclass(slots=True)
class Checkpoints:
    """Attributes:
    path: folder of mode 0700; made with the first checkpoint.
    run, party: whose they are; authenticated with each.
    node: the party's node, if it has one.
    """

    path: Path
    run: str
    party: PartyId
    node: Path | None = None
    _keys: dict[str, HeldKey] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Self:
        """Those of a party's job."""
        return cls(job.directory / FOLDER, job.model_id, job.party.party, job.party.node)

    def keep(self, data: bytes) -> None:
        """One more, there for good once this returns; only the last two stay.

        Raises:
            KeysError: ``keys_unwritable``, ``keys_too_open``; of the node's storage key.
            ConfigError: ``no_passphrase``.
        """
        folder.private_folder(self.path)
        number = max(self._numbers(), default=0) + 1
        folder.write(self._file(number), self._key().encrypted(data, self._context(number)))
        for old in sorted(self._numbers())[:-LAST]:
            self._file(old).unlink(missing_ok=True)

    def read(self, parse: Callable[[bytes], T]) -> list[T]:
        """Those that are whole, newest first; why another is not used stands in the party's own log.

        Raises:
            KeysError, ConfigError: the node's keys cannot be opened.
        """
        found = []
        for number in sorted(self._numbers(), reverse=True):
            file = self._file(number)
            try:
                made = load(file)
                data = self._key(str(made.get("key_id"))).decrypt(made, self._context(number))
                found.append(parse(data))
            except (LianmoError, TypeError, ValueError) as error:
                code = error.code if isinstance(error, LianmoError) else "other_release"
                if code in ("no_passphrase", "wrong_passphrase"):
                    raise
                log.warning(
                    "%s: the checkpoint %s is torn, was changed, or is another party's or run's (%s): the one before "
                    "it serves, if it is whole. / 检查点 %s 不完整、被改动或不属于本方本次运行（%s）：改用上一个。",
                    *(self.party, file.name, code, file.name, code),
                )
        return found

    def clear(self) -> None:
        """The run is complete, or given up: nothing of them stays."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _numbers(self) -> list[int]:
        return [int(file.stem) for file in self.path.glob("*.json") if file.stem.isdecimal()]

    def _file(self, number: int) -> Path:
        return self.path / f"{number:06d}.json"

    def _context(self, number: int) -> bytes:
        return "\0".join(("lianmo checkpoint", self.run, self.party, str(number))).encode()

    def _key(self, wanted: str = "") -> HeldKey:
        """The key of that id; without one the key in use."""
        if wanted not in self._keys:
            self._keys[wanted] = self._of_node(wanted) or self._in_file()
        return self._keys[wanted]

    def _of_node(self, wanted: str) -> HeldKey | None:
        if self.node is None:
            return None
        store = KeyStore(self.node / KEYS)
        if not any(r.purpose == STORAGE for r in store.records()):
            return None
        return store.open(wanted or store.active(STORAGE).key_id, passphrase_of(self.party))

    def _in_file(self) -> HeldKey:
        file, of = self.path / _KEY, suite(_SUITE)
        if not file.exists():
            folder.write(file, {"secret": of.new_secret().hex()})
        secret = bytes.fromhex(folder.read(file)["secret"])
        return HeldKey(of, key_id(of, secret), STORAGE, secret, may_make=True)


@dataclass(slots=True)
class PacedKeeping:
    """When the guest keeps its checkpoints: so rarely that they take no more than ``share`` of the time since training
    began; 1: after every tree. Whatever that is, the first comes after the first tree.

    The time that is counted is that of all parties, since the guest waits until every host has kept its own.
    """

    checkpoints: Checkpoints
    share: float
    clock: Callable[[], float] = time.perf_counter
    _began: float = 0.0
    _ended: float = 0.0
    _took: float = 0.0

    def due(self) -> bool:
        self._began = self.clock()
        return self._began - self._ended >= self._took * (1 - self.share) / self.share or self._took == 0

    def keep(self, checkpoint: GuestCheckpoint) -> None:
        self.checkpoints.keep(checkpoint.dump())
        self._ended = self.clock()
        self._took = self._ended - self._began


def any_kept(run: Path) -> bool:
    """Whether any party has a checkpoint in a run's directory."""
    return any(file.stem.isdecimal() for file in run.glob(f"nodes/*/{FOLDER}/*.json"))
