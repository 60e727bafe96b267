"""What protocols ask of an additively homomorphic cipher.

The key holder (guest) has a ``SecretCipher``; everybody else a ``PublicCipher``. On the wire a ciphertext is a fixed
number of bytes; in memory it is an opaque ``Integer``. Plaintexts are signed integers of magnitude below
``2**(plaintext_bits - 1)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.errors import PlaintextOverflow

Labels = NDArray[np.int32] | NDArray[np.int64]


class PublicCipher(ABC):
    """Adding without reading."""

    name: ClassVar[str]
    encrypts: ClassVar[bool]
    ciphertext_bytes: int
    plaintext_bits: int
    #: The neutral ciphertext: a sum over no row. Recognisable until re-randomised.
    zero: Integer

    @property
    @abstractmethod
    def key(self) -> bytes:
        """The public key as it travels."""

    @abstractmethod
    def load(self, data: bytes) -> list[Integer]:
        """Wire bytes to ciphertexts. Raises ``InvalidCiphertext`` if any is outside the group."""

    @abstractmethod
    def dump(self, ciphertexts: Iterable[Integer]) -> bytes:
        """Ciphertexts to wire bytes."""

    @abstractmethod
    def add(self, a: Integer, b: Integer) -> Integer:
        """A ciphertext of the sum."""

    @abstractmethod
    def constant(self, number: int) -> Integer:
        """A ciphertext of a number, 0 or more, that anybody can read until it is re-randomised."""

    @abstractmethod
    def shift(self, a: Integer, bits: int) -> Integer:
        """A ciphertext of ``2**bits`` times the plaintext."""

    @abstractmethod
    def rerandomise(self, ciphertexts: Sequence[Integer]) -> list[Integer]:
        """Same plaintexts under fresh randomness, so that not even the key holder, who knows the randomness of every
        ciphertext it sent, can tell which of them were added up."""

    def cell_sums(
        self, data: NDArray[np.uint8], rows: NDArray[np.intp], labels: Labels, n_cells: int
    ) -> list[Integer | None]:
        """Sums over the rows of each cell; ``None`` for an empty one.

        Args:
            data: ciphertexts of all rows, shape ``(n_all_rows, ciphertext_bytes)``, as ``load`` has checked them.
            rows: the rows to sum.
            labels: the cell of each of them, below ``n_cells``.
        """
        size, read = self.ciphertext_bytes, self.read
        view = np.ascontiguousarray(data).reshape(-1).data
        return self.sums((read(view[row * size : (row + 1) * size]) for row in rows.tolist()), labels, n_cells)

    def sums(self, ciphertexts: Iterable[Integer | None], labels: Labels, n_cells: int) -> list[Integer | None]:
        """Sums of the ciphertexts (``None``: of nothing) with the same label, each below ``n_cells``."""
        sums: list[Integer | None] = [None] * n_cells
        add = self.add
        for c, cell in zip(ciphertexts, labels.tolist(), strict=True):
            known = sums[cell]
            sums[cell] = c if known is None else known if c is None else add(known, c)
        return sums

    @abstractmethod
    def read(self, data: bytes | memoryview) -> Integer:
        """One ciphertext from its wire bytes, unchecked: for bytes that ``load`` has checked."""


class SecretCipher(ABC):
    """The key holder's side. Never leaves its owner; prints nothing of the key."""

    public: PublicCipher

    @abstractmethod
    def encrypt(self, numbers: Sequence[int]) -> bytes:
        """Wire bytes of fresh ciphertexts of signed integers."""

    def prepare(self, count: int) -> None:  # noqa: B027 - a cipher without randomness has nothing to prepare
        """About ``count`` numbers will be encrypted next: use the time until then. 0: nothing more will be."""

    def check_room(self, numbers: Sequence[int]) -> None:
        """Raises ``PlaintextOverflow`` unless every number has a magnitude below ``2**(plaintext_bits - 1)``."""
        limit = 1 << (self.public.plaintext_bits - 1)
        if any(not -limit < m < limit for m in numbers):
            raise PlaintextOverflow(
                "A number is too large for the key; fewer rows per ciphertext or a longer key are needed.",
                "数值超出密钥可容纳的范围，需要更长的密钥或更少的打包数。",
            )

    @abstractmethod
    def decrypt(self, data: bytes) -> list[int]:
        """Signed integers from wire bytes. Raises ``InvalidCiphertext``."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} redacted>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret key is not to be copied out of its process")
