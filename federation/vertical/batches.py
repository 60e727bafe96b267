"""How many rows travel together, so that neither side holds a whole column of ciphertexts as one message."""

from __future__ import annotations

from typing import Final

#: Rows of ciphertexts per message: at 2,048 bits 8 MiB.
BATCH: Final = 16384
