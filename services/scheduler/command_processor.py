"""Load, decide, append: how a command becomes an event.

Replicas race: each appends on the condition that nothing came in between. One wins; the others decide
again on the newer state.
"""

import logging
from dataclasses import replace

from sluiceway.clock import Clock
from sluiceway.contracts.commands import (
    AdvancePhase,
    ArchiveFeature,
    FeatureCommand,
    SaveFeature,
    StartingCommand,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_log import FeatureLog, LogTail
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.pipelines.approvals import without_lapsed_approvals
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Decision

from . import metrics

log = logging.getLogger(__name__)

#: How often a command is decided before its sender has to send it again.
ATTEMPTS_MAX = 20


class CommandProcessor:
    """Decides commands on the newest state, and appends the events that follow."""

    def __init__(
        self, feature_log: FeatureLog, features: FeatureView, catalogue: CatalogueView, clock: Clock
    ) -> None:
        self._log = feature_log
        self._features = features
        self._catalogue = catalogue
        self._clock = clock

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
            tail = tail or await self._log.tail(command.key)
            decision = self._decide(command, tail)
            if isinstance(decision, FeatureEvent):
                # A freeze may be new. For a phase that stays held, the catalogue is not read.
                if isinstance(command, AdvancePhase) and await self._catalogue.has_changed():
                    continue
                if reply := await self._append(decision, tail):
                    return reply
            elif is_fresh and not (_depends_on_others(decision) and await self._features.has_changed()):
                return self._reply(decision, tail)
            tail, is_fresh = None, True
        raise Unavailable(f"{command.key}, or what it depends on, keeps changing; send the command again")

    def _remembered(self, command: FeatureCommand) -> LogTail | None:
        """Return the state that was followed. It may be old: only an append proves that it is not."""
        entry = self._features.get(command.key)
        return entry.logged if entry else None

    def _decide(self, command: FeatureCommand, tail: LogTail) -> Decision:
        state = tail.logged.event.feature if tail.logged else None
        catalogue = self._catalogue.catalogue()
        if isinstance(command, SaveFeature | ArchiveFeature):
            catalogue = replace(catalogue, references=self._features.references())
        return decide(state, command, self._clock(), catalogue)

    async def _append(self, event: FeatureEvent, tail: LogTail) -> Reply | None:
        """Return the reply once the event is stored; None if another one came before it."""
        try:
            sequence = await self._log.append(event, tail.sequence)
        except Conflict:
            return None
        self._features.add(event, sequence)
        metrics.EVENTS.labels(event.type).inc()
        log.info("%s by %s: %s", event.type, event.actor_id, event.feature.key)
        return Reply(outcome=Outcome.ACCEPTED, feature=event.feature, revision=sequence)

    def _reply(self, decision: Decision, tail: LogTail) -> Reply:
        feature = tail.logged.event.feature if tail.logged else None
        if feature:
            feature = without_lapsed_approvals(feature, self._catalogue.api_key, self._clock())
        revision = tail.logged.sequence if tail.logged else None
        if isinstance(decision, Refusal):
            return Reply(outcome=Outcome.REFUSED, refusal=decision, feature=feature, revision=revision)
        assert not isinstance(decision, FeatureEvent)
        return Reply(outcome=Outcome.UNCHANGED, message=decision.message, feature=feature, revision=revision)


def _depends_on_others(decision: Decision) -> bool:
    return isinstance(decision, Refusal) and decision.code is RefusalCode.UNSAFE_REFERENCE
