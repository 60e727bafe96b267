"""How two parties of a session agree on the keys of their frames: the messages of ``agreement``.

They pass the relay in clear: nobody has keys yet. What is signed is in ``agreement``.
"""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOffer(Message, kind="seal.offer"):
    """Party → party, once both have joined; it comes from the one whose name sorts first. ``suite`` names the crypto
    suite; ``key`` is a public sealing key made for this session and this pair.

    Reveals to receiver and relay: the suite. The key tells nothing.
    向接收方与中继透露：所用密码套件。该公钥不透露任何信息。
    """

    suite: str
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealAnswer(Message, kind="seal.answer"):
    """Party → party, answer to ``SealOffer``. ``secret`` is a fresh secret of 32 bytes sealed to the offered key;
    ``signature`` and ``mac`` as ``agreement`` says.

    Reveals to receiver and relay: that the sender holds its signing key.
    向接收方与中继透露：发送方持有其签名私钥。
    """

    secret: bytes
    signature: bytes
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealConfirm(Message, kind="seal.confirm"):
    """Party → party, answer to ``SealAnswer``; sealed frames follow.

    Reveals to receiver and relay: that the sender holds its signing key.
    向接收方与中继透露：发送方持有其签名私钥。
    """

    signature: bytes
    mac: bytes
