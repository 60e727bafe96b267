"""What is computed today equals what was written down once: formats do not drift unnoticed."""

from __future__ import annotations

import json

import pytest

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
