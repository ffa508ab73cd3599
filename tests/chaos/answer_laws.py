"""What people were answered, compared with the log."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from sluiceway.contracts.replies import RefusalCode

from .history import REASON, ROUNDING_MS, History, SentCommand, StoredEvent


def answers(history: History) -> Iterator[str]:
    """Compare what was answered with the log: accepted is stored once, refused is not stored.

    Nothing is stored in the name of people who did not send it.
    """
    stored = defaultdict(list)
    for entry in history.events:
        stored[entry.event.command_id].append(entry)
    for sent in history.commands:
        if problem := _problem_of(sent, stored.pop(sent.id, [])):
            yield f"{sent.verb} {sent.feature} ({sent.id}): {problem}"
    people = {sent.actor for sent in history.commands}
    for entries in stored.values():
        for entry in entries:
            if entry.event.actor_id in people:
                yield f"event {entry.sequence} ({entry.event.type}): {entry.event.actor_id} never sent it"


def _problem_of(sent: SentCommand, stored: list[StoredEvent]) -> str | None:
    sequences = [entry.sequence for entry in stored]
    if sent.answered_ms is None:
        return f"nobody answered it; stored at {sequences}"
    if len(sequences) > 1:
        return f"stored more than once, at {sequences}"
    if not sent.is_applied:
        return f"answered {sent.refusal or sent.outcome}, but stored at {sequences}" if sequences else None
    if not sequences:
        return f"answered at revision {sent.revision}, but lost"
    if sent.revision is None or not _names(sent, stored[0]):
        return f"answered at revision {sent.revision}, but stored at {sequences}"
    return _problem_of_event(sent, stored[0])


def _names(sent: SentCommand, stored: StoredEvent) -> bool:
    """Return whether the answered revision is that of the event; a later one, if it was applied before."""
    assert sent.revision is not None
    return sent.revision == stored.sequence or (sent.is_resent and sent.revision > stored.sequence)


def _problem_of_event(sent: SentCommand, stored: StoredEvent) -> str | None:
    """Return in what the event of a command differs from it."""
    assert sent.answered_ms is not None
    if stored.event.actor_id != sent.actor:
        return f"{sent.actor} sent it, the log says {stored.event.actor_id}"
    if str(stored.event.feature.key) != sent.feature:
        return f"stored as an event of {stored.event.feature.key}"
    if stored.event.reason != REASON:
        return f"its reason was {REASON!r}, the log says {stored.event.reason!r}"
    if stored.stored_ms < sent.sent_ms - ROUNDING_MS:
        return f"stored {sent.sent_ms - stored.stored_ms} ms before it was sent"
    if stored.stored_ms > sent.answered_ms + ROUNDING_MS:
        return f"answered {stored.stored_ms - sent.answered_ms} ms before it was stored"
    return None


def freshness(history: History) -> Iterator[str]:
    """Look whether what was not done was decided on a state that was the newest while it was asked.

    That state has to be replaced, if it was at all, after the command was sent.
    """
    logs = history.by_feature()
    for sent in history.commands:
        if (revision := _decided_on(sent)) is None:
            continue
        entries = logs.get(sent.feature, [])
        index = bisect_right(entries, revision, key=lambda entry: entry.sequence)
        if (index and entries[index - 1].sequence != revision) or (not index and revision):
            yield f"{sent.verb} {sent.feature} ({sent.id}): the log has no event {revision} of it"
        elif index < len(entries) and (late := sent.sent_ms - entries[index].stored_ms) > ROUNDING_MS:
            yield (
                f"{sent.verb} {sent.feature} ({sent.id}) was answered {sent.refusal or sent.outcome} about "
                f"event {revision}, which another one had replaced {late} ms before it was sent"
            )


def _decided_on(sent: SentCommand) -> int | None:
    """Return the event that a command which changed nothing was decided on; 0 if there was none.

    None if it changed something, or was not decided at all.
    """
    if sent.answered_ms is None or sent.is_applied:
        return None
    if sent.revision is None and sent.refusal is RefusalCode.UNKNOWN_FEATURE:
        return 0
    return sent.revision
