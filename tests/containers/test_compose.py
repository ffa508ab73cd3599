"""`docker compose up` on a fresh checkout, and what people do with it afterwards."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from sluiceway.contracts.feature import TriggerStatus
from tests.support.waiting import eventually

from .compose import IMAGE, PROJECT, Compose
from .conftest import Figures
from .docker_engine import run

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1_800)]

CONSOLE = "http://127.0.0.1:8088"
ALERTMANAGER = "http://127.0.0.1:9093"
PROMETHEUS = "http://127.0.0.1:9090"
#: The port of each region's edge, in the order of the phases.
EDGES = {"dev": 8081, "staging": 8082, "prod-us-west": 8083, "prod-us-east": 8084, "prod-eu": 8085}
ENVIRONMENTS = ("development", "staging", "production")
BROKER_PORT = 4222
HEALTH = "--format={{.State.Health.Status}}"
#: What each container finds in its folder of secrets.
OF_A_CLIENT = {"ca.pem", "nats.nk"}
SECRETS = {
    "nats": {"nats.conf", "server.pem", "server-key.pem"},
    "scheduler": OF_A_CLIENT,
    "evaluator-publisher": OF_A_CLIENT,
    "monitor": {*OF_A_CLIENT, "SLUICEWAY_ALERTMANAGER_TOKEN"},
    "console": {*OF_A_CLIENT, "SLUICEWAY_SESSION_SECRET"},
    **{f"edge-{region}": OF_A_CLIENT for region in EDGES},
}
KILLED = ("nats", "scheduler", "evaluator-publisher", "monitor", "console", "edge-prod-eu")
CHANGES = "/examples/changes"
#: For a release to get somewhere, and for containers to be well.
BOUND_SECONDS = 180.0
#: So that nobody is asked too often: the console refuses that.
LOOK_EVERY_SECONDS = 0.3


class People:
    """What people see: an administrator at the console, and applications at the edges."""

    def __init__(self, admin: httpx2.Client, sdk_keys: dict[str, str]) -> None:
        self.admin = admin
        self._sdk_keys = sdk_keys

    def status(self, trigger: str) -> TriggerStatus | None:
        """Return the status of a release."""
        for status in (None, TriggerStatus.COMPLETED, TriggerStatus.ROLLED_BACK):
            query = {"status": status.value} if status else {}
            answer = self.admin.get("/api/v1/triggers", params=query)
            found = answer.json()["data"] if answer.is_success else []
            for release in found:
                if release["id"] == trigger:
                    return TriggerStatus(release["status"])
        return None

    def value(self, region: str, feature: str) -> Any:
        """Return what an application in a region gets; None if its edge does not answer."""
        environment = region if region == "staging" else "development" if region == "dev" else "production"
        try:
            answer = httpx2.post(
                f"http://127.0.0.1:{EDGES[region]}/ofrep/v1/evaluate/flags/{feature}",
                headers={"x-api-key": self._sdk_keys[environment]},
                json={"context": {"targetingKey": "u1"}},
                trust_env=False,
            )
        except httpx2.HTTPError:
            return None
        return answer.json().get("value") if answer.is_success else None

    def values(self, feature: str) -> dict[str, Any]:
        """Return what applications get in each region."""
        return {region: self.value(region, feature) for region in EDGES}


@pytest.fixture(scope="module")
def people(compose: Compose) -> Iterator[People]:
    key = compose.inside("console", "cat", "/data/first-key").strip()
    sdk_keys = {
        environment: compose.cli("key", "create", "--environment", environment).split()[-1]
        for environment in ENVIRONMENTS
    }
    headers = {"STATSIG-API-KEY": key}
    with httpx2.Client(base_url=CONSOLE, headers=headers, timeout=20, trust_env=False) as admin:
        yield People(admin, sdk_keys)


def test_everything_is_healthy_and_the_last_line_says_where_to_sign_in(compose: Compose) -> None:
    written = compose.run("logs", "--no-color", "ready")

    assert not_well(compose) == {}
    assert CONSOLE in written
    shown = re.search(r"docker compose (exec console cat \S+)", written)
    assert shown
    key = compose.run("exec", "-T", *shown[1].split()[1:]).strip()
    headers = {"STATSIG-API-KEY": key}
    assert httpx2.get(f"{CONSOLE}/api/v1/me", headers=headers, timeout=20, trust_env=False).status_code == 200


@pytest.mark.parametrize("service", SECRETS)
def test_a_container_has_its_own_secrets_for_its_own_user_and_no_others(
    service: str, compose: Compose
) -> None:
    lines = compose.inside(service, "ls", "-lnA", "/secrets").splitlines()
    rights = {words[-1]: (words[0][:10], words[2]) for words in map(str.split, lines) if len(words) > 2}
    user = "10002" if service == "nats" else "10001"

    assert rights == dict.fromkeys(SECRETS[service], ("-rw-------", user))
    assert compose.containers()[service].user == f"{user}:{user}"


def test_no_two_containers_have_the_same_seed_and_none_has_all_secrets(compose: Compose) -> None:
    services = [service for service, files in SECRETS.items() if "nats.nk" in files]
    seeds = {compose.inside(service, "cat", "/secrets/nats.nk") for service in services}
    holders = {name for name, one in compose.containers().items() if f"{PROJECT}_secrets" in one.volumes}

    assert len(seeds) == len(services)
    assert holders == {"setup"}


def test_an_edge_can_neither_read_another_region_nor_send_commands(compose: Compose) -> None:
    for words in (
        ("check", "new_checkout", "--region", "prod-eu"),
        ("get", "gates"),
        ("gate", "disable", "new_checkout"),
        ("key", "create", "--region", "dev"),
    ):
        assert not compose.succeeds("exec", "-T", "edge-dev", "sluiceway", *words), words


def test_the_broker_talks_to_nobody_without_tls_and_credentials() -> None:
    with socket.create_connection(("127.0.0.1", BROKER_PORT), timeout=10) as connection:
        greeting = json.loads(connection.makefile("rb").readline().removeprefix(b"INFO "))

    assert greeting["tls_required"]
    assert greeting["auth_required"]


async def test_an_edge_serves_where_nothing_is_writable(compose: Compose) -> None:
    name = f"{PROJECT}-read-only"
    settings = compose.containers()["edge-dev"].environment
    run(
        "docker", "run", "--detach", f"--name={name}", "--read-only", "--cap-drop=ALL",
        f"--network={PROJECT}_default", f"--volume={PROJECT}_secrets-edge-dev:/secrets:ro",
        *(f"--env={setting}" for setting in settings), "--env=SLUICEWAY_INSTANCE=read-only",
        IMAGE, "python", "-m", "services.edge",
    )  # fmt: skip
    try:
        await soon(lambda: run("docker", "inspect", HEALTH, name) == "healthy\n", "it is healthy")
    finally:
        run("docker", "rm", "--force", name)


async def test_a_change_is_released_through_all_regions(compose: Compose, people: People) -> None:
    assert set(people.values("new_checkout").values()) == {False}

    compose.cli("apply", "-f", f"{CHANGES}/new_checkout.yaml")
    await soon(lambda: people.status("gate.new_checkout.1") is TriggerStatus.WAITING_FOR_REVIEW, "it waits")
    values = people.values("new_checkout")
    compose.cli("trigger", "approve", "gate.new_checkout.1", "--reason", "looks good")

    assert values == {region: region in ("dev", "staging") for region in EDGES}
    await soon(lambda: set(people.values("new_checkout").values()) == {True}, "it is everywhere")
    await soon(lambda: people.status("gate.new_checkout.1") is TriggerStatus.COMPLETED, "it is over")


async def test_a_region_is_added_while_everything_runs(compose: Compose) -> None:
    file = compose.folder / "docker-compose.yml"
    file.write_text(with_another_region(file.read_text(), "prod-asia", 8086))
    before = compose.containers()

    compose.run("run", "--rm", "-T", "setup")
    compose.run("restart", "nats")
    compose.run("up", "--detach", "--no-deps", "edge-prod-asia")
    region = b"{kind: Region, name: prod-asia, environment: production, attributes: {region: asia}}"
    compose.run("run", "--rm", "-T", "cli", "apply", "-f", "-", stdin=region)

    await soon(lambda: compose.containers()["edge-prod-asia"].is_well, "its edge is healthy")
    after = compose.containers()
    assert {name for name in before if before[name].pid != after[name].pid} == {"nats"}


async def test_an_operator_who_has_lost_all_keys_gets_another_one(compose: Compose) -> None:
    shown = compose.inside("scheduler", "sluiceway", "--json", "key", "bootstrap", "--reason", "all are lost")

    headers = {"STATSIG-API-KEY": json.loads(shown)["key"]}
    url = f"{CONSOLE}/api/v1/me"
    await soon(
        lambda: httpx2.get(url, headers=headers, timeout=20, trust_env=False).is_success,
        "it opens the console",
    )


async def test_a_release_goes_on_after_five_services_and_the_broker_were_killed(
    compose: Compose, people: People, figures: Figures
) -> None:
    compose.cli("apply", "-f", f"{CHANGES}/dark_mode.yaml")
    await soon(lambda: people.status("gate.dark_mode.1") is TriggerStatus.WAITING_FOR_REVIEW, "it waits")
    before, served = compose.containers(), people.values("new_checkout")

    for service in KILLED:
        compose.kill(service)

    with figures.timing("all are healthy again after the broker and five others were killed"):
        await soon(lambda: not not_well(compose), "all are well again")
    after = compose.containers()
    assert {name for name in after if after[name].pid != before[name].pid} == set(KILLED)
    compose.cli("trigger", "approve", "gate.dark_mode.1", "--reason", "still looks good")
    await soon(lambda: people.status("gate.dark_mode.1") is TriggerStatus.COMPLETED, "it is over")
    assert None not in served.values()
    assert people.values("new_checkout") == served


async def test_an_alert_of_an_alertmanager_takes_a_release_back(compose: Compose, people: People) -> None:
    compose.run("--profile=observe", "up", "--detach", "prometheus", "alertmanager")
    await soon(lambda: not down_at_prometheus(), "Prometheus scrapes all")
    compose.cli("apply", "-f", f"{CHANGES}/checkout_limits.yaml")
    await soon(
        lambda: people.status("dynamic_config.checkout_limits.1") is TriggerStatus.WAITING_FOR_REVIEW,
        "it waits",
    )
    released = people.value("dev", "checkout_limits")

    labels = {"alertname": "CheckoutErrors", "dynamic_config": "checkout_limits"}
    sent = httpx2.post(f"{ALERTMANAGER}/api/v2/alerts", json=[{"labels": labels}], trust_env=False)

    assert sent.status_code == 200
    assert released == {"maxItems": 200, "payLater": True}
    await soon(
        lambda: people.status("dynamic_config.checkout_limits.1") is TriggerStatus.ROLLED_BACK,
        "it is taken back",
    )
    await soon(
        lambda: all(
            value == {"maxItems": 50, "payLater": False}
            for value in people.values("checkout_limits").values()
        ),
        "every region has what was before",
    )


async def test_all_end_by_themselves_and_a_second_start_changes_nothing(
    compose: Compose, people: People, figures: Figures
) -> None:
    key, served = compose.inside("console", "cat", "/data/first-key"), people.value("prod-eu", "new_checkout")
    secrets = {service: compose.inside(service, "sh", "-c", "cat /secrets/*") for service in SECRETS}

    with figures.timing("stop of everything"):
        compose.run("--profile=observe", "stop")
    stopped = compose.containers()
    with figures.timing("second start, until all are healthy"):
        compose.up()

    assert {name: container.exit_code for name, container in stopped.items()} == dict.fromkeys(stopped, 0)
    assert compose.inside("console", "cat", "/data/first-key") == key
    assert {one: compose.inside(one, "sh", "-c", "cat /secrets/*") for one in SECRETS} == secrets
    assert served is not None
    assert people.value("prod-eu", "new_checkout") == served


async def soon(look: Callable[[], object], what: str) -> None:
    """Return once `look` returns something true."""

    async def paced() -> object:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        return look()

    await eventually(paced, what, BOUND_SECONDS)


def with_another_region(text: str, region: str, port: int) -> str:
    """Return the file with what the documentation says about a new region: a copy of another one's lines."""
    edge = re.search(r"^  edge-prod-eu:\n.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert edge
    text = text.replace(edge[0], edge[0] + edge[0].replace("prod-eu", region).replace("8085", str(port)))
    for line in (
        "      - secrets-edge-prod-eu:/services/edge-prod-eu\n",
        "  secrets-edge-prod-eu: {}\n",
        "  edge-prod-eu: {}\n",
    ):
        assert text.count(line) == 1
        text = text.replace(line, line + line.replace("prod-eu", region))
    return text


def not_well(compose: Compose) -> dict[str, str]:
    """Return the containers that are not well, each with its state."""
    return {
        name: f"{container.status} {container.health} {container.exit_code}"
        for name, container in compose.containers().items()
        if not container.is_well
    }


def down_at_prometheus() -> list[str]:
    """Return what Prometheus cannot scrape; something if it does not answer, or has no Alertmanager."""
    try:
        with httpx2.Client(base_url=f"{PROMETHEUS}/api/v1", trust_env=False) as prometheus:
            targets = prometheus.get("/targets").json()["data"]["activeTargets"]
            alertmanagers = prometheus.get("/alertmanagers").json()["data"]["activeAlertmanagers"]
    except httpx2.HTTPError as error:
        return [str(error)]
    down = [target["scrapeUrl"] for target in targets if target["health"] != "up"]
    return down if alertmanagers and targets else ["no Alertmanager"]
