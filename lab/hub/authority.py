"""The hub's certificate authority: who it is to all nodes, and who each node is to it (X.509, RFC 5280).

Keys are P-256, which every TLS library at hand speaks. A node makes its own key; only the request leaves it.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="ECDSA with P-256 and SHA-256",
        key_bits=(256,),
        purpose="certificates of hub and nodes, signatures of invitations",
        purpose_zh="枢纽与节点证书、邀请签名",
        standard="FIPS 186-5; RFC 5280",
        library="cryptography",
    ),
)

AUTHORITY_DAYS: Final = 3650
#: Certificates of hub and nodes; renewed by joining anew.
CERTIFICATE_DAYS: Final = 397
#: Clocks of two machines may differ by this much.
_CLOCKS: Final = timedelta(minutes=5)


class Papers(NamedTuple):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Papers(<redacted>)"


class BadRequestError(Exception):
    """What came is no request for a certificate that this hub would sign."""


def new_key() -> bytes:
    """A fresh P-256 private key, PEM, not encrypted."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_authority(name: str, now: datetime | None = None) -> Papers:
    """A self-signed authority that may sign certificates of hub and nodes, and nothing below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    made = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Papers(made.public_bytes(Encoding.PEM), pem)


def hub_papers(authority: Papers, hosts: tuple[str, ...], now: datetime | None = None) -> Papers:
    """The hub's own certificate. ``hosts``: names and addresses by which nodes reach it."""
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    certificate = _issue(authority, "hub", key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, now, alternatives)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Papers(certificate, pem)


def request_for(party: str, key: bytes) -> bytes:
    """A node's request for a certificate (PKCS #10), PEM; it proves that the node holds the key."""
    private = _private(key)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(party))
        .sign(private, SHA256())
        .public_bytes(Encoding.PEM)
    )


def sign_request(authority: Papers, party: str, request: bytes, now: datetime | None = None) -> bytes:
    """The certificate of ``party``, PEM, whatever name the request asks for.

    Raises:
        BadRequestError: no request, not signed by its own key, or a key of another kind than P-256.
    """
    return _issue(authority, party, requested_key(request), ExtendedKeyUsageOID.CLIENT_AUTH, now)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key a request is for. Raises as ``sign_request``."""
    try:
        asked = x509.load_pem_x509_csr(request)
        public = asked.public_key()
        holds = asked.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise BadRequestError from error
    if not holds or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise BadRequestError
    return public


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a PEM certificate in groups of four digits, to read out over another channel."""
    digits = x509.load_pem_x509_certificate(certificate).fingerprint(SHA256()).hex()
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def serial_number(certificate: bytes) -> str:
    """Of a PEM certificate, hexadecimal, as TLS libraries show it."""
    return format(x509.load_pem_x509_certificate(certificate).serial_number, "X")


def party_named(certificate: bytes) -> str:
    """The common name of a PEM certificate."""
    found = x509.load_pem_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)


def days_left(certificate: bytes, now: datetime | None = None) -> float:
    """Until a PEM certificate expires; negative afterwards."""
    until = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    return (until - (now or datetime.now(UTC))) / timedelta(days=1)


def sign(authority: Papers, message: bytes) -> bytes:
    """The authority's signature of ``message``, DER. Begin each kind of message with words of its own."""
    return _private(authority.key).sign(message, ec.ECDSA(SHA256()))


def is_signed(authority_certificate: bytes, message: bytes, signature: bytes) -> bool:
    """Whether that authority signed ``message``; False as well if the certificate is none."""
    try:
        public = x509.load_pem_x509_certificate(authority_certificate).public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(signature, message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _issue(
    authority: Papers,
    name: str,
    public: ec.EllipticCurvePublicKey,
    use: x509.ObjectIdentifier,
    now: datetime | None,
    alternatives: x509.SubjectAlternativeName | None = None,
) -> bytes:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    builder = (
        _builder(_name(name), issuer.subject, public, CERTIFICATE_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    if alternatives:
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(_private(authority.key), SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int, now: datetime | None
) -> x509.CertificateBuilder:
    begins = (now or datetime.now(UTC)) - _CLOCKS
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
