"""Requests at random, from what an application's OpenAPI says: some right, most broken in one way or several."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "PÖST", "")
_ODD: Final = (
    *(None, True, False, 0, -1, 1.5, 22.0, 1e308, -1e308, float("nan"), float("inf"), 10**30, 2**63, "", "0", "null"),
    *("\x00", "\ud800", "𠀀", "a" * 2000, "<script>", "'; DROP TABLE scores;--", "../../etc/passwd", "%s%n", "{{7*7}}"),
    *([], {}, [[]], [None] * 50, {"": ""}, {"a": {"a": {"a": {}}}}, {"__proto__": 1}),
)
_ODD_BYTES: Final = (
    *(b"", b"{", b"[" * 3000, b'{"a":' * 900, b"\xff\xfe", b"\x00", b"nul", b"NaN", b"1e999", b'"\\ud800"', b"{}{}"),
    *(b"\xef\xbb\xbf{}", b"9" * 5000, b'{"a":1,"a":2}', b"<xml/>", b"a=b&c=d"),
)
#: A list that is repeated, and again, ends here.
_LONGEST: Final = 4000
_MEDIA: Final = (
    *("application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/jsonx", "text/plain", ""),
    *("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json\x00"),
)


@dataclass(frozen=True)
class Asked:
    """One request as it goes in."""

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: tuple[bytes, ...]
    breaks_off: bool


@dataclass
class Told:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False


class RandomRequests:
    """The same requests for the same seed.

    Args:
        openapi: what the application says of itself.
        keys: values for ``X-API-Key``, the first of which is good for everything.
        known: name of a property → values that mean something, as identifiers of applicants there are.
    """

    def __init__(self, seed: int, openapi: Mapping[str, Any], keys: Sequence[str], known: Mapping[str, Sequence[Any]]):
        self._random, self._openapi, self._keys, self._known = random.Random(seed), openapi, keys, known
        self._operations = [
            (method.upper(), path, operation)
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
        ]

    def next(self) -> Asked:
        """One more."""
        rng = self._random
        method, template, operation = rng.choice(self._operations)
        body = self._body(operation)
        media = b"application/json"
        headers = [(b"x-api-key", self._keys[0].encode())]
        path = (
            "".join(self._segment(part) for part in template.replace("}", "{").split("{"))
            if "{" in template
            else template
        )
        breaks_off = False
        if rng.random() < 0.15:
            method = rng.choice(_METHODS)
        if rng.random() < 0.1:
            path = rng.choice(
                (path + "/", "/" + path, path + "%00", path[:-1], path + "\n", "/" + "a" * 5000, "", "/é", path.upper())
            )
        if rng.random() < 0.1:
            media = rng.choice(_MEDIA).encode()
        if rng.random() < 0.2:
            headers = rng.choice(
                (
                    [],
                    headers * 2,
                    [(b"x-api-key", rng.choice(self._keys).encode())],
                    [(b"x-api-key", rng.randbytes(rng.randrange(80)))],
                    [
                        (
                            b"authorization",
                            rng.choice((b"", b"Bearer", b"Bearer ", b"Basic ", b"bearer ")) + rng.randbytes(40),
                        )
                    ],
                    [(b"authorization", b"Bearer " + b".".join([b"e30"] * rng.randrange(6)))],
                )
            )
        for name in (b"x-request-id", b"idempotency-key", b"accept", b"host", b"cookie", b"forwarded", b"expect"):
            if rng.random() < 0.04:
                headers.append((name, rng.choice((rng.randbytes(20), b"", b"a" * 300, b"r-1", b"\xff"))))
        length = str(len(body)).encode()
        if rng.random() < 0.05:
            length = rng.choice((b"0", b"-1", b"99999999999999999999", b"abc", b"\xd9\xa1", b""))
        if body or rng.random() < 0.5:
            headers += [(b"content-type", media), (b"content-length", length)]
        cut = rng.randrange(len(body) + 1)
        chunks = (body[:cut], body[cut:]) if rng.random() < 0.3 else (body,)
        if rng.random() < 0.01:
            chunks, breaks_off = chunks[:1], True
        query = rng.randbytes(rng.randrange(30)) if rng.random() < 0.1 else b""
        return Asked(method, path, query, tuple(headers), chunks, breaks_off)

    def _segment(self, name: str) -> str:
        """A part of a path: what stands there, or for a parameter anything."""
        if "/" in name or ":" in name or not name:
            return name
        return quote(str(self._random.choice((*self._known.get(name, ()), *_ODD[:24]))).encode("utf-8", "replace"))

    def _body(self, operation: Mapping[str, Any]) -> bytes:
        rng = self._random
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return rng.choice(_ODD_BYTES) if rng.random() < 0.2 else b""
        if rng.random() < 0.1:
            return rng.choice(_ODD_BYTES)
        value = self.instance(content["schema"])
        while rng.random() < 0.6:
            value = self._broken(value)
        try:
            body = json.dumps(value, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            body = b"{}"
        while body and rng.random() < 0.2:
            place = rng.randrange(len(body))
            body = rng.choice(
                (
                    body[:place],
                    body[:place] + rng.randbytes(rng.randrange(4)) + body[place + 1 :],
                    body[place:],
                    body + body,
                )
            )
        return body

    def instance(self, schema: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
        """Something that fits a JSON schema, as far as the schemas here go."""
        rng = self._random
        if "$ref" in schema:
            found: Any = self._openapi
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return self.instance(found, name, depth)
        if name in self._known and rng.random() < 0.7:
            return rng.choice(self._known[name])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self.instance(rng.choice(schema[several]), name, depth)
        if "allOf" in schema:
            parts = [self.instance(part, name, depth) for part in schema["allOf"]]
            return (
                {k: v for part in parts for k, v in part.items()}
                if all(isinstance(p, dict) for p in parts)
                else parts[0]
            )
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type", "object")
        match rng.choice(kind) if isinstance(kind, list) else kind:
            case "object":
                required, properties = schema.get("required", ()), schema.get("properties", {})
                wanted = [p for p in properties if p in required or rng.random() < 0.5]
                return {p: self.instance(properties[p], p, depth + 1) for p in wanted}
            case "array":
                least = schema.get("minItems", 0)
                n = rng.randint(least, min(schema.get("maxItems", 5), least + 4))
                return [self.instance(schema.get("items", {}), name, depth + 1) for _ in range(n)]
            case "string":
                least, most = schema.get("minLength", 0), min(schema.get("maxLength", 40), 40)
                return "".join(rng.choice("abz019-_. é中𠀀\n\x00") for _ in range(rng.randint(least, max(least, most))))
            case "integer":
                return rng.randint(schema.get("minimum", -100), min(schema.get("maximum", 100), 100))
            case "number":
                return rng.choice((0, -0.0, 1, rng.gauss(0, 10), rng.gauss(0, 1e6), 1e-320, 1.7e308))
            case "boolean":
                return rng.random() < 0.5
            case _:
                return None

    def _broken(self, value: Any) -> Any:
        """The same with one thing wrong, somewhere."""
        rng = self._random
        if isinstance(value, dict) and value and rng.random() < 0.8:
            name = rng.choice(list(value))
            match rng.randrange(5):
                case 0:
                    return {k: v for k, v in value.items() if k != name}
                case 1:
                    return {
                        **value,
                        rng.choice(("extra", "__class__", name + " ", "", "\ud800"))[:50]: rng.choice(_ODD),
                    }
                case _:
                    return {**value, name: self._broken(value[name])}
        if isinstance(value, list) and value and rng.random() < 0.8:
            place = rng.randrange(len(value))
            if rng.random() < 0.7:
                return [*value[:place], self._broken(value[place]), *value[place + 1 :]]
            return (value * 40)[:_LONGEST]
        return rng.choice(_ODD)


async def tell(app: FastAPI, asked: Asked) -> Told:
    """One request to the application without a port or a library between."""
    told = Told()
    waiting = list(asked.chunks)

    async def receive() -> dict[str, Any]:
        if waiting:
            chunk = waiting.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or asked.breaks_off}
        if not asked.breaks_off:
            await asyncio.sleep(3600)  # nobody hangs up; whoever waits for it is cancelled
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not told.status, "answered twice"
            told.status = message["status"]
            told.headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            told.body += message.get("body", b"")
            told.ended = not message.get("more_body", False)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode("utf-8", "surrogatepass"),
        "query_string": asked.query,
        "root_path": "",
        "headers": list(asked.headers),
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50000),
    }
    await app(scope, receive, send)
    return told
