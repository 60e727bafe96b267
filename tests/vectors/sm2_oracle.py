"""Writes ``sm2_gmssl.json``: SM2 signatures and ciphertexts of GmSSL, a key stretched with its HMAC-SM3.

The test suite does not run this: GmSSL's packages have no wheels for all machines the project runs on (ADR 0021). To
write it again, from the root::

    python -m venv other && other/bin/pip install gmssl-pyx==2.1.0
    other/bin/python tests/vectors/sm2_oracle.py
"""

from __future__ import annotations

import json
from pathlib import Path

import gmssl_pyx as gmssl

FOLDER = Path(__file__).parent
MESSAGES = (b"", b"message digest", "一户一评".encode(), bytes(range(256)) * 5)
PLAINTEXTS = (b"\x00", b"encryption standard", bytes(range(255)))


def stretched(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    """The first 16 bytes of PBKDF2 (RFC 8018 §5.2) over GmSSL's HMAC-SM3."""
    block = last = gmssl.sm3_hmac(passphrase, salt + (1).to_bytes(4, "big"))
    for _ in range(cost - 1):
        last = gmssl.sm3_hmac(passphrase, last)
        block = bytes(a ^ b for a, b in zip(block, last, strict=True))
    return block[:16]


def main() -> None:
    keys = []
    for _ in range(3):
        public, private = gmssl.sm2_key_generate()
        keys.append(
            {
                "private": private.hex(),
                "public": "04" + public.hex(),
                "signed": [
                    {"message": m.hex(), "signature": gmssl.sm2_sign(private, public, m).hex()} for m in MESSAGES
                ],
                "encrypted": [
                    {"plaintext": p.hex(), "ciphertext": gmssl.sm2_encrypt(public, p).hex()} for p in PLAINTEXTS
                ],
            }
        )
    passphrase, salt, cost = "一个口令".encode(), bytes(range(16)), 1024
    kept = {
        "source": f"gmssl-pyx {gmssl.__version__}, GmSSL 3.2.0",
        "keys": keys,
        "stretched": {
            "passphrase": passphrase.hex(),
            "salt": salt.hex(),
            "cost": cost,
            "key": stretched(passphrase, salt, cost).hex(),
        },
    }
    (FOLDER / "sm2_gmssl.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
