"""What a message is, and the three messages every protocol shares.

Every message is a frozen dataclass whose fields are ``int | float | str | bool | bytes | tuple``; arrays travel as
bytes whose dtype the message's docstring fixes. ``kind`` is part of the wire contract. Each docstring says its
direction and, on lines of their own, what it ``Reveals to``: the disclosure table is made of those lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

PROTOCOL_VERSION: Final = 1

REGISTRY: Final[dict[str, type[Message]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Base of all messages; ``kind`` is set by the subclass: ``class Hello(Message, kind="alignment.hello")``."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, kind: str = "", **kwargs: object) -> None:
        # slots=True builds the class a second time, without the keyword: keep the first word, register the last class.
        cls.kind = kind or cls.kind
        REGISTRY[cls.kind] = cls


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Message, kind="failure"):
    """Any party → any party. It could not or would not do what was asked; ``code`` is one of ``errors.WIRE_CODES``.

    Reveals to receiver: the code.
    向接收方透露：错误代码。
    """

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye(Message, kind="goodbye"):
    """Guest → host, answered with the same. The session is over; ``code`` is "" or why it was abandoned.

    Reveals to host: that the run ended, and whether it succeeded. Its answer tells nothing.
    向数据方透露：运行已结束，以及是否成功。应答不透露任何信息。
    """

    code: str
