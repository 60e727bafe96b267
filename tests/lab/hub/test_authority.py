from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from lab.hub.authority import (
    CERTIFICATE_DAYS,
    BadRequestError,
    days_left,
    hub_papers,
    is_signed,
    new_authority,
    new_key,
    party_named,
    request_for,
    serial_number,
    sign,
    sign_request,
)

AUTHORITY = new_authority("test")


def certified(party: str = "host:tax") -> bytes:
    return sign_request(AUTHORITY, party, request_for("whatever", new_key()))


def test_a_certificate_has_the_name_the_hub_gives_it() -> None:
    assert party_named(certified("host:tax")) == "host:tax"


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_openssl_agrees(tmp_path: Path) -> None:
    """An outside reader: chain, purposes, names, and that a node's certificate can serve no hub."""
    paths = {name: tmp_path / name for name in ("authority", "hub", "node")}
    paths["authority"].write_bytes(AUTHORITY.certificate)
    paths["hub"].write_bytes(hub_papers(AUTHORITY, ("127.0.0.1", "hub.example")).certificate)
    paths["node"].write_bytes(certified())

    def verified(name: str, *options: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", str(paths["authority"]), *options, str(paths[name])]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert verified("hub", "-purpose", "sslserver", "-verify_hostname", "hub.example")
    assert verified("hub", "-purpose", "sslserver", "-verify_ip", "127.0.0.1")
    assert not verified("hub", "-purpose", "sslserver", "-verify_hostname", "other.example")
    assert verified("node", "-purpose", "sslclient")
    assert not verified("node", "-purpose", "sslserver")
    assert not verified("hub", "-purpose", "sslclient")
    shown = ["openssl", "x509", "-noout", "-serial", "-in", str(paths["node"])]
    serial = subprocess.run(shown, capture_output=True, check=True, text=True).stdout.strip()
    assert serial.removeprefix("serial=").lstrip("0") == serial_number(paths["node"].read_bytes())


def test_a_node_signs_no_certificates() -> None:
    found = x509.load_pem_x509_certificate(certified())
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not found.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_days_left() -> None:
    now = datetime.now(UTC)
    assert CERTIFICATE_DAYS - 1 < days_left(certified(), now) < CERTIFICATE_DAYS
    assert days_left(certified(), now + timedelta(days=CERTIFICATE_DAYS)) < 0


def test_requests_that_prove_nothing_are_refused() -> None:
    good = request_for("host:tax", new_key())
    moved = x509.load_pem_x509_csr(good).public_bytes(Encoding.DER)
    name = x509.Name([])
    strong = x509.CertificateSigningRequestBuilder().subject_name(name)
    others = [
        b"",
        b"\xff\x00",
        good[: len(good) // 2],
        strong.sign(rsa.generate_private_key(65537, 2048), SHA256()).public_bytes(Encoding.PEM),
        strong.sign(ec.generate_private_key(ec.SECP384R1()), SHA256()).public_bytes(Encoding.PEM),
        moved,
    ]
    for request in others:
        with pytest.raises(BadRequestError):
            sign_request(AUTHORITY, "host:tax", request)


def test_signatures() -> None:
    signature = sign(AUTHORITY, b"said")
    assert is_signed(AUTHORITY.certificate, b"said", signature)
    assert not is_signed(AUTHORITY.certificate, b"Said", signature)
    assert not is_signed(new_authority("other").certificate, b"said", signature)
    assert not is_signed(b"none", b"said", signature)
    assert "PRIVATE" not in repr(AUTHORITY)
