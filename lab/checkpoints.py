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
from typing import Final, Protocol, Self, TypeVar

from federation.ciphers.suites.choice import suite
from federation.ciphers.suites.interface import key_id
from federation.errors import PartyId
from federation.state import SecretState
from lab.errors import ConfigError
from lab.governance import folder
from lab.governance.held import STORAGE, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS, passphrase_of
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


class Owner(Protocol):
    """Has a name and, it may be, a data node."""

    @property
    def party(self) -> PartyId: ...

    @property
    def node(self) -> Path | None: ...


class KeptJob(Protocol):
    """What is done for one party of a run, whichever kind it is."""

    @property
    def model_id(self) -> str: ...

    @property
    def directory(self) -> Path: ...

    @property
    def party(self) -> Owner: ...


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
    def of(cls, job: KeptJob) -> Self:
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
        found = (self._whole(number, parse) for number in sorted(self._numbers(), reverse=True))
        return [one for one in found if one is not None]

    def newest(self, parse: Callable[[bytes], T]) -> T | None:
        """The newest, where an older one does not do; None: none was taken.

        Raises:
            ConfigError: ``checkpoint_damaged``.
            KeysError, ConfigError: as ``read``.
        """
        if not self._numbers():
            return None
        found = self._whole(max(self._numbers()), parse)
        if found is None:
            raise ConfigError(
                "checkpoint_damaged",
                f"The newest checkpoint of {self.party} is damaged, and an older one does not tell which sums were "
                f"opened since. Drop the run (lianmo runs drop {self.run[:8]}) and train anew.",
                f"{self.party} 最近的检查点已损坏，更早的检查点无法说明其后打开过哪些求和。"
                f"请丢弃该运行（lianmo runs drop {self.run[:8]}）并重新训练。",
            )
        return found

    def _whole(self, number: int, parse: Callable[[bytes], T]) -> T | None:
        file = self._file(number)
        try:
            made = load(file)
            data = self._key(str(made.get("key_id"))).decrypt(made, self._context(number))
            return parse(data)
        except (LianmoError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, LianmoError) else "other_release"
            if code in ("no_passphrase", "wrong_passphrase"):
                raise
            log.warning(
                "%s: the checkpoint %s is torn, was changed, or is another party's or run's (%s): the one before "
                "it serves, if it is whole. / 检查点 %s 不完整、被改动或不属于本方本次运行（%s）：改用上一个。",
                *(self.party, file.name, code, file.name, code),
            )
            return None

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
    """When whoever leads a run keeps its checkpoints: so rarely that they take no more than ``share`` of the time since
    training began; 1: after every tree. Whatever that is, the first comes after the first tree.

    The time that is counted is that of all parties, since it waits until every other one has kept its own.
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

    def keep(self, checkpoint: SecretState) -> None:
        self.checkpoints.keep(checkpoint.dump())
        self._ended = self.clock()
        self._took = self._ended - self._began


def any_kept(run: Path) -> bool:
    """Whether any party has a checkpoint in a run's directory."""
    return any(file.stem.isdecimal() for file in run.glob(f"nodes/*/{FOLDER}/*.json"))
