"""The provider's life under the real OpenFeature SDK: its values, its events, its start and its end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook
from openfeature.provider import ProviderStatus

from sluiceway.client import Client
from sluiceway.client.openfeature import SluicewayProvider
from sluiceway.contracts.commands import SaveFeature
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = EvaluationContext("ada", {"plan": "pro"})
NOBODY = "nats://127.0.0.1:9"
LONG_MS = 3_600_000
LIMITS = {
    "max": 3,
    "ratio": 2,
    "share": 0.5,
    "word": "w",
    "is_on": True,
    "nothing": None,
    "names": ["a"],
    "inner": {"deep": 1},
}


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("checkout", EVERYONE)
        await driver.save_gate("never")
        await driver.save_gate("half", {**EVERYONE, "passPercentage": 50})
        config = {"kind": "DynamicConfig", "name": "limits", "defaultValue": LIMITS}
        await driver.accepted(SaveFeature, feature=config)
        yield driver
    await asyncio.to_thread(api.shutdown)


async def provided(client: Client) -> OpenFeatureClient:
    """Return the SDK's client of a region once its four features are here."""
    domain = client.rules.region
    await asyncio.to_thread(api.set_provider_and_wait, SluicewayProvider(client), domain)
    await eventually(lambda: len(client.rules) == 4, "all features are here")
    return api.get_client(domain)


Getter = Callable[[OpenFeatureClient, bool], Any]


@pytest.mark.parametrize(
    ("kind", "flag", "default", "value"),
    [
        ("boolean", "checkout", False, True),
        ("boolean", "gate.checkout", False, True),
        ("boolean", "limits/is_on", False, True),
        ("string", "limits/word", "", "w"),
        ("integer", "limits/max", 0, 3),
        ("float", "limits/ratio", 0.0, 2.0),
        ("float", "limits/share", 0.0, 0.5),
        ("object", "limits", {}, LIMITS),
        ("object", "dynamic_config.limits", {}, LIMITS),
        ("object", "limits/names", [], ["a"]),
        ("object", "limits/inner", {}, {"deep": 1}),
    ],
)
async def test_a_value_comes_with_its_type_by_both_kinds_of_calls(
    driver: Driver, broker: Broker, kind: str, flag: str, default: Any, value: Any
) -> None:
    client = await provided(Client("dev", url=broker.url))

    found = getattr(client, f"get_{kind}_details")(flag, default, ADA)
    awaited = await getattr(client, f"get_{kind}_details_async")(flag, default, ADA)

    assert (found.value, found.error_code) == (awaited.value, awaited.error_code) == (value, None)
    assert type(found.value) is type(awaited.value) is type(value)


@pytest.mark.parametrize(
    ("kind", "flag", "default", "code"),
    [
        ("boolean", "unknown", True, ErrorCode.FLAG_NOT_FOUND),
        ("boolean", "dynamic_config.checkout", True, ErrorCode.FLAG_NOT_FOUND),
        ("object", "gate.limits", {"d": 1}, ErrorCode.FLAG_NOT_FOUND),
        ("integer", "limits/unknown", 7, ErrorCode.FLAG_NOT_FOUND),
        ("boolean", "checkout/member", True, ErrorCode.FLAG_NOT_FOUND),
        ("boolean", "limits", True, ErrorCode.TYPE_MISMATCH),
        ("boolean", "limits/max", True, ErrorCode.TYPE_MISMATCH),
        ("string", "checkout", "d", ErrorCode.TYPE_MISMATCH),
        ("string", "limits/nothing", "d", ErrorCode.TYPE_MISMATCH),
        ("integer", "checkout", 7, ErrorCode.TYPE_MISMATCH),
        ("integer", "limits/is_on", 7, ErrorCode.TYPE_MISMATCH),
        ("integer", "limits/share", 7, ErrorCode.TYPE_MISMATCH),
        ("float", "limits/is_on", 7.5, ErrorCode.TYPE_MISMATCH),
        ("float", "limits/word", 7.5, ErrorCode.TYPE_MISMATCH),
        ("object", "checkout", {"d": 1}, ErrorCode.TYPE_MISMATCH),
        ("object", "limits/word", ["d"], ErrorCode.TYPE_MISMATCH),
    ],
)
async def test_a_failure_gives_the_default_by_both_kinds_of_calls(
    driver: Driver, broker: Broker, kind: str, flag: str, default: Any, code: ErrorCode
) -> None:
    client = await provided(Client("dev", url=broker.url))

    found = getattr(client, f"get_{kind}_details")(flag, default, ADA)
    awaited = await getattr(client, f"get_{kind}_details_async")(flag, default, ADA)

    assert (found.value, found.error_code, found.reason) == (default, code, "ERROR")
    assert (awaited.value, awaited.error_code, awaited.reason) == (default, code, "ERROR")


