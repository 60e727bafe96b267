"""Identifiers in the shape of unified social credit codes 统一社会信用代码, of a region that does not exist.

A code has 18 characters (GB 32100-2015, section 4): registering authority, kind of organisation, six digits of region
(GB/T 2260), nine characters of organisation code with a check character of their own (GB 11714-1997), and a check
character. Here the region begins with 39: GB/T 2260 gives East China 31 to 37 and nothing to 38 and 39, so no real
organisation can have such a code, and whoever meets one can tell.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Digits and capital letters without I, O, S, V, Z; a character's value is its place (GB 32100-2015, table A.1).
ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
#: First digits of every region in the population; unassigned in GB/T 2260.
REGION: Final = "3999"

_BASE: Final = len(ALPHABET)
_SERIALS: Final = _BASE**6
_STEP: Final = 382_742_911  # prime to 31, so that serials never repeat
_CHARACTERS: Final = np.frombuffer(ALPHABET.encode("ascii"), dtype=np.uint8)
_WEIGHTS: Final = np.array([pow(3, place, _BASE) for place in range(17)])  # GB 32100-2015, A.2: 3^(i-1) modulo 31
_ORGANISATION_WEIGHTS: Final = np.array([3, 7, 9, 10, 5, 8, 4, 2])  # GB 11714-1997, section 5
_ORGANISATION_CHECKS: Final = np.frombuffer(b"0123456789X", dtype=np.uint8)


def credit_codes(numbers: NDArray[Any], kind: NDArray[Any], district: NDArray[Any]) -> NDArray[np.bytes_]:
    """One code per enterprise, all different, dtype ``S18``.

    Args:
        numbers: the enterprises' numbers in the population, from 0 up to ``31**6``.
        kind: second character of the code: 1 company, 2 household business, 3 farmers' cooperative.
        district: 1 to 99, the last two digits of the region.
    """
    codes = np.empty((len(numbers), 18), dtype=np.uint8)
    codes[:, 0], codes[:, 1] = ord("9"), ord("0") + kind
    codes[:, 2:6] = np.frombuffer(REGION.encode("ascii"), dtype=np.uint8)
    codes[:, 6], codes[:, 7] = ord("0") + district // 10, ord("0") + district % 10
    codes[:, 8:10] = np.frombuffer(b"MA", dtype=np.uint8)
    serial = (np.asarray(numbers, dtype=np.int64) * _STEP + 17) % _SERIALS
    for place in range(15, 9, -1):
        codes[:, place] = _CHARACTERS[serial % _BASE]
        serial //= _BASE
    codes[:, 16] = _organisation_checks(codes[:, 8:16])
    values = np.searchsorted(_CHARACTERS, codes[:, :17])
    codes[:, 17] = _CHARACTERS[-(values @ _WEIGHTS) % _BASE]
    return codes.view("S18").ravel()


def _organisation_checks(characters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Check characters of organisation codes: here letters count A = 10 to Z = 35, with none left out."""
    letters = characters >= ord("A")
    values = np.where(letters, characters.astype(np.int64) - ord("A") + 10, characters.astype(np.int64) - ord("0"))
    checks: NDArray[np.uint8] = _ORGANISATION_CHECKS[-(values @ _ORGANISATION_WEIGHTS) % 11]
    return checks
