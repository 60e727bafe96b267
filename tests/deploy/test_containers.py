"""Containerfile and compose file as read here: no container engine builds or starts them in these tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field

from lab.cli import app

SERVE = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
FOLDER = Path(__file__).parents[2] / "deploy" / "container"
KNOWN = {"FROM", "ARG", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD", "HEALTHCHECK"}


class Stage(list[tuple[str, str]]):
    """Instructions after a FROM, which is the first of them."""


def stages(text: str) -> list[Stage]:
    """A Containerfile's stages. Raises ValueError for what is not allowed in ours."""
    found: list[Stage] = []
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in (line.strip() for line in joined.splitlines()):
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word not in KNOWN:
            raise ValueError(f"{word} is not used here")
        if re.search(r"https?://|git@|:latest\b", rest):
            raise ValueError("something from a network, or of no fixed version")
        if word == "FROM":
            image = rest.split()[0]
            if "/" in image or ":" not in image:
                raise ValueError("a base image is a name and a version; where it comes from is the site's to say")
            found.append(Stage())
        elif not found:
            raise ValueError("no stage yet")
        found[-1].append((word, rest))
    last = dict(found[-1])
    if last.get("USER", "0").split(":")[0] in ("0", "root"):
        raise ValueError("it runs as root")
    return found


GOOD = (FOLDER / "Containerfile").read_text("utf-8")


def test_the_image_has_two_stages_no_root_and_nothing_from_a_network() -> None:
    first, last = stages(GOOD)
    assert first[0] == ("FROM", "python:3.11-slim AS installed")
    assert any(word == "RUN" and "/wheelhouse/install.sh /opt/lianmo" in rest for word, rest in first)
    copied = [rest for word, rest in last if word == "COPY"]
    assert copied == ["--from=installed /opt/lianmo /opt/lianmo"]  # the wheels stay behind
    assert not any("pip " in rest or "apt" in rest for stage in (first, last) for _, rest in stage)
    order = [word for word, _ in last]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in ("RUN", "COPY"))


