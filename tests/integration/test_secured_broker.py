"""A broker with users and permissions: who sends a command is who it says, whatever the message claims."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from sluiceway.cli.feature_commands import archive_gate, set_gate
from sluiceway.cli.get import find_trigger
from sluiceway.cli.session import CliSession, CommandFailed
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    ReadFeature,
    RevokeKey,
    RollOutTrigger,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
)
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.messaging.feature_log import FeatureLog, LogTail
from sluiceway.settings import BrokerSettings
from tests.support.catalogues import phase, pipeline
from tests.support.cli.calls import Cli
from tests.support.secured import HOUR, OPERATOR, PERSON, ROOT, Secured, raw, secured_system, services_of
from tests.support.system import EVERYONE, Driver, following
from tests.support.waiting import eventually

TRIGGER = "gate.new_checkout.1"
QA = "{kind: Environment, name: qa}\n"
GATE = "{kind: FeatureGate, name: new_checkout, releasePipelineID: prod-release, rules: [{name: everyone}]}\n"


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    async with secured_system(tmp_path) as system:
        yield system


async def test_every_service_is_ready_with_its_permissions(secured: Secured) -> None:
    for service in secured.services:
        assert await service.readiness() == {}


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


async def test_the_command_line_of_an_operator_changes_the_catalogue_and_reads_everything(
    secured: Secured,
) -> None:
    cli = Cli(secured.url(OPERATOR, OPERATOR), SLUICEWAY_PRINCIPAL=OPERATOR)

    await cli.succeeds("apply", "-f", "-", stdin=f"{QA}---\n{GATE}")

    assert "new_checkout" in (await cli.succeeds("get", "gates")).out
    assert (await cli.succeeds("get", "regions")).out
    assert "admin" in (await cli.succeeds("trigger", "log", TRIGGER)).out
    assert (await cli.succeeds("audit", "verify")).out
    assert (await cli.succeeds("dead-letters")).out


async def test_an_operator_whose_key_is_revoked_changes_nothing(secured: Secured) -> None:
    cli = Cli(secured.url(OPERATOR, OPERATOR), SLUICEWAY_PRINCIPAL=OPERATOR)
    await (await secured.admin()).accepted(RevokeKey, key_id=OPERATOR)

    refused = await cli.refused("apply", "-f", "-", stdin=QA)

    assert "revoked" in refused.line


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

    (logged,) = await (await secured.stream_admin()).history("dark_mode")
    assert (logged.event.actor_id, logged.event.vouched_by) == ("bea", PERSON)


async def test_the_command_line_acts_with_a_keys_credentials(secured: Secured) -> None:
    await secured.person(Role.EDITOR, Role.OPERATOR)
    cli = Cli(secured.url(PERSON, "person"), SLUICEWAY_PRINCIPAL=PERSON, SLUICEWAY_ACTOR="root")

    await cli.succeeds("gate", "set", "new_checkout", "--on", "--pipeline", "prod-release")
    mine = await cli.refused("trigger", "approve", TRIGGER)
    await cli.succeeds("trigger", "abort", TRIGGER)
    everybodys = await cli.refused("get", "triggers")

    assert mine.line.startswith("bea may not approve")
    assert "the broker does not allow these credentials to do this (publish to" in everybodys.line


async def test_a_key_acts_on_the_newest_state_whatever_a_replica_has(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these was refused, or denied by the broker, as long as a replica did not have the release."""

    async def nothing_yet(*_: object) -> LogTail:
        return LogTail(None, 0)

    monkeypatch.setattr(FeatureLog, "tail", nothing_yet)
    person = await secured.person(Role.EDITOR, Role.OPERATOR)
    session = CliSession(BrokerSettings(), as_json=False, actor="bea", _connection=person.connection)

    await set_gate(session, "new_checkout", on=True, pipeline="prod-release")
    _, waiting = await find_trigger(session, TRIGGER)
    await person.accepted(RollOutTrigger, trigger=TRIGGER)
    _, ended = await find_trigger(session, TRIGGER)
    await archive_gate(session, "new_checkout")
    with pytest.raises(CommandFailed, match="is archived; bring it back with --on"):
        await set_gate(session, "new_checkout", description="mine")

    assert waiting.status is TriggerStatus.WAITING_FOR_REVIEW
    assert ended.status is TriggerStatus.COMPLETED


async def test_whoever_has_a_key_may_ask_for_a_state_and_nobody_else(secured: Secured) -> None:
    viewer = await secured.person(Role.VIEWER)
    admin = await secured.admin()
    await admin.save_gate("dark_mode", EVERYONE)

    found = await viewer.send(ReadFeature, kind="gate", name="dark_mode")
    missing = await viewer.send(ReadFeature, kind="gate", name="nothing")
    await admin.accepted(RevokeKey, key_id=PERSON)
    refusal = await viewer.refused(ReadFeature, kind="gate", name="dark_mode")

    assert found.feature
    assert found.feature.name == "dark_mode"
    assert (missing.feature, missing.revision_tag) == (None, NOTHING_STORED)
    assert refusal.code is RefusalCode.NOT_ALLOWED


