"""Load, decide, append: how a command becomes an event.

Replicas race: each appends on the condition that nothing came in between. One wins; the others decide
again on the newer state.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.commands import (
    AdvancePhase,
    ArchiveFeature,
    FeatureCommand,
    SaveFeature,
    StartingCommand,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import EncodedFeature, Outcome, Refusal, RefusalCode, Reply
from sluiceway.contracts.revisions import NOTHING_STORED
from sluiceway.errors import Conflict, InvalidEvent, MessageTooLarge, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import EncodedEvent, FeatureLog, LoggedEvent, LogTail, parse_event
from sluiceway.messaging.stale_readings import explain_stale
from sluiceway.pipelines.approvals import without_lapsed_approvals
from sluiceway.pipelines.decide import already_applied, decide
from sluiceway.pipelines.decision import Decision, Unchanged
from sluiceway.pipelines.event_sizes import decide_within
from sluiceway.tasks import with_pauses

from . import metrics
from .side_thread import SideThread
from .storage_budget import OnStored

log = logging.getLogger(__name__)

#: The broker's time is measured with an error; an event is never stamped before the one that it follows.
TIME_ERROR_MS = 1_000
#: How often a command is decided before its sender has to send it again.
ATTEMPTS_MAX = 20
#: A state that is asked for is parsed beside the loop if it is larger.
PARSED_AT_ONCE_BYTES = 16 * 1024
#: Commands that are decided, before others have their turn.
DECIDED_IN_A_ROW = 20


class _DecidedCommand(NamedTuple):
    """A command, its event, and the sequence after which that has to be appended."""

    command: AdvancePhase
    encoded: EncodedEvent
    expected: int


class CommandProcessor:
    """Decides commands on the newest state, and appends the events that follow."""

    def __init__(
        self,
        feature_log: FeatureLog,
        features: DecisionView,
        catalogue: CatalogueView,
        clock: Clock,
        side_thread: SideThread,
        on_stored: OnStored = lambda command, size: None,
    ) -> None:
        """`on_stored` is called with a command and the bytes of the event that it led to."""
        self._log = feature_log
        self._features = features
        self._catalogue = catalogue
        self._clock = clock
        self._side_thread = side_thread
        self._on_stored = on_stored

    async def process(self, command: FeatureCommand) -> Reply:
        """Return the result of a command: stored, unchanged, or refused.

        `Unavailable` if the log does not answer; then it may or may not be stored, and the same command
        may be sent again.
        """
        if isinstance(command, StartingCommand | ArchiveFeature):
            await self._catalogue.catch_up()
        if isinstance(command, ArchiveFeature):
            await self._features.catch_up()
        tail = self._remembered(command)
        is_fresh = tail is None
        for _ in range(ATTEMPTS_MAX):
            tail = tail or await self._log.newest_tail(command.key, self._features.parse)
            if _is_outdated(command, tail):
                return self._reply(Unchanged(f"a newer event of {command.key} came first"), tail)
            is_fresh = is_fresh and not self._is_behind(command.key, tail)
            applied = await self._applied_before(command, tail)
            decision = applied or await self._decide(command, tail)
            if isinstance(decision, FeatureEvent):
                # A freeze may be new. For a phase that stays held, the catalogue is not read.
                if isinstance(command, AdvancePhase) and await self._catalogue.has_changed():
                    continue
                if reply := await self._append_within(decision, command, tail, is_fresh=is_fresh):
                    return reply
            elif is_fresh and await self._is_final(decision, command, tail):
                return self._reply(await self._explained(decision, command, tail), tail)
            tail, is_fresh = None, True
        raise Unavailable(f"{command.key}, or what it depends on, keeps changing; send the command again")

    async def _applied_before(self, command: FeatureCommand, tail: LogTail) -> Unchanged | None:
        """Return the decision about a command that the log holds and its feature has forgotten, after others.

        This process was frozen, or cut off, and another one has applied it. What was followed tells; whether
        the state that was read is the newest one has to be proved, as for every such decision.
        """
        if tail.logged is None:
            return None
        if not self._knows_forgotten_commands(command, tail):
            await self._features.catch_up()
        if isinstance(command, AdvancePhase) or not self._features.has_applied(command):
            return None
        return already_applied(tail.logged.event.feature)

    def _knows_forgotten_commands(self, command: FeatureCommand, tail: LogTail) -> bool:
        """Return whether each command was followed, or is this process's own, that a state remembers no more.

        A state remembers the newest commands without a gap, so it has all since the event that is known if
        it has that one's. Of that event the same was asked before this process appended it.
        """
        if tail.sequence <= self._features.position.sequence:
            return True
        known = self._remembered(command)
        if known is None or known.logged is None or tail.logged is None:
            return False
        newest = known.logged.event.feature.recent_commands[-1:]
        return tail.sequence <= known.sequence or (
            newest != () and newest[0] in tail.logged.event.feature.recent_commands
        )

    async def newest(self, key: FeatureKey) -> Reply:
        """Return the newest state of a feature; no feature if there is none.

        What was followed has it, once it has got to the end that the log's leader knows. So the state is
        neither read nor encoded again, however often it is asked for, and parsed once. `Unavailable` if no
        broker proves the end, or if the newest message is invalid: the event before it is read then.
        """
        await self._features.catch_up()
        entry = self._features.get(key)
        if entry is None:
            return Reply(outcome=Outcome.UNCHANGED, revision_tag=NOTHING_STORED)
        try:
            await self._check(entry)
            state = entry.encoded_state
        except InvalidEvent as error:
            raise Unavailable(f"the newest message of {key} is invalid: {error}") from error
        return Reply(
            outcome=Outcome.UNCHANGED,
            state=EncodedFeature(state.feature),
            revision=entry.sequence,
            revision_tag=state.revision_tag,
        )

    async def _check(self, entry: FeatureEntry) -> None:
        """Parse an event that was not parsed yet, a large one beside the loop; raise `InvalidEvent`."""
        if not entry.is_valid and len(entry.body) > PARSED_AT_ONCE_BYTES:
            with suppress(InvalidEvent):  # which the entry has to notice
                entry.keep_parsed(await self._side_thread.run(parse_event, entry.body, entry.key))
        if not entry.is_valid:
            _ = entry.event

    async def process_together(self, commands: Iterable[AdvancePhase]) -> dict[str, Reply]:
        """Decide commands about different features on what was followed, and append their events together.

        One look at the catalogue and one write serve all of them. Returns the replies to those whose events
        are stored, and to those whose phase stays held, by the ids of the commands; each of the others has to
        be processed alone. Raises `Unavailable` as `process` does.
        """
        catalogue = self._catalogue.catalogue()
        decided, still_held = list[_DecidedCommand](), dict[str, Reply]()
        async for command in with_pauses(commands, DECIDED_IN_A_ROW):
            tail = self._remembered(command)
            if tail is None or not _is_cleared(command, tail):
                continue
            decision = await self._decide(command, tail)
            if isinstance(decision, FeatureEvent):
                decided.append(_DecidedCommand(command, self._log.encode(decision), tail.sequence))
            elif isinstance(decision, Unchanged) and _is_held(tail):
                still_held[command.id] = self._reply(decision, tail)
        # A freeze may be new, or have come in a pause.
        if not decided or await self._catalogue.has_changed() or self._catalogue.catalogue() is not catalogue:
            return still_held
        return still_held | await self._append_together(decided)

    async def _append_together(self, decided: Sequence[_DecidedCommand]) -> dict[str, Reply]:
        """Return the replies to the commands whose events are stored, by the ids of the commands."""
        with ExitStack() as appending:
            for each in decided:
                appending.enter_context(self._features.appending(each.encoded))
            results = await self._log.append_all((each.encoded, each.expected) for each in decided)
        return {
            each.command.id: self._record(each.command, each.encoded, result)
            for each, result in zip(decided, results, strict=True)
            if isinstance(result, int)
        }

    def _remembered(self, command: FeatureCommand) -> LogTail | None:
        """Return the state that was followed. It may be old: only an append proves that it is not."""
        entry = self._features.get(command.key)
        try:
            return entry.logged if entry else None
        except InvalidEvent:  # the tail of the log skips it
            return None

    def _is_behind(self, key: FeatureKey, tail: LogTail) -> bool:
        """Return whether a newer event is known than the one that was read.

        A broker that led the log until a moment ago may answer, or the log went back, which its followers
        notice. Nothing is refused until then: an append would have failed.
        """
        known = self._features.get(key)
        return known is not None and known.tail > tail.sequence

    async def _is_final(self, decision: Decision, command: FeatureCommand, tail: LogTail) -> bool:
        """Return whether a decision that is not an event holds for the newest state of what it depends on.

        A deadline that is held, or not due, is tried again in any case.
        """
        if _depends_on_others(decision) and await self._features.has_changed():
            return False
        return isinstance(command, AdvancePhase) or await self._is_newest(command.key, tail)

    async def _is_newest(self, key: FeatureKey, tail: LogTail) -> bool:
        """Return whether the state that was read is the newest one, which no append is going to prove.

        Not if the log goes back meanwhile: what was followed of it has been decided on as well. `Unavailable`
        if no broker answers that hears most replicas of the log.
        """
        resets = self._features.resets
        await self._features.catch_up()
        return self._features.resets == resets and not self._is_behind(key, tail)

    async def _decide(self, command: FeatureCommand, tail: LogTail) -> Decision:
        """Return the decision; to save is to validate and to project a whole document, beside the loop."""
        state = tail.logged.event.feature if tail.logged else None
        catalogue = self._catalogue.catalogue()
        if catalogue.message_bytes_max != self._log.message_bytes_max:
            catalogue = replace(catalogue, message_bytes_max=self._log.message_bytes_max)
        if isinstance(command, SaveFeature | ArchiveFeature):
            catalogue = replace(catalogue, references=self._features.references)
        now_ms = self._now_ms(tail)
        revision = None if command.expected_revision is None else tail.revision_tag
        if isinstance(command, SaveFeature):
            return await self._side_thread.run(decide, state, command, now_ms, catalogue, revision)
        return decide(state, command, now_ms, catalogue, revision)

    async def _explained(
        self, decision: Decision, command: FeatureCommand, tail: LogTail
    ) -> Unchanged | Refusal:
        """Return a decision that is not an event; a stale reading is told what has changed since."""
        assert not isinstance(decision, FeatureEvent)
        if isinstance(decision, Refusal) and decision.code is RefusalCode.STALE:
            assert command.expected_revision is not None
            return await explain_stale(self._log, command.key, command.expected_revision, tail.logged)
        return decision

    def _now_ms(self, tail: LogTail) -> int:
        """Return the time, or that of the newest event if it is a little later."""
        now_ms = self._clock()
        last_ms = tail.logged.event.time_ms if tail.logged else 0
        return last_ms if 0 < last_ms - now_ms <= TIME_ERROR_MS else now_ms

    async def _append_within(
        self, event: FeatureEvent, command: FeatureCommand, tail: LogTail, *, is_fresh: bool
    ) -> Reply | None:
        """Append an event, or as much of it as fits into a message; None if it has to be decided again."""
        state = tail.logged.event.feature if tail.logged else None
        try:
            return await self._append(event, command, tail)
        except MessageTooLarge as error:
            log.warning("%s: %s", command.verb, error)
            bytes_max = error.size_max - error.header_size
        smaller = decide_within(event, state, command, self._now_ms(tail), bytes_max)
        if not isinstance(smaller, FeatureEvent):
            return self._reply(smaller, tail) if is_fresh else None
        return await self._append(smaller, command, tail)

    async def _append(self, event: FeatureEvent, command: FeatureCommand, tail: LogTail) -> Reply | None:
        """Return the reply once the event is stored; None if another one came before it."""
        encoded = self._log.encode(event)
        try:
            with self._features.appending(encoded):
                sequence = await self._log.append(encoded, tail.sequence)
        except Conflict:
            return None
        return self._record(command, encoded, sequence)

    def _record(self, command: FeatureCommand, encoded: EncodedEvent, sequence: int) -> Reply:
        """Return the reply to a command whose event is stored, and let everybody here know of that."""
        event = encoded.event
        self._on_stored(command, len(encoded.data))
        self._features.add(encoded, sequence)
        metrics.event_counter(event.type).inc()
        log.info("%s by %s: %s", event.type, event.actor_id, event.feature.key)
        return Reply(
            outcome=Outcome.ACCEPTED,
            state=EncodedFeature(encoded.feature, event.feature),
            revision=sequence,
            revision_tag=LoggedEvent(sequence, event).revision_tag,
        )

    def _reply(self, decision: Unchanged | Refusal, tail: LogTail) -> Reply:
        logged = tail.logged
        reply = Reply(
            outcome=Outcome.UNCHANGED,
            feature=logged.event.feature if logged else None,
            revision=logged.sequence if logged else None,
            revision_tag=tail.revision_tag,
        )
        if reply.feature:
            counted = without_lapsed_approvals(reply.feature, self._catalogue.api_key, self._clock())
            reply = reply.model_copy(update={"state": counted})
        if isinstance(decision, Refusal):
            return reply.model_copy(update={"outcome": Outcome.REFUSED, "refusal": decision})
        return reply.model_copy(update={"message": decision.message})


def _is_outdated(command: FeatureCommand, tail: LogTail) -> bool:
    """Return whether the clearance of a phase was asked for an older event: the newer one has its own.

    Raises `Unavailable` if an older event was read: the broker that answers is behind, or the log went back.
    """
    if not isinstance(command, AdvancePhase) or command.cleared_revision is None:
        return False
    newest = tail.logged.sequence if tail.logged else 0
    if newest < command.cleared_revision:
        raise Unavailable(f"the log of {command.key} was read to {newest} only, not to the event that is due")
    return newest > command.cleared_revision


def _is_held(tail: LogTail) -> bool:
    trigger = tail.logged.event.feature.active_trigger if tail.logged else None
    return trigger is not None and bool(trigger.held)


def _is_cleared(command: AdvancePhase, tail: LogTail) -> bool:
    """Return whether the clearance of a phase was asked for this event."""
    return tail.logged is not None and command.cleared_revision in (None, tail.logged.sequence)


def _depends_on_others(decision: Decision) -> bool:
    return isinstance(decision, Refusal) and decision.code is RefusalCode.UNSAFE_REFERENCE
