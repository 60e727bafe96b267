"""Stored halves: bit-exact, tied by digests, whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.boosting.splits import Split
from models.boosting.trees import Node
from models.bundle import Half, JointModel, digest, load, save
from models.errors import ModelError
from models.table import Table
from tests.builders import numbers, texts

HALF = Half(
    "m-1",
    "bank",
    (
        FeatureBins("收入", category=False, edges=(-1 / 3, 0.1 + 0.2, 1e-300), has_missing=True),
        FeatureBins("job", category=True, levels=("farmer", "农民"), has_other=True),
    ),
    (Split(0, 1, True), Split(1, 0, False)),
    salt="00" * 16,
)
TREE = [Node(owner="bank", handle=0, left=1, right=2, gain=0.7), Node(value=-1 / 3, n_rows=4), Node(value=1e-17)]
MODEL = JointModel(HALF, (TREE,), -0.1234567890123456, {"host:tax": "ab" * 32}, {"seed": 3})


def test_a_half_comes_back_from_disk_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path / "half.json", HALF.to_json())
    again = Half.from_json(load(tmp_path / "half.json"))
    assert again == HALF
    assert again.digest() == HALF.digest()


def test_a_model_comes_back_from_disk_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path / "model.json", MODEL.to_json())
    again = JointModel.from_json(load(tmp_path / "model.json"))
    assert again == MODEL
    assert again.digest() == MODEL.digest()
    assert again.n_splits("bank") == 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_any_finite_edge_survives_json(edges: list[float]) -> None:
    half = replace(HALF, bins=(FeatureBins("x", category=False, edges=tuple(edges)),), splits=())
    again = Half.from_json(json.loads(json.dumps(half.to_json())))
    assert np.array(again.bins[0].edges).tobytes() == np.array(edges).tobytes()


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in nested JSON."""
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list | tuple) else ()
    return [path, *(p for key, value in below for p in places(value, (*path, key)))]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = changed(data[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("path", [p for p in places(MODEL.to_json()) if p], ids=lambda p: ".".join(map(str, p)))
def test_the_digest_changes_with_any_field(path: tuple[Any, ...]) -> None:
    assert digest(changed(MODEL.to_json(), path, "something else")) != MODEL.digest()


def test_two_halves_alike_have_different_salts_and_digests() -> None:
    one, two = (Half("m", "bank", (), ()) for _ in range(2))
    assert one.salt != two.salt
    assert one.digest() != two.digest()
    assert one.salt not in repr(one)


@pytest.mark.parametrize("text", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b'{"format": 1'])
def test_a_damaged_file_is_a_model_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "half.json").write_bytes(text)
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "half.json")
    assert caught.value.code == "bundle_unreadable"


def test_an_absent_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"half\.json"):
        load(tmp_path / "half.json")


@pytest.mark.parametrize("read", [Half.from_json, JointModel.from_json])
@pytest.mark.parametrize("data", [{}, {"format": 2}, {"format": "1"}, {"format": None}])
def test_another_format_is_refused(read: Any, data: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        read(data)
    assert caught.value.code == "bundle_format"


@pytest.mark.parametrize("key", sorted(set(HALF.to_json()) - {"format"}))
def test_a_half_without_a_field_is_refused(key: str) -> None:
    data = HALF.to_json()
    del data[key]
    with pytest.raises(ModelError) as caught:
        Half.from_json(data)
    assert caught.value.code == "bundle_unreadable"


@pytest.mark.parametrize("key", sorted(set(MODEL.to_json()) - {"format"}))
def test_a_model_without_a_field_is_refused(key: str) -> None:
    data = MODEL.to_json()
    del data[key]
    with pytest.raises(ModelError) as caught:
        JointModel.from_json(data)
    assert caught.value.code == "bundle_unreadable"


@pytest.mark.parametrize("key", ["trees", "base_margin"])
@pytest.mark.parametrize("value", [None, "text", [3], [[3]], {"a": 1}])
def test_trees_and_margins_of_another_shape_are_a_model_error(key: str, value: Any) -> None:
    with pytest.raises(ModelError):
        JointModel.from_json(changed(MODEL.to_json(), (key,), value))


@pytest.mark.parametrize("key", ["own", "host_digests", "details"])
@pytest.mark.parametrize("value", [None, 3, "text", [3]])
def test_mappings_of_another_shape_are_a_model_error(key: str, value: Any) -> None:
    with pytest.raises(ModelError):
        JointModel.from_json(changed(MODEL.to_json(), (key,), value))


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_only_the_owner_may_read_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "new" / "half.json"
    save(path, HALF.to_json())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "half.json"
    save(path, {"format": 1})
    with pytest.raises((TypeError, ValueError)):
        save(path, {"format": 1, "edges": [float("nan")]})
    assert load(path) == {"format": 1}


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "half.json"
    save(path, {"format": 1})

    def crash(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="power cut"):
        save(path, HALF.to_json())
    assert load(path) == {"format": 1}


def test_routes_follow_the_cuts() -> None:
    table = Table(("a", "b", "c"), {"收入": numbers(-5.0, 5.0, np.nan), "job": texts("farmer", "new", None)})
    assert HALF.routes(table).tolist() == [[True, False, True], [True, False, False]]


UNITED = replace(HALF, splits=(Split(0, 1, True), Split(1, 0, False, also=(2,))))


def test_sets_of_levels_come_back_and_part_rows(tmp_path: Path) -> None:
    save(tmp_path / "half.json", UNITED.to_json())
    again = Half.from_json(load(tmp_path / "half.json"))
    assert again == UNITED
    assert again.digest() == UNITED.digest() != HALF.digest()
    table = Table(tuple("abcd"), {"收入": numbers(1.0, 1.0, 1.0, 1.0), "job": texts("farmer", "农民", "new", None)})
    assert again.routes(table)[1].tolist() == [True, False, True, False]


def test_a_half_without_sets_is_written_and_digested_as_before_there_were_any() -> None:
    assert all(set(split) == {"feature", "code", "missing_left"} for split in HALF.to_json()["splits"])
    assert HALF.digest() == "3b44a2e5228b832a262f894a18180c989354a26f6cf55f51183c77a6fc29255e"


@pytest.mark.parametrize("wrong", [3, [None], [[]], ["x"], {"a": 1}])
def test_sets_of_another_shape_are_a_model_error(wrong: Any) -> None:
    data = UNITED.to_json()
    data["splits"][1]["also"] = wrong
    with pytest.raises(ModelError):
        Half.from_json(data)


def test_routes_need_only_the_columns_of_their_cuts() -> None:
    table = Table(("a",), {"job": texts("农民")})
    assert replace(HALF, splits=(Split(1, 1, False),)).routes(table).tolist() == [[True]]
    assert replace(HALF, splits=()).routes(table).shape == (0, 1)


def test_an_absent_column_is_named() -> None:
    with pytest.raises(ModelError, match="收入") as caught:
        HALF.routes(Table(("a",), {"job": texts("x")}))
    assert caught.value.code == "missing_columns"
