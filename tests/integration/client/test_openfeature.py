"""The in-process provider under the real OpenFeature SDK."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook

from sluiceway.client import Client
from sluiceway.client.openfeature import SluicewayProvider
from sluiceway.contracts.commands import SaveFeature
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = EvaluationContext("ada", {"plan": "pro"})
PRO = {
    "name": "pro",
    "conditions": [{"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}],
}


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("everyone", EVERYONE)
        await driver.save_gate("pro", PRO)
        await driver.save_gate("half", {**EVERYONE, "passPercentage": 50})
        await driver.save_gate("off", EVERYONE, isEnabled=False)
        limits = {"max": 3, "ratio": 2, "share": 0.5, "word": "w", "names": ["a"]}
        await driver.accepted(
            SaveFeature, feature={"kind": "DynamicConfig", "name": "limits", "defaultValue": limits}
        )
        yield driver
    await asyncio.to_thread(api.shutdown)


async def client_of(broker: Broker, region: str = "dev") -> OpenFeatureClient:
    client = Client(region, url=broker.url)
    await asyncio.to_thread(api.set_provider_and_wait, SluicewayProvider(client), region)
    await eventually(lambda: len(client.rules) == 5, "all features are here")
    return api.get_client(region)


async def test_each_kind_of_flag_has_its_value_and_its_reason(driver: Driver, broker: Broker) -> None:
    client = await client_of(broker)

    everyone = client.get_boolean_details("everyone", False, ADA)
    reasons = [
        client.get_boolean_details(name, False, context).reason
        for name, context in (("pro", ADA), ("pro", EvaluationContext("eve")), ("half", ADA), ("off", ADA))
    ]

    assert (everyone.value, everyone.reason, everyone.variant) == (True, "TARGETING_MATCH", "everyone")
    assert everyone.flag_metadata["revision"]
    assert reasons == ["TARGETING_MATCH", "DEFAULT", "SPLIT", "DISABLED"]
    assert client.get_object_details("limits", {}, ADA).reason == "STATIC"
    assert client.get_integer_value("limits/max", 0, ADA) == 3
    assert client.get_float_value("limits/ratio", 0.0, ADA) == 2.0
    assert client.get_float_value("limits/share", 0.0, ADA) == 0.5
    assert client.get_string_value("limits/word", "", ADA) == "w"
    assert client.get_object_value("limits/names", [], ADA) == ["a"]


async def test_each_failure_gives_the_default_and_its_code(driver: Driver, broker: Broker) -> None:
    client = await client_of(broker)

    failures = {
        "missing": client.get_boolean_details("nothing", True, ADA),
        "member": client.get_integer_details("limits/nothing", 7, ADA),
        "type": client.get_string_details("everyone", "x", ADA),
        "bool as int": client.get_integer_details("everyone", 7, ADA),
        "no key": client.get_boolean_details("half", True, EvaluationContext()),
        "async": await client.get_string_details_async("everyone", "x", ADA),
    }

    assert {name: (details.value, details.error_code) for name, details in failures.items()} == {
        "missing": (True, ErrorCode.FLAG_NOT_FOUND),
        "member": (7, ErrorCode.FLAG_NOT_FOUND),
        "type": ("x", ErrorCode.TYPE_MISMATCH),
        "bool as int": (7, ErrorCode.TYPE_MISMATCH),
        "no key": (True, ErrorCode.TARGETING_KEY_MISSING),
        "async": ("x", ErrorCode.TYPE_MISMATCH),
    }


async def test_a_change_is_an_event_and_hooks_see_every_evaluation(driver: Driver, broker: Broker) -> None:
    client = await client_of(broker)
    heard = threading.Event()
    changed: list[str] = []

    def listen(details: EventDetails) -> None:
        changed.extend(details.flags_changed or ())
        heard.set()

    class Seen(Hook):
        def after(self, hook_context: Any, details: FlagEvaluationDetails[Any], hints: Any) -> None:
            seen.append(details.flag_key)

    seen: list[str] = []
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, listen)
    client.add_hooks([Seen()])
    await driver.save_gate("everyone")

    await eventually(heard.is_set, "the handler is called")
    await eventually(lambda: not client.get_boolean_value("everyone", True, ADA), "the change is applied")

    assert "everyone" in changed
    assert set(seen) == {"everyone"}


async def test_two_domains_are_two_regions(driver: Driver, broker: Broker) -> None:
    dev, staging = await client_of(broker, "dev"), await client_of(broker, "staging")

    await driver.save_gate("everyone", {**EVERYONE, "environments": ["development"]})

    await eventually(lambda: not staging.get_boolean_value("everyone", True, ADA), "staging is off")
    assert dev.get_boolean_value("everyone", False, ADA) is True


async def test_without_any_rules_the_provider_is_not_ready() -> None:
    provider = SluicewayProvider(Client("dev", url="nats://127.0.0.1:9"), ready_seconds=0.05)

    with pytest.raises(OpenFeatureError, match="waiting for the first rules"):
        await asyncio.to_thread(api.set_provider_and_wait, provider, "nowhere")

    assert api.get_client("nowhere").get_boolean_details("x", True, ADA).value is True
    await asyncio.to_thread(api.shutdown)
    provider.shutdown()
