"""`python -m tests.hostile.attacker NAME URL [BURST]`: sends one kind of the worst input without an end.

At full speed, or `BURST` of them each second.

A process of its own, so that what it costs to attack does not slow down whom it attacks.
"""

import asyncio
import itertools
import sys

from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings

from .roles import BROKER_ROLES
from .worst_input import BY_NAME

#: Messages that are made once and sent again and again: sending is faster than making them.
PREPARED = 200
#: So much is sent in one go.
FLUSH_BYTES = 1_000_000


async def attack(name: str, url: str, burst: str = "0") -> None:
    """Attack until the process is ended."""
    worst = BY_NAME[name]
    role = BROKER_ROLES[worst.role]
    messages = list(itertools.islice(worst.messages(role), PREPARED))
    url = url.replace("nats://", f"nats://{role.user}:{role.password}@")
    settings = BrokerSettings.model_validate({"nats_url": url, "principal": role.user})
    async with connected(settings, role.user) as connection:
        client = connection.client
        inbox = client.new_inbox()
        print("attacking", flush=True)
        waiting = 0
        for number, (subject, body) in enumerate(itertools.cycle(messages), start=1):
            await client.publish(subject, body, reply=inbox)
            waiting += len(body) + 100
            if waiting > FLUSH_BYTES:
                waiting = 0
                await client.flush()
            if burst != "0" and number % int(burst) == 0:
                await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(attack(*sys.argv[1:]))
