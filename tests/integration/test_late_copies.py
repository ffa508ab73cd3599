"""A copy of a command that comes late, when others have made changes since: it is not applied again.

A scheduler that was frozen finds it in its socket. Its sender has the answer of another scheduler.
"""

from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.contracts.commands import SaveEnvironment, SaveFeature, SavePipeline
from sluiceway.contracts.feature import RECENT_COMMANDS_MAX
from sluiceway.contracts.replies import Outcome
from sluiceway.messaging.catalogue_store import CatalogueView
from tests.support import catalogues
from tests.support.brokers import Broker
from tests.support.system import Driver, driving, services


async def save(driver: Driver, number: int) -> Outcome:
    """Save the gate with the command of this number; return what came of it."""
    document = {"kind": "FeatureGate", "name": "checkout", "description": str(number)}
    return (await driver.send(SaveFeature, id=f"save-{number}", feature=document)).outcome


async def test_a_command_that_its_feature_has_forgotten_is_not_applied_again(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        for number in range(RECENT_COMMANDS_MAX + 2):
            assert await save(driver, number) is Outcome.ACCEPTED

        outcomes = [await save(driver, number) for number in (0, 1, RECENT_COMMANDS_MAX + 1)]

        assert outcomes == [Outcome.UNCHANGED] * 3
        history = await driver.history("checkout")
        assert [logged.event.command_id for logged in history] == [
            f"save-{number}" for number in range(RECENT_COMMANDS_MAX + 2)
        ]


async def test_a_command_to_the_catalogue_is_not_applied_again_after_another_one(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        first, second = (
            catalogues.pipeline(catalogues.phase("dev", bake_ms=bake_ms), name="fast")
            for bake_ms in (1_000, 2_000)
        )
        await driver.accepted(SaveEnvironment, environment={"name": catalogues.REGIONS["dev"]})
        await driver.accepted(SavePipeline, id="first", pipeline=first)
        changed = await driver.accepted(SavePipeline, id="second", pipeline=second)

        late = await driver.send(SavePipeline, id="first", pipeline=first)

        assert (late.outcome, late.revision_tag) == (Outcome.UNCHANGED, changed.revision_tag)
        async with CatalogueView(driver.connection) as view:
            await view.caught_up()
            assert view.revision_tag("pipeline", "fast") == changed.revision_tag


async def test_what_is_sent_again_after_a_restart_reverts_nothing_that_others_have_changed(
    broker: Broker,
) -> None:
    first, second = (
        catalogues.pipeline(catalogues.phase("dev", bake_ms=bake_ms), name="fast")
        for bake_ms in (1_000, 2_000)
    )
    async with driving(broker.url) as driver:
        async with Scheduler(Settings(nats_url=broker.url)):
            await driver.accepted(SaveEnvironment, environment={"name": catalogues.REGIONS["dev"]})
            await driver.accepted(SavePipeline, id="first", pipeline=first)
            await driver.accepted(SavePipeline, id="second", pipeline=second)
            for number in range(RECENT_COMMANDS_MAX + 1):
                assert await save(driver, number) is Outcome.ACCEPTED

        async with Scheduler(Settings(nats_url=broker.url)):
            late = await driver.send(SavePipeline, id="first", pipeline=first)
            outcomes = [late.outcome, await save(driver, 0), await save(driver, RECENT_COMMANDS_MAX + 1)]

    assert outcomes == [Outcome.UNCHANGED, Outcome.UNCHANGED, Outcome.ACCEPTED]
