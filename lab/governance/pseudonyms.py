"""What stands for applicants, consents and records in a party's own log: digests that only the party can make.

Keyed, because identifiers of enterprises are few enough to be tried one by one. The key stays with the node, under its
passphrase; whoever has it finds all entries about one identifier, whoever has not learns nothing from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from federation.audit.heads import canonical
from federation.ciphers.suites.interface import DIGEST_BYTES, Suite
from lab.governance import folder
from lab.governance.audit_entry import keyed_digest
from lab.governance.protection import protect, reveal

FILE: Final = "pseudonyms.json"
_KEY_ID: Final = "pseudonyms"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Digests are hexadecimal. The same identifier has another digest as an applicant than as a consent."""

    suite: Suite
    _secret: bytes = field(repr=False)

    @classmethod
    def open(cls, audit: Path, suite: Suite, passphrase: str, salt: bytes | None = None) -> Self:
        """Those of the node whose audit folder this is; drawn at the first call.

        Args:
            salt: of the node's keys (``KeyStore.salt``).

        Raises:
            KeysError: ``wrong_passphrase``; ``keys_unreadable``, ``keys_too_open`` or ``keys_unwritable`` of the file.
        """
        path = audit / FILE
        with folder.locked(audit):
            if not path.exists():
                folder.write(path, protect(suite, os.urandom(DIGEST_BYTES), passphrase, _KEY_ID, salt=salt))
            return cls(suite, reveal(suite, folder.read(path), passphrase, _KEY_ID))

    def applicant(self, identifier: str) -> str:
        return self._of("applicant", identifier)

    def consent(self, number: str) -> str:
        return self._of("consent", number)

    def record(self, number: str) -> str:
        return self._of("record", number)

    def consents(self, numbers: Iterable[str]) -> str:
        """Of several together, whatever their order."""
        return self._of("consents", canonical(sorted(numbers)).decode())

    def _of(self, what: str, identifier: str) -> str:
        return keyed_digest(self.suite, self._secret, f"{what}\0{identifier}")
