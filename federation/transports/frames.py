"""What passes between a party and the relay: one frame is kind, name, body.

    1 byte   kind: PART, LAST (a message's parts), JOINED, LEFT (control, only from the relay)
    1 byte   length of the name
    n bytes  name, UTF-8: the receiver on the way to the relay, the authenticated sender on the way from it
    rest     body: 8 bytes number of the message, big-endian, then a piece of the payload; empty for control

The relay reads kind and name only; numbers and payloads pass through it unread. Between parties with seals the body is
sealed (``sealing``), number included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc

from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="relay and parties, where certificates are configured",
        purpose_zh="参与方与中继之间（配置证书时）",
        standard="RFC 5246; RFC 8446",
        library="grpc",
    ),
)

PART: Final = 0
LAST: Final = 1
JOINED: Final = 2
LEFT: Final = 3

CHUNK_BYTES: Final = 1024 * 1024
#: What a body has beside its piece: the number, and the tag of a seal.
BODY_EXTRA_BYTES: Final = 8 + 16
#: One chunk in its body, and the longest name.
FRAME_BYTES: Final = CHUNK_BYTES + BODY_EXTRA_BYTES + 2 + 255

SERVICE: Final = "lianmo.Relay"
JOIN: Final = "Join"

#: Metadata keys; "-bin" lets gRPC carry any bytes, so names need not be ASCII.
SESSION_KEY: Final = "session-bin"
PARTY_KEY: Final = "party-bin"
TICKET_KEY: Final = "ticket-bin"

#: A peer whose machine vanished is noticed after 20 + 10 seconds.
CHANNEL_OPTIONS: Final = (
    # Beyond a frame, so that the relay can say itself what was wrong; what is larger still, gRPC refuses unread.
    ("grpc.max_receive_message_length", 2 * FRAME_BYTES),
    ("grpc.max_send_message_length", 2 * FRAME_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # gRPC's own is a minute, whatever grpc.keepalive_timeout_ms says
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """One side's papers, PEM: its certificate and key, and the authority both sides trust.

    A party's certificate carries the party's name as its common name.
    """

    certificate: bytes
    key: bytes
    authority: bytes

    def __repr__(self) -> str:
        return "Tls(<redacted>)"

    def for_server(self) -> Any:
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.authority, require_client_auth=True
        )

    def for_channel(self) -> Any:
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)


def pack(kind: int, name: str, body: bytes = b"") -> bytes:
    """Raises ValueError for a name of no bytes or over 255."""
    encoded = name.encode()
    if not 0 < len(encoded) < 256:
        raise ValueError("a party's name has 1 to 255 bytes")
    return bytes((kind, len(encoded))) + encoded + body


def unpack(frame: bytes) -> tuple[int, str, bytes]:
    """Kind, name, body. Raises ValueError for anything that is not a frame."""
    if len(frame) < 3 or frame[0] > LEFT or len(frame) < 2 + frame[1] or not frame[1]:
        raise ValueError("not a frame")
    end = 2 + frame[1]
    return frame[0], frame[2:end].decode(), frame[end:]
