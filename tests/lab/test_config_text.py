"""A configuration written out is read back as it was."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.config import Config, load_config, parse_config
from lab.config_party import Party
from lab.config_text import config_text
from tests.lab.conftest import Write

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize("extra", ["", "[scorecard]\n", "[scorecard]\nl2 = 1e-3\nnonpositive = true\n"])
def test_files_come_back(write_config: Write, files: Path, extra: str) -> None:
    config = load_config(write_config(boosting="monotone_constraints = { amount = 1 }", extra=extra))
    other = files / "elsewhere" / "deep"
    other.mkdir(parents=True)
    (other / "again.toml").write_text(config_text(config, other), encoding="utf-8")
    again = load_config(other / "again.toml")
    assert again == config
    assert str(files) not in (other / "again.toml").read_text(encoding="utf-8")


@settings(max_examples=30, deadline=None)
@given(
    names,
    st.dictionaries(names, st.tuples(st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
    st.lists(names, max_size=3),
    st.floats(1e-6, 1.0),
)
def test_any_names_and_numbers_come_back(
    column: str, codes: dict[str, tuple[float]], drop: list[str], rate: float
) -> None:
    host = Party(party="host:tax", data=Path("/data/tax.csv"))
    guest = Party(
        party="bank", data=Path("/data/b.csv"), id=column, label=column, drop=tuple(drop), special_codes=codes
    )
    config = Config(guest=guest, hosts=(host,), boosting={"learning_rate": rate})
    text = config_text(config, Path("/data"))
    again = parse_config(tomllib.loads(text), Path("/data"))
    assert again.guest == guest
    assert again.hosts == (host,)
    assert again.boosting == config.boosting
