"""The services on a real broker, inside the test's process: each with its own connection to NATS."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from nats.js.errors import NotFoundError

from services.evaluator_publisher.app import EvaluatorPublisher
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.commands import Command, PhaseCommand, SaveFeature, TriggerCommand
from sluiceway.contracts.feature import Feature, Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Outcome, Refusal, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.feature_log import FeatureLog, LoggedEvent
from sluiceway.settings import BrokerSettings, ServiceSettings

from .waiting import BOUND_SECONDS, eventually

ACTOR = "ada"
EVERYONE: dict[str, Any] = {"name": "everyone", "conditions": [{"type": "public"}]}


class Follower:
    """A region's rules as a subscriber holds them, with all changes in their order."""

    def __init__(self, region: str, cache_dir: Path | None = None) -> None:
        self.rules = RegionRules(region, cache_dir)
        self.changes: list[AppliedChange] = []
        self.rules.on_applied = self.changes.append

    def passes(self, gate: str, user: dict[str, Any] | None = None) -> bool:
        return self.rules.check_gate(user or {"userID": "u1"}, gate)


class Driver:
    """What a person, CI or an alerting system would do, over NATS alone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.commands = CommandClient(connection)
        self.log = FeatureLog(connection, "/tests")

    async def send(self, model: type[Command], **fields: Any) -> Reply:
        return await self.commands.send(model.model_validate({"actor": ACTOR, **fields}))

    async def accepted(self, model: type[Command], **fields: Any) -> Reply:
        fields.setdefault("id", uuid4().hex)
        reply = await self.send(model, **fields)
        # A command whose first reply is late is sent again, and has been applied by then.
        is_resent = "already applied" in (reply.message or "")
        assert reply.outcome is Outcome.ACCEPTED or is_resent, reply
        return reply

    async def saved(self, model: type[Command], **fields: Any) -> Reply:
        """Send a command that may have been sent before: one whose answer was lost is sent again."""
        reply = await self.send(model, **fields)
        assert reply.refusal is None, reply
        return reply

    async def refused(self, model: type[Command], **fields: Any) -> Refusal:
        reply = await self.send(model, **fields)
        assert reply.refusal, reply
        return reply.refusal

    async def answered(self, model: type[Command], **fields: Any) -> bool:
        """Say whether somebody answers a command, whatever the answer: the broker may be away."""
        try:
            await self.send(model, **fields)
        except Unavailable:
            return False
        return True

    async def save_gate(self, name: str, *rules: dict[str, Any], **fields: Any) -> Reply:
        document = {"kind": "FeatureGate", "name": name, "rules": list(rules), **fields}
        return await self.accepted(SaveFeature, feature=document)

    async def act(self, model: type[TriggerCommand], trigger: str, **fields: Any) -> Reply:
        """Send a command to a trigger, meant for its current phase."""
        if issubclass(model, PhaseCommand) and "phaseID" not in fields:
            fields["phaseID"] = (await self.trigger(trigger)).current_run.phase.id
        return await self.accepted(model, trigger=trigger, **fields)

    async def feature(self, name: str, kind: FeatureKind = FeatureKind.GATE) -> Feature:
        tail = await self.log.tail(FeatureKey(kind, name))
        assert tail.logged, f"{name} was never saved"
        return tail.logged.event.feature

    async def trigger(self, trigger_id: str) -> Trigger:
        kind, name, _ = trigger_id.split(".")
        trigger = (await self.feature(name, FeatureKind(kind))).trigger
        assert trigger
        return trigger

    async def published(self, gate: str, region: str = "dev", bound: float = BOUND_SECONDS) -> None:
        """Wait until a region's rules of a gate are in RULES: whoever becomes ready then has them."""

        async def look() -> bool:
            place = subjects.rule(region, FeatureKey(FeatureKind.GATE, gate))
            try:
                await self.connection.js.get_last_msg(subjects.RULES_STREAM, place)
            except NotFoundError:
                return False
            return True

        await eventually(look, f"{region} has rules of {gate}", bound)

    async def history(self, name: str) -> list[LoggedEvent]:
        return await self.log.read_history(FeatureKey(FeatureKind.GATE, name))

    async def reaches(self, trigger_id: str, status: TriggerStatus, phase: str | None = None) -> Trigger:
        """Wait until a trigger has a status, in a phase."""

        async def look() -> Trigger | None:
            trigger = await self.trigger(trigger_id)
            at_phase = phase is None or trigger.current_run.phase.id == phase
            return trigger if trigger.status is status and at_phase else None

        return await eventually(look, f"{trigger_id} is {status} {phase or ''}")

    async def store_invalid_body(self, gate: str) -> None:
        """Append a message with the headers of a gate's newest event, and a body that is not an event."""
        subject = subjects.feature(FeatureKey(FeatureKind.GATE, gate))
        event = await self.connection.js.get_last_msg(subjects.FEATURES_STREAM, subject)
        headers = {name: text for name, text in (event.headers or {}).items() if not name.startswith("Nats-")}
        await self.connection.js.publish(subject, b"{}", headers=headers)

    async def alert(self, name: str, source: str = "tests", **labels: str) -> None:
        data = Alert(name=name, labels=labels).to_json()
        await self.connection.js.publish(subjects.alert(source), data)


@asynccontextmanager
async def driving(url: str) -> AsyncIterator[Driver]:
    """Connect a driver."""
    settings = BrokerSettings(nats_url=url, allow_anonymous_broker=True)
    async with connected(settings, "tests") as connection:
        yield Driver(connection)


@asynccontextmanager
async def services(
    url: str,
    *,
    schedulers: int = 1,
    publishers: int = 1,
    monitors: int = 1,
    prometheus_url: str | None = None,
    rules_streams: int | None = None,
) -> AsyncIterator[None]:
    """Run so many replicas of each service; `rules_streams`: the setting of the schedulers."""
    async with AsyncExitStack() as stack:
        for _ in range(schedulers):
            await stack.enter_async_context(
                Scheduler(SchedulerSettings(nats_url=url, rules_streams=rules_streams))
            )
        for _ in range(publishers):
            await stack.enter_async_context(EvaluatorPublisher(ServiceSettings(nats_url=url)))
        for _ in range(monitors):
            await stack.enter_async_context(
                Monitor(MonitorSettings(nats_url=url, prometheus_url=prometheus_url))
            )
        yield


@asynccontextmanager
async def following(url: str, region: str, cache_dir: Path | None = None) -> AsyncIterator[Follower]:
    """Follow a region with a connection of its own."""
    follower = Follower(region, cache_dir)
    async with (
        connected(BrokerSettings(nats_url=url), region) as connection,
        RegionClient(connection, follower.rules, instance=f"test-{region}") as client,
    ):
        await client.caught_up()
        yield follower
    follower.rules.close()
