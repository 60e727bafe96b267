"""Who may do what at the hub, over real TLS: each path, and each caller it is not meant for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from federation.errors import TransportError
from federation.transports.link import Link
from lab.errors import ReportedError
from lab.hub.authority import new_authority, new_key, request_for, sign_request
from lab.hub.joining import VERSIONS
from lab.hub.members import Members
from lab.hub.settings import authority_of
from lab.membership.hub_client import Hub, join
from lab.membership.papers import certificate_files, membership_of, new_keys, tls_of
from lab.membership.withdrawal import withdraw
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.hub.test_sessions import until

SESSION = "0123456789abcdef" * 2


def code_of(call: Any) -> str:
    with pytest.raises(ReportedError) as caught:
        call()
    return caught.value.code


def client(hub: HubAtWork, node: Path | None = None) -> httpx.Client:
    context = hub.trusting()
    if node:
        certificate, key, _ = certificate_files(node)
        context.load_cert_chain(certificate, key)
    return httpx.Client(base_url=f"https://{hub.settings.address}", verify=context, trust_env=False)


def test_a_party_joins_and_is_known_by_its_certificate(hub: HubAtWork, tmp_path: Path) -> None:
    tax = hub.joined(tmp_path / "tax", "host:tax")
    assert [m["party"] for m in tax.members()] == ["host:tax"]
    assert len(hub.flower.keys) == 1
    assert tax.hello()["protocol"] == VERSIONS["protocol"]
    for name in ("node.key", "flower.key", "seal.key"):
        assert (tmp_path / "tax" / "hub" / name).stat().st_mode & 0o077 == 0


def test_no_private_key_leaves_the_node(hub: HubAtWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    request = httpx.Client.request

    def noted(self: httpx.Client, method: str, url: str, **others: Any) -> httpx.Response:
        sent.append(json.dumps(others.get("json")).encode())
        return request(self, method, url, **others)

    monkeypatch.setattr(httpx.Client, "request", noted)
    hub.joined(tmp_path / "tax", "host:tax")
    assert b"token" in b"".join(sent)
    for name in ("node.key", "flower.key", "seal.key"):
        key = (tmp_path / "tax" / "hub" / name).read_bytes()
        body = max(key.splitlines(), key=len)
        assert body not in b"".join(sent).replace(b"\\n", b"\n")


def test_an_invitation_is_good_once(hub: HubAtWork, tmp_path: Path) -> None:
    invitation = hub.invite("host:tax")
    join(tmp_path / "tax", invitation)
    # A thief who copied the file comes later: refused, and the member stays.
    assert code_of(lambda: join(tmp_path / "thief", invitation)) == "invitation_unknown"
    assert not (tmp_path / "thief" / "hub").exists()
    assert len(hub.flower.keys) == 1
    assert Hub(tmp_path / "tax").members()


def test_a_thief_who_comes_first_shuts_the_owner_out_and_is_seen(hub: HubAtWork, tmp_path: Path) -> None:
    invitation = hub.invite("host:tax")
    join(tmp_path / "thief", invitation)
    assert code_of(lambda: join(tmp_path / "tax", invitation)) == "invitation_unknown"
    hub.joined(tmp_path / "tax", "host:tax")  # the operator invites anew: what the thief got is worth nothing
    assert code_of(Hub(tmp_path / "thief").members) == "denied"


def test_an_invitation_names_one_party(hub: HubAtWork, tmp_path: Path) -> None:
    """Another role's certificate cannot be had, whatever the request asks for."""
    invitation = hub.invite("host:tax")
    keys = new_keys("international")
    asked = {
        "token": invitation.token,
        "request": request_for("bank", keys.key).decode(),
        "node_key": keys.flower_public,
        "seal_suite": "international",
        "seal_key": keys.seal_public,
        "versions": dict(VERSIONS),
        "party": "bank",
        "role": "guest",
    }
    with client(hub) as http:
        told = http.post("/v1/join", json=asked).json()
    assert (told["party"], told["role"]) == ("host:tax", "host")
    assert Members(hub.folder).find("bank") is None


