"""What is read from the headers of an event, without its body."""

import sys
import tracemalloc
import weakref
from typing import Any, cast

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import RollOutTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.parsed_events import ParsedEvents
from sluiceway.messaging.stream_records import Record
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline
from tests.support.parsed_bodies import parsed_bodies
from tests.unit.messaging.event_records import LOG, a_record, an_event

OBSERVE_MS = 60_000
#: What an entry takes beside the bytes of its body.
ENTRY_BYTES_MAX = 700
ON_SEGMENT = {"name": "beta", "conditions": [{"type": "passes_segment", "targetValue": "beta"}]}


def a_completed_release() -> FeatureEvent:
    """Return the end of a release to everyone, before which only a segment had it."""
    ledger = Ledger(a_catalogue(a_pipeline(a_phase(), observe_for_ms=OBSERVE_MS)))
    ledger.know("segment:beta")
    ledger.save(a_gate(ON_SEGMENT))
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    ledger.act(RollOutTrigger)
    return ledger.events[-1]


def a_view(*, is_live: bool = False) -> FeatureView:
    """Return a view that follows nothing; `is_live`: as if it had read the log to its end."""
    view = FeatureView(cast(Any, None), cast(Any, None))
    if is_live:
        view.follower._caught_up.set()
    return view


def test_what_a_rollback_would_restore_is_referred_to_while_one_may_come() -> None:
    event = a_completed_release()
    entry = FeatureEntry(event.feature.key, 1, headers_of(event, ""), data=event.to_json())

    assert entry.references == ()
    assert entry.restorable_references == ("segment:beta",)
    assert entry.observed_until_ms == event.time_ms + OBSERVE_MS


def test_an_event_of_an_older_version_says_it_in_its_body() -> None:
    event = a_completed_release()
    headers = headers_of(event, "")
    del headers[envelope.RESTORABLE]
    entry = FeatureEntry(event.feature.key, 1, headers, data=event.to_json())

    assert entry.restorable_references == ("segment:beta",)


def test_a_feature_that_is_switched_off_evaluates_no_reference() -> None:
    ledger = Ledger(a_catalogue())
    ledger.know("segment:beta")
    ledger.save(a_gate(ON_SEGMENT))
    ledger.save(a_gate(ON_SEGMENT, isEnabled=False))
    on, off = (FeatureEntry(e.feature.key, 1, headers_of(e, ""), data=e.to_json()) for e in ledger.events)

    assert (on.references, on.evaluated_references) == (("segment:beta",), ("segment:beta",))
    assert (off.references, off.evaluated_references) == (("segment:beta",), ())


def test_an_event_of_an_older_version_without_a_version_to_restore_is_not_parsed() -> None:
    event = an_event()
    headers = {**headers_of(event, ""), envelope.OBSERVED: "60000"}
    entry = FeatureEntry(event.feature.key, 1, headers, data=b'{"feature":{"previous":null}}')

    assert entry.restorable_references == ()


def test_an_entry_takes_little_more_memory_than_the_bytes_of_its_event() -> None:
    event, view, count = an_event(), a_view(), 1_000
    data, headers = event.to_json(), headers_of(event, "")

    tracemalloc.start()
    for n in range(count):
        own_headers = {f" {name}"[1:]: f" {value}"[1:] for name, value in headers.items()}
        view._on_record(
            Record(f"sluiceway.features.gate.gate{n}", n + 1, 0, bytes(bytearray(data)), own_headers)
        )
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert len(view) == count
    assert taken / count < len(data) + ENTRY_BYTES_MAX


def test_no_more_events_stay_parsed_than_may_be_kept() -> None:
    event = an_event()
    data, headers = event.to_json(), headers_of(event, "")
    parsed = ParsedEvents(10 * len(data))
    entries = [FeatureEntry(event.feature.key, n, headers, data=data, parsed=parsed) for n in range(20)]

    first_reads = [entry.event for entry in entries]
    again = [entry.event for entry in reversed(entries)]

    assert all(read == event for read in first_reads)
    kept = [new is old for new, old in zip(again, reversed(first_reads), strict=True)]
    assert kept == [True] * 10 + [False] * 10


def test_an_event_that_a_newer_one_follows_does_not_stay_parsed() -> None:
    view, event = a_view(is_live=True), an_event()
    key, data, headers = event.feature.key, event.to_json(), headers_of(event, "")
    subject = f"sluiceway.features.{key}"
    view._on_record(Record(subject, 1, 0, data, headers))
    entry = view.get(key)
    assert entry
    parsed = weakref.ref(entry.event)
    assert parsed() is entry.event

    view._on_record(Record(subject, 2, 0, data, headers))

    assert parsed() is None
    assert entry.event == event  # whoever still has the entry can ask for it


