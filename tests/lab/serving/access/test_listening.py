"""A service does not listen to a network unguarded or unencrypted unless it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from lab.errors import ConfigError
from lab.serving.access.listening import Listening

CERTIFICATE = {"certificate": Path("c.pem"), "key": Path("k.pem")}


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_on_this_machine_nothing_is_needed(bind: str) -> None:
    Listening(bind=bind).check()


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "bank.example", "", "::ffff:10.0.0.1"])
def test_beyond_it_a_guard_and_tls_are(bind: str) -> None:
    for door, code in (
        (Listening(bind=bind), "open_service"),
        (Listening(bind=bind, plain=True), "open_service"),
        (Listening(bind=bind, **CERTIFICATE), "open_service"),
        (Listening(bind=bind, open=True), "plain_service"),
        (Listening(bind=bind, access=Path("access")), "plain_service"),
    ):
        with pytest.raises(ConfigError) as caught:
            door.check()
        assert caught.value.code == code
    for door in (
        Listening(bind=bind, access=Path("access"), **CERTIFICATE),
        Listening(bind=bind, authority=Path("ca.pem"), **CERTIFICATE),
        Listening(bind=bind, access=Path("access"), plain=True),
        Listening(bind=bind, open=True, plain=True),
        Listening(bind=bind, open=True, **CERTIFICATE),
    ):
        door.check()


@pytest.mark.parametrize(
    "given", [{"certificate": Path("c.pem")}, {"key": Path("k.pem")}, {"authority": Path("ca.pem")}]
)
def test_half_of_tls_is_refused(given: dict[str, Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        Listening(bind="127.0.0.1", **given).check()
    assert caught.value.code == "tls_incomplete"


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    one, two = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    certificate, key, junk = tmp_path / "c.pem", tmp_path / "k.pem", tmp_path / "junk.pem"
    one.cert_chain_pems[0].write_to_path(certificate)
    two.private_key_pem.write_to_path(key)
    junk.write_text("junk")
    for door in (
        Listening(bind="::1", certificate=certificate, key=key),
        Listening(bind="::1", certificate=junk, key=junk),
        Listening(bind="::1", certificate=tmp_path / "absent", key=key),
    ):
        with pytest.raises(ConfigError) as caught:
            door.tls()
        assert caught.value.code == "tls_unusable"
    one.private_key_pem.write_to_path(key)
    assert Listening(bind="::1", certificate=certificate, key=key).tls()
    with pytest.raises(ConfigError):
        Listening(bind="::1", certificate=certificate, key=key, authority=junk).tls()
    assert Listening(bind="::1").tls() is None


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Listening(bind="::1", access=tmp_path / "absent").guard()
    assert caught.value.code == "no_access_folder"
    assert Listening(bind="::1").guard() is None