#: A public key that Flower does not ask for: P-256, not P-384.
OTHER_CURVE = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"versions": {**VERSIONS, "protocol": 0}}, "other_version"),
        ({"versions": None}, "other_version"),
        ({"node_key": "-----BEGIN PUBLIC KEY-----"}, "bad_keys"),
        ({"node_key": OTHER_CURVE}, "bad_keys"),
        ({"seal_key": "00" * 32}, "bad_keys"),
        ({"seal_suite": "rot13"}, "bad_keys"),
        ({"request": "no request"}, "bad_keys"),
        ({"token": "guess"}, "invitation_unknown"),
    ],
)
def test_a_wrong_request_to_join_is_refused_and_the_invitation_stays_good(
    hub: HubAtWork, tmp_path: Path, changed: dict[str, Any], code: str
) -> None:
    invitation = hub.invite("host:tax")
    keys = new_keys("international")
    asked = {
        "token": invitation.token,
        "request": request_for("host:tax", keys.key).decode(),
        "node_key": keys.flower_public,
        "seal_suite": "international",
        "seal_key": keys.seal_public,
        "versions": dict(VERSIONS),
    }
    with client(hub) as http:
        reply = http.post("/v1/join", json={**asked, **changed})
    assert (reply.status_code, reply.json()["code"]) == (409, code)
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert not hub.flower.keys
    join(tmp_path / "tax", invitation)


def test_an_invitation_is_not_lost_when_flower_fails(hub: HubAtWork, tmp_path: Path) -> None:
    invitation = hub.invite("host:tax")
    hub.flower.fails = True
    assert code_of(lambda: join(tmp_path / "tax", invitation)) == "superlink_call"
    assert not Members(hub.folder).all()
    hub.flower.fails = False
    join(tmp_path / "tax", invitation)


def test_flower_being_away_is_told_as_such(hub: HubAtWork, tmp_path: Path) -> None:
    """503: a Flower node then tries again later, and dies of other errors."""
    hub.joined(tmp_path / "tax", "host:tax")
    asyncio.run_coroutine_threadsafe(hub.flower.stop(), hub.loop).result(10)
    with client(hub) as http:
        assert fleet(http, Members(hub.folder).all()[0].node_key).status_code == 503


def test_another_members_node_key_is_refused(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "tax", "host:tax")
    taken = Members(hub.folder).all()[0].node_key
    keys = new_keys("international")
    asked = {
        "token": hub.invite("host:bids").token,
        "request": request_for("host:bids", keys.key).decode(),
        "node_key": taken,
        "seal_suite": "international",
        "seal_key": keys.seal_public,
        "versions": dict(VERSIONS),
    }
    with client(hub) as http:
        assert http.post("/v1/join", json=asked).json()["code"] == "bad_keys"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/members"),
        ("POST", "/v1/leave"),
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs"),
        ("GET", f"/v1/runs/{SESSION}"),
        ("POST", f"/v1/runs/{SESSION}/stop"),
        ("POST", "/v1/fleet/activate-node"),
    ],
)
def test_without_a_certificate_nothing_is_done(hub: HubAtWork, method: str, path: str) -> None:
    with client(hub) as http:
        assert http.request(method, path, json={}).status_code == 403
    assert not hub.flower.calls
    assert not hub.flower.started


@pytest.mark.parametrize(
    "path", ["/v1/control/register-node", "/v1/control/start-run", "/v1/runtime/pull-task-input", "/docs", "/health"]
)
def test_flowers_other_interfaces_have_no_way_in(hub: HubAtWork, tmp_path: Path, path: str) -> None:
    hub.joined(tmp_path / "bank", "bank")
    with client(hub, tmp_path / "bank") as http:
        assert http.post(path).status_code == 404
        assert http.post(f"/v1/fleet/..%2f..{path}").status_code in (403, 404)
    assert not hub.flower.calls


def fleet(http: httpx.Client, node_key: str, call: str = "pull-messages") -> httpx.Response:
    header = {"flwr-public-key": base64.b64encode(node_key.encode()).decode()}
    return http.post(f"/v1/fleet/{call}", content=b"hello", headers=header)


def test_only_registered_flower_nodes_reach_flower(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "tax", "host:tax")
    (member,) = Members(hub.folder).all()
    with client(hub) as http:
        assert fleet(http, member.node_key).content == b"flower:hello"
        assert fleet(http, new_keys("international").flower_public).status_code == 403
        assert fleet(http, member.node_key, "register-node").status_code == 403
        assert fleet(http, member.node_key, "unregister-node").status_code == 403
        assert http.post("/v1/fleet/pull-messages", headers={"flwr-public-key": "%%%"}).status_code == 403
    assert hub.flower.calls == ["/v1/fleet/pull-messages"]


