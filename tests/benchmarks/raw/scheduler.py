"""`python -m tests.benchmarks.raw.scheduler URL EVENT_BYTES`: request → conditional append → reply."""

import asyncio
import sys

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from ..lines import say
from . import streams

WRONG_LAST_SEQUENCE = 10071


class Scheduler:
    """Appends the event of each command; commands do not wait for each other."""

    def __init__(self, js: JetStreamContext, event: bytes) -> None:
        self._js = js
        self._event = event
        self._last: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def note(self, message: Msg) -> None:
        """Remember what any scheduler appended."""
        sequence = message.metadata.sequence.stream
        self._last[message.subject] = max(sequence, self._last.get(message.subject, 0))

    async def receive(self, command: Msg) -> None:
        task = asyncio.create_task(self._handle(command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, command: Msg) -> None:
        subject = streams.log(command.data.split(maxsplit=1)[0].decode())
        while True:
            headers = {streams.EXPECTED_LAST: str(self._last.get(subject, 0))}
            try:
                sequence = (await self._js.publish(subject, self._event, headers=headers)).seq
            except APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:
                    raise
                self._last[subject] = (await self._js.get_last_msg(streams.LOG, subject)).seq or 0
                continue
            self._last[subject] = max(sequence, self._last.get(subject, 0))
            return await command.respond(b"%d %b" % (sequence, self._event))


async def main(url: str, event_bytes: int) -> None:
    client = await nats.connect(url)
    scheduler = Scheduler(client.jetstream(), b"e" * event_bytes)
    await client.jetstream().subscribe(
        streams.LOGS, stream=streams.LOG, ordered_consumer=True, cb=scheduler.note
    )
    await client.subscribe(streams.COMMANDS, queue=streams.QUEUE, cb=scheduler.receive)
    await client.flush()
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
