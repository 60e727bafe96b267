"""Frames and requests at random at a data node's endpoint, true ones damaged: it answers, never fails, and goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import pytest

from federation.codec import decode, encode
from federation.messages import Failure, Goodbye
from federation.transports.http import FRAME_TYPE
from federation.transports.memory import MemoryWire
from federation.vertical.publishing.messages import Prepare, Retire
from federation.vertical.scoring.host import ALLOWED as SCORING
from lab.serving.batch import score_table
from lab.serving.host_api import create_host_app
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing.stored import loaded_from
from tests.lab.serving.conftest import RecordingWire
from tests.lab.serving.publishing.conftest import COURT, TAX, Lab
from tests.lab.serving.random_requests import Asked, Told, tell

AT_ONCE: Final = 16
_PATHS: Final = ("/v1/messages", "/v1/messages/", "/healthz", "/", "/v1/scores", "/v1/messages%00", "/é", "")
_MEDIA: Final = (b"application/json", b"", FRAME_TYPE.encode() + b"\x00", b"text/plain", b"multipart/form-data")


@dataclass
class RandomFrames:
    """The same requests for the same seed. ``good``: frames of a bank that the endpoint answers."""

    random: random.Random
    good: list[bytes]

    def next(self) -> Asked:
        rng = self.random
        method, path, media = "POST", "/v1/messages", FRAME_TYPE.encode()
        if rng.random() < 0.05:
            method = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "post", "PÖST", ""))
        if rng.random() < 0.05:
            path = rng.choice(_PATHS)
        if rng.random() < 0.05:
            media = rng.choice(_MEDIA)
        body = self._frame()
        headers = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
        for name in (b"x-request-id", b"x-api-key", b"authorization", b"idempotency-key", b"expect"):
            if rng.random() < 0.05:
                headers.append((name, rng.choice((rng.randbytes(20), b"", b"r-1"))))
        cut = rng.randrange(len(body) + 1)
        breaks_off = rng.random() < 0.01
        return Asked(method, path, b"", tuple(headers), (body[:cut], body[cut:])[: 2 - breaks_off], breaks_off)

    def _frame(self) -> bytes:
        rng = self.random
        frame = bytearray(rng.choice(self.good))
        if rng.random() < 0.1:
            return rng.randbytes(rng.choice((0, 1, 5, 200)))
        while rng.random() < 0.7:
            place = rng.randrange(len(frame) + 1)
            match rng.randrange(5):
                case 0:
                    frame[place : place + 1] = rng.randbytes(rng.randrange(3))
                case 1:
                    del frame[place:]
                case 2:
                    frame += rng.choice(self.good)
                case 3:
                    frame[place:place] = bytes(rng.randrange(1, 70))
                case _ if place < len(frame):
                    frame[place] ^= 1 << rng.randrange(8)
        return bytes(frame)


@pytest.mark.parametrize(
    "n", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])], ids=["quick", "all"]
)
def test_no_frame_at_random_makes_a_data_node_fail(lab: Lab, n: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    doors = {party: scoring_endpoint(lab.host("first", party)) for party in (TAX, COURT)}
    joint = loaded_from(lab.bank("first")).joint.model
    wire = RecordingWire(MemoryWire({party: door.answer for party, door in doors.items()}))

    def scores() -> object:
        return score_table(joint, lab.table(3), wire, 1)

    before = scores()
    true = [frame for frame in wire.seen if _is_question(frame)]
    true.append(encode(Prepare(model="trees", model_id=joint.model_id, digest=joint.host_digests[TAX], shadow=False)))
    others = [encode(Goodbye(code="")), encode(Failure(code="policy")), encode(Retire(model_id="m", digest="0" * 64))]
    frames = RandomFrames(random.Random(42), [*true, *others])
    app = create_host_app(doors[TAX])

    async def all_of_them() -> Counter[str]:
        told: Counter[str] = Counter()
        for _ in range(n // AT_ONCE):
            asked = [frames.next() for _ in range(AT_ONCE)]
            for one, reply in zip(asked, await asyncio.gather(*(tell(app, a) for a in asked)), strict=True):
                told[_checked(one, reply)] += 1
        return told

    told = asyncio.run(all_of_them())
    assert told["answered"] > n / 50  # the requests are not all rubbish
    assert {"unreadable", "404", "405", "415"} <= set(told)
    assert "internal" not in told
    assert scores() == before


def _is_question(frame: bytes) -> bool:
    return isinstance(decode(frame, TAX), SCORING)


def _checked(asked: Asked, told: Told) -> str:
    """What came of it: ``answered``, the code of a refusal, or the status of a problem."""
    assert 200 <= told.status < 500, (told, asked)
    assert told.ended, asked
    if told.status >= 400:
        assert asked.method == "HEAD" or json.loads(told.body)["status"] == told.status
        return str(told.status)
    if told.headers["content-type"] != FRAME_TYPE:
        return "health"
    reply: Any = decode(told.body, TAX)
    return reply.code if isinstance(reply, Failure) else "answered"