def test_a_node_that_was_killed_is_withdrawn_before_the_next_starts(hub: HubAtWork, tmp_path: Path) -> None:
    """Flower would not let the next one in for a minute."""
    hub.joined(tmp_path / "tax", "host:tax")
    withdraw(tmp_path / "tax")
    assert hub.flower.calls == ["/v1/fleet/deactivate-node"]
    asyncio.run_coroutine_threadsafe(hub.flower.stop(), hub.loop).result(10)
    withdraw(tmp_path / "tax")  # not reached: no error


def test_a_member_that_left_is_nobody(hub: HubAtWork, tmp_path: Path) -> None:
    tax = hub.joined(tmp_path / "tax", "host:tax")
    (member,) = Members(hub.folder).all()
    papers = tls_of(tmp_path / "tax")
    tax.leave()
    assert not hub.flower.keys
    assert not (tmp_path / "tax" / "hub").exists()
    with client(hub) as http:
        assert fleet(http, member.node_key).status_code == 403
    with pytest.raises(TransportError) as refused, Link(hub.settings.address, SESSION, "host:tax", "t", tls=papers):
        pass
    assert refused.value.code == "session_unknown"


def test_who_joins_again_has_one_node_at_flower(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "tax", "host:tax")
    hub.joined(tmp_path / "new", "host:tax")
    (member,) = Members(hub.folder).all()
    assert list(hub.flower.keys) == [member.flower_node]


def test_a_host_starts_no_runs(hub: HubAtWork, tmp_path: Path) -> None:
    tax = hub.joined(tmp_path / "tax", "host:tax")
    assert code_of(lambda: tax.begin(SESSION, ["host:tax"], {})) == "denied"
    assert not hub.flower.started


def test_certificates_of_another_authority_are_refused(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "bank", "bank")
    other, key = new_authority("other"), new_key()
    certificate, key_file, _ = certificate_files(tmp_path / "bank")
    certificate.write_bytes(sign_request(other, "bank", request_for("bank", key)))
    key_file.write_bytes(key)
    with client(hub, tmp_path / "bank") as http, pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.get("/v1/members")


def test_an_earlier_certificate_is_worth_nothing(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "old", "bank")
    new = hub.joined(tmp_path / "new", "bank")
    assert code_of(Hub(tmp_path / "old").members) == "denied"
    assert new.members()
    hub.flower.outcomes[SESSION] = {}
    hub.loop.call_soon_threadsafe(lambda: hub.sessions.relay.open_session(SESSION, {"bank": "t"}))
    with pytest.raises(TransportError) as refused:
        Link(hub.settings.address, SESSION, "bank", "t", tls=tls_of(tmp_path / "old")).__enter__()
    assert refused.value.code == "not_a_party"
    with Link(hub.settings.address, SESSION, "bank", "t", tls=tls_of(tmp_path / "new")):
        pass


def test_one_party_cannot_sit_in_anothers_seat(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "tax", "host:tax")
    hub.loop.call_soon_threadsafe(lambda: hub.sessions.relay.open_session(SESSION, {"bank": "t", "host:tax": "t"}))
    with pytest.raises(TransportError) as refused:
        Link(hub.settings.address, SESSION, "bank", "t", tls=tls_of(tmp_path / "tax")).__enter__()
    assert refused.value.code == "not_a_party"


def test_a_hub_with_another_authority_is_not_joined(hub: HubAtWork, tmp_path: Path) -> None:
    """Whoever answers at the address must hold the key of the invitation's authority."""
    invitation = hub.invite("host:tax")
    other = new_authority("other").certificate.decode()
    false = type(invitation)(**{**{n: getattr(invitation, n) for n in invitation.__slots__}, "authority": other})
    with pytest.raises(TransportError) as refused:
        join(tmp_path / "tax", false)
    assert refused.value.code == "hub_unproven"
    assert not (tmp_path / "tax" / "hub").exists()


def test_the_hubs_folder_lets_nobody_join(hub: HubAtWork) -> None:
    token = hub.invite("host:tax").token
    for path in hub.folder.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()


def test_a_large_request_is_refused(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "bank", "bank")
    with client(hub, tmp_path / "bank") as http:
        reply = http.post("/v1/runs", content=b" " * (2 * 1024 * 1024))
    assert reply.json()["code"] == "too_large"


