"""What is loaded, made ready to answer: which features to send, how to read them, and what answers say of the model."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

from federation.errors import PartyId
from lab.serving.loaded import Calibrated, Loaded
from lab.serving.schemas import CurrentModel, ScoreRequest, ServedModel, features_of, request_schema
from models.binning import FeatureBins
from models.bundle import JointModel

#: Models of which the preparation is kept: those of a swap or a canary, with room to spare.
_KEPT: Final = 8


@dataclass(frozen=True)
class Served:
    """One ``Loaded``, prepared once."""

    loaded: Loaded

    @cached_property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """Columns of the bank that either model needs."""
        alone = self.loaded.bank_only.model.inputs if self.loaded.bank_only else ()
        return tuple({b.name: b for b in (*alone, *self.loaded.joint.model.inputs)}.values())

    @cached_property
    def schema(self) -> type[ScoreRequest]:
        return request_schema(self.inputs)

    @property
    def hosts(self) -> tuple[PartyId, ...]:
        return self.joint.hosts

    @cached_property
    def joint(self) -> Part:
        return Part(self.loaded, self.loaded.joint)

    @cached_property
    def bank_only(self) -> Part | None:
        return Part(self.loaded, self.loaded.bank_only) if self.loaded.bank_only else None

    def prepare(self) -> Self:
        """Make now what the first call would wait for: the schema, and trees laid out for one row."""
        for part in (self.joint, self.bank_only):
            if part:
                model = part.calibrated.model
                _ = part.told, part.parties
                if isinstance(model, JointModel):
                    _ = model.walk, model.ready
        _ = self.schema.model_json_schema(), self.current
        return self

    @cached_property
    def current(self) -> CurrentModel:
        model, alone = self.loaded.joint.model, self.bank_only
        return CurrentModel(
            **self.joint.told,
            model_id=model.model_id,
            kind="trees" if isinstance(model, JointModel) else "scorecard",
            n_trees=len(model.trees) if isinstance(model, JointModel) else None,
            parties=list(self.joint.parties),
            features=features_of(self.inputs),
            bank_only=ServedModel(**alone.told) if alone else None,
        )


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


@dataclass(slots=True)
class Preparations:
    """``Served`` of the last few ``Loaded``; a model that was replaced is let go."""

    _kept: OrderedDict[int, Served] = field(default_factory=OrderedDict)

    def of(self, loaded: Loaded) -> Served:
        served = self._kept.get(id(loaded))  # what is kept holds its object, so no other can have its id
        if served is None:
            served = self._kept[id(loaded)] = Served(loaded)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return served
