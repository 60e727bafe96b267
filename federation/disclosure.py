"""What each party learnt in a run, made from the messages that really passed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from federation.errors import PartyId
from federation.messages import Message


@dataclass(slots=True)
class _Flow:
    count: int = 0
    n_bytes: int = 0
    epsilon: float = 0.0


@dataclass(slots=True)
class Transcript:
    """A ``Witness`` that counts messages and bytes between the guest and each host; it keeps no content
    but how strong the noise was."""

    guest: PartyId
    flows: dict[tuple[PartyId, PartyId, type[Message]], _Flow] = field(default_factory=dict)

    def __call__(self, sender: PartyId, receiver: PartyId, message: Message, n_bytes: int) -> None:
        key = (sender or self.guest, receiver or self.guest, type(message))
        flow = self.flows.setdefault(key, _Flow())
        flow.count += 1
        flow.n_bytes += n_bytes
        flow.epsilon = max(flow.epsilon, getattr(message, "epsilon", 0.0))

    def traffic(self) -> Mapping[PartyId, Mapping[str, int]]:
        """party → ``{"sent", "received"}`` in bytes."""
        parties: dict[PartyId, dict[str, int]] = {self.guest: {"sent": 0, "received": 0}}
        for (sender, receiver, _), flow in self.flows.items():
            parties.setdefault(sender, {"sent": 0, "received": 0})["sent"] += flow.n_bytes
            parties.setdefault(receiver, {"sent": 0, "received": 0})["received"] += flow.n_bytes
        return parties

    def disclosures(self) -> list[dict[str, str | int]]:
        """A row per receiver, sender and kind of message: how often, how many bytes, what it told the receiver."""
        rows: list[dict[str, str | int]] = []
        for (sender, receiver, kind), flow in sorted(self.flows.items(), key=lambda item: (item[0][1], item[0][0])):
            english, chinese = revealed_by(kind, flow.epsilon)
            rows.append(
                {
                    "receiver": receiver,
                    "sender": sender,
                    "message": kind.kind,
                    "count": flow.count,
                    "bytes": flow.n_bytes,
                    "reveals": english,
                    "reveals_zh": chinese,
                }
            )
        return rows


def revealed_by(kind: type[Message], epsilon: float = 0.0) -> tuple[str, str]:
    """What a message's docstring says it reveals, in English and Chinese; with its noise, of epsilon per feature, if it
    has any. Raises ``ValueError`` without it."""
    text = inspect.getdoc(kind) or ""
    english = re.search(r"Reveals to [a-z]+: (.+?)(?=\n[^\s]*向|\Z)", text, re.DOTALL)
    chinese = re.search(r"向[^\n：]+透露：(.+)", text, re.DOTALL)
    if not english or not chinese:
        raise ValueError(f"{kind.__name__} does not say what it reveals")
    said = " ".join(english[1].split()), "".join(chinese[1].split())
    if not epsilon:
        return said
    return f"{said[0]} Noise of epsilon {epsilon:g} per feature.", f"{said[1]}每个特征加噪声，ε 为 {epsilon:g}。"
