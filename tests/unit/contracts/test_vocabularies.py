"""Every place that must know each member of a vocabulary knows it.

Conditions have a file of their own: `test_conditions.py`.
"""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum

import pytest

from services.asyncapi import PUBLICATIONS
from services.console.official.official_triggers import ACTIONS, official_trigger
from services.console.pages.progress import release_progress
from services.monitor.clearance_responder import HOLD_DESCRIPTIONS
from services.monitor.notification_messages import notification_of_event
from services.monitor.receivers import DEFAULT_EVENTS, KNOWN_EVENTS
from sluiceway.contracts import subjects
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, TriggerStatus
from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, feature_of, trigger_id
from sluiceway.contracts.measurements import Judgement, Tally, Verdict
from sluiceway.feature_summary import NOUNS
from sluiceway.messaging.feature_log import LoggedEvent
from sluiceway.messaging.streams import streams
from sluiceway.pipelines.guardrail_verdicts import (
    WORST_FIRST,
    action_of,
    count_measurement,
    is_holding,
    verdict_of,
)
from sluiceway.pipelines.projection import ENTITIES
from tests.support.builders import a_release

GUARDRAIL = MetricGuardrail(name="errors", query="up", failure_condition="> 1")
STREAMS = {str(config.name): config for config in streams(replicas=1)}
#: Subjects that are asked on, and stored nowhere.
REQUESTS = {subjects.COMMANDS, subjects.CLEARANCE}
#: What the official API has no word for.
UNOFFICIAL_ACTIONS = {ActionType.ADVANCED, ActionType.HELD, ActionType.EXTENDED}


@pytest.mark.parametrize("status", TriggerStatus)
def test_every_status_is_shown(status: TriggerStatus) -> None:
    release = a_release()
    trigger = release.trigger.model_copy(update={"status": status})

    progress = release_progress(trigger)
    official = official_trigger(release.feature, trigger)

    assert progress.css_class
    assert progress.status
    assert official.sluiceway_status is status
    assert official.rolled_back == (status is TriggerStatus.ROLLED_BACK)
    assert (official.current_phase is not None) == status.is_active


def test_statuses_read_differently() -> None:
    trigger = a_release().trigger
    shown = [release_progress(trigger.model_copy(update={"status": status})) for status in TriggerStatus]

    assert len({progress.status for progress in shown}) == len(TriggerStatus)


def test_every_action_has_an_official_name_or_deliberately_none() -> None:
    assert missing(ActionType, ACTIONS) == sorted(UNOFFICIAL_ACTIONS)


def test_every_event_can_be_subscribed_to() -> None:
    assert missing(EventType, KNOWN_EVENTS) == []
    assert DEFAULT_EVENTS <= KNOWN_EVENTS


@pytest.mark.parametrize("type_", EventType)
def test_every_event_has_a_notification(type_: EventType) -> None:
    event = a_release().events[-1].model_copy(update={"type": type_})

    notification = notification_of_event(LoggedEvent(1, event))

    assert notification.event in KNOWN_EVENTS
    assert type_.replace("_", " ") in notification.sentence


def test_every_verdict_has_a_rank() -> None:
    assert sorted(WORST_FIRST) == sorted(Verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_that_holds_a_phase_says_why(verdict: Verdict) -> None:
    assert is_holding(verdict, GUARDRAIL) == (verdict in HOLD_DESCRIPTIONS)
    assert action_of(verdict, GUARDRAIL, is_due=True) in (None, GUARDRAIL.on_failure)


@pytest.mark.parametrize("judgement", Judgement)
def test_every_judgement_is_counted_and_has_a_verdict(judgement: Judgement) -> None:
    tally = count_measurement(Tally(), judgement)

    assert (tally.successes, tally.failures, tally.inconclusives, tally.errors).count(1) == 1
    assert verdict_of(tally, GUARDRAIL) is not Verdict.PENDING


def test_every_stream_is_declared() -> None:
    named = {value for name, value in vars(subjects).items() if name.endswith("_STREAM")}

    assert named == STREAMS.keys()


def test_every_subject_is_stored_in_one_stream_or_asked_on() -> None:
    stored = Counter(subject for config in STREAMS.values() for subject in config.subjects or ())

    assert set(stored.values()) == {1}
    assert wildcards() == stored.keys() | REQUESTS


@pytest.mark.parametrize("name", sorted(STREAMS.keys() - {subjects.ALERTS_STREAM}))
def test_every_stream_that_we_write_is_documented(name: str) -> None:
    store = f"Bucket {name.removeprefix('KV_')}" if name.startswith("KV_") else f"Stream {name}"

    assert any(description.startswith(store) for _, _, description in PUBLICATIONS)


@pytest.mark.parametrize("table", [ENTITIES, NOUNS])
def test_every_kind_of_feature_is_covered(table: dict[FeatureKind, str]) -> None:
    assert missing(FeatureKind, table) == []
    assert len(set(table.values())) == len(FeatureKind)


@pytest.mark.parametrize("kind", FeatureKind)
def test_a_trigger_of_every_kind_has_an_id(kind: FeatureKind) -> None:
    key = FeatureKey(kind, "checkout")
    release = a_release()

    trigger = release.trigger.model_validate({**release.trigger.to_jsonable(), "id": trigger_id(key, 3)})

    assert feature_of(trigger.id) == key


def wildcards() -> set[str]:
    """Return every subject of `subjects` that is subscribed to."""
    texts = (value for name, value in vars(subjects).items() if name.isupper() and isinstance(value, str))
    return {text for text in texts if text.startswith((f"{subjects.PREFIX}.", "$KV."))}


def missing(members: type[StrEnum], covered: Collection[str]) -> list[str]:
    return sorted(set(members) - set(covered))
