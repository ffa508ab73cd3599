"""What is stored of guardrails."""

from sluiceway.contracts.guardrails import OnFailure
from sluiceway.contracts.measurements import Verdict, VerdictChanged
from sluiceway.messaging.connection import connected
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.messaging.streams import declare
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker

FAILED = VerdictChanged(
    trigger="gate.checkout.1",
    phase_id="dev",
    guardrail="errors",
    time_ms=0,
    before=Verdict.PASSING,
    verdict=Verdict.FAILED,
    reason="0.05 is too much",
)


async def test_a_verdict_is_stored_once_and_again_with_the_action_that_followed(broker: Broker) -> None:
    acted_on = FAILED.model_copy(update={"action": OnFailure.ROLLBACK})
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, replicas=1)
        store = MeasurementStore(connection, "tests")

        for change in (FAILED, FAILED, acted_on, acted_on):
            await store.store_verdict(change)

        assert await store.verdicts(FAILED.trigger) == [FAILED, acted_on]
