"""Commands and alerts, sent until somebody answers, and what came of them."""

import asyncio
from typing import Any
from uuid import uuid4

from nats.errors import Error as NatsError

from sluiceway.contracts.commands import FeatureCommand
from sluiceway.contracts.replies import RefusalCode, Reply
from sluiceway.errors import Unavailable
from tests.support.system import Driver

from .history import REASON, SentAlert, SentCommand, StuckRelease, now_ms

#: A command is sent again, with its id, for so long.
ANSWER_SECONDS = 90.0
RETRY_SECONDS = 0.2


class Stuck(Exception):
    """Something did not get on within its bound; it is recorded."""


class Sender:
    """Sends for everybody, and records what was answered."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.commands: list[SentCommand] = []
        self.alerts: list[SentAlert] = []
        self.stuck: list[StuckRelease] = []

    async def send(self, model: type[FeatureCommand], **fields: Any) -> SentCommand:
        """Send a command, with one id, until it is answered; `Stuck` if that takes too long."""
        command = model.model_validate({"id": uuid4().hex, "reason": REASON, **fields})
        sent = SentCommand(
            id=command.id,
            verb=command.verb,
            feature=str(command.key),
            actor=command.actor,
            sent_ms=now_ms(),
        )
        reply, retries = None, 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while (reply := await self._attempt(command)) is None:
                    retries += 1
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            self.commands.append(sent.model_copy(update={"retries": retries}))
            raise Stuck(f"{command.verb} {command.key} was not answered in {ANSWER_SECONDS:g} s") from None
        answered = sent.model_copy(update={"retries": retries, "answered_ms": now_ms(), **_content(reply)})
        self.commands.append(answered)
        return answered

    async def _attempt(self, command: FeatureCommand) -> Reply | None:
        try:
            reply = await self.driver.commands.send(command)
        except Unavailable:
            return None
        is_unavailable = reply.refusal is not None and reply.refusal.code is RefusalCode.UNAVAILABLE
        return None if is_unavailable else reply

    async def fire(self, gate: str, trigger: str) -> None:
        """Publish an alert about a gate until the broker has acknowledged it."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    await self.driver.alert("Boom", gate=gate)
                    break
                except (NatsError, TimeoutError):
                    await asyncio.sleep(RETRY_SECONDS)
        self.alerts.append(SentAlert(trigger=trigger, acknowledged_ms=now_ms()))

    def record_stuck(self, what: str, state: str) -> None:
        """Record that a release, or a gate, did not get on."""
        self.stuck.append(StuckRelease(trigger=what, time_ms=now_ms(), state=state))


def _content(reply: Reply) -> dict[str, Any]:
    return {
        "outcome": reply.outcome,
        "is_resent": "already applied" in (reply.message or ""),
        "revision": reply.revision,
        "refusal": reply.refusal.code if reply.refusal else None,
    }
