"""Callers known by certificate, over real TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lab.serving.access.certificates import Peer, known, peer_of
from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.access.listening import Listening
from lab.serving.access.settings import Certificate
from lab.serving.server import running
from tests.lab.serving.access.conftest import OAUTH, Bank, Issuer, b64
from tests.lab.serving.conftest import World, problem_of

AUTHORITY = trustme.CA(organization_name="Bank")
SETTINGS = """
[[certificates]]
name = "loan-desk"
dns = "desk.bank.example"
scopes = ["score", "models"]
purposes = ["loan_score"]
[[certificates]]
name = "monitor"
subject = "OU=Operations,O=trustme v1.2.1"
scopes = ["metrics"]
"""


@contextmanager
def served(world: World, folder: Path, tmp_path: Path, authority: trustme.CA | None = AUTHORITY) -> Iterator[str]:
    """The bank's service as ``lianmo serve`` sets it up; yields its address."""
    ours = AUTHORITY.issue_cert("127.0.0.1")
    files = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "authority.pem"
    ours.cert_chain_pems[0].write_to_path(files[0])
    ours.private_key_pem.write_to_path(files[1])
    (authority or AUTHORITY).cert_pem.write_to_path(files[2])
    door = Listening(
        bind="127.0.0.1",
        certificate=files[0],
        key=files[1],
        authority=files[2] if authority else None,
        access=folder,
    )
    door.check()
    app = world.app(door.guard())
    with running(app, tls=door.tls()) as url:
        yield url


def caller(url: str, shown: trustme.LeafCert | None) -> httpx.Client:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if shown:
        shown.configure_cert(context)
    return httpx.Client(base_url=url, verify=context, trust_env=False)


def thumbprint(shown: trustme.LeafCert) -> str:
    found = x509.load_pem_x509_certificate(shown.cert_chain_pems[0].bytes())
    return b64(found.fingerprint(hashes.SHA256()))


def test_a_certificate_is_its_caller(world: World, folder: Path, tmp_path: Path) -> None:
    (folder / "access.toml").write_text(SETTINGS)
    desk = AUTHORITY.issue_cert("other.bank.example", "desk.bank.example")
    nobody = AUTHORITY.issue_cert("xdesk.bank.example")
    like_it = AUTHORITY.issue_cert("sub.desk.bank.example", common_name="desk.bank.example")
    with served(world, folder, tmp_path) as url:
        with caller(url, desk) as session:
            for _ in range(2):  # also the second request of a connection
                assert session.post("/v1/scores", json=world.body(3)).status_code == 200
            assert problem_of(session.get("/metrics"), 403, "missing_scope")["scope"] == "metrics"
        for wrong in (nobody, like_it):
            with caller(url, wrong) as session:
                problem_of(session.post("/v1/scores", json=world.body(3)), 401, "not_authenticated")
                assert session.get("/healthz").status_code == 200
        (folder / "access.toml").write_text("")
        with caller(url, desk) as session:
            assert session.post("/v1/scores", json=world.body(3)).status_code == 401


@pytest.mark.parametrize("which", ["none", "of a stranger"])
def test_without_a_certificate_of_the_authority_there_is_no_connection(
    world: World, folder: Path, tmp_path: Path, which: str
) -> None:
    shown = None if which == "none" else trustme.CA().issue_cert("desk.bank.example")
    with (
        served(world, folder, tmp_path) as url,
        caller(url, shown) as session,
        pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)),
    ):
        session.get("/healthz")


def test_a_key_that_is_shown_decides_not_the_certificate(world: World, folder: Path, tmp_path: Path) -> None:
    (folder / "access.toml").write_text(SETTINGS)
    desk = AUTHORITY.issue_cert("desk.bank.example")
    _, key = KeyBook(folder).add("reader", ["models"], 1.0)
    with served(world, folder, tmp_path) as url, caller(url, desk) as session:
        assert session.get("/v1/models/current").status_code == 200
        asked = session.post("/v1/scores", json=world.body(3), headers={"x-api-key": key})
        problem_of(asked, 403, "missing_scope")
        wrong = session.post("/v1/scores", json=world.body(3), headers={"x-api-key": "wrong"})
        problem_of(wrong, 401, "not_authenticated")


def test_a_bound_token_is_worth_nothing_to_who_stole_it(
    world: World, folder: Path, tmp_path: Path, issuer: Issuer
) -> None:
    import json

    (folder / "access.toml").write_text(OAUTH + SETTINGS)
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    owner, thief = (AUTHORITY.issue_cert(name) for name in ("app.bank.example", "desk.bank.example"))
    token = {"authorization": f"Bearer {issuer.token(cnf={'x5t#S256': thumbprint(owner)})}"}
    with served(world, folder, tmp_path) as url:
        for shown, status in ((owner, 200), (thief, 401)):
            with caller(url, shown) as session:
                assert session.get("/v1/models/current", headers=token).status_code == status


def test_over_tls_without_an_authority_keys_work_and_no_certificate_is_asked_for(
    world: World, folder: Path, tmp_path: Path
) -> None:
    _, key = KeyBook(folder).add("reader", ["models"], 1.0)
    with served(world, folder, tmp_path, authority=None) as url, caller(url, None) as session:
        assert session.get("/v1/models/current", headers={"x-api-key": key}).status_code == 200
        assert session.get("/v1/models/current").status_code == 401


def test_a_header_cannot_pass_for_a_certificate(bank: Bank) -> None:
    pem = AUTHORITY.issue_cert("desk.bank.example").cert_chain_pems[0].bytes().decode().replace("\n", " ")
    for name in ("x_client_cert", "ssl_client_cert", "x_forwarded_client_cert", "client_cert_chain"):
        assert bank.get("/v1/models/current", **{name: pem}).status_code == 401


def test_names_are_compared_whole_and_by_kind() -> None:
    peer = Peer(frozenset({"desk.bank.example"}), frozenset({"spiffe://bank/desk"}), "CN=desk,O=Bank", "t")

    def one(**name: str) -> Certificate:
        return Certificate(name="desk", scopes=("score",), **name)  # type: ignore[arg-type]

    for good in ({"dns": "desk.bank.example"}, {"uri": "spiffe://bank/desk"}, {"subject": "CN=desk,O=Bank"}):
        assert known(peer, [one(**good)])
    bad = {"dns": "bank.example"}, {"dns": "spiffe://bank/desk"}, {"uri": "desk.bank.example"}, {"subject": "CN=desk"}
    for wrong in bad:
        assert known(peer, [one(**wrong)]) is None
    nameless = Peer(frozenset(), frozenset(), "", "t")
    assert known(nameless, [one(dns="a"), one(uri="b"), one(subject="c")]) is None


def test_who_shows_no_certificate_is_no_peer() -> None:
    assert peer_of({}) is None
    assert peer_of({"extensions": {"tls": {"client_cert_chain": []}}}) is None


def test_the_guard_of_an_unguarded_service_names_the_certificate(world: World, tmp_path: Path, folder: Path) -> None:
    FolderGuard(folder)  # a folder without any file lets nobody in, and starts
    app = world.app()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with running(app, tls=context) as url, caller(url, AUTHORITY.issue_cert("bank.example")) as session:
        assert session.get("/v1/models/current").status_code == 200
