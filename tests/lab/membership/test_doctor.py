"""The doctor of a member of a hub: what a good one shows, and each fault by its name."""

from __future__ import annotations

import fcntl
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE
from typer.testing import CliRunner

from lab.cli import app
from lab.doctor import Finding
from lab.hub.authority import CERTIFICATE_DAYS, Papers, hub_papers, new_authority
from lab.hub.members import Members
from lab.hub.settings import authority_of
from lab.membership import reach
from lab.membership.alone import LOCK, is_running
from lab.membership.doctor import examine_membership
from lab.membership.health import hub_lives, node_lives
from lab.membership.papers import FOLDER
from lab.membership.reach import FLOWER_AHEAD_SECONDS, FLOWER_BEHIND_SECONDS
from tests.lab.hub.harness import HubAtWork, hub_at_work

DATA = "id,income\n" + "\n".join(f"{i:018d},{i % 7}" for i in range(20)) + "\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubAtWork]:
    for name in ("https_proxy", "http_proxy", "all_proxy", "grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with hub_at_work(tmp_path / "hub") as at_work:
        yield at_work


@pytest.fixture
def node(hub: HubAtWork, tmp_path: Path) -> Iterator[Path]:
    """A host that joined, has its data and runs."""
    folder = tmp_path / "tax"
    hub.joined(folder, "host:tax")
    (folder / "data.csv").write_text(DATA)
    (folder / "party.toml").write_text('party = "host:tax"\ndata = "data.csv"\n')
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def wrong(node: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Finding]:
    found = [finding for finding in examine_membership(node, clock) if not finding.good]
    assert all(finding.advice and finding.advice_zh for finding in found)
    return found


def only(node: Path) -> tuple[str, str]:
    """The one fault: the first word of its name, and what was found."""
    (fault,) = wrong(node)
    return fault.name.split()[0], fault.found


def test_a_good_member_needs_nothing_and_is_shown_in_two_languages(node: Path, hub: HubAtWork) -> None:
    assert wrong(node) == []
    told = CliRunner().invoke(app, ["node", "doctor", "--node", str(node)])
    assert told.exit_code == 0, told.output
    assert "枢纽证书" in told.output
    machine = CliRunner().invoke(app, ["node", "doctor", "--node", str(node), "--json"])
    found = {check["name"].split()[0]: check for check in json.loads(machine.output)}
    assert all(check["good"] for check in found.values())
    assert set(found) >= {"papers", "our", "party.toml", "data", "node", "proxy", "name", "port", "clock", "relay"}
    assert found["data"]["found"].startswith("20 rows")
    assert found["our"]["found"].startswith(f"{CERTIFICATE_DAYS} days")


def test_a_guest_has_no_party_file(hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "bank", "bank")
    assert only(tmp_path / "bank") == ("node", "not running 未运行")


def open_folder(node: Path) -> None:
    node.chmod(0o755)


def open_key(node: Path) -> None:
    (node / FOLDER / "node.key").chmod(0o644)


def no_party_file(node: Path) -> None:
    (node / "party.toml").unlink()


def wrong_key_in_party_file(node: Path) -> None:
    (node / "party.toml").write_text('party = "host:tax"\ndata = "data.csv"\ncolour = "red"\n')


def no_data(node: Path) -> None:
    (node / "data.csv").unlink()


def no_papers(node: Path) -> None:
    (node / FOLDER / "node.key").unlink()


@pytest.mark.parametrize(
    ("damage", "name", "found"),
    [
        (open_folder, "node", "others can read 他人可读"),
        (open_key, "papers", "keys_too_open"),
        (no_papers, "papers", "not_joined"),
        (no_party_file, "party.toml", "party_missing"),
        (wrong_key_in_party_file, "party.toml", "party_unreadable"),
        (no_data, "data", "file_missing"),
    ],
)
def test_faults_of_the_folder(node: Path, damage: Callable[[Path], None], name: str, found: str) -> None:
    damage(node)
    assert only(node) == (name, found)


@pytest.mark.parametrize(("days", "found"), [(368, "29 days left 天后到期"), (398, "expired 已过期")])
def test_a_certificate_at_its_end(node: Path, days: int, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.membership.doctor.examine_way", lambda *_: [])
    (fault,) = wrong(node, lambda: datetime.now(UTC) + timedelta(days=days))
    assert (fault.name.split()[0], fault.found) == ("our", found)


@pytest.mark.parametrize(("seconds", "good"), [(-400, False), (-30, True), (3, False), (600, False)])
def test_clocks(node: Path, seconds: float, good: bool) -> None:
    faults = [f.name.split()[0] for f in wrong(node, lambda: datetime.now(UTC) + timedelta(seconds=seconds))]
    assert faults == ([] if good else ["clock"])


def test_flowers_tolerance_is_as_we_say() -> None:
    assert FLOWER_AHEAD_SECONDS == SYSTEM_TIME_TOLERANCE
    assert FLOWER_BEHIND_SECONDS == SYSTEM_TIME_TOLERANCE + TIMESTAMP_TOLERANCE
    assert reach.AHEAD_SECONDS < FLOWER_AHEAD_SECONDS
    assert reach.BEHIND_SECONDS < FLOWER_BEHIND_SECONDS


def readdress(node: Path, address: str) -> None:
    path = node / FOLDER / "membership.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "address": address}))


def test_a_name_nobody_knows(node: Path) -> None:
    readdress(node, "hub.invalid:9443")
    assert only(node) == ("name", "hub.invalid: unknown 无法解析")


def test_a_port_where_nobody_listens(node: Path) -> None:
    with socket.socket() as held:  # bound, but it does not listen
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        readdress(node, f"127.0.0.1:{port}")
        assert only(node) == ("port", f"{port}: refused 被拒绝")


def test_a_port_behind_a_wall(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", late)
    (fault,) = [f for f in wrong(node) if f.name.startswith("port")]
    assert fault.found.endswith("no answer 无应答")
    assert "firewall" in fault.advice


@contextmanager
def impostor(papers: Papers | None, folder: Path) -> Iterator[int]:
    """Answers on a port with TLS of these papers; without papers, in clear."""
    context = None
    if papers:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (folder / "other.pem").write_bytes(papers.certificate + papers.key)
        context.load_cert_chain(folder / "other.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.settimeout(5)
                    try:
                        if context:
                            context.wrap_socket(caller, server_side=True).close()
                        elif caller.recv(10):
                            caller.sendall(b"220 mail\r\n")
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ("another authority", "of another authority 机构不符"),
        ("another name", "of another name 名称不符"),
        ("expired", "not valid now 当前无效"),
        ("no TLS", "no TLS, or no hub 非 TLS 或非枢纽"),
    ],
)
def test_somebody_else_at_the_hubs_address(node: Path, hub: HubAtWork, tmp_path: Path, who: str, found: str) -> None:
    ours = authority_of(hub.folder)
    papers = {
        "another authority": hub_papers(new_authority("other"), ("127.0.0.1",)),
        "another name": hub_papers(ours, ("hub.example",)),
        "expired": hub_papers(ours, ("127.0.0.1",), datetime.now(UTC) - timedelta(days=CERTIFICATE_DAYS + 1)),
    }.get(who)
    with impostor(papers, tmp_path) as port:
        readdress(node, f"127.0.0.1:{port}")
        assert only(node) == ("hub's", found)


def test_another_release(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "VERSIONS", {**reach.VERSIONS, "lianmo": "9.9"})
    name, found = only(node)
    assert name == "versions"
    assert found.startswith("lianmo ")
    assert found.endswith("≠ 9.9")


def test_a_membership_that_is_over(node: Path, hub: HubAtWork) -> None:
    Members(hub.folder).remove("host:tax")
    assert only(node) == ("membership", "not known 不被认可")


def test_a_party_that_joined_again_elsewhere(node: Path, hub: HubAtWork, tmp_path: Path) -> None:
    hub.joined(tmp_path / "elsewhere", "host:tax")  # so does whoever has a stolen invitation
    assert only(node) == ("membership", "not known 不被认可")


def test_a_hub_that_gives_out_another_key_for_us(node: Path, hub: HubAtWork) -> None:
    path = hub.folder / "members.json"
    data = json.loads(path.read_text())
    data["members"]["host:tax"]["seal_key"] = "00" * 32
    path.write_text(json.dumps(data))
    (fault,) = wrong(node)
    assert fault.name.split()[0] == "membership"
    assert "pretend to be us" in fault.advice


def test_a_way_for_http_but_not_for_grpc(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_RELAY_SECONDS", 1.0)
    monkeypatch.setattr(reach, "tls_of", lambda _: None)  # in clear: the hub's door turns it away
    name, _ = only(node)
    assert name == "relay"


def test_a_proxy_in_force_is_named_without_its_password(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://li:secret@proxy.invalid:3128")
    found = examine_membership(node)
    (told,) = [f for f in found if f.name.startswith("proxy")]
    assert (told.found, told.good) == ("proxy.invalid:3128", True)
    assert "secret" not in json.dumps([f.as_dict() for f in found])
    assert only(node) == ("name", "proxy.invalid: unknown 无法解析")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert wrong(node) == []


def test_a_proxy_that_grpc_does_not_see(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    assert wrong(node)[0].name.startswith("proxy")


def test_what_containers_ask(node: Path, hub: HubAtWork, tmp_path: Path) -> None:
    assert hub_lives(hub.folder)
    assert node_lives(node)
    assert is_running(node)
    hub.joined(tmp_path / "bank", "bank")
    assert not node_lives(tmp_path / "bank")
    Members(hub.folder).remove("host:tax")
    assert not node_lives(node)
    assert not hub_lives(tmp_path)