async def test_a_percentage_needs_a_targeting_key_from_any_context(driver: Driver, broker: Broker) -> None:
    client = await provided(Client("dev", url=broker.url))
    rest = EvaluationContext(attributes={"plan": "pro"})

    without = client.get_boolean_details("half", True, rest)
    client.context = EvaluationContext("ada")
    with_it = client.get_boolean_details("half", True, rest)
    elsewhere = client.get_boolean_details("checkout", False, EvaluationContext())

    assert (without.value, without.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    assert (with_it.error_code, with_it.reason) == (None, "SPLIT")
    assert elsewhere.value is True


async def test_a_gate_without_rules_is_static_and_a_released_one_names_its_trigger(
    driver: Driver, broker: Broker
) -> None:
    client = await provided(Client("dev", url=broker.url))
    reply = await driver.save_gate("never", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger

    before = api.get_client("dev").get_object_details("limits", {}, ADA)
    await eventually(lambda: client.get_boolean_value("never", False, ADA), "the candidate is here")
    released = client.get_boolean_details("never", False, ADA)

    assert (before.reason, before.variant) == ("STATIC", "default")
    assert "triggerID" not in before.flag_metadata
    assert released.flag_metadata["triggerID"] == reply.feature.trigger.id
    assert released.flag_metadata["ruleID"] == released.variant == "everyone"


async def test_a_change_is_an_event_of_its_domain_only(driver: Driver, broker: Broker) -> None:
    dev = await provided(Client("dev", url=broker.url))
    staging = await provided(Client("staging", url=broker.url))
    told: dict[str, list[EventDetails]] = {"dev": [], "staging": []}
    dev.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told["dev"].append)
    staging.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told["staging"].append)

    await driver.save_gate("never", EVERYONE, releasePipelineID=PIPELINE)
    await eventually(lambda: dev.get_boolean_value("never", False, ADA), "dev has the candidate")
    await eventually(lambda: told["dev"], "dev is told")

    assert all("never" in (details.flags_changed or ()) for details in told["dev"])
    assert {details.provider_name for details in told["dev"]} == {"sluiceway"}
    assert staging.get_boolean_value("never", True, ADA) is False
    assert dev.get_provider_status() is ProviderStatus.READY


async def test_hooks_run_around_values_and_failures_alike(driver: Driver, broker: Broker) -> None:
    client = await provided(Client("dev", url=broker.url))
    stages: list[tuple[str, str]] = []

    class Seen(Hook):
        def before(self, hook_context: Any, hints: Any) -> EvaluationContext | None:
            stages.append(("before", hook_context.flag_key))
            return EvaluationContext("eve")

        def after(self, hook_context: Any, details: FlagEvaluationDetails[Any], hints: Any) -> None:
            stages.append(("after", details.flag_key))

        def error(self, hook_context: Any, exception: Exception, hints: Any) -> None:
            stages.append(("error", type(exception).__name__))

        def finally_after(self, hook_context: Any, details: FlagEvaluationDetails[Any], hints: Any) -> None:
            stages.append(("finally", details.flag_key))

    client.add_hooks([Seen()])
    half = client.get_boolean_details("half", False, EvaluationContext())
    client.get_boolean_details("unknown", False, ADA)

    assert half.reason == "SPLIT"
    assert stages == [
        ("before", "half"),
        ("after", "half"),
        ("finally", "half"),
        ("before", "unknown"),
        ("error", "FlagNotFoundError"),
        ("finally", "unknown"),
    ]


