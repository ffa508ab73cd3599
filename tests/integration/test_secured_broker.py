"""A broker with users and permissions: who sends a command is who it says, whatever the message claims."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.local.broker import EmbeddedBroker
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway import api_keys
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    CreateKey,
    RevokeKey,
    RollOutTrigger,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
)
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import ApiKey, Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode, Reply
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings, ServiceSettings
from tests.support.catalogues import apply_catalogue, phase, pipeline
from tests.support.system import EVERYONE, Driver, following
from tests.support.waiting import eventually

CONFIG = Path(__file__).parents[2] / "deploy" / "nats" / "secured.conf"
USERS = ("scheduler", "publisher", "monitor", "console", "edge", "person", "pager")
#: The id in the configuration's example of a person.
PERSON = "3f9a11c2"
TRIGGER = "gate.new_checkout.1"
HOUR = 3_600_000
ROOT = Identity(name="root", grants=(Grant(role=Role.ADMIN),), vouched_by="root")


class Secured:
    """The running system on such a broker."""

    def __init__(self, broker: EmbeddedBroker, stack: AsyncExitStack) -> None:
        self._broker = broker
        self._stack = stack

    def url(self, user: str, password: str) -> str:
        return self._broker.url.replace("nats://", f"nats://{user}:{password}@")

    async def driver(self, user: str, password: str) -> Driver:
        """Return somebody who sends commands with the credentials of a user."""
        settings = BrokerSettings(nats_url=self.url(user, password), principal=user)
        return Driver(await self._stack.enter_async_context(connected(settings, user)))

    async def person(self, *roles: Role, groups: Sequence[str] = (), expires_ms: int | None = None) -> Driver:
        """Return a person who has a key with these roles."""
        admin = await self.admin()
        key = ApiKey(
            id=PERSON,
            owner="bea",
            groups=tuple(groups),
            grants=tuple(Grant(role=role) for role in roles),
            hash=api_keys.hash_of("any"),
            created_ms=0,
            expires_ms=expires_ms,
        )
        await admin.accepted(CreateKey, key=key.to_jsonable())
        return await self.driver(PERSON, "person")

    async def admin(self) -> "Vouched":
        """Return the console, acting for an admin who also starts releases."""
        driver = await self.driver("console", "console")
        return Vouched(driver.connection, ROOT)


class Vouched(Driver):
    """The console's own connection, with somebody whom it vouches for."""

    def __init__(self, connection: Any, identity: Identity) -> None:
        super().__init__(connection)
        self._identity = identity

    async def send(self, model: Any, **fields: Any) -> Reply:
        return await super().send(model, identity=self._identity, **fields)


@pytest.fixture
async def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Secured]:
    for user in USERS:
        monkeypatch.setenv(f"{user.upper()}_PASSWORD", user)
    monkeypatch.setenv("STORE_DIR", str(tmp_path / "streams"))
    with EmbeddedBroker(tmp_path / "broker", config=CONFIG) as broker:
        async with AsyncExitStack() as stack:
            system = Secured(broker, stack)
            url = system.url
            for service in (
                Scheduler(SchedulerSettings(nats_url=url("scheduler", "scheduler"), require_identity=True)),
                EvaluatorPublisher(ServiceSettings(nats_url=url("evaluator_publisher", "publisher"))),
                Monitor(MonitorSettings(nats_url=url("monitor", "monitor"))),
                Console(
                    ConsoleSettings(
                        nats_url=url("console", "console"), bootstrap_key_file=tmp_path / "console.key"
                    )
                ),
            ):
                await stack.enter_async_context(service)
            await apply_catalogue(await system.admin(), phase("dev", review=True, bake_ms=HOUR))
            yield system


@asynccontextmanager
async def raw(secured: Secured, user: str, password: str) -> AsyncIterator[Any]:
    """Give a bare connection of a user, and what the broker complained about."""
    complaints: list[str] = []

    async def note(error: Exception) -> None:
        complaints.append(str(error))

    settings = BrokerSettings(nats_url=secured.url(user, password))
    async with connected(settings, user, error_cb=note) as connection:
        yield connection, complaints


async def test_a_release_goes_from_save_to_a_region_and_back(secured: Secured) -> None:
    admin = await secured.admin()
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    async with following(secured.url("edge-dev", "edge"), "dev") as region:
        await admin.act(ApprovePhase, TRIGGER)
        await eventually(lambda: region.passes("new_checkout"), "the region has the candidate")
        async with raw(secured, "pager", "pager") as (pager, _):
            alert = Alert(name="Errors", labels={"gate": "new_checkout"})
            await pager.js.publish(subjects.alert("pager"), alert.to_json())
        await eventually(lambda: not region.passes("new_checkout"), "the monitor has taken it back")
        await admin.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)


async def test_a_viewers_key_over_nats_changes_nothing(secured: Secured) -> None:
    viewer = await secured.person(Role.VIEWER)
    admin = await secured.admin()
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")

    for model in (ApprovePhase, AbortTrigger, RollOutTrigger):
        fields = {"phaseID": "dev"} if model is ApprovePhase else {}
        refusal = await viewer.refused(model, trigger=TRIGGER, actor="root", **fields)
        assert refusal.code is RefusalCode.NOT_ALLOWED
        assert refusal.message.startswith("bea may not")
    refusal = await viewer.refused(SaveEnvironment, environment={"name": "qa"})

    assert refusal.code is RefusalCode.NOT_ALLOWED
    assert (await viewer.trigger(TRIGGER)).status is TriggerStatus.WAITING_FOR_REVIEW


