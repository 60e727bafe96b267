"""A call with an ``Idempotency-Key`` is done once, whoever repeats it and whichever worker it meets."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from lab.serving.problems import RequestError
from lab.serving.store import AnswerStore
from models.bundle import digest

HEADER: Final = "idempotency-key"
REPLAYED: Final = "idempotency-replayed"
_FORM: Final = re.compile(r"[\x21-\x7e]{1,255}")
_POLL_SECONDS: Final = 0.01
#: For so long a repeated call waits for the first; longer than any deadline of a party.
_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Once:
    """Attributes:
    keep_for: for so long a key is remembered.
    """

    store: AnswerStore
    keep_for: timedelta

    async def reply(
        self, key: str, caller: str, path: str, body: bytes, work: Callable[[str], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """The reply to a call, and whether it was made before.

        Args:
            key: as the caller gave it.
            body: what was sent.
            work: makes the reply and keeps it under the name it is given; called if nobody has.

        Raises:
            RequestError: 422 for a key of another form, 409 for one that was used with another body or whose first
            call takes too long.
        """
        if not _FORM.fullmatch(key):
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid_request",
                "The request does not fit: Idempotency-Key must have 1 to 255 printable ASCII characters, no space.",
                "请求不符合要求：Idempotency-Key 应为 1 至 255 个可见 ASCII 字符，不含空格。",
                fields=["Idempotency-Key"],
            )
        call = digest({"key": key, "caller": caller, "path": path})
        # The key is not kept, so it hides a body that could be guessed.
        request = digest({"key": key, "body": body.decode("latin-1")})
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            claim = await asyncio.to_thread(self.store.claim, call, request, self.keep_for)
            if claim.ours:
                return await self._made(call, work), False
            if not claim.same:
                raise RequestError(
                    HTTPStatus.CONFLICT,
                    "idempotency_key_reused",
                    "The key of this call (Idempotency-Key) was used with another body. Give every request its own.",
                    "该 Idempotency-Key 已用于其他请求体，请为每个请求使用单独的键。",
                )
            if claim.reply is not None:
                return claim.reply.encode(), True
            if time.monotonic() > until:
                raise RequestError(
                    HTTPStatus.CONFLICT,
                    "in_progress",
                    "The call of this key (Idempotency-Key) is still being answered. Ask again in a moment.",
                    "使用该 Idempotency-Key 的请求仍在处理，请稍后重试。",
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _made(self, call: str, work: Callable[[str], Awaitable[bytes]]) -> bytes:
        try:
            return await work(call)
        except BaseException:
            await asyncio.to_thread(self.store.release, call)
            raise
