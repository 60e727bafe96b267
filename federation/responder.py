"""Shared by all hosts: refuse what the transition table does not list, and leave the state alone when that happens."""

from __future__ import annotations

from collections.abc import Mapping

from federation.errors import LocalProtocolError
from federation.messages import Message

Transitions = Mapping[tuple[str, type[Message]], str]


def next_phase(transitions: Transitions, phase: str, request: Message) -> str:
    """The phase that follows. Raises ``LocalProtocolError`` (``out_of_turn``) if the request is not accepted now."""
    try:
        return transitions[phase, type(request)]
    except KeyError:
        raise LocalProtocolError(
            "out_of_turn",
            f"A {request.kind} message is not accepted while {phase}.",
            f"当前阶段（{phase}）不接受 {request.kind} 消息。",
        ) from None


def bad_value(what_en: str, what_zh: str) -> LocalProtocolError:
    """A request whose content does not fit the run."""
    return LocalProtocolError(
        "bad_value", f"A request does not fit the run: {what_en}.", f"请求与本次运行不符：{what_zh}。"
    )