async def test_a_group_counts_only_if_it_is_vouched_for(secured: Secured) -> None:
    admin = await secured.admin()
    reviewed = phase("dev", bake_ms=HOUR, review=True, approvals={"count": 1, "groups": ["sre"]})
    await admin.accepted(SavePipeline, pipeline=pipeline(reviewed))
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    person = await secured.person(Role.APPROVER)

    refusal = await person.refused(ApprovePhase, trigger=TRIGGER, phaseID="dev")
    await admin.accepted(RevokeKey, key_id=PERSON)
    person = await secured.person(Role.APPROVER, groups=["sre"])
    await person.accepted(ApprovePhase, trigger=TRIGGER, phaseID="dev")

    assert "needs the approval of a member of sre" in refusal.message
    assert (await person.trigger(TRIGGER)).phases[0].approvals[0].actor_id == "bea"


async def test_a_revoked_and_an_expired_key_are_refused_immediately(secured: Secured) -> None:
    admin = await secured.admin()
    person = await secured.person(Role.EDITOR)
    await person.save_gate("dark_mode")

    await admin.accepted(RevokeKey, key_id=PERSON)
    revoked = await person.refused(SaveFeature, feature={"kind": "FeatureGate", "name": "other"})
    await secured.person(Role.EDITOR, expires_ms=now_ms() - 1)
    expired = await person.refused(SaveFeature, feature={"kind": "FeatureGate", "name": "other"})

    assert "was revoked or never created" in revoked.message
    assert "has expired" in expired.message


async def test_the_broker_lets_no_service_publish_what_another_one_does(secured: Secured) -> None:
    """Everybody else is tried with everything in `tests/hostile`."""
    others = (
        ("evaluator_publisher", "publisher", "$JS.API.CONSUMER.MSG.NEXT.ALERTS.monitor"),
        ("evaluator_publisher", "publisher", "$KV.CATALOG.environment.qa"),
        ("monitor", "monitor", "sluiceway.commands.abort.monitor"),
        ("console", "console", "sluiceway.features.gate.new_checkout"),
    )
    for user, password, subject in others:
        async with raw(secured, user, password) as (connection, complaints):
            await connection.client.publish(subject, b"{}", reply=connection.client.new_inbox())

            await eventually(lambda: complaints, f"the broker refuses {subject}")
        assert f'permissions violation for publish to "{subject.lower()}"' in complaints[0].lower()


async def test_nobody_hears_what_another_is_answered(secured: Secured) -> None:
    async with raw(secured, PERSON, "person") as (connection, complaints):
        await connection.client.subscribe("_INBOX.>")

        await eventually(lambda: complaints, "the broker refuses it")

    assert "permissions violation for subscription" in complaints[0].lower()


async def test_no_answer_is_written_where_its_asker_wants_it(secured: Secured) -> None:
    """Whoever asks names the place of the answer; it must not be a stream's, nor a command."""
    viewer = await secured.person(Role.VIEWER)
    admin = await secured.admin()
    await admin.save_gate("new_checkout", EVERYONE)
    catalogue, alerts = [await end_of(admin, stream) for stream in ("KV_CATALOG", "ALERTS")]
    asked = [
        ("$JS.API.DIRECT.GET.FEATURES.sluiceway.features.gate.new_checkout", b""),
        *((subjects.command(verb, PERSON), b"{}") for verb in ("save_environment", "no_such_verb")),
    ]
    wanted = ["$KV.CATALOG.pipeline.prod-release", "sluiceway.commands.save_environment.console"]

    for subject, body in asked:
        for reply in wanted:
            await viewer.connection.client.publish(subject, body, reply=reply)
    async with raw(secured, "pager", "pager") as (pager, _):
        await pager.client.publish("sluiceway.alerts.pager", b"{}", reply=wanted[0])
        await pager.client.flush()
    await viewer.refused(SaveEnvironment, environment={"name": "qa"})  # whatever came before is answered

    async def alert_has_come() -> bool:
        return await end_of(admin, "ALERTS") > alerts

    await eventually(alert_has_come, "the broker has taken the alert, and so has answered")
    assert await end_of(admin, "KV_CATALOG") == catalogue


