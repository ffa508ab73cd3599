"""`python -m tests.benchmarks.raw.monitor URL COMMAND_BYTES`: alert → command to the scheduler → ack."""

import asyncio
import json
import sys

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from ..lines import say
from . import streams


class Monitor:
    """Asks for a roll-back of what an alert names."""

    def __init__(self, client: Client, command_bytes: int) -> None:
        self._client = client
        self._command_bytes = command_bytes
        self._features: dict[str, bytes] = {}

    async def note(self, event: Msg) -> None:
        """Keep the state of each feature, to know what is active."""
        self._features[event.subject] = event.data

    async def receive(self, alert: Msg) -> None:
        gate = json.loads(alert.data)["labels"]["gate"]
        if streams.log(gate) in self._features:
            command = gate.encode().ljust(self._command_bytes)
            await self._client.request(streams.COMMANDS, command, timeout=5)
        await alert.ack()


async def main(url: str, command_bytes: int) -> None:
    client = await nats.connect(url)
    monitor, js = Monitor(client, command_bytes), client.jetstream()
    await js.subscribe(streams.LOGS, stream=streams.LOG, ordered_consumer=True, cb=monitor.note)
    await js.subscribe(
        streams.ALL_ALERTS, stream=streams.ALERTS, durable="monitor", manual_ack=True, cb=monitor.receive
    )
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
