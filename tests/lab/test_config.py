"""One TOML file says what a run is; what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.errors import KeyTooShort
from lab.config import load_config
from lab.errors import ConfigError
from tests.lab.conftest import Write


def test_paths_are_relative_to_the_file(write_config: Write, files: Path) -> None:
    config = load_config(write_config())
    assert config.guest.data == files / "bank.csv"
    assert config.run.directory == files / "runs" / "small"
    assert [p.party for p in config.parties] == ["bank", "host:tax", "host:court"]


def test_plaintext_has_to_be_allowed_by_name(write_config: Write) -> None:
    assert not load_config(write_config(cipher="paillier")).hosts[0].policy.cipher.insecure_allow_plaintext
    assert load_config(write_config(cipher="plain")).hosts[0].policy.cipher.insecure_allow_plaintext


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_bin = 8", "max_bins = 8", "did you mean max_bin?"),
        ("max_bin = 8", "max_bin = 999", "between 2 and 253"),
        ("max_bin = 8", 'max_bin = "many"', "wrong type"),
        ('name = "small"', 'name = "../etc"', "run.name"),
        ('transport = "memory"', 'transport = "carrier-pigeon"', "run.transport"),
        ("party_seconds", "party_second", "did you mean party_seconds?"),
        ('label = "bad"', "", "guest.label"),
        ("[cipher]", 'objective = "poisson"\n[scorecard]\n[cipher]', "0/1 outcome"),
        ("max_bin = 8", 'objective = "gamma"', "must be one of"),
        ('label = "bad"', 'label = "bad"\nmonotone_constraints = { x = 1 }', "belong into [boosting]"),
        ('party = "host:court"', 'party = "host:court"\nmonotone_constraints = { x = 2 }', "monotone_constraints.x"),
        ("max_bin = 8", "monotone_constraints = { x = 7 }", "-1, 0 or 1"),
        ("max_bin = 8", "num_leaves = 1", "num_leaves"),
        ('party = "host:court"', 'weight = "w"\nparty = "host:court"', "no weight"),
        ('party = "host:court"', 'party = "host:tax"', "must differ"),
        ("[guest]", "[guests]", "guest is missing"),
        ("[run]", "[run", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_in_both_languages(write_config: Write, old: str, new: str, said: str) -> None:
    path = write_config()
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert said in raised.value.english
    assert any("\u4e00" <= character <= "\u9fff" for character in raised.value.chinese)


def test_each_party_states_its_own_constraints(write_config: Write) -> None:
    path = write_config()
    text = path.read_text(encoding="utf-8")
    text = text.replace("max_bin = 8", "max_bin = 8\nmonotone_constraints = { income = -1 }")
    text = text.replace('party = "host:court"', 'party = "host:court"\nmonotone_constraints = { arrears = 1 }')
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert config.parameters.monotone_constraints == {"income": -1}
    assert [dict(host.policy.monotone_constraints) for host in config.hosts] == [{}, {"arrears": 1}]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(tmp_path / "none.toml")


def test_a_short_key_is_refused_before_anything_starts(write_config: Write) -> None:
    path = write_config(cipher="paillier")
    path.write_text(path.read_text().replace('name = "paillier"', 'name = "paillier"\nkey_bits = 1024'))
    with pytest.raises(KeyTooShort, match="1024 bits"):
        load_config(path)


def test_sampling_by_gradient_has_to_be_allowed_by_name(write_config: Write) -> None:
    path = write_config(boosting='data_sample_strategy = "goss"')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.code == "label_hints"
    allowed = 'label = "bad"\ninsecure_allow_label_hints = true'
    path.write_text(path.read_text(encoding="utf-8").replace('label = "bad"', allowed), encoding="utf-8")
    assert load_config(path).parameters.goss


def test_words_for_reasons_are_short_plain_text(write_config: Write) -> None:
    path = write_config(extra='[hosts.reasons]\ncases = ["Court cases", "涉诉案件"]\n')
    tax, court = load_config(path).hosts
    assert tax.policy.reasons is None
    assert court.policy.reasons == {"cases": ("Court cases", "涉诉案件")}
    for words in ('["one"]', '["=cmd()", "x"]', '["a\\nb", "x"]', f'["{"x" * 121}", "x"]'):
        with pytest.raises(ConfigError) as caught:
            load_config(write_config(extra=f"[hosts.reasons]\ncases = {words}\n"))
        assert "hosts.1.reasons" in caught.value.english


def test_columns_that_only_divide_rows_are_no_features(write_config: Write) -> None:
    config = load_config(write_config(extra='[split]\nholdout_column = "out"\ngroup = "owner"\n'))
    assert config.guest.drop == ("out", "owner")
    with pytest.raises(ConfigError, match="not both"):
        load_config(write_config(extra='[split]\nholdout_column = "out"\ntime_column = "t"\nholdout_from = 1\n'))