def test_commands_are_lists_so_that_signals_arrive_and_health_is_asked() -> None:
    last = dict(stages(GOOD)[-1])
    assert json.loads(last["ENTRYPOINT"]) == ["lianmo"]
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == ["python3", "-m", "lab.membership.health"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("USER 10001:10001", ""),
        ("USER 10001:10001", "USER root"),
        ("FROM python:3.11-slim\n", "FROM python:latest\n"),
        ("FROM python:3.11-slim\n", "FROM python\n"),
        ("FROM python:3.11-slim\n", "FROM registry.example/python:3.11-slim\n"),
        ("COPY . /wheelhouse", "ADD https://example.org/wheels /wheelhouse"),
        ("COPY . /wheelhouse", "RUN curl https://example.org/wheels"),
    ],
)
def test_the_reader_refuses(ours: str, theirs: str) -> None:
    assert ours in GOOD
    with pytest.raises(ValueError):
        stages(GOOD.replace(ours, theirs))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Dependency(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Health(Strict):
    """Asked as a list, or not at all."""

    test: Annotated[list[str], Field(min_length=2)] | None = None
    disable: bool = False


class Service(Strict):
    """What our services may say, and must; values as the Compose Specification has them."""

    image: Annotated[str, Field(pattern=r"^[a-z]+:[0-9.]+$")]
    command: list[str]
    environment: dict[str, str]
    volumes: list[Annotated[str, Field(pattern=r"^[a-z]+:/[a-z/]+$")]]
    ports: list[Annotated[str, Field(pattern=r"^(\d+\.\d+\.\d+\.\d+:)?\d+:\d+$")]] = []
    depends_on: dict[str, Dependency] = {}
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    init: bool
    read_only: bool
    tmpfs: list[str]
    cap_drop: list[str]
    security_opt: list[str]
    stop_grace_period: Annotated[str, Field(pattern=r"^(\d+(us|ms|s|m|h))+$")]
    profiles: list[str] = []
    healthcheck: Health | None = None


class Compose(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    services: dict[str, Service]
    volumes: dict[str, dict[str, str]]


def read(text: str) -> Compose:
    """What an engine would make of a compose file. Raises ValueError for what is not allowed in ours."""
    data = yaml.safe_load(text)
    found = Compose.model_validate({key: value for key, value in data.items() if not key.startswith("x-")})
    for service in found.services.values():
        if not {*service.depends_on} <= {*found.services}:
            raise ValueError("it waits for no service")
        if not {volume.partition(":")[0] for volume in service.volumes} <= {*found.volumes}:
            raise ValueError("no volume of that name")
    return found


COMPOSE = (FOLDER / "compose.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("restart: unless-stopped", "restart: sometimes"),
        ("read_only: true", "readonly: true"),
        ("init: true", "init: 1"),
        ("stop_grace_period: 30s", "stop_grace_period: 30"),
        ("condition: service_healthy", "condition: healthy"),
        ("depends_on: {hub:", "depends_on: {hubb:"),
        ('ports: ["9443:9443"]', "ports: [9443]"),
        ("[social:/data, invitations:/invitations]", "[socal:/data, invitations:/invitations]"),
        ("healthcheck: {disable: true}", "healthcheck: {disabled: true}"),
    ],
)
def test_the_reader_of_compose_files_refuses(ours: str, theirs: str) -> None:
    assert ours in COMPOSE
    with pytest.raises(ValueError):
        read(COMPOSE.replace(ours, theirs, 1))


@pytest.fixture
def compose() -> Compose:
    return read(COMPOSE)


PARTIES = ("bank", "social", "registry")


def test_only_the_hub_has_a_port_and_on_this_machine_the_banks_scores(compose: Compose) -> None:
    assert {name: service.ports for name, service in compose.services.items() if service.ports} == {
        "hub": ["9443:9443"],
        "bank-scores": ["127.0.0.1:8100:8100"],
    }
    assert list(compose.services) == ["hub", *PARTIES, *(f"{party}-scores" for party in PARTIES)]


def test_scores_are_served_from_the_folder_of_the_node_beside_them(compose: Compose) -> None:
    """What they are told to do is what the command line takes, and beyond loopback a door that checks callers."""
    for party in PARTIES:
        node, scores = compose.services[party], compose.services[f"{party}-scores"]
        assert scores.profiles == ["scores"]
        assert scores.volumes == node.volumes[:1]
        assert scores.environment == node.environment
        assert scores.healthcheck  # the image's asks for the node
        told = SERVE.make_context("serve", scores.command[1:]).params
        assert str(told["through"]) == "/data"
        wanted = (True, "/data/access") if party == "bank" else (False, "None")
        assert (told["plain"], str(told["access"])) == wanted


def test_each_container_can_do_as_little_as_its_work_allows(compose: Compose) -> None:
    for service in compose.services.values():
        assert service.read_only
        assert service.cap_drop == ["ALL"]
        assert service.security_opt == ["no-new-privileges:true"]
        assert service.image == "lianmo:0.1.0"


def test_each_party_has_a_volume_of_its_own(compose: Compose) -> None:
    """Invitations are handed over in one that all see: in a trial alone, as the file says."""
    for name in ("hub", *PARTIES):
        assert compose.services[name].volumes == [f"{name}:/data", "invitations:/invitations"]
    assert set(compose.volumes) == {"hub", *PARTIES, "invitations"}


def test_nodes_wait_for_the_hub_and_name_their_folder(compose: Compose) -> None:
    hub = compose.services["hub"]
    assert (hub.command, hub.environment) == (["hub", "start"], {"LIANMO_HUB": "/data"})
    for party in PARTIES:
        service = compose.services[party]
        assert (service.command, service.environment) == (["node", "start"], {"LIANMO_NODE": "/data"})
        assert service.depends_on == {"hub": Dependency(condition="service_healthy")}
