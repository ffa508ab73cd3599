"""States that hardly fit into a message: every command is answered, and no connection is lost."""

from pathlib import Path

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveEnvironment, SaveFeature
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature, Spec
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import RefusalCode
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.message_size import header_bytes
from sluiceway.messaging.publishing import StreamPublisher
from tests.support.brokers import Broker, broker_with_limit
from tests.support.system import Driver, driving, services

LIMIT = 2**20
SOURCE = "/tests"


def a_feature(size: int) -> Feature:
    """Return a config whose value has so many bytes."""
    spec = Spec(version=1, is_enabled=True, id_type="userID", default_value={"text": "x" * size}, rules=())
    return Feature(kind=FeatureKind.DYNAMIC_CONFIG, name="large", salt="large", base=spec, versions=1)


def an_event(size: int) -> FeatureEvent:
    event = FeatureEvent(
        type=EventType.FEATURE_CHANGED, time_ms=1, actor_id="ada", command_id="old", feature=a_feature(0)
    )
    missing = size - message_bytes(event)
    return event.model_copy(update={"feature": a_feature(missing)})


def message_bytes(event: FeatureEvent) -> int:
    return len(event.to_json()) + header_bytes(headers_of(event, SOURCE))


async def store(driver: Driver, event: FeatureEvent) -> None:
    """Append an event as another version might have stored it."""
    key = event.feature.key
    publisher = StreamPublisher(driver.connection, subjects.FEATURES_STREAM)
    await publisher.publish(subjects.feature(key), event.to_json(), headers_of(event, SOURCE))


async def test_a_reply_that_is_too_large_leaves_out_the_state(tmp_path: Path) -> None:
    with broker_with_limit(tmp_path, 2**18) as broker:
        async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
            for number in range(10):
                await driver.accepted(SaveEnvironment, environment={"name": f"{number}" * 100})
            await store(driver, an_event(2**18))
            rule = {"name": "a", "environments": ["none"], "returnValue": {}}
            document = {"kind": "DynamicConfig", "name": "large", "rules": [rule]}

            reply = await driver.send(SaveFeature, feature=document)
            after = await driver.save_gate("small")

    assert reply.refusal
    assert reply.refusal.code is RefusalCode.INVALID
    assert reply.feature is None
    assert "the reply leaves out the state of the feature" in (reply.message or "")
    assert after.feature


async def test_a_command_that_is_larger_than_any_message_is_refused_with_numbers(broker: Broker) -> None:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        document = {"kind": "DynamicConfig", "name": "huge", "defaultValue": {"text": "x" * 2**21}}

        refusal = await driver.refused(SaveFeature, feature=document)
        await driver.save_gate("small")

        assert refusal.code is RefusalCode.TOO_LARGE
        assert "at most 262144 are allowed" in refusal.message
        assert driver.connection.client.stats["reconnects"] == 0