async def test_nobody_gains_by_what_a_command_says_of_its_sender(secured: Secured) -> None:
    viewer = await secured.person(Role.VIEWER)
    forged = Identity(name="root", grants=(Grant(role=Role.ADMIN),), vouched_by="console")

    refusal = await viewer.refused(SaveEnvironment, environment={"name": "qa"}, identity=forged.to_jsonable())

    assert refusal.code is RefusalCode.NOT_ALLOWED


async def test_the_log_names_who_is_vouched_for_and_by_which_key(secured: Secured) -> None:
    person = await secured.person(Role.EDITOR)

    await person.save_gate("dark_mode", EVERYONE)

    (logged,) = await person.history("dark_mode")
    assert (logged.event.actor_id, logged.event.vouched_by) == ("bea", PERSON)


async def test_a_group_counts_only_where_it_is_vouched_for(secured: Secured) -> None:
    admin = await secured.admin()
    reviewed = phase("dev", bake_ms=HOUR, review=True, approvals={"count": 1, "groups": ["sre"]})
    await admin.accepted(SavePipeline, pipeline=pipeline(reviewed))
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    person = await secured.person(Role.APPROVER)

    refusal = await person.refused(ApprovePhase, trigger=TRIGGER, phaseID="dev")
    await admin.accepted(RevokeKey, key_id=PERSON)
    person = await secured.person(Role.APPROVER, groups=["sre"])
    await person.accepted(ApprovePhase, trigger=TRIGGER, phaseID="dev")

    assert "needs the approval of somebody in sre" in refusal.message
    assert (await person.trigger(TRIGGER)).phases[0].approvals[0].actor_id == "bea"


async def test_a_revoked_and_an_expired_key_are_refused_at_once(secured: Secured) -> None:
    admin = await secured.admin()
    person = await secured.person(Role.EDITOR)
    await person.save_gate("dark_mode")

    await admin.accepted(RevokeKey, key_id=PERSON)
    revoked = await person.refused(SaveFeature, feature={"kind": "FeatureGate", "name": "other"})
    await secured.person(Role.EDITOR, expires_ms=now_ms() - 1)
    expired = await person.refused(SaveFeature, feature={"kind": "FeatureGate", "name": "other"})

    assert "was revoked, or never created" in revoked.message
    assert "has expired" in expired.message


@pytest.mark.parametrize(
    "subject",
    [
        "sluiceway.commands.save_environment",
        "sluiceway.commands.save_environment.console",
        "sluiceway.commands.save_environment.monitor",
        "sluiceway.features.gate.new_checkout",
        "$KV.CATALOG.environment.qa",
        "$KV.RULES.dev.gate.new_checkout",
        "$KV.APPLIED.dev.edge",
        "sluiceway.alerts.pager",
        "sluiceway.measurements.gate.g.1.dev.errors",
        "$JS.API.STREAM.DELETE.FEATURES",
        "$JS.API.STREAM.PURGE.FEATURES",
        "$JS.API.CONSUMER.DELETE.ALERTS.monitor",
    ],
)
async def test_the_broker_lets_a_person_publish_nowhere_else(secured: Secured, subject: str) -> None:
    async with raw(secured, PERSON, "person") as (person, complaints):
        await person.client.publish(subject, b"{}", reply=person.client.new_inbox())
        await person.client.flush()

        await eventually(lambda: complaints, "the broker refuses it")

    assert "permissions violation" in complaints[0].lower()


async def test_what_a_stream_delivers_to_a_command_is_no_command(secured: Secured) -> None:
    """Who may read a stream may have the broker deliver its messages anywhere."""
    viewer = await secured.person(Role.VIEWER)
    forged = SaveEnvironment.model_validate(
        {
            "actor": "root",
            "environment": {"name": "qa"},
            "identity": ROOT,
        }
    )
    # Rejected, and so kept, as it is, in a stream that everybody may read.
    await viewer.connection.client.request(
        subjects.command("save_region", PERSON), forged.to_json(), timeout=5
    )
    kept = await viewer.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert kept.state.messages == 1

    stream = subjects.DEAD_LETTERS_STREAM
    sly = ConsumerConfig(name="sly", deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
    await viewer.connection.js.add_consumer(stream, sly)
    await viewer.connection.client.publish(
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.sly",
        reply=subjects.command("save_environment", "console"),
    )

    async def was_delivered() -> bool:
        info = await viewer.connection.js.consumer_info(stream, "sly")
        return bool(info.delivered and info.delivered.consumer_seq)

    await eventually(was_delivered, "the broker has delivered it")
    await viewer.refused(SaveEnvironment, environment={"name": "later"})  # whatever came before is answered

    async with raw(secured, "console", "console") as (console, _):
        with pytest.raises(NatsError):
            await console.js.get_last_msg(subjects.CATALOG_STREAM, subjects.catalogue("environment", "qa"))
