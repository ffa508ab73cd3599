"""The images and containers have few rights, and are what the services need. No Docker is asked."""

import importlib.util
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from services.local.system import SERVICES
from sluiceway.http.server import SHUTDOWN_TIMEOUT_SECONDS
from tests.support.documents import ROOT

DOCKERFILE = (ROOT / "deploy" / "docker" / "service.Dockerfile").read_text()
CONTAINERS: Mapping[str, Mapping[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
BROKER = (ROOT / "deploy" / "nats" / "single-host.conf").read_text()
OWN_IMAGE = "${IMAGE:-sluiceway:local}"
OURS = {name: container for name, container in CONTAINERS.items() if container["image"] == OWN_IMAGE}
#: Those of ours that do not end by themselves.
RUNNING = [name for name, container in OURS.items() if container["restart"] == "unless-stopped"]


def test_the_first_container_builds_the_image_that_all_services_share() -> None:
    builders = [name for name, container in CONTAINERS.items() if "build" in container]

    assert builders == ["setup"]
    assert {name for name in CONTAINERS if name not in OURS} == {
        "nats",
        "prometheus",
        "alertmanager",
        "grafana",
    }
    for name, container in OURS.items():
        assert container["pull_policy"] == ("build" if name == "setup" else "never"), name
        assert name in ("setup", "cli") or _waits_for(name, "setup")  # built before it is used


def test_each_service_runs_and_each_command_is_one() -> None:
    started = {OURS[name]["command"][2] for name in RUNNING}

    assert started == {f"services.{name}" for name in (*SERVICES, "edge")}
    assert all(importlib.util.find_spec(f"{module}.__main__") for module in started)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_no_capabilities_and_gets_no_others(name: str) -> None:
    container = CONTAINERS[name]

    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container.get("cap_add", []) == (["CHOWN"] if name == "setup" else [])


@pytest.mark.parametrize("name", [*OURS, "nats", "prometheus", "alertmanager"])
def test_only_volumes_are_writable(name: str) -> None:
    container = CONTAINERS[name]

    assert container["read_only"] is True
    assert name not in OURS or container["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("name", [*OURS, "nats"])
def test_no_container_with_a_network_runs_as_root(name: str) -> None:
    user = CONTAINERS[name].get("user", "10001:10001")  # that of our image

    assert re.fullmatch(r"\d+:\d+", user)
    assert user != "0:0" or CONTAINERS[name]["network_mode"] == "none"


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in ("setup", "ready")])
def test_a_container_reads_its_own_secrets_and_no_others(name: str) -> None:
    of = "cli" if name == "catalogue" else name
    secrets = [volume for volume in CONTAINERS[name]["volumes"] if volume.startswith("secrets")]

    assert secrets == ([] if name in ("prometheus", "grafana") else [f"secrets-{of}:/secrets:ro"])
    assert not secrets or f"secrets-{of}:/services/{of}" in CONTAINERS["setup"]["volumes"]


@pytest.mark.parametrize("name", [name for name in OURS if name.startswith("edge-")])
def test_an_edge_has_a_region_a_name_an_address_and_a_folder_of_its_own(name: str) -> None:
    settings = OURS[name]["environment"]

    assert f"edge-{settings['SLUICEWAY_REGION']}" == name
    assert settings["SLUICEWAY_INSTANCE"] == name
    assert f"http://{OURS[name]['ports'][0]}" == f"{settings['SLUICEWAY_PUBLIC_URL']}:8080"
    assert f"{name}:/data" in OURS[name]["volumes"]


def test_nothing_listens_on_an_address_that_others_reach() -> None:
    ports = [port for container in CONTAINERS.values() for port in container.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", RUNNING)
def test_a_service_waits_for_the_broker_and_ends_in_its_own_time(name: str) -> None:
    assert OURS[name]["depends_on"]["nats"] == {"condition": "service_healthy"}
    assert float(OURS[name]["stop_grace_period"].removesuffix("s")) >= 2 * SHUTDOWN_TIMEOUT_SECONDS


def test_the_last_container_waits_until_all_that_run_are_healthy() -> None:
    assert all(_waits_for("ready", name) for name in (*RUNNING, "nats"))
    assert set(OURS["ready"]["depends_on"]) - {"setup", "catalogue"} < set(RUNNING)
    assert {state["condition"] for state in OURS["ready"]["depends_on"].values()} == {
        "service_completed_successfully",
        "service_healthy",
    }


def test_the_last_container_names_the_console_and_the_file_of_the_first_key() -> None:
    text = OURS["ready"]["command"][1]
    console = OURS["console"]["environment"]

    assert console["SLUICEWAY_PUBLIC_URL"] in text
    assert f"docker compose exec console cat {console['SLUICEWAY_BOOTSTRAP_KEY_FILE']}" in text
    assert "console:/data" in OURS["console"]["volumes"]


def test_the_broker_is_healthy_once_it_answers_at_its_http_port() -> None:
    address = re.search(r'^http: "(127\.0\.0\.1:\d+)"$', BROKER, re.MULTILINE)

    assert address
    assert f"http://{address[1]}/healthz" in CONTAINERS["nats"]["healthcheck"]["test"]


def test_the_broker_gets_each_variable_of_its_configuration() -> None:
    named = set(re.findall(r"^ *(?:host|store_dir|max_file_store|cert_file|key_file): \$(\w+)", BROKER, re.M))

    assert "LISTEN_HOST" in named
    assert named == set(CONTAINERS["nats"]["environment"])


def test_the_image_runs_as_a_number_and_has_what_all_services_need() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    installed = re.search(r'"\.\[([a-z,-]+)\]"', DOCKERFILE)

    assert "\nUSER 10001:10001\n" in DOCKERFILE
    assert "chown 10001:10001 /data" in DOCKERFILE
    assert installed
    needed = {name.replace("_", "-") for name in (*SERVICES, "edge")} | {"certificates", "grpc"}
    assert set(installed[1].split(",")) == needed <= extras


def test_only_what_the_image_copies_is_sent_to_docker() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        path for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()
    }

    assert lines[1] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / path).exists() for path in copied)


def _waits_for(name: str, other: str) -> bool:
    """Return whether a container starts after another one, or after one that does."""
    before = CONTAINERS[name].get("depends_on", {})
    return other in before or any(_waits_for(between, other) for between in before)
