"""What one sender can do to the dead letters of others: nothing."""

import asyncio
import json

from sluiceway.contracts import subjects
from sluiceway.contracts.identity import Role
from sluiceway.messaging.dead_letters import BURST, STORED_BYTES_MAX
from tests.support.brokers import Broker
from tests.support.cli.calls import Cli
from tests.support.consoles import create_api_key
from tests.support.system import driving, services
from tests.support.waiting import eventually

FLOOD = 300
GARBAGE = b'{"garbage": "' + b"x" * 60_000


async def test_a_flood_of_one_sender_leaves_the_dead_letters_of_others(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        client, js = driver.connection.client, driver.connection.js
        eve, ada = [
            (await create_api_key(driver, Role.OPERATOR, owner=owner)).split("-")[1]
            for owner in ("eve", "ada")
        ]
        await client.request(subjects.command("abort", ada), b"{ada", timeout=5)

        async def flood() -> None:
            for _ in range(FLOOD // 20):
                await client.request(subjects.command("abort", eve), GARBAGE, timeout=30)

        await asyncio.gather(*(flood() for _ in range(20)))
        await driver.save_gate("checkout")

        async def letters_of(sender: str) -> int:
            subject = subjects.dead_letters("scheduler", sender)
            found = await js.stream_info(subjects.DEAD_LETTERS_STREAM, subjects_filter=subject)
            return (found.state.subjects or {}).get(subject, 0)

        await eventually(lambda: letters_of(ada), "the letter of the other one is there")
        assert BURST <= await letters_of(eve) < FLOOD / 2
        info = await js.stream_info(subjects.DEAD_LETTERS_STREAM)
        assert info.state.bytes < (STORED_BYTES_MAX + 1_000) * info.state.messages
        shown = json.loads((await Cli(broker.url).succeeds("dead-letters", "--last", "1000", "--json")).out)
        assert {(letter["service"], letter["sender"]) for letter in shown} == {
            ("scheduler", ada),
            ("scheduler", eve),
        }
