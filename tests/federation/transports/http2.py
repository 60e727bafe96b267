"""The first words of an HTTP/2 connection that opens a call of gRPC (RFC 9113), for tests that then misbehave."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

from federation.transports.frames import JOIN, PARTY_KEY, SERVICE, SESSION_KEY, TICKET_KEY

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
ACK, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


#: What makes a connection one of HTTP/2 (§3.4): the preface, our settings, and thanks for the other side's.
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + frame(SETTINGS, ACK, 0, b"")


def _field(name: str, value: str) -> bytes:
    """A literal without indexing, no Huffman code (RFC 7541 §6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def joining(session: str, party: str, ticket: str) -> bytes:
    """Preface, settings and the headers of a call that joins."""
    keys = {SESSION_KEY: session, PARTY_KEY: party, TICKET_KEY: ticket}
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{SERVICE}/{JOIN}",
        ":authority": "relay",
        "te": "trailers",
        "content-type": "application/grpc",
        **{key: base64.b64encode(value.encode()).decode() for key, value in keys.items()},
    }
    headers = b"".join(_field(name, value) for name, value in fields.items())
    return OPENING + frame(HEADERS, END_HEADERS, 1, headers)


def frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Kind, stream and body of what comes, until the other side closes."""
    stream = connection.makefile("rb")
    while len(head := stream.read(9)) == 9:
        yield head[3], int.from_bytes(head[5:9], "big"), stream.read(int.from_bytes(head[:3], "big"))
