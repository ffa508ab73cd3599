"""What is reported of the polls of official SDKs, and how much is remembered."""

import asyncio
import re

import pytest

from services.edge import poll_reports
from services.edge.poll_reports import PollReports
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_records import Position
from sluiceway.tasks import cancel_and_wait
from tests.support.answering_client import AnsweringClient, stored
from tests.support.waiting import eventually


def at(sequence: int) -> Position:
    return Position("created", sequence, sequence)


async def published(reports: PollReports) -> list[str]:
    client = AnsweringClient(lambda _: stored(1))
    running = asyncio.create_task(reports.run(Connection(client)))
    await eventually(lambda: not reports.has_due, "all reports are published")
    await cancel_and_wait(running)
    return [message.subject for write in client.writes for message in write]


async def test_each_process_is_reported_once_for_each_sequence() -> None:
    reports = PollReports("eu")
    for session, sequence in (("a", 1), ("a", 1), ("b", 1), ("a", 2)):
        reports.add("k", session, at(sequence))

    assert sorted(await published(reports)) == ["$KV.APPLIED.eu.sdk-k-a", "$KV.APPLIED.eu.sdk-k-b"]

    reports.add("k", "a", at(2))
    assert not reports.has_due
    reports.add("k", "a", at(3))
    assert await published(reports) == ["$KV.APPLIED.eu.sdk-k-a"]


async def test_one_key_has_no_more_processes_than_allowed_and_takes_no_place_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poll_reports, "SESSIONS_PER_KEY_MAX", 2)
    reports = PollReports("eu")
    for n in range(1_000):
        reports.add("greedy", f"made-up-{n}", at(1))
    reports.add("other", "a", at(1))

    assert sorted(await published(reports)) == [
        "$KV.APPLIED.eu.sdk-greedy-made-up-0",
        "$KV.APPLIED.eu.sdk-greedy-made-up-1",
        "$KV.APPLIED.eu.sdk-other-a",
    ]


async def test_all_keys_together_have_no_more_processes_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_reports, "SESSIONS_MAX", 2)
    reports = PollReports("eu")
    for key in ("a", "b", "c"):
        reports.add(key, "process", at(1))

    assert len(await published(reports)) == 2


@pytest.mark.parametrize("bound", ["SESSIONS_MAX", "SESSIONS_PER_KEY_MAX"])
async def test_a_process_that_is_gone_leaves_its_place(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(poll_reports, bound, 2)
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    reports = PollReports("eu")
    for session in ("a", "b"):
        reports.add("k", session, at(1))
    now += poll_reports.GONE_SECONDS / 2
    reports.add("k", "b", at(2))
    reports.add("k", "c", at(1))
    now += poll_reports.GONE_SECONDS / 2
    reports.add("k", "d", at(1))
    reports.add("other", "e", at(1))

    expected = ["$KV.APPLIED.eu.sdk-k-a", "$KV.APPLIED.eu.sdk-k-b", "$KV.APPLIED.eu.sdk-k-d"]
    if bound == "SESSIONS_PER_KEY_MAX":
        expected.append("$KV.APPLIED.eu.sdk-other-e")
    assert sorted(reports._due) == [subject.rpartition(".")[2] for subject in expected]


@pytest.mark.parametrize("session", ["x" * 100_000, "a.b.>", "*", "../edge", "a b\r\nc", "é"])
async def test_the_name_of_a_process_is_bounded_and_has_no_wildcard(session: str) -> None:
    reports = PollReports("eu")
    reports.add("k", session, at(1))

    assert all(re.fullmatch(r"sdk-k-[A-Za-z0-9_-]{1,64}", instance) for instance in reports._due)


async def test_two_keys_with_long_ids_report_under_names_of_their_own() -> None:
    reports = PollReports("eu")
    for id_ in ("k" * 100, "k" * 99 + "j"):
        reports.add(id_, "s" * 64, at(1))

    assert len(await published(reports)) == 2