async def test_what_a_stream_delivers_to_a_command_subject_is_ignored(secured: Secured) -> None:
    """Who may read a stream may have the broker deliver its messages anywhere in its account."""
    forged = SaveEnvironment.model_validate(
        {"actor": "root", "environment": {"name": "qa"}, "identity": ROOT},
    )
    # An unknown command, and so kept, as it is.
    viewer = await secured.person(Role.VIEWER)
    await viewer.connection.client.request(
        subjects.command("no_such_verb", PERSON), forged.to_json(), timeout=5
    )

    stream = subjects.DEAD_LETTERS_STREAM
    async with raw(secured, "jetstream_admin", "jetstream_admin") as (taken_over, _):
        sly = ConsumerConfig(name="sly", deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        await taken_over.js.add_consumer(stream, sly)
        await taken_over.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.sly",
            reply=subjects.command("save_environment", "console"),
        )

        async def was_delivered() -> bool:
            info = await taken_over.js.consumer_info(stream, "sly")
            return bool(info.delivered and info.delivered.consumer_seq)

        await eventually(was_delivered, "the broker has delivered it")
    await viewer.refused(SaveEnvironment, environment={"name": "later"})  # whatever came before is answered

    admin = await secured.admin()
    with pytest.raises(NatsError):
        await admin.connection.js.get_last_msg(
            subjects.CATALOG_STREAM, subjects.catalogue("environment", "qa")
        )


async def test_a_service_that_starts_behind_an_invalid_event_has_the_rights_to_read_the_one_before(
    secured: Secured, tmp_path: Path
) -> None:
    admin = await secured.admin()
    await admin.save_gate("kept", EVERYONE)
    async with raw(secured, "scheduler", "scheduler") as (scheduler, _):
        await scheduler.js.publish("sluiceway.features.gate.kept", b"invalid")

    async with AsyncExitStack() as stack:
        for service in services_of(tmp_path, secured):
            async with asyncio.timeout(30):
                await stack.enter_async_context(service)
            assert await service.readiness() == {}


@pytest.mark.parametrize(
    ("stream", "subject"),
    [(subjects.FEATURES_STREAM, subjects.FEATURES), (subjects.VERDICTS_STREAM, subjects.VERDICTS)],
)
async def test_the_monitor_may_take_what_it_notifies_receivers_of(
    secured: Secured, stream: str, subject: str
) -> None:
    admin = await secured.admin()
    await admin.save_gate("dark_mode", EVERYONE)
    async with raw(secured, "monitor", "monitor") as (monitor, complaints):
        await monitor.js.publish(subjects.verdicts("gate.dark_mode.1"), b"{}")
        puller = await monitor.js.pull_subscribe(subject, durable="notify-pager", stream=stream)
        (message,) = await puller.fetch(1, timeout=10)
        await message.ack_sync()

        assert (await puller.consumer_info()).num_ack_pending == 0
        assert complaints == []


@pytest.mark.parametrize(
    ("user", "password", "request_"),
    [
        ("scheduler", "scheduler", "STREAM.DELETE.FEATURES"),
        ("scheduler", "scheduler", "STREAM.PURGE.FEATURES"),
        ("scheduler", "scheduler", "STREAM.MSG.DELETE.FEATURES"),
        ("evaluator_publisher", "publisher", "STREAM.UPDATE.KV_RULES"),
        ("evaluator_publisher", "publisher", "STREAM.MSG.GET.AUDIT"),
        ("monitor", "monitor", "CONSUMER.DELETE.ALERTS.monitor"),
        ("monitor", "monitor", "STREAM.MSG.GET.SESSIONS"),
        ("console", "console", "STREAM.MSG.GET.ALERTS"),
        ("console", "console", "CONSUMER.CREATE.DEAD_LETTERS.sly"),
    ],
)
async def test_a_service_asks_the_broker_for_nothing_that_it_does_not_need(
    secured: Secured, user: str, password: str, request_: str
) -> None:
    async with raw(secured, user, password) as (connection, complaints):
        await connection.client.publish(f"$JS.API.{request_}", b"{}", reply=connection.client.new_inbox())

        await eventually(lambda: complaints, "the broker has refused it")
    assert f'permissions violation for publish to "$js.api.{request_.lower()}"' in complaints[0].lower()


async def end_of(driver: Driver, stream: str) -> int:
    """Return the last sequence of a stream."""
    return (await driver.connection.js.stream_info(stream)).state.last_seq


async def test_only_the_schedulers_credentials_make_an_administrators_key_without_being_asked(
    secured: Secured,
) -> None:
    await secured.create_person(Role.ADMIN, id_=PERSON, owner="bea")
    person = Cli(secured.url(PERSON, "person"), SLUICEWAY_PRINCIPAL=PERSON)

    refused = await person("key", "bootstrap")
    monitor = await Cli(secured.url("monitor", "monitor"))("key", "bootstrap")
    created = await Cli(secured.url("scheduler", "scheduler")).succeeds("key", "bootstrap")

    assert "needs the scheduler's credentials, not those of" in refused.line
    assert monitor.code == 1
    assert "console-" not in monitor.out
    assert created.out.startswith("console-")
