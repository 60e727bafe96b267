"""What is computed today equals what was written down once: formats do not drift unnoticed."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from federation.ciphers.packing import PairPacking
from federation.codec import decode
from federation.messages import REGISTRY
from tests.vectors.regenerate import FOLDER, MESSAGES, OURS


@pytest.mark.parametrize("name", OURS)
def test_vectors_are_reproduced(name: str) -> None:
    assert OURS[name]() == json.loads((FOLDER / name).read_text(encoding="utf-8"))


def test_written_frames_decode_to_the_messages_they_stand_for() -> None:
    frames = json.loads((FOLDER / "codec.json").read_text(encoding="utf-8"))
    assert [decode(bytes.fromhex(f["frame"]), "host:tax") for f in frames] == list(MESSAGES)


def test_every_kind_of_message_has_a_vector() -> None:
    ours = {kind for kind, cls in REGISTRY.items() if not cls.__module__.startswith("tests.")}
    assert {m.kind for m in MESSAGES} >= {k for k in ours if REGISTRY[k].__module__.startswith("federation.")}


def test_powers_are_those_of_python() -> None:
    for v in json.loads((FOLDER / "blinding.json").read_text(encoding="utf-8")):
        columns = zip(*v["digits"], strict=True)
        exponents = [sum(d << (v["window"] * i) for i, d in enumerate(column)) for column in columns]
        assert v["powers"] == [pow(v["base"], e, v["modulus"]) for e in exponents]


def test_packed_vectors_split_into_what_was_joined() -> None:
    for v in json.loads((FOLDER / "packing.json").read_text(encoding="utf-8")):
        plaintexts = [int(p, 16) for p in v["packed"]]
        signed = [p - 2**2048 if p > 2**2047 else p for p in plaintexts]
        assert PairPacking(v["slot"], v["pairs"]).split(signed, len(v["g"])) == (v["g"], v["h"])


def test_the_written_masked_sum_comes_out_by_hand() -> None:
    """With X25519, HKDF and ChaCha20 of the library, and integers of Python: no code of ours."""
    v = json.loads((FOLDER / "masked_sum.json").read_text(encoding="utf-8"))
    modulus = 256 ** v["bytes_per_word"]

    def derived(secret: bytes, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=info).derive(secret)

    def drawn(key: bytes, n_bytes: int, block: int) -> bytes:
        nonce = block.to_bytes(4, "little") + bytes(12)
        return Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(n_bytes))

    def mask(key: bytes) -> list[int]:
        data = drawn(key, 24, 1)
        return [int.from_bytes(data[k : k + 8], "little") for k in range(0, 24, 8)]

    private = [X25519PrivateKey.from_private_bytes(bytes.fromhex(key)) for key in v["private"]]
    public = [key.public_key().public_bytes_raw() for key in private]
    for k, vector in enumerate(v["vectors"]):
        own = mask(bytes.fromhex(v["own_seeds"][k]) + bytes(1))
        expected = [x + y for x, y in zip(vector, own, strict=True)]
        keys = b""
        for j in (j for j in range(3) if j != k):
            shared = private[k].exchange(private[j].public_key())
            info = b"lianmo aggregation agreement 2" + b"".join(sorted((public[k], public[j])))
            of_turns = drawn(derived(derived(shared, info), b"lianmo aggregation pairs 2"), 64, 0)
            key = of_turns[32 * v["turn"] :][:32]
            keys += key
            expected = [x + (1 if k < j else -1) * y for x, y in zip(expected, mask(key), strict=True)]
        masked = b"".join((x % modulus).to_bytes(v["bytes_per_word"], "little") for x in expected)
        assert masked.hex() == v["masked"][k]
        sealed = ChaCha20Poly1305(bytes.fromhex(v["pair_seeds"][k]) + bytes(1)).encrypt(bytes(12), keys, None)
        assert sealed.hex() == v["sealed_pair_keys"][k]
    order = 2**252 + 27742317777372353535851937790883648493
    for seed, shares in zip(v["own_seeds"], v["shares_of_own_seeds"], strict=True):
        one, two, three = (int.from_bytes(bytes.fromhex(share), "little") for share in shares)
        assert (3 * one - 3 * two + three) % order == int.from_bytes(bytes.fromhex(seed), "little")
    assert v["sum"] == [sum(column) for column in zip(*v["vectors"], strict=True)]