async def test_the_provider_brings_no_hooks_of_its_own() -> None:
    provider = SluicewayProvider(Client("dev", url=NOBODY))

    assert provider.get_provider_hooks() == []
    assert provider.get_metadata().name == "sluiceway"


async def test_a_provider_follows_an_edge(driver: Driver, broker: Broker, tmp_path: Path) -> None:
    key = await create_key(driver, region="dev")
    async with running_edge(broker.url, "dev", tmp_path, key) as edge:
        await eventually(lambda: len(edge.edge.rules) == 4, "the edge has rules")
        client = await provided(Client("dev", transport="edge", url=edge.url, key=key))
        changed = threading.Event()
        client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda details: changed.set())

        await driver.save_gate("checkout")

        await eventually(lambda: not client.get_boolean_value("checkout", True, ADA), "the change is here")
        await eventually(changed.is_set, "the handler is called")
        await asyncio.to_thread(api.shutdown)


async def test_a_second_shutdown_does_nothing_and_the_last_values_stay(
    driver: Driver, broker: Broker
) -> None:
    ours = Client("dev", url=broker.url)
    provider = SluicewayProvider(ours)
    await asyncio.to_thread(api.set_provider_and_wait, provider, "dev")
    await eventually(lambda: len(ours.rules) == 4, "all features are here")

    for _ in range(3):
        await asyncio.to_thread(provider.shutdown)

    assert api.get_client("dev").get_boolean_value("checkout", False, ADA) is True


async def test_old_rules_on_disk_make_a_provider_ready(
    driver: Driver, broker: Broker, tmp_path: Path
) -> None:
    async with Client("dev", url=broker.url, cache_dir=tmp_path / "cache") as client:
        await eventually(lambda: len(client.rules) == 4, "all features are here")
    broker.kill()
    again = Client("dev", url=broker.url, cache_dir=tmp_path / "cache")

    provider = SluicewayProvider(again, ready_seconds=0.05)
    await asyncio.to_thread(api.set_provider_and_wait, provider, "dev")

    assert api.get_client("dev").get_provider_status() is ProviderStatus.READY
    assert api.get_client("dev").get_boolean_value("checkout", False, ADA) is True
    broker.start()
    assert await asyncio.to_thread(again.wait_until_ready)


async def test_without_rules_the_start_fails_with_its_code_and_the_status_says_so() -> None:
    heard: list[EventDetails] = []
    api.add_handler(ProviderEvent.PROVIDER_ERROR, heard.append)
    provider = SluicewayProvider(Client("dev", url=NOBODY), ready_seconds=0.05)

    with pytest.raises(OpenFeatureError) as raised:
        await asyncio.to_thread(api.set_provider_and_wait, provider, "nowhere")
    await eventually(lambda: heard, "the handler is called")
    details = api.get_client("nowhere").get_boolean_details("checkout", True, ADA)

    assert raised.value.error_code is ErrorCode.PROVIDER_NOT_READY
    assert heard[0].error_code is ErrorCode.PROVIDER_NOT_READY
    assert api.get_client("nowhere").get_provider_status() is ProviderStatus.ERROR
    assert (details.value, details.reason) == (True, "ERROR")
    await asyncio.to_thread(api.shutdown)


async def test_while_a_provider_still_waits_for_rules_it_is_not_ready() -> None:
    client = Client("dev", url=NOBODY)
    api.set_provider(SluicewayProvider(client, ready_seconds=5), "later")

    details = api.get_client("later").get_boolean_details("checkout", True, ADA)

    assert (details.value, details.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    client._ready.set()
    await eventually(
        lambda: api.get_client("later").get_provider_status() is ProviderStatus.READY, "it is ready"
    )
    await asyncio.to_thread(api.shutdown)
