"""Stored models: each party's half as JSON, tied by digests; never pickle.

Every half carries the id of the model and a random salt, so that its digest commits to it without telling anything
about it. The guest's half records the digests of all other halves; a host answers only for the half it is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.binning import Codes, FeatureBins, encode
from models.boosting.cuts import Cuts
from models.boosting.reasons import Ready, ready
from models.boosting.splits import Mask, Split
from models.boosting.trees import Node, Owner, Tree
from models.boosting.walk import Walk
from models.declared import Declared
from models.errors import DataError, ModelError
from models.losses import LINKS, Floats
from models.reasons import Player
from models.table import Table

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="digest of a model, bound into its parts",
        purpose_zh="模型摘要",
        standard="FIPS 180-4",
        library="hashlib",
    ),
    Declared(
        algorithm="HMAC-SHA256",
        purpose="order of unnamed features under a salt",
        purpose_zh="以盐值打乱未命名特征的顺序",
        standard="RFC 2104; FIPS 198-1",
        library="hmac",
    ),
)

FORMAT: Final = 1


@dataclass(frozen=True)
class Half:
    """What one party knows of a joint model: its bins and its cuts, in the order of their handles."""

    model_id: str
    party: Owner
    bins: tuple[FeatureBins, ...]
    splits: tuple[Split, ...]
    salt: str = field(default_factory=lambda: os.urandom(16).hex(), repr=False)

    def routes(self, table: Table) -> Mask:
        """Which rows go left at each cut, shape ``(n_splits, n_rows)``.

        Raises:
            ModelError: ``missing_columns`` if the table lacks a column the cuts need.
        """
        used = self._cuts.features
        self._need_columns(table, used)
        if not used:
            return np.empty((0, len(table)), dtype=bool)
        columns = [(self.bins[f], table.columns[self.bins[f].name]) for f in used]
        if len(table) == 1:
            return self._cuts.left_of([bins.code(column) for bins, column in columns])
        return self._cuts.left([bins.encode(column) for bins, column in columns])

    @cached_property
    def _cuts(self) -> Cuts:
        return Cuts.of(self.splits, self.bins)

    def codes(self, table: Table, n_fit: int) -> Codes:
        """Codes of all features, shape ``(n_features, n_rows)``, to fit more trees on the first ``n_fit`` rows.

        Raises:
            ModelError: ``missing_columns`` as in ``routes``.
            DataError: ``bins_do_not_fit`` if rows to fit have missing values or levels that the bins have no room for.
        """
        self._need_columns(table, range(len(self.bins)))
        codes = encode(table, self.bins)
        names = [b.name for b, c in zip(self.bins, codes[:, :n_fit], strict=True) if (c >= b.n_bins).any()]
        if names:
            raise DataError(
                "bins_do_not_fit",
                f"Columns {', '.join(names)} have missing values or levels that the earlier model never saw. "
                "Leave such rows out, or train anew.",
                f"列 {'、'.join(names)} 存在原模型未见过的缺失值或类别。请剔除这些行，或重新训练。",
            )
        return codes

    def numbers(self) -> tuple[int, ...]:
        """For every cut the number of its feature among those with a cut, in an order that only the salt tells.

        Cuts of one feature have one number; a number tells no name, and nothing across models.
        """
        return self._numbers

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        used = {s.feature for s in self.splits}
        hidden = sorted(used, key=lambda f: hmac.digest(self.salt.encode(), f"feature {f}".encode(), "sha256"))
        number_of = {f: number for number, f in enumerate(hidden)}
        return tuple(number_of[s.feature] for s in self.splits)

    def names_of_numbers(self) -> dict[int, str]:
        """Number → feature, for this party alone."""
        return {number: self.bins[s.feature].name for number, s in zip(self.numbers(), self.splits, strict=True)}

    def _need_columns(self, table: Table, features: Iterable[int]) -> None:
        absent = [self.bins[f].name for f in features if self.bins[f].name not in table.columns]
        if absent:
            raise ModelError(
                "missing_columns",
                f"The model needs columns that are not given: {', '.join(absent)}.",
                f"缺少模型所需的列：{'、'.join(absent)}。",
            )

    def to_json(self) -> dict[str, Any]:
        data = {"format": FORMAT, **asdict(self)}
        for split in data["splits"]:
            if not split["also"]:  # as halves were before cuts had sets: their digests stand
                del split["also"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Half:
        _check_format(data)
        try:
            _need_mappings(*data["bins"], *data["splits"])
            bins = tuple(
                FeatureBins(**{**b, "edges": tuple(b["edges"]), "levels": tuple(b["levels"])}) for b in data["bins"]
            )
            splits = tuple(Split(**{**s, "also": tuple(map(int, s.get("also", ())))}) for s in data["splits"])
            return cls(data["model_id"], data["party"], bins, splits, data["salt"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable() from error

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return digest(self.to_json())


@dataclass(frozen=True)
class JointModel:
    """The guest's half: all trees with their leaves, its own cuts, and the digest of every host's half.

    Attributes:
        base_margin: margin where boosting started; of a binary model log-odds of default.
        host_digests: host → digest of its half.
        details: parameters and provenance, JSON-compatible; no row, no id.
        objective: what was minimised, which says how a margin becomes a prediction; written unless it is binary.
        host_features: host → number of the unnamed feature of each of its cuts (``Half.numbers``); written if known.
    """

    own: Half
    trees: tuple[Tree, ...]
    base_margin: float
    host_digests: Mapping[Owner, str]
    details: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "binary"
    host_features: Mapping[Owner, tuple[int, ...]] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        return self.own.model_id

    @property
    def party(self) -> Owner:
        return self.own.party

    @property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """The columns of the guest that scoring needs."""
        return self.own.bins

    def n_splits(self, owner: Owner) -> int:
        """How many cuts of ``owner`` the trees refer to."""
        return self._n_splits.get(owner, 0)

    @cached_property
    def _n_splits(self) -> Mapping[Owner, int]:
        return Counter(node.owner for tree in self.trees for node in tree if node.owner)

    @cached_property
    def needed_hosts(self) -> list[Owner]:
        """Hosts whose cuts the trees use: a host without any is not asked when scoring."""
        return [host for host in self.host_digests if self.n_splits(host)]

    @cached_property
    def walk(self) -> Walk:
        """The trees, made ready for one row at a time."""
        return Walk.of(self.trees)

    @cached_property
    def ready(self) -> Ready | None:
        """What reasons need, made ready alike; None if paths are too long for that."""
        return ready(self.trees, self.base_margin, self.player_of, self.walk.starts)

    def player_of(self, node: Node) -> Player:
        """Whose cut this is."""
        if node.owner == self.own.party:
            return Player(node.owner, self.own.bins[self.own.splits[node.handle].feature].name)
        numbers = self.host_features.get(node.owner, ())
        return Player(node.owner, number=numbers[node.handle] if numbers else -1)

    def predict(self, margin: Floats) -> Floats:
        """Prediction from margins: default probability, or the expected label of another objective."""
        return LINKS[self.objective](margin)

    def to_json(self) -> dict[str, Any]:
        rest: dict[str, Any] = {} if self.objective == "binary" else {"objective": self.objective}
        if self.host_features:
            rest["host_features"] = {host: list(numbers) for host, numbers in self.host_features.items()}
        return {
            "format": FORMAT,
            "own": self.own.to_json(),
            "trees": [[asdict(node) for node in tree] for tree in self.trees],
            "base_margin": self.base_margin,
            "host_digests": dict(self.host_digests),
            "details": dict(self.details),
            **rest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JointModel:
        _check_format(data)
        try:
            _need_mappings(data["own"], data["host_digests"], data["details"])
            trees = tuple([Node(**node) for node in tree] for tree in data["trees"])
            objective = data.get("objective", "binary")
            LINKS[objective]
            features = data.get("host_features", {})
            _need_mappings(features)
            return cls(
                Half.from_json(data["own"]),
                trees,
                float(data["base_margin"]),
                data["host_digests"],
                data["details"],
                objective,
                {host: tuple(map(int, numbers)) for host, numbers in features.items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable() from error

    def digest(self) -> str:
        return digest(self.to_json())


def digest(data: Mapping[str, Any]) -> str:
    """SHA-256 of JSON with sorted keys and no spaces, hexadecimal."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON readable by the owner only, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote. Raises ``ModelError`` if it is absent or not JSON."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            "bundle_unreadable",
            f"The model file {path.name} is missing or damaged. Train again or restore it.",
            f"模型文件 {path.name} 缺失或损坏，请重新训练或恢复该文件。",
        ) from error
    if not isinstance(data, dict):
        raise _unreadable()
    return data


def _need_mappings(*values: object) -> None:
    if not all(isinstance(value, Mapping) for value in values):
        raise TypeError("not a mapping")


def _check_format(data: Mapping[str, Any]) -> None:
    if data.get("format") != FORMAT:
        raise ModelError(
            "bundle_format",
            f"The model file has another format; this release reads format {FORMAT}.",
            f"模型文件格式不符，本版本读取格式 {FORMAT}。",
        )


def _unreadable() -> ModelError:
    return ModelError("bundle_unreadable", "The model file lacks fields or has wrong ones.", "模型文件字段缺失或有误。")
