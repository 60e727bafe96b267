"""Why a relay refuses or ends a connection: what it answers (gRPC's statuses), and what the party makes of it."""

from __future__ import annotations

from typing import Final

import grpc

from federation.errors import PartyId, TransportError

#: Code → status and text of the relay, then our words for it in English and Chinese.
_REFUSALS: Final = {
    "session_unknown": ("NOT_FOUND", "no such session", "it does not know this session", "它不认识该会话"),
    "not_a_party": (
        "PERMISSION_DENIED",
        "not a party of this session",
        "we are not a party of this session",
        "本方不是该会话的参与方",
    ),
    "wrong_ticket": ("UNAUTHENTICATED", "wrong ticket", "it refused our ticket", "它拒绝了本方的票据"),
    "joined_twice": (
        "ALREADY_EXISTS",
        "the party has joined before",
        "a party of our name has already joined",
        "已有同名参与方加入",
    ),
    "too_large": (
        "RESOURCE_EXHAUSTED",
        "the message is too large",
        "it has no room for us, or our message is too large",
        "它已满员，或本方消息过大",
    ),
    "not_a_frame": (
        "INVALID_ARGUMENT",
        "not a frame this party may send",
        "it refused what we sent: no frame, or to nobody of this session",
        "它拒绝了本方发送的内容：不是有效的帧，或接收方不在该会话中",
    ),
    "session_idle": (
        "DEADLINE_EXCEEDED",
        "nothing passed for too long",
        "it closed the session, in which nothing passed for too long",
        "会话长时间没有数据，已被它关闭",
    ),
    "session_closed": ("CANCELLED", "the session was closed", "the session was closed", "会话已被关闭"),
    "relay_lost": ("", "", "the connection has ended", "连接已断开"),
    "relay_broken": ("", "", "it sent something that is not a frame", "它发来的内容不是有效的帧"),
    "relay_unreachable": ("", "", "it did not answer in time", "它未在规定时间内应答"),
}
_CODES: Final = {status: code for code, (status, *_) in _REFUSALS.items() if status}


def answer_to(code: str) -> tuple[grpc.StatusCode, str]:
    """What a relay that refuses says: status and text."""
    status, text, *_ = _REFUSALS[code]
    return grpc.StatusCode[status], text


def code_of(status: str) -> str:
    """What a status of gRPC means, if a relay of ours gives it; else that the connection is lost."""
    return _CODES.get(status, "relay_lost")


def relay_error(code: str) -> TransportError:
    """The same at the party."""
    *_, english, chinese = _REFUSALS[code]
    return TransportError("relay", code, f"{english}.", f"{chinese}。")


def stalled_error(party: PartyId) -> TransportError:
    """The relay takes no more of a message to ``party``."""
    return TransportError(
        "relay",
        "relay_stalled",
        f"it takes no more of our message to {party}: {party} may be stuck, and does not read.",
        f"它不再接收本方发往 {party} 的消息：{party} 可能已停滞，未在读取。",
    )


def left_error(party: PartyId) -> TransportError:
    return TransportError(
        party,
        "party_left",
        "it left in the middle of the session. Its own log says why; resume the run (`lianmo runs`) or start it again.",
        "在会话进行中退出。原因见其本地日志；请恢复运行（lianmo runs）或重新启动。",
    )
