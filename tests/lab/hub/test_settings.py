from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import ConfigError
from lab.hub.authority import serial_number
from lab.hub.settings import HubSettings, authority_of, create_hub, load_hub, papers_of, renew_hub, settings_of


def test_a_hub_is_made_once_and_read_back(tmp_path: Path) -> None:
    settings = HubSettings(name="delta", address="hub.example:9443", also=("10.0.0.5",), metrics="127.0.0.1:9100")
    create_hub(tmp_path / "hub", settings)
    assert load_hub(tmp_path / "hub") == settings
    before = authority_of(tmp_path / "hub")
    with pytest.raises(ConfigError) as exists:
        create_hub(tmp_path / "hub", settings)
    assert exists.value.code == "hub_exists"
    assert authority_of(tmp_path / "hub") == before


def test_its_own_certificate_is_renewed_and_its_authority_stays(tmp_path: Path) -> None:
    create_hub(tmp_path, HubSettings())
    authority, old = authority_of(tmp_path), papers_of(tmp_path)
    renew_hub(tmp_path)
    assert serial_number(papers_of(tmp_path).certificate) != serial_number(old.certificate)
    assert authority_of(tmp_path) == authority


@pytest.mark.parametrize(
    "told", [{"address": "hub"}, {"address": "hub:0"}, {"name": "two words"}, {"metrics": "9100"}, {"port": 1}]
)
def test_wrong_settings_are_named(told: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(told)
    assert refused.value.code == "hub_unreadable"
    assert next(iter(told)) in refused.value.english


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_hub(tmp_path, HubSettings())
    (tmp_path / "authority.key").chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        authority_of(tmp_path)
    assert refused.value.code == "hub_papers"
    with pytest.raises(ConfigError) as missing:
        load_hub(tmp_path / "none")
    assert missing.value.code == "hub_missing"
