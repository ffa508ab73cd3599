"""A part of a region's set is not the whole: nobody serves it, and nobody says that it is ready."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.client import Client, User
from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.evaluation.results import Reason
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

FEATURES = 30
ADA = User("ada")
SPECS = "/v2/download_config_specs"
ALL_FLAGS = "/ofrep/v1/evaluate/flags"
CONTEXT = {"context": {"targetingKey": "ada"}}


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    """The log holds many gates that are on; RULES holds some of them, as after a publisher died early."""
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver)
            for number in range(FEATURES):
                await driver.save_gate(f"gate{number}", EVERYONE)
        js = driver.connection.js
        await js.purge_stream(subjects.RULES_STREAM, subject=subjects.complete_set("dev"))
        for number in range(FEATURES // 2, FEATURES):
            gate = subjects.rule("dev", FeatureKey(FeatureKind.GATE, f"gate{number}"))
            await js.purge_stream(subjects.RULES_STREAM, subject=gate)
        yield driver


async def test_an_edge_is_ready_with_a_whole_set_and_not_before(
    driver: Driver, broker: Broker, tmp_path: Path
) -> None:
    async with services(broker.url, publishers=0):
        key = await create_key(driver, region="dev")
    async with running_edge(broker.url, "dev", tmp_path, key, is_started=False) as edge:
        ready = await edge.http.get("/readyz")
        specs = await edge.http.get(SPECS)
        lists = await edge.http.post("/v1/get_id_lists")
        one = await edge.http.post(f"{ALL_FLAGS}/gate0", json=CONTEXT)
        missing = await edge.http.post(f"{ALL_FLAGS}/gate{FEATURES - 1}", json=CONTEXT)
        flags = await edge.http.post(ALL_FLAGS, json=CONTEXT)

        assert [a.status_code for a in (ready, specs, lists, one, missing, flags)] == [503] * 6
        assert "no publisher has marked it as complete" in ready.text
        assert missing.json()["errorCode"] == "PROVIDER_NOT_READY"

        async with services(broker.url):
            await eventually(lambda: edge.edge.rules.is_whole, "the set is complete")
            specs = await edge.http.get(SPECS)
            assert len(specs.json()["feature_gates"]) == FEATURES
            assert (await edge.http.get("/readyz")).status_code == 200


async def test_a_client_without_a_copy_says_not_ready_rather_than_false(
    driver: Driver, broker: Broker, tmp_path: Path
) -> None:
    client = Client("dev", url=broker.url, cache_dir=tmp_path).start()
    try:
        assert not client.wait_until_ready(0.5)
        assert client.evaluate(ADA, "gate0").reason is Reason.NOT_READY

        async with services(broker.url):
            await eventually(lambda: client.wait_until_ready(0), "it is ready")
            assert all(client.check_gate(ADA, f"gate{number}") for number in range(FEATURES))
            assert client.evaluate(ADA, "unknown").reason is Reason.UNRECOGNIZED
    finally:
        client.close()
