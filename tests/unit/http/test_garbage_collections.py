"""A process is not stopped to look for garbage in what it has read at its start."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from sluiceway.http import server

#: Containers that are kept: without care, several full collections fall into making them.
KEPT = 200_000


class Reading:
    """A service that reads much at its start."""

    def __init__(self, full_collections: list[str]) -> None:
        self._full_collections = full_collections
        self.kept: list[list[int]] = []

    async def __aenter__(self) -> None:
        self._full_collections.clear()
        self.kept = [[number] for number in range(KEPT)]

    async def __aexit__(self, *_: object) -> None:
        """End."""


@pytest.fixture
def full_collections() -> Iterator[list[str]]:
    """Collect the full collections that begin."""
    begun, threshold = list[str](), gc.get_threshold()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            begun.append(phase)

    gc.callbacks.append(note)
    yield begun
    gc.callbacks.remove(note)
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as before this test, see tests/conftest.py


async def test_no_full_collection_stops_a_process_while_it_reads_and_after(
    full_collections: list[str],
) -> None:
    service, stop = Reading(full_collections), asyncio.Event()
    stop.set()
    excluded = gc.get_freeze_count()
    running = asyncio.create_task(server._run_until_stopped(service, stop, server.FULL_COLLECTION_AFTER))
    await running

    assert full_collections == []
    assert len(service.kept) == KEPT
    assert gc.get_freeze_count() > excluded + KEPT