def test_a_call_of_flowers_is_limited_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lab.hub.front._MOST_BYTES", 1000)
    with hub_at_work(tmp_path / "hub") as hub:
        hub.joined(tmp_path / "tax", "host:tax")
        key = base64.b64encode(Members(hub.folder).all()[0].node_key.encode()).decode()
        with client(hub) as http:
            sent = iter([bytes(1001)])
            reply = http.post("/v1/fleet/push-object", content=sent, headers={"flwr-public-key": key})
        assert reply.status_code == 413
        assert not hub.flower.calls
    assert "refused POST /v1/fleet/push-object from 127.0.0.1: HTTP 413" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "content", "code"),
    [
        ("POST", "/v1/join", b"{", "bad_request"),
        ("POST", "/v1/join", b"[]", "bad_request"),
        ("POST", "/v1/join", b"[" * 100_000, "bad_request"),
        ("POST", "/v1/join", [bytes(1024 * 1024)] * 2, "too_large"),  # its length is not said before
        ("POST", "/v1/join", b"{}", "other_version"),
        ("GET", "/v1/members", b"", "denied"),
        ("GET", "/v1/runs/%0AERROR%20forged", b"", "denied"),
        ("POST", "/v1/fleet/pull-messages", b"", "denied"),
        ("POST", "/v1/control/start-run", b"", "HTTP 404"),
    ],
)
def test_what_is_refused_is_in_the_hubs_log_with_the_callers_address(
    hub: HubAtWork, caplog: pytest.LogCaptureFixture, method: str, path: str, content: Any, code: str
) -> None:
    way = httpx.HTTPTransport(verify=hub.trusting(), local_address="127.0.0.2")
    with httpx.Client(base_url=f"https://{hub.settings.address}", transport=way) as http:
        sent = iter(content) if isinstance(content, list) else content
        reply = http.request(method, path, content=sent)
    assert reply.status_code >= 400
    if not code.startswith("HTTP"):
        assert reply.json()["code"] == code
    said = [record.getMessage() for record in caplog.records if record.name == "lianmo.hub"]
    assert f"refused {method} {path} from 127.0.0.2: {code}" in said


def test_who_leaves_in_the_middle_of_a_request_is_a_line_in_the_log_and_no_more(
    hub: HubAtWork, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", hub.settings.port), 20) as plain:
        half = hub.trusting().wrap_socket(plain, server_hostname="127.0.0.1")
        half.sendall(b"POST /v1/join HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
        half.close()
    until(lambda: "refused POST /v1/join" in caplog.text)
    assert "connection_broken" in caplog.text
    assert "Traceback" not in caplog.text


def test_who_speaks_no_tls_is_turned_away(hub: HubAtWork) -> None:
    with socket.create_connection(("127.0.0.1", hub.settings.port), 5) as plain:
        plain.sendall(b"GET /v1/hello HTTP/1.1\r\n\r\n")
        assert plain.recv(100) == b""


@pytest.mark.parametrize(
    ("deadline", "words"), [("_HELLO_SECONDS", b""), ("_HELLO_SECONDS", b"\x16\x03\x01"), ("_SILENT_SECONDS", None)]
)
def test_who_does_not_come_to_the_point_is_turned_away(
    hub: HubAtWork,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    deadline: str,
    words: bytes | None,
) -> None:
    """A slow-loris: nothing, half a first word of TLS, or half a request to the front; others are served meanwhile."""
    monkeypatch.setattr(f"lab.hub.door.{deadline}", 0.5)
    with socket.create_connection(("127.0.0.1", hub.settings.port), 20) as plain, client(hub) as http:
        slow = plain
        if words is None:
            slow = hub.trusting().wrap_socket(plain, server_hostname="127.0.0.1")
            slow.sendall(b"GET /v1/hello HTTP/1.1\r\nX-Slow: ")
        else:
            slow.sendall(words)
        assert http.get("/v1/hello").status_code == 200
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert slow.recv(100) == b""
        slow.close()
    assert "turned away 127.0.0.1" in caplog.text


def test_membership_is_as_told(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "bank", "bank")
    found = membership_of(tmp_path / "bank")
    assert (found.party, found.role, found.address) == ("bank", "guest", hub.settings.address)
    assert authority_of(hub.folder).certificate == tls_of(tmp_path / "bank").authority
    assert ssl.PEM_cert_to_DER_cert(tls_of(tmp_path / "bank").certificate.decode())
