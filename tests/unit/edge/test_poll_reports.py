"""What is reported of the polls of official SDKs, and how much is remembered."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client

from services.edge import poll_reports
from services.edge.poll_reports import PollReports
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Position
from sluiceway.tasks import cancel_and_wait
from tests.support.waiting import eventually


def at(sequence: int) -> Position:
    return Position("created", sequence, sequence)


class RecordingJetStream:
    """Stores the subjects of what is published."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def publish(self, subject: str, *_: Any, **__: Any) -> SimpleNamespace:
        self.subjects.append(subject)
        return SimpleNamespace(seq=len(self.subjects))


async def published(reports: PollReports) -> list[str]:
    connection, js = Connection(Client()), RecordingJetStream()
    connection.js = js  # type: ignore[assignment]
    running = asyncio.create_task(reports.run(connection))
    await eventually(lambda: not reports.has_due, "all reports are published")
    await cancel_and_wait(running)
    return js.subjects


async def test_each_process_is_reported_once_for_each_sequence() -> None:
    reports = PollReports("eu")
    for session, sequence in (("a", 1), ("a", 1), ("b", 1), ("a", 2)):
        reports.add(session, at(sequence))

    assert sorted(await published(reports)) == ["$KV.APPLIED.eu.a", "$KV.APPLIED.eu.b"]

    reports.add("a", at(2))
    assert not reports.has_due
    reports.add("a", at(3))
    assert await published(reports) == ["$KV.APPLIED.eu.a"]


async def test_no_more_processes_are_remembered_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_reports, "SESSIONS_MAX", 2)
    reports = PollReports("eu")

    for session in ("a", "b", "c"):
        reports.add(session, at(1))

    assert len(await published(reports)) == 2


async def test_the_process_that_was_silent_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_reports, "SESSIONS_MAX", 2)
    reports = PollReports("eu")
    for session in ("a", "b", "a", "c"):
        reports.add(session, at(1))
        await published(reports)

    reports.add("a", at(1))
    assert not reports.has_due, "it polled last but one"
    reports.add("b", at(1))
    assert reports.has_due, "it was forgotten"
