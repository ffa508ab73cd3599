"""The commands that were applied shortly before a scheduler started: their senders may send them again.

A scheduler that is killed answers nothing any more. The copy of a command reaches one that has started since,
and others may have changed the same thing meanwhile.
"""

import asyncio
import logging

from nats.js import JetStreamContext

from sluiceway.backoff import Backoff
from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.history import read_headers

log = logging.getLogger(__name__)

#: How old they may be, by the broker's clock: four times as long as a command is sent again.
EARLIER_SECONDS = 60
#: Between two attempts to read them: the first pause, and the longest.
PAUSE_SECONDS = (0.1, 5.0)


async def remember_earlier_commands(
    js: JetStreamContext, features: DecisionView, catalogue: CatalogueView, clock: Clock
) -> None:
    """Let both views know the commands of the last minute; they must have been read to their ends.

    That costs a message without a body for each of them. It is tried again until the broker answers.
    """
    since_ms, backoff = clock() - EARLIER_SECONDS * 1_000, Backoff(*PAUSE_SECONDS)
    while True:
        try:
            await _remember(js, features, subjects.FEATURES_STREAM, subjects.FEATURES, since_ms)
            await _remember(js, catalogue, subjects.CATALOG_STREAM, subjects.CATALOG, since_ms)
            return
        except Unavailable as error:
            log.warning("cannot read the commands of the last minute, trying again: %s", error)
            await asyncio.sleep(backoff.next_seconds())


async def _remember(
    js: JetStreamContext, view: DecisionView | CatalogueView, stream: str, subject: str, since_ms: int
) -> None:
    resets = view.follower.resets
    records = [record async for record in read_headers(js, stream, subject, since_ms=since_ms)]
    if view.follower.resets != resets:
        raise Unavailable(f"the stream {stream} went back meanwhile")
    for record in records:
        view.applied.add(record)
