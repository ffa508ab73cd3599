"""What each sender of commands may send is bounded, before it is read: nobody keeps others from answers."""

import asyncio
import json
import threading
from collections import Counter
from pkgutil import resolve_name
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from services.scheduler.senders import PERSON_LIMITS
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import AbortTrigger, Command, SaveEnvironment, SaveFeature
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from sluiceway.tasks import cancel_and_wait
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue, phase
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE, Driver, driving, services

LONG_MS = 3_600_000
#: As many as a sender may have waiting and in work, and as many again.
TOO_MANY = 2 * (PERSON_LIMITS.waiting + PERSON_LIMITS.working)
#: More than a sender may send without a pause.
BURST = 2 * PERSON_LIMITS.burst


async def key_of(driver: Driver, role: Role) -> str:
    """Return the id of a new key with this role."""
    return (await create_api_key(driver, role)).split("-")[1]


async def replies(driver: Driver, subject: str, body: bytes, count: int) -> list[Reply]:
    """Send the same request so often at once; return the replies."""
    client = driver.connection.client
    answers = await asyncio.gather(*(client.request(subject, body, timeout=10) for _ in range(count)))
    return [Reply.model_validate_json(answer.data) for answer in answers]


async def test_whoever_sends_too_many_at_once_is_told_when_to_send_again(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        subject = subjects.command("save_feature", await key_of(driver, Role.EDITOR))
        body = {"id": "one", "actor": "x", "feature": {"kind": "FeatureGate", "name": "g"}}

        answers = await replies(driver, subject, json.dumps(body).encode(), TOO_MANY)

    refusals = [answer.refusal for answer in answers if answer.refusal]
    assert len(answers) - len(refusals) >= PERSON_LIMITS.waiting
    assert len(refusals) >= TOO_MANY / 4
    assert {refusal.code for refusal in refusals} == {RefusalCode.RATE_LIMITED}
    assert all((refusal.retry_after_ms or 0) > 0 for refusal in refusals)
    assert "too many commands at the same time; send this one again in" in refusals[0].message


async def test_a_client_sends_again_what_was_too_much_at_once(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        key = await key_of(driver, Role.EDITOR)
        async with connected(BrokerSettings(nats_url=broker.url, principal=key), "ci") as connection:
            client = CommandClient(connection)
            features = [{"kind": "FeatureGate", "name": f"gate-{n}"} for n in range(TOO_MANY)]
            commands = [
                SaveFeature.model_validate({"actor": "ci", "feature": feature}) for feature in features
            ]

            answers = await asyncio.gather(*map(client.send, commands))

    assert Counter(answer.outcome for answer in answers) == {Outcome.ACCEPTED: TOO_MANY}


async def test_a_burst_of_commands_succeeds_and_its_sender_is_listened_to_afterwards(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        key = await key_of(driver, Role.OPERATOR)
        async with connected(BrokerSettings(nats_url=broker.url, principal=key), "ci") as connection:
            client = CommandClient(connection)

            answers = await asyncio.gather(
                *(client.send(AbortTrigger(actor="ci", trigger=f"gate.g.{n + 1}")) for n in range(BURST))
            )
            later = await client.send(AbortTrigger(actor="ci", trigger="gate.g.1"))

    codes = Counter(answer.refusal and answer.refusal.code for answer in (*answers, later))
    assert codes == {RefusalCode.UNKNOWN_TRIGGER: BURST + 1}


async def test_aborts_of_a_key_that_floods_with_something_else_are_answered(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        key = await key_of(driver, Role.OPERATOR)
        flood = asyncio.create_task(flooding(driver, subjects.command("save_feature", key), b"{}"))
        async with connected(BrokerSettings(nats_url=broker.url, principal=key), "ci") as connection:
            client = CommandClient(connection)
            for number in range(1, 20):
                reply = await client.send(AbortTrigger(actor="ci", trigger=f"gate.g.{number}"))

                assert reply.refusal
                assert reply.refusal.code is RefusalCode.UNKNOWN_TRIGGER

        assert not flood.done()
        await cancel_and_wait(flood)


async def test_the_people_behind_the_console_are_told_apart(broker: Broker) -> None:
    """One person's flood through the console delays nobody else who uses it."""
    async with services(broker.url), driving(broker.url) as driver:
        console = CommandClient(driver.connection, "console")

        def save(person: str, number: int) -> SaveEnvironment:
            grants = (Grant(role=Role.ADMIN),)
            identity = Identity(name=person, grants=grants, vouched_by="console")
            environment = {"name": f"{person}-{number}"}
            return SaveEnvironment.model_validate(
                {"actor": person, "environment": environment, "identity": identity}
            )

        flood = asyncio.gather(*(console.send(save("mallory", n)) for n in range(TOO_MANY)))
        await asyncio.sleep(0)
        reply = await console.send(save("ada", 0))
        was_under_way = not flood.done()

        assert reply.outcome is Outcome.ACCEPTED
        assert was_under_way
        await flood


async def test_an_editor_fills_the_store_no_faster_than_the_budget_allows(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.storage_budget.STORED_BYTES_MAX", 200_000)
    monkeypatch.setattr("services.scheduler.storage_budget.STORED_BYTES_PER_SECOND", 1)
    async with services(broker.url), driving(broker.url) as driver:
        await driver.save_gate("checkout")
        editor, other = await key_of(driver, Role.EDITOR), await key_of(driver, Role.EDITOR)

        refusals = [await save_large(driver, editor, number) for number in range(3)]
        archived = await replies(
            driver,
            subjects.command("archive_feature", editor),
            json.dumps({"id": "a", "actor": "x", "kind": "gate", "name": "checkout"}).encode(),
            1,
        )
        refusal_of_other = await save_large(driver, other, 4)

    assert refusals[:2] == [None, None]
    assert refusals[2]
    assert refusals[2].code is RefusalCode.RATE_LIMITED
    assert "has saved lately is too large" in refusals[2].message
    assert [reply.outcome for reply in archived] == [Outcome.ACCEPTED]
    assert refusal_of_other is None


async def save_large(driver: Driver, key: str, number: int) -> Refusal | None:
    """Save a feature of more than 100 kB; return why it was refused."""
    values = {"type": "user_id", "operator": "any", "targetValue": [f"user-{n:06}" for n in range(900)]}
    rules = [{"name": f"r{n}", "passPercentage": 50, "conditions": [values]} for n in range(10)]
    feature = {"kind": "FeatureGate", "name": f"large-{number}", "rules": rules}
    body = {"id": f"large-{number}", "actor": "x", "feature": feature}
    (reply,) = await replies(driver, subjects.command("save_feature", key), json.dumps(body).encode(), 1)
    return reply.refusal


@pytest.mark.parametrize("body", [b"{oops", b"[" * 200_000, b"x" * 500_000])
async def test_whoever_may_not_send_a_command_is_refused_before_it_is_read(
    broker: Broker, body: bytes
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        subject = subjects.command("save_pipeline", await key_of(driver, Role.EDITOR))

        (answer,) = await replies(driver, subject, body, 1)

        assert answer.refusal
        assert answer.refusal.code is RefusalCode.NOT_ALLOWED
        assert "needs the role admin, but editor is granted editor" in answer.refusal.message
        with pytest.raises(NotFoundError):  # so the sender fills no stream, either
            await driver.connection.js.get_last_msg(
                subjects.DEAD_LETTERS_STREAM, subjects.dead_letters("scheduler")
            )


async def test_a_phase_that_is_due_is_left_during_a_flood(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=50), phase("staging", bake_ms=LONG_MS))
        subject = subjects.command("save_feature", await key_of(driver, Role.EDITOR))
        await driver.save_gate("checkout")
        reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID="prod-release")
        assert reply.feature
        assert reply.feature.trigger
        body = {"id": "one", "actor": "x", "feature": {"kind": "FeatureGate", "name": "g"}}
        flood = asyncio.create_task(flooding(driver, subject, json.dumps(body).encode()))

        await driver.reaches(reply.feature.trigger.id, TriggerStatus.IN_PROGRESS, "staging")

        assert not flood.done()
        await cancel_and_wait(flood)


async def flooding(driver: Driver, subject: str, body: bytes) -> None:
    """Send the same command without an end, and look at no reply."""
    client = driver.connection.client
    inbox = client.new_inbox()
    while True:
        for _ in range(TOO_MANY):
            await client.publish(subject, body, reply=inbox)
        await client.flush()


#: What takes long, and a command that leads to it.
SLOW: dict[str, tuple[str, type[Command], dict[str, Any]]] = {
    "decoding": (
        "command_intake.decode_json",
        SaveFeature,
        {"feature": {"kind": "FeatureGate", "name": "large"}, "reason": "x" * 2_000, "id": "y" * 200},
    ),
    "a feature": ("command_processor.decide", SaveFeature, {"feature": {"kind": "FeatureGate", "name": "g"}}),
    "a document": ("command_handlers.decide_catalogue", SaveEnvironment, {"environment": {"name": "qa"}}),
}


@pytest.mark.parametrize(("function", "model", "fields"), SLOW.values(), ids=SLOW)
async def test_what_takes_long_keeps_nobody_waiting(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    model: type[Command],
    fields: dict[str, Any],
) -> None:
    """It ends only once somebody else's command is answered."""
    others_are_answered = threading.Event()
    module = f"services.scheduler.{function}"
    monkeypatch.setattr("services.scheduler.command_intake.DECODED_AT_ONCE_BYTES", 1_000)
    async with services(broker.url), driving(broker.url) as driver:
        original = resolve_name(module)
        await driver.save_gate("other")

        def slow(*arguments: Any) -> Any:
            is_slow = any(argument is model or isinstance(argument, model) for argument in arguments)
            assert not is_slow or others_are_answered.wait(10), "the loop stands still"
            return original(*arguments)

        monkeypatch.setattr(module, slow)
        saving = asyncio.create_task(driver.send(model, **fields))
        await asyncio.sleep(0)
        refusal = await driver.refused(AbortTrigger, trigger="gate.other.1")
        others_are_answered.set()

        assert refusal.code is RefusalCode.UNKNOWN_TRIGGER
        assert (await saving).outcome is Outcome.ACCEPTED
