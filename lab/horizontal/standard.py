"""The data standard of a run over sites: which columns all of one kind have, and what they mean."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from federation.horizontal.binning.coordinator import Feature
from federation.horizontal.prebinning.columns import AgreedColumn
from lab.config_sections import Section


class StandardSection(Section):
    """The data standard: columns that all sites have, and what they mean.

    Attributes:
        numbers: columns of numbers.
        levels: column of text → the levels it may have; others share one bin and are never named.
        special_codes: scorecards: column → values that are no measurements.
    """

    numbers: tuple[str, ...] = ()
    levels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    special_codes: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.levels)

    @property
    def features(self) -> tuple[Feature, ...]:
        """For joint bins."""
        texts = (Feature(name, category=True, levels=levels) for name, levels in self.levels.items())
        return (*map(Feature, self.numbers), *texts)

    @property
    def columns(self) -> tuple[AgreedColumn, ...]:
        """For a scorecard."""
        numbers = (AgreedColumn(n, special_codes=self.special_codes.get(n, ())) for n in self.numbers)
        return (*numbers, *(AgreedColumn(n, category=True, levels=levels) for n, levels in self.levels.items()))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError("name each column once, in numbers or in levels / 每列须且只能出现一次")
        if strange := set(self.special_codes) - set(self.numbers):
            raise ValueError(f"special_codes of no number / 并非数值列: {', '.join(sorted(strange))}")
        return self
