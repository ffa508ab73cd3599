"""Which command to the catalogue counts as sent again."""

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import SaveEnvironment
from sluiceway.contracts.identity import Role
from sluiceway.contracts.replies import RefusalCode
from sluiceway.contracts.revisions import revision_tag
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from tests.support.brokers import Broker
from tests.support.consoles import create_api_key
from tests.support.system import driving, services

QA = {"name": "qa"}
CHANGED = {"name": "qa", "requiresReleasePipeline": False}
#: The headers of a document that version 0.9 stored.
OLD_HEADERS = {"ce-id": "save-1", "ce-type": "sluiceway.save_environment", "Sluiceway-Actor": "ada"}


async def test_only_its_own_sender_sends_a_command_again(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        ada, eve = [
            CommandClient(
                driver.connection, (await create_api_key(driver, Role.ADMIN, owner=o)).split("-")[1]
            )
            for o in ("ada", "eve")
        ]
        first = await ada.send(SaveEnvironment.model_validate({"actor": "ada", "environment": QA}))
        again = {"id": "save-1", "actor": "x", "environment": CHANGED, "expectedRevision": first.revision_tag}

        saved = await ada.send(SaveEnvironment.model_validate(again))
        resent = await ada.send(SaveEnvironment.model_validate(again))
        eves = await eve.send(SaveEnvironment.model_validate({**again, "environment": QA}))

        assert (saved.refusal, resent.refusal) == (None, None)
        assert saved.revision_tag == resent.revision_tag
        assert eves.refusal
        assert eves.refusal.code is RefusalCode.STALE
        stored = await driver.connection.js.get_last_msg(
            subjects.CATALOG_STREAM, subjects.catalogue("environment", "qa")
        )
        assert "save-1" not in (stored.headers or {})[envelope.CE_ID]


async def test_a_document_that_an_older_version_stored_keeps_its_tag_and_its_command(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        subject = subjects.catalogue("environment", "qa")
        data = SaveEnvironment.model_validate({"actor": "ada", "environment": CHANGED}).environment.to_json()
        ack = await driver.connection.js.publish(subject, data, headers=OLD_HEADERS)
        command = {"id": "save-1", "actor": "ada", "environment": CHANGED, "expectedRevision": "1-00000000"}

        resent = await driver.send(SaveEnvironment, **command)

        assert resent.refusal is None
        async with CatalogueView(driver.connection) as view:
            await view.caught_up()
            assert view.revision_tag("environment", "qa") == revision_tag(ack.seq, "save-1")
