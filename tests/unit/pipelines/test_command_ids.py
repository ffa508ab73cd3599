"""Which command counts as sent again: one with the same id, of the same sender."""

import json

import pytest

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    IdempotencyKey,
    PauseTrigger,
    RollBackTrigger,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import CONSOLE, Grant, Identity, Role
from sluiceway.contracts.persons import Account
from sluiceway.messaging.feature_log import headers_of
from sluiceway.pipelines.rollbacks import has_taken_effect
from tests.support.builders import BAKE, a_release, happened, unchanged

OPERATOR = (Grant(role=Role.OPERATOR),)
MONITOR = Identity(name="monitor", grants=OPERATOR, vouched_by="monitor")
ADA = Identity(name="ada", grants=OPERATOR, vouched_by=CONSOLE)
EVE = Identity(name="eve", grants=OPERATOR, vouched_by=CONSOLE)
ADAS_KEY = Identity(name="ada", grants=OPERATOR, vouched_by="k1")


@pytest.mark.parametrize(
    "other",
    [
        ADA,
        ADA.model_copy(update={"account": Account(issuer="https://a", subject="2")}),
        ADA.model_copy(update={"account": Account(issuer="https://b", subject="1")}),
        ADAS_KEY.model_copy(update={"key_created_ms": 5}),
    ],
)
def test_a_name_or_the_id_of_a_key_does_not_make_one_sender_of_two(other: Identity) -> None:
    account = Account(issuer="https://a", subject="1")
    ada = IdempotencyKey("once", "ada", ADA.model_copy(update={"account": account}))
    first_key = IdempotencyKey("once", "ada", ADAS_KEY.model_copy(update={"key_created_ms": 4}))

    remembered = (ada.scoped_id, first_key.scoped_id)

    assert not IdempotencyKey("once", "ada", other).is_among(remembered)
    renamed = ADA.model_copy(update={"account": account, "name": "ada@new"})
    assert IdempotencyKey("once", "ada@new", renamed).is_among(remembered)


def test_a_command_that_the_last_version_remembered_is_remembered() -> None:
    key = Identity(name="ada", vouched_by="key-1", key_created_ms=5)

    assert IdempotencyKey("once", "ada").scoped_id == "by-e7019ec1fe87ea71f5d17400d17f3b9d"
    assert IdempotencyKey('oé"n', "ada", key).scoped_id == "by-da6feb239139b299172f89b45ed1dd3e"


@pytest.mark.parametrize("identity", [EVE, ADAS_KEY, None])
def test_an_id_that_another_sender_has_used_is_free(identity: Identity | None) -> None:
    ledger = a_release()
    ledger.act(PauseTrigger, id="alert-1", identity=identity)

    event = happened(ledger.act(RollBackTrigger, id="alert-1", identity=MONITOR))

    assert event.type is EventType.TRIGGER_ROLLED_BACK


@pytest.mark.parametrize("identity", [ADA, ADAS_KEY, None])
def test_a_command_that_its_sender_sends_again_is_not_applied_again(identity: Identity | None) -> None:
    ledger = a_release()
    ledger.act(PauseTrigger, id="once", identity=identity)
    ledger.act(UnpauseTrigger, identity=EVE)

    again = unchanged(ledger.act(PauseTrigger, id="once", identity=identity))

    assert again.message == "this command was already applied; gate.checkout.1 is IN_PROGRESS now"


def test_a_command_that_an_older_version_remembered_is_not_applied_again() -> None:
    ledger = a_release()
    stored = json.loads(ledger.events[-1].to_json())
    stored["feature"]["recentCommands"] = ["once"]
    ledger.events.append(FeatureEvent.model_validate(stored))

    assert unchanged(ledger.act(AbortTrigger, id="once", identity=ADA))


def test_what_is_remembered_of_another_sender_is_no_id_of_a_command() -> None:
    remembered = IdempotencyKey("once", "ada", ADA).scoped_id

    assert not IdempotencyKey(remembered, "eve", EVE).is_among((remembered,))


def test_no_id_that_somebody_has_used_keeps_a_phase_from_ending() -> None:
    ledger = a_release()
    stored = json.loads(ledger.events[-1].to_json())
    stored["feature"]["recentCommands"] = ["advance-gate.checkout.1-2-left"]
    ledger.events.append(FeatureEvent.model_validate(stored))

    event = happened(ledger.act(AdvancePhase, id="advance-gate.checkout.1-2-left", after_ms=BAKE))

    assert event.type is EventType.PHASE_ADVANCED


def test_two_events_never_have_the_same_id() -> None:
    ledger = a_release()
    ledger.act(PauseTrigger, id="same", identity=ADA)
    ledger.act(UnpauseTrigger, id="same", identity=EVE)
    ledger.act(PauseTrigger, id="sáme", identity=ADA)

    assert len({headers_of(event, "")["ce-id"] for event in ledger.events}) == 5


def test_a_roll_back_of_a_phase_has_taken_effect_only_if_it_came_after_its_cause() -> None:
    ledger = a_release(rollback_scope="phase")
    ledger.act(RollBackTrigger, identity=MONITOR)
    ledger.act(UnpauseTrigger)
    command = RollBackTrigger(actor="monitor", trigger=ledger.trigger.id)

    assert ledger.trigger.status is TriggerStatus.IN_PROGRESS
    assert has_taken_effect(command, ledger.feature, ledger.now)
    assert not has_taken_effect(command, ledger.feature, ledger.now + 1)
