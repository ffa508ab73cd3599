"""A feature whose newest message is invalid: the event before it counts, once that is known."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.console.feature_lists import FeatureNames
from sluiceway.contracts import subjects
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import InvalidEvent, Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_indexes import StatusCounts
from sluiceway.messaging.feature_log import FeatureLog, LoggedEvent, LogTail
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.stream_history import StreamPlace
from tests.support.answering_client import AnsweringClient
from tests.support.waiting import eventually
from tests.unit.messaging.event_records import LOG, a_record, an_event


class AnsweringLog:
    """A log that says what the newest event is, after so many failures."""

    def __init__(self, tail: LogTail, failures: int = 0) -> None:
        self.tail_now = tail
        self.failures = failures
        self.before_answer: Callable[[], None] = lambda: None

    async def newest_tail(self, key: FeatureKey) -> LogTail:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable("no answer")
        tail = self.tail_now
        self.before_answer()
        return tail


def a_view_that_reads(log: AnsweringLog) -> FeatureView:
    return FeatureView(Connection(AnsweringClient(lambda _: None)), cast(FeatureLog, log))


async def test_a_snapshot_that_ends_with_an_invalid_message_is_complete_with_the_event_before_it() -> None:
    event, changes = an_event(), list[FeatureEntry]()
    log = AnsweringLog(LogTail(LoggedEvent(1, event), 2), failures=2)
    view = a_view_that_reads(log)
    view.on_change = changes.append
    garbage = a_record(event, 2, b"{}")._replace(headers={})

    view._on_record(garbage)
    view.follower._reach_end(view.position.sequence)
    await eventually(lambda: changes, "the event is read, although nobody asks for it")
    view.follower._forget()
    view._on_record(garbage)
    view.follower._reach_end(view.position.sequence)
    assert not view.is_current
    await view.caught_up()

    assert [(entry.sequence, entry.tail, entry.event) for entry in changes] == [(1, 2, event)] * 2
    assert log.failures == 0


async def test_an_event_of_a_broker_that_is_behind_the_invalid_message_does_not_count() -> None:
    old, new = an_event(), an_event().model_copy(update={"actor_id": "eve"})
    log = AnsweringLog(LogTail(LoggedEvent(1, old), 1))
    view = a_view_that_reads(log)

    def go_on() -> None:
        log.tail_now = LogTail(LoggedEvent(2, new), 3)

    log.before_answer = go_on
    view._on_record(a_record(old, 3, b"{}")._replace(headers={}))
    view.follower._reach_end(0)
    await view.caught_up()

    entry = view.get(old.feature.key)
    assert entry
    assert (entry.event, entry.tail) == (new, 3)


async def test_an_event_that_was_read_while_the_log_went_back_does_not_count() -> None:
    old, new = an_event(), an_event().model_copy(update={"actor_id": "eve"})
    log = AnsweringLog(LogTail(LoggedEvent(1, old), 3))
    view = a_view_that_reads(log)
    garbage = a_record(old, 3, b"{}")._replace(headers={})

    def go_back() -> None:
        log.before_answer = lambda: None
        log.tail_now = LogTail(LoggedEvent(1, new), 2)
        view.follower._forget()
        view._on_record(garbage._replace(sequence=2))
        view.follower._reach_end(view.position.sequence)

    log.before_answer = go_back
    view._on_record(garbage)
    view.follower._reach_end(view.position.sequence)
    await view.caught_up()

    entry = view.get(old.feature.key)
    assert entry
    assert (entry.event, entry.tail) == (new, 2)


async def test_a_newer_event_that_comes_while_the_one_before_is_read_stays() -> None:
    old, new = an_event(), an_event().model_copy(update={"actor_id": "eve"})
    log = AnsweringLog(LogTail(LoggedEvent(1, old), 2))
    view = a_view_that_reads(log)

    log.before_answer = lambda: view._on_record(a_record(new, 3))
    view._on_record(a_record(old, 2, b"{}")._replace(headers={}))
    view.follower._reach_end(view.position.sequence)
    await view.caught_up()

    entry = view.get(old.feature.key)
    assert entry
    assert (entry.event, entry.sequence) == (new, 3)


async def test_what_is_stored_while_the_end_of_the_log_is_asked_for_is_not_taken_for_lost() -> None:
    event, nothing = an_event(), cast(Any, None)

    class Streams:
        async def stream_info(self, stream: str, subjects_filter: str | None = None) -> Any:
            view.add(LOG.encode(event), 1)
            return SimpleNamespace(created=None, cluster=None, state=SimpleNamespace(last_seq=0))

    view = FeatureView(cast(Any, SimpleNamespace(js=Streams(), replies=nothing)), nothing)

    await view.follower._check_history(StreamPlace(subjects.FEATURES_STREAM))
    resets = view.resets
    await view.follower._check_history(StreamPlace(subjects.FEATURES_STREAM))

    assert (resets, view.resets) == (0, 1)


async def test_a_body_that_turns_out_invalid_is_replaced_by_the_event_before_it() -> None:
    event, changes, rejected = an_event(), list[FeatureEntry](), list[str]()
    view = a_view_that_reads(AnsweringLog(LogTail(LoggedEvent(1, event), 2)))
    view._on_record(a_record(event, 2, b"{}"))
    view.follower._reach_end(view.position.sequence)
    view.on_change, view.on_invalid = changes.append, lambda subject, data, reason: rejected.append(subject)
    entry = view.get(event.feature.key)
    assert entry

    for _ in range(2):
        with pytest.raises(InvalidEvent):
            entry.event  # noqa: B018 (parses)
    assert not view.is_current
    await view.caught_up()

    assert [(entry.sequence, entry.tail, entry.event) for entry in changes] == [(1, 2, event)]
    assert list(view) == changes
    assert rejected == [subjects.feature(event.feature.key)]


async def test_a_feature_without_any_valid_event_is_none_until_there_is_one() -> None:
    event, changes = an_event(), list[FeatureEntry]()
    view = a_view_that_reads(AnsweringLog(LogTail(None, 1)))
    statuses, names = view.with_index(StatusCounts()), view.with_index(FeatureNames())
    view._on_record(a_record(event, 1, b"{}"))
    view.follower._reach_end(view.position.sequence)
    view.on_change = changes.append
    (entry,) = view

    with pytest.raises(InvalidEvent):
        entry.event  # noqa: B018 (parses)
    await view.caught_up()

    assert (len(view), statuses[TriggerStatus.IN_PROGRESS]) == (0, 0)
    assert [(entry.key, entry.due_ms, entry.status) for entry in changes] == [(event.feature.key, None, None)]
    view._on_record(a_record(event, 2))
    assert statuses[TriggerStatus.IN_PROGRESS] == 1
    assert list(names.sorted()) == [event.feature.key]
