"""What a search has cost and told: bytes, seconds and disclosures summed over all its sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Spending:
    """Attributes:
    stages: name of each stage in order → sessions, seconds, bytes sent by all parties.
    """

    stages: dict[str, Counter[str]] = field(default_factory=dict)
    _bytes: dict[str, Counter[str]] = field(default_factory=dict)
    _rows: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, stage: str, outcome: Mapping[str, Any], seconds: float) -> None:
        """One session; ``outcome`` has its ``bytes`` and ``disclosures``."""
        told = self.stages.setdefault(stage, Counter())
        told["sessions"] += 1
        told["seconds"] += seconds  # type: ignore[assignment]
        told["bytes"] += sum(traffic["sent"] for traffic in outcome["bytes"].values())
        for party, traffic in outcome["bytes"].items():
            self._bytes.setdefault(party, Counter()).update(traffic)
        for row in outcome["disclosures"]:
            known = self._rows.setdefault(
                (row["receiver"], row["sender"], row["message"]), {**row, "count": 0, "bytes": 0}
            )
            known["count"] += row["count"]
            known["bytes"] += row["bytes"]

    @property
    def n_sessions(self) -> int:
        return sum(stage["sessions"] for stage in self.stages.values())

    def bytes(self) -> dict[str, dict[str, int]]:
        """As ``Transcript.traffic``."""
        return {party: dict(traffic) for party, traffic in self._bytes.items()}

    def disclosures(self) -> list[dict[str, Any]]:
        """As ``Transcript.disclosures``."""
        return [self._rows[key] for key in sorted(self._rows)]

    def told(self) -> Sequence[dict[str, Any]]:
        """Stages as plain objects."""
        return [{"name": name, **counts} for name, counts in self.stages.items()]