def test_an_event_larger_than_all_that_is_kept_can_be_read() -> None:
    event = an_event()
    entry = FeatureEntry(
        event.feature.key, 1, headers_of(event, ""), data=event.to_json(), parsed=ParsedEvents(1)
    )

    assert entry.event == entry.event == event


def test_an_invalid_live_message_is_rejected_when_it_arrives() -> None:
    view, rejected = a_view(is_live=True), list[str]()
    view.on_invalid = lambda subject, data, reason: rejected.append(subject)
    event = an_event()

    view._on_record(a_record(event, 1))
    view._on_record(a_record(event, 2, b"{}"))

    entry = view.get(event.feature.key)
    assert entry
    assert (entry.sequence, entry.tail) == (1, 2)
    assert rejected == [subjects.feature(event.feature.key)]


@pytest.mark.parametrize("header", [envelope.STATUS, envelope.DUE, envelope.OBSERVED])
def test_a_message_with_an_invalid_header_is_rejected_although_its_body_is_valid(header: str) -> None:
    view, rejected = a_view(), list[str]()
    view.on_invalid = lambda subject, data, reason: rejected.append(reason)
    record = a_record(an_event(), 1)

    view._on_record(record._replace(headers={**record.headers, header: "soon"}))

    assert len(view) == 0
    assert len(rejected) == 1
    assert "soon" in rejected[0]


def test_the_type_of_a_later_version_is_unknown_and_nothing_else() -> None:
    event = an_event()
    headers = {**headers_of(event, ""), envelope.CE_TYPE: "sluiceway.phase_postponed"}
    entry = FeatureEntry(event.feature.key, 1, headers, data=event.to_json())

    assert entry.type is None
    assert entry.status is TriggerStatus.IN_PROGRESS


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect what views parse."""
    return parsed_bodies(monkeypatch)


@pytest.mark.parametrize("is_read_first", [False, True])
def test_an_event_of_ones_own_is_announced_once_and_never_parsed(
    is_read_first: bool, parsed: list[bytes]
) -> None:
    view, changes = a_view(is_live=True), list[FeatureEntry]()
    view.on_change = changes.append
    event = an_event()
    encoded = LOG.encode(event)

    with view.appending(encoded):
        if is_read_first:  # the broker may deliver a message before it acknowledges it
            view._on_record(a_record(event, 7))
    view.add(encoded, 7)
    if not is_read_first:
        view._on_record(a_record(event, 7))

    entry = view.get(event.feature.key)
    assert entry
    assert changes == [entry]
    assert entry.event is event
    assert parsed == []
    view._parsed.clear()
    assert entry.event == event  # it is dropped like any other, and parsed from its bytes


def test_what_others_write_while_one_appends_is_parsed_and_stays(parsed: list[bytes]) -> None:
    view, own, other = a_view(is_live=True), LOG.encode(an_event()), an_event()
    theirs = other.model_copy(update={"actor_id": "eve"})
    copied = a_record(own.event, 8)._replace(subject=subjects.feature(an_event("copy").feature.key))

    with view.appending(own):
        view._on_record(a_record(theirs, 7))
        view._on_record(copied)
    entry = view.get(own.event.feature.key)

    assert entry
    assert (entry.sequence, entry.event) == (7, theirs)
    assert parsed == [theirs.to_json(), own.data]
    assert view.get(an_event("copy").feature.key) is None  # its subject says that it is another feature
    assert not view._appending


def test_a_newer_event_that_is_read_before_ones_own_is_acknowledged_stays() -> None:
    view, own = a_view(is_live=True), LOG.encode(an_event())
    newer = own.event.model_copy(update={"actor_id": "eve"})

    with view.appending(own):
        view._on_record(a_record(own.event, 7))
        view._on_record(a_record(newer, 8))
    view.add(own, 7)

    entry = view.get(own.event.feature.key)
    assert entry
    assert (entry.sequence, entry.event) == (8, newer)
    assert not view._appended


def test_a_feature_of_a_pipeline_shares_its_name_with_the_others() -> None:
    view = a_view()
    for n in (1, 2):
        view._on_record(a_record(an_event(f"gate{n}"), n))

    first, second = view
    assert first.pipeline is second.pipeline is sys.intern("release")
