"""What is loaded, made ready to answer: which features to send, how to read them, and what answers say of the model."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

from federation.errors import PartyId
from lab.serving.loaded import Calibrated, Held, Loaded, Mode
from lab.serving.schemas import CurrentModel, ScoreRequest, ServedModel, features_of, request_schema
from models.binning import FeatureBins
from models.bundle import JointModel

#: So many preparations are kept: those of a swap, with room to spare.
_KEPT: Final = 8


@dataclass(frozen=True)
class Served:
    """One ``Loaded``, prepared once."""

    loaded: Loaded

    @cached_property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """Columns of the bank that either model reads."""
        return self.loaded.inputs

    @property
    def hosts(self) -> tuple[PartyId, ...]:
        return self.joint.hosts

    @cached_property
    def joint(self) -> Part:
        return Part(self.loaded, self.loaded.joint)

    @cached_property
    def bank_only(self) -> Part | None:
        return Part(self.loaded, self.loaded.bank_only) if self.loaded.bank_only else None

    def prepare(self) -> None:
        """Make now what the first call would wait for: trees laid out for one row."""
        for part in (self.joint, self.bank_only):
            if part:
                model = part.calibrated.model
                _ = part.told, part.parties
                if isinstance(model, JointModel):
                    _ = model.walk, model.ready


@dataclass(frozen=True)
class Part:
    """One of the two models of a ``Loaded``."""

    loaded: Loaded
    calibrated: Calibrated

    @cached_property
    def told(self) -> dict[str, Any]:
        """How answers call it."""
        named = self.loaded.published
        digest = self.calibrated.model.digest()
        return {"name": named.name, "version": named.version, "alias": named.alias, "digest": digest}

    @cached_property
    def hosts(self) -> tuple[PartyId, ...]:
        return tuple(self.calibrated.model.needed_hosts)

    @cached_property
    def parties(self) -> tuple[PartyId, ...]:
        return (self.calibrated.model.party, *self.hosts)


@dataclass(frozen=True)
class Offered:
    """What callers may send at one moment, and what answers it."""

    held: Held

    @cached_property
    def champion(self) -> Served:
        return Served(self.held.champion)

    @cached_property
    def challenger(self) -> Served | None:
        return Served(self.held.trial.loaded) if self.held.trial else None

    @cached_property
    def optional(self) -> tuple[FeatureBins, ...]:
        """Columns of the bank that the model on trial reads and the champion does not."""
        asked = {b.name for b in self.champion.inputs}
        return tuple(b for b in self.challenger.inputs if b.name not in asked) if self.challenger else ()

    @cached_property
    def schema(self) -> type[ScoreRequest]:
        return request_schema(self.champion.inputs, self.optional)

    @cached_property
    def current(self) -> CurrentModel:
        champion = self.champion
        model, alone = champion.loaded.joint.model, champion.bank_only
        return CurrentModel(
            **champion.joint.told,
            model_id=model.model_id,
            kind="trees" if isinstance(model, JointModel) else "scorecard",
            n_trees=len(model.trees) if isinstance(model, JointModel) else None,
            parties=list(champion.joint.parties),
            features=features_of(champion.inputs, self.optional),
            bank_only=ServedModel(**alone.told) if alone else None,
        )

    def tried(self, mode: Mode, asked: ScoreRequest) -> Served | None:
        """The model on trial, if the application is in its share; whether that brings all it reads says ``sent``."""
        return self.challenger if self.held.tried(mode, asked.application_id) else None

    def prepare(self) -> Self:
        """Make now what the first call would wait for."""
        for served in (self.champion, self.challenger):
            if served:
                served.prepare()
        _ = self.schema.model_json_schema(), self.current
        return self


@dataclass(slots=True)
class Preparations:
    """``Offered`` of the last few ``Held``; a model that was replaced is let go."""

    _kept: OrderedDict[int, Offered] = field(default_factory=OrderedDict)

    def of(self, held: Held) -> Offered:
        offered = self._kept.get(id(held))  # what is kept holds its object, so no other can have its id
        if offered is None:
            offered = self._kept[id(held)] = Offered(held)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return offered
