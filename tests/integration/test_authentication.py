"""By whom a command is, on a broker that lets everybody publish everything."""

from collections.abc import AsyncIterator

import pytest
from nats.js.errors import NotFoundError

from services.scheduler.authentication import Authenticator
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command, SaveEnvironment
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.delivery import UnauthorizedSender
from tests.support.brokers import Broker
from tests.support.consoles import create_api_key
from tests.support.system import Driver, driving, services

REPLY = "_INBOX.x"
ROOT = Identity(name="root", grants=(Grant(role=Role.ADMIN),), vouched_by="root")


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with services(broker.url), driving(broker.url) as driver:
        yield driver


@pytest.fixture
async def view(driver: Driver) -> AsyncIterator[CatalogueView]:
    async with CatalogueView(driver.connection) as view:
        await view.caught_up()
        yield view


def command(**fields: object) -> Command:
    return SaveEnvironment.model_validate({"actor": "eve", "environment": {"name": "qa"}, **fields})


async def authenticate(
    view: CatalogueView,
    command: Command,
    principal: str | None,
    reply_to: str = REPLY,
    *,
    required: bool = True,
) -> Command:
    """Return a command with its identity, as the scheduler gives it."""
    authenticator = Authenticator(view, now_ms, required=required)
    identity = await authenticator.sender(type(command), principal, reply_to)
    return authenticator.identified(command, principal, identity)


async def test_nobody_is_vouched_for_on_a_bare_subject_whatever_it_says(view: CatalogueView) -> None:
    authenticated = await authenticate(view, command(identity=ROOT), None, required=False)

    assert (authenticated.actor, authenticated.identity) == ("eve", None)


async def test_a_bare_subject_is_refused_where_an_identity_is_required(view: CatalogueView) -> None:
    with pytest.raises(UnauthorizedSender, match="nobody vouches for the sender of save_environment"):
        await authenticate(view, command(), None)


async def test_the_console_vouches_for_others_and_never_for_nobody(view: CatalogueView) -> None:
    authenticated = await authenticate(view, command(identity=ROOT), "console")

    assert (authenticated.actor, authenticated.identity) == ("root", ROOT)
    with pytest.raises(UnauthorizedSender, match="without the identity of a user"):
        await authenticate(view, command(), "console")


async def test_a_key_stands_for_its_owner_as_soon_as_it_is_created(
    driver: Driver, view: CatalogueView
) -> None:
    key = await create_api_key(driver, Role.ADMIN, owner="ada")

    authenticated = await authenticate(view, command(), key.split("-")[1])

    assert authenticated.actor == "ada"
    assert authenticated.identity
    assert authenticated.identity.grants == (Grant(role=Role.ADMIN),)


async def test_the_monitor_may_do_what_an_operator_may(view: CatalogueView) -> None:
    authenticated = await authenticate(view, command(), "monitor")

    assert authenticated.identity
    assert [grant.role for grant in authenticated.identity.grants] == [Role.OPERATOR]


@pytest.mark.parametrize(
    "reply_to", ["", "$JS.ACK.DEAD_LETTERS.sly.1.1.1.1.0", "$KV.CATALOG.environment.qa", "sluiceway.alerts.x"]
)
async def test_what_is_no_request_is_by_nobody(view: CatalogueView, reply_to: str) -> None:
    with pytest.raises(UnauthorizedSender, match="was not sent as a request"):
        await authenticate(view, command(identity=ROOT), "console", reply_to)


@pytest.mark.parametrize("verb", ["save_environment", "no_such_verb"])
async def test_no_answer_is_written_to_a_stream(driver: Driver, verb: str) -> None:
    client, js = driver.connection.client, driver.connection.js
    place = subjects.catalogue("pipeline", "prod-release")

    await client.publish(subjects.command(verb), command().to_json(), reply=place)
    await driver.accepted(SaveEnvironment, environment={"name": "later"})  # whatever came before is answered

    with pytest.raises(NotFoundError):
        await js.get_last_msg(subjects.CATALOG_STREAM, place)
    with pytest.raises(NotFoundError):
        await js.get_last_msg(subjects.CATALOG_STREAM, subjects.catalogue("environment", "qa"))
