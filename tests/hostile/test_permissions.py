"""Nobody does what is not theirs: each role tries everything that is not in its row."""

import pytest
from nats.aio.client import Client

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import ALERT_BYTES_MAX
from sluiceway.contracts.commands import COMMAND_MAX_BYTES, PUBLIC_COMMANDS
from sluiceway.contracts.replies import RefusalCode
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND
from tests.support.secured import Secured, raw
from tests.support.waiting import eventually

from .everything import COMMANDS, VERBS, heard_subjects, published_subjects
from .roles import BROKER_ROLES, PEOPLE, BrokerRole, covers

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
#: Streams that nothing but decisions and alerts change.
DECIDED = ("FEATURES", "KV_CATALOG", "ALERTS")
each_role = pytest.mark.parametrize("role", BROKER_ROLES.values(), ids=BROKER_ROLES)
each_person = pytest.mark.parametrize("person", PEOPLE.values(), ids=PEOPLE)


@each_role
async def test_a_role_publishes_nothing_that_is_not_its_own(attacked: Secured, role: BrokerRole) -> None:
    forbidden = [s for s in published_subjects() if not any(covers(p, s) for p in role.may_publish)]
    before = await positions(attacked)

    async with raw(attacked, role.user, role.password) as (connection, complaints):
        for subject in forbidden:
            await connection.client.publish(subject, b"{}", reply=connection.client.new_inbox())

        def unrefused() -> list[str]:
            refused = {text.rpartition('"')[0].rpartition('"')[2] for text in complaints}
            return [subject for subject in forbidden if subject.lower() not in refused]

        await eventually(lambda: len(complaints) >= len(forbidden), "the broker has refused all of it")
    assert (unrefused(), await positions(attacked)) == ([], before)


@each_role
async def test_a_role_hears_nothing_that_is_not_its_own(attacked: Secured, role: BrokerRole) -> None:
    forbidden = [s for s in heard_subjects() if not any(covers(p, s) for p in role.may_subscribe)]

    async with raw(attacked, role.user, role.password) as (connection, complaints):
        for subject in forbidden:
            await connection.client.subscribe(subject)

        await eventually(lambda: len(complaints) >= len(forbidden), "the broker has refused all of it")
    assert all("permissions violation for subscription" in text.lower() for text in complaints)


@each_person
async def test_a_person_sends_only_the_commands_of_the_role(attacked: Secured, person: BrokerRole) -> None:
    driver = await attacked.driver(person.user, person.password)
    before = await positions(attacked)

    for model in PUBLIC_COMMANDS:
        if model.verb not in person.verbs:
            refusal = await driver.refused(model, actor="root", **COMMANDS[model.verb])
            assert refusal.code is RefusalCode.NOT_ALLOWED, (model.verb, refusal)
    assert await positions(attacked) == before


@pytest.mark.parametrize("name", PEOPLE)
async def test_what_is_in_the_row_of_a_role_is_allowed(attacked: Secured, name: str) -> None:
    """The row says what is so: a role that lost a permission is noticed, too."""
    person = PEOPLE[name]
    driver = await attacked.driver(person.user, person.password)

    for model in PUBLIC_COMMANDS:
        if model.verb in person.verbs:
            reply = await driver.send(model, **COMMANDS[model.verb])
            assert not reply.refusal or "may not" not in reply.refusal.message, reply.refusal


async def test_there_is_a_valid_command_of_each_verb() -> None:
    assert set(COMMANDS) == set(VERBS)
    for model in PUBLIC_COMMANDS:
        model.model_validate({"actor": "eve", **COMMANDS[model.verb]})


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"auth_token": "client-an-sdk-key"},
        {"user": "key-viewer", "pass": "wrong"},
        {"user": "scheduler", "pass": ""},
        {"user": "nobody", "pass": "person"},
    ],
)
async def test_without_credentials_the_broker_lets_nobody_in(
    attacked: Secured, credentials: dict[str, str]
) -> None:
    assert await attacked.greets(user="pager", **{"pass": "pager"}) == b"+OK\r\n"
    assert await attacked.greets(**credentials) == b"-ERR 'Authorization Violation'\r\n"


async def test_services_read_reports_of_edges_no_faster_than_they_can(attacked: Secured) -> None:
    js = (await attacked.stream_admin()).connection.js

    followers = await js.consumers_info(subjects.APPLIED_STREAM)

    assert {follower.config.rate_limit_bps for follower in followers} == {APPLIED_BITS_PER_SECOND}


@pytest.mark.parametrize(
    ("user", "password", "subject", "size"),
    [
        ("key-viewer", "person", "sluiceway.commands.abort.key-viewer", COMMAND_MAX_BYTES + 10_000),
        ("pager", "pager", "sluiceway.alerts.pager", ALERT_BYTES_MAX + 20_000),
    ],
)
async def test_a_message_that_nobody_would_read_ends_its_senders_connection(
    attacked: Secured, user: str, password: str, subject: str, size: int
) -> None:
    """Whether it hears why is a matter of luck: the broker closes the socket with bytes in it unread."""
    async with raw(attacked, user, password) as (connection, _):
        client = connection.client
        await Client.publish(client, subject, bytes(size))

        await eventually(lambda: not client.is_connected or client.stats["reconnects"], "it is cut off")


async def positions(attacked: Secured) -> dict[str, int]:
    """Return the last sequence of each stream that only decisions may change."""
    js = (await attacked.stream_admin()).connection.js
    return {stream: (await js.stream_info(stream)).state.last_seq for stream in DECIDED}
